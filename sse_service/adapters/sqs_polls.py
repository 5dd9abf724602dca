"""Long polls of many queues by a bounded number of requests.

While there are no more mailboxes than polls each has a request of its own that waits for messages; when there are
more, polls are short and the mailboxes take turns.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sse_service.adapters.sqs import QueueMissingError, Sqs, SqsMessage
from sse_service.adapters.tasks import end
from sse_service.brokers.backoff import Backoff
from sse_service.brokers.routing import Mailbox
from sse_service.errors import UnavailableError

__all__ = ["MailboxPolls", "Polling", "Take", "poll"]

logger = logging.getLogger("sse_service.sqs")

TURN_S = 1
"""How long a poll waits when mailboxes take turns."""


@dataclass(frozen=True, slots=True)
class Polling:
    """Times of every poll, in seconds."""

    wait_s: int
    visibility_s: int


Take = Callable[[str, list[SqsMessage], Mailbox | None], Awaitable[None]]


async def poll(sqs: Sqs, url: str, times: Polling, take: Take, mailbox: Mailbox | None, wait_s: int) -> None:
    """One poll and what it brought. Raises QueueMissingError, UnavailableError."""
    messages = await sqs.receive(url, wait_s=wait_s, visibility_s=times.visibility_s)
    if messages:
        await take(url, messages, mailbox)


class MailboxPolls:
    """repair(mailbox, url): called when a queue is gone; the URL to go on with, or ""."""

    def __init__(
        self,
        sqs: Sqs,
        times: Polling,
        take: Take,
        repair: Callable[[Mailbox, str], Awaitable[str]],
        *,
        max_polls: int,
        rng: random.Random,
    ) -> None:
        self._sqs = sqs
        self._times = times
        self._take = take
        self._repair = repair
        self._max_polls = max_polls
        self._rng = rng
        self._urls: dict[Mailbox, str] = {}
        self._turns: asyncio.Queue[Mailbox] = asyncio.Queue()
        self._queued: set[Mailbox] = set()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def mailboxes(self) -> set[Mailbox]:
        return set(self._urls)

    def add(self, mailbox: Mailbox, url: str) -> None:
        self._urls[mailbox] = url
        if mailbox not in self._queued:
            self._queued.add(mailbox)
            self._turns.put_nowait(mailbox)
        if len(self._tasks) < min(self._max_polls, len(self._urls)):
            self._tasks.append(asyncio.create_task(self._work()))

    def remove(self, mailbox: Mailbox) -> None:
        """A poll under way is not cut off: what it brings is taken."""
        self._urls.pop(mailbox, None)

    async def close(self) -> None:
        await end(self._tasks)
        self._tasks = []

    async def _work(self) -> None:
        backoff = Backoff(self._rng)
        while True:
            mailbox = await self._turns.get()
            url = self._urls.get(mailbox, "")
            try:
                if url:
                    await self._poll(mailbox, url)
                backoff.reset()
            except UnavailableError as error:
                logger.warning("a queue could not be polled: %s", error)
                await asyncio.sleep(backoff.next_s())
            except Exception:
                logger.exception("polling failed", extra={"tenant": mailbox.tenant})
                await asyncio.sleep(backoff.next_s())
            finally:
                if mailbox in self._urls:
                    self._turns.put_nowait(mailbox)
                else:
                    self._queued.discard(mailbox)

    async def _poll(self, mailbox: Mailbox, url: str) -> None:
        has_own = len(self._urls) <= self._max_polls
        try:
            wait_s = self._times.wait_s if has_own else min(TURN_S, self._times.wait_s)
            await poll(self._sqs, url, self._times, self._take, mailbox, wait_s)
        except QueueMissingError:
            repaired = await self._repair(mailbox, url)
            if repaired and mailbox in self._urls:
                self._urls[mailbox] = repaired
            else:
                self._urls.pop(mailbox, None)
