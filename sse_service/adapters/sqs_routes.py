"""Which queues a notification goes to, in each of the modes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from sse_service.adapters.sqs import Outgoing
from sse_service.adapters.sqs_registry import MailboxRow, QueueRegistry
from sse_service.brokers.notice import Notice, encode
from sse_service.brokers.routing import Mailbox, audience_of, fifo_ids, one_by_one, plain
from sse_service.metrics import Metrics
from sse_service.ports import Clock, Conversation

__all__ = ["Members", "Routes"]

logger = logging.getLogger("sse_service.sqs")

Members = Callable[[str, str], Awaitable[Conversation | None]]
"""The conversation of (tenant, id): who may read a room's events."""

AT_ONCE = 32


class Routes:
    """mode: SSE_SQS_MODE. instance: the id of this one, which is never sent what it sends."""

    def __init__(
        self,
        registry: QueueRegistry,
        members: Members,
        metrics: Metrics,
        *,
        mode: str,
        instance: str,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._members = members
        self._metrics = metrics
        self._mode = mode
        self._instance = instance
        self._clock = clock

    async def of(self, notices: Sequence[Notice]) -> dict[str, list[Outgoing]]:
        """Messages by the URL of the queue. Raises UnavailableError."""
        instances = await self._registry.instances()
        others = {instance for instance in instances if instance != self._instance}
        if not others:
            return {}
        if self._mode in {"shard", "fifo"}:
            messages = self._encoded(notices)
            return {instances[one]: messages for one in sorted(others) if instances[one]}
        by_queue: dict[str, list[Outgoing]] = {}
        for notice in notices:
            (message,) = self._encoded([notice])
            for row in await self._rows_for(notice):
                # Nobody else reads it: this instance's streams have the event already.
                if row.url and row.readers & others:
                    by_queue.setdefault(row.url, []).append(message)
        return by_queue

    def _encoded(self, notices: Sequence[Notice]) -> list[Outgoing]:
        is_fifo = self._mode == "fifo"
        messages = []
        for notice in one_by_one(notices) if is_fifo else notices:
            attributes = {"tenant": plain(notice.tenant), "userId": plain(_only_user(notice))}
            body = encode(notice, self._instance, self._clock())
            messages.append(Outgoing(body, attributes, fifo_ids(notice) if is_fifo else None))
        return messages

    async def _rows_for(self, notice: Notice) -> list[MailboxRow]:
        tenant = notice.tenant
        if self._mode == "tenant":
            return await self._rows_of([Mailbox(tenant)])
        if notice.batch is None:
            return await self._registry.of_tenant(tenant)
        audience = audience_of(notice.batch.events)
        users = set(audience.users)
        is_everybody = audience.is_everybody
        for room in audience.rooms:
            if is_everybody:
                break
            conversation = await self._members(tenant, room)
            if conversation is None or conversation.is_open:
                is_everybody = True
            else:
                users |= conversation.participants
        if is_everybody:
            return await self._registry.of_tenant(tenant)
        # Streams of everything in the tenant have a mailbox of their own.
        return await self._rows_of([Mailbox(tenant), *(Mailbox(tenant, user) for user in sorted(users))])

    async def _rows_of(self, mailboxes: Sequence[Mailbox]) -> list[MailboxRow]:
        rows: list[MailboxRow | None] = []
        for at in range(0, len(mailboxes), AT_ONCE):
            rows += await asyncio.gather(*(self._registry.mailbox(one) for one in mailboxes[at : at + AT_ONCE]))
        return [row for row in rows if row is not None]


def _only_user(notice: Notice) -> str:
    """The one user all events are for, or ""."""
    if notice.batch is None:
        return ""
    audience = audience_of(notice.batch.events)
    is_one = len(audience.users) == 1 and not audience.rooms and not audience.is_everybody
    return next(iter(audience.users)) if is_one else ""
