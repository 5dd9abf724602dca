"""Reading what was said: pages both ways, single messages, attachments. Direct rows know whether they were read."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sse_service.auth import Principal
from sse_service.chat.addresses import is_direct
from sse_service.chat.frames import message_frame, other_party
from sse_service.errors import NotFoundError
from sse_service.events import check_key
from sse_service.ports import Conversation, InboxStore, Message, MessageStore

__all__ = ["History", "HistoryPage"]

NEAR_US = 2_000
"""A message is stored at its id's millisecond or, where that was taken, a little later."""
RECENT = 200


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """frames: as events have them, in the order asked for. before_us: to page further back (None: no more)."""

    frames: Sequence[dict[str, object]]
    before_us: int | None


class History:
    def __init__(self, messages: MessageStore, inbox: InboxStore) -> None:
        self._messages = messages
        self._inbox = inbox

    async def page(
        self,
        principal: Principal,
        conversation: Conversation,
        *,
        limit: int,
        before_us: int | None = None,
        after_us: int | None = None,
        newest_first: bool = False,
    ) -> HistoryPage:
        """The latest messages of a conversation that `principal` is admitted to."""
        messages, more = await self._messages.page(
            principal.tenant,
            conversation.conversation_id,
            is_open=conversation.is_open,
            limit=limit,
            before_us=before_us,
            after_us=after_us,
        )
        frames = await self._frames(principal, conversation, messages)
        before = messages[0].timestamp_us if more and messages else None
        return HistoryPage(frames[::-1] if newest_first else frames, before)

    async def _frames(
        self, principal: Principal, conversation: Conversation, messages: Sequence[Message]
    ) -> list[dict[str, object]]:
        read_by: dict[str, int] = {}
        if messages and is_direct(conversation.conversation_id):
            # Its receiver's cursor tells whether a message was read.
            name = conversation.conversation_id
            for user in conversation.participants:
                cursors = await self._inbox.cursors(principal.tenant, user, [name])
                if name in cursors:
                    read_by[user] = cursors[name].up_to_us
        frames = []
        for message in messages:
            receiver = other_party(conversation, message.sender) if read_by else ""
            is_read = message.timestamp_us <= read_by.get(receiver, -1)
            frames.append(message_frame(message, conversation, is_read=is_read))
        return frames

    async def message(self, principal: Principal, conversation: Conversation, message_id: str) -> dict[str, object]:
        """One message as an event has it. Raises NotFoundError."""
        found = await self.find(principal, conversation, message_id)
        return (await self._frames(principal, conversation, [found]))[0]

    async def find(self, principal: Principal, conversation: Conversation, message_id: str) -> Message:
        """Raises NotFoundError, InvalidInputError.

        Ids made by this service carry their time; others (of another system, of a client) are looked for among the
        latest messages only.
        """
        check_key("messageId", message_id)
        at_us = _time_of(message_id)
        ranges: list[tuple[int | None, int | None]] = [(None, None)]
        if at_us is not None:
            ranges.insert(0, (at_us + NEAR_US, at_us - 1))
        for before_us, after_us in ranges:
            messages, _ = await self._messages.page(
                principal.tenant,
                conversation.conversation_id,
                is_open=conversation.is_open,
                limit=RECENT,
                before_us=before_us,
                after_us=after_us,
            )
            for message in messages:
                if message.message_id == message_id:
                    return message
        raise NotFoundError("there is no such message in this conversation")


def _time_of(message_id: str) -> int | None:
    """UNIX microseconds of a UUID of version 7 (to the millisecond)."""
    try:
        found = uuid.UUID(message_id)
    except ValueError:
        return None
    return (found.int >> 80) * 1000 if found.version == 7 else None
