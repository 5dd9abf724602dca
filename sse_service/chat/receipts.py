"""Who has read how far, what is unread, and where something was said last.

Nothing is counted twice and no counter can drift: a cursor per user and conversation moves forward only, and unread is
what the table of messages holds behind it, counted in that range up to MAX_UNREAD.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sse_service.auth import Principal
from sse_service.chat.conversations import Conversations
from sse_service.chat.frames import message_frame, read_frame
from sse_service.chat.publishing import Publishing, in_turns
from sse_service.chat.sending import RESPONDER_NAME
from sse_service.events import Draft, key_part, room_topic
from sse_service.ports import Clock, Conversation, Cursor, InboxStore, Message, MessageStore
from sse_service.wire import compact_json

__all__ = ["MAX_UNREAD", "Entry", "Receipts"]

MAX_UNREAD = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the list of conversations. last: the latest message as an event has it. unread: up to MAX_UNREAD."""

    conversation: Conversation
    last: dict[str, object] | None
    unread: int
    read_up_to_us: int | None


class Receipts:
    def __init__(
        self,
        publishing: Publishing,
        conversations: Conversations,
        messages: MessageStore,
        inbox: InboxStore,
        clock: Clock,
    ) -> None:
        self._publishing = publishing
        self._conversations = conversations
        self._messages = messages
        self._inbox = inbox
        self._clock = clock

    async def read(self, principal: Principal, conversation: Conversation, up_to_us: int | None) -> dict[str, object]:
        """Everything up to then (None: everything) is read; tell the others. Returns the frame they get.

        A cursor never goes back, and never beyond what there is: what comes later is unread. A repeat tells nobody.
        """
        tenant, user, name = principal.tenant, principal.user, conversation.conversation_id
        latest = await self._latest(principal, conversation, None if up_to_us is None else up_to_us + 1)
        if latest is None:
            return read_frame(conversation, user, None, 0)
        cursor = await self._inbox.advance(tenant, user, name, latest.timestamp_us)
        if cursor.up_to_us > latest.timestamp_us:
            return read_frame(conversation, user, cursor.up_to_us, 0)
        count = await self._count(principal, conversation, cursor.previous_us, cursor.up_to_us)
        frame = read_frame(conversation, user, cursor.up_to_us, count)
        if count:
            key = f"read:{key_part(user)}:{cursor.up_to_us}:{name}"
            draft = Draft(room_topic(name), "read", compact_json(frame), self._clock(), "rest", key)
            await self._publishing.publish_once(tenant, [draft])
        return frame

    async def unread(self, principal: Principal) -> list[tuple[str, int]]:
        """Unread messages of each conversation that has some."""
        names = sorted(await self._conversations.of_user(principal))
        activity = await self._inbox.activity(principal.tenant, names)
        cursors = await self._inbox.cursors(principal.tenant, principal.user, names)

        async def one(name: str) -> tuple[str, int]:
            conversation = await self._conversations.get(principal, name)
            if conversation is None or not conversation.admits(principal.user):
                return name, 0
            return name, await self._unread_in(principal, conversation, activity, cursors)

        # What has no message, or none since the cursor, is not asked for; of what other systems write nothing is known.
        return [(name, count) for name, count in await in_turns([one(name) for name in names]) if count]

    async def recent(
        self, principal: Principal, *, limit: int, before_us: int | None = None
    ) -> tuple[list[Entry], int | None]:
        """Conversations by their latest message, newest first, and the time to page on with (None: no more)."""
        names = await self._conversations.of_user(principal)
        activity = await self._inbox.activity(principal.tenant, names)
        ordered = sorted(names, key=lambda name: (-activity.get(name, 0), name))
        if before_us is not None:
            ordered = [name for name in ordered if activity.get(name, 0) < before_us]
        page = ordered[:limit]
        if page and len(ordered) > limit:
            # Those of the same moment come together: paging by time must not step over one.
            last = activity.get(page[-1], 0)
            page += [name for name in ordered[limit:] if activity.get(name, 0) == last]
        cursors = await self._inbox.cursors(principal.tenant, principal.user, page)
        entries = await in_turns([self._entry(principal, name, activity, cursors) for name in page])
        more = len(ordered) > len(page)
        return [entry for entry in entries if entry is not None], activity.get(page[-1], 0) if more else None

    async def _entry(
        self, principal: Principal, name: str, activity: Mapping[str, int], cursors: Mapping[str, Cursor]
    ) -> Entry | None:
        conversation = await self._conversations.get(principal, name)
        if conversation is None or not conversation.admits(principal.user):
            return None
        last = await self._latest(principal, conversation, None)
        cursor = cursors.get(name)
        return Entry(
            conversation,
            message_frame(last, conversation) if last is not None else None,
            await self._unread_in(principal, conversation, activity, cursors),
            cursor.up_to_us if cursor is not None else None,
        )

    async def _unread_in(
        self,
        principal: Principal,
        conversation: Conversation,
        activity: Mapping[str, int],
        cursors: Mapping[str, Cursor],
    ) -> int:
        name = conversation.conversation_id
        cursor = cursors.get(name)
        up_to = cursor.up_to_us if cursor is not None else 0
        latest = activity.get(name)
        is_known = not self._messages.has_other_writers(principal.tenant, is_open=conversation.is_open)
        if is_known and latest is not None and latest <= up_to:
            return 0
        return await self._count(principal, conversation, up_to, None)

    async def _count(
        self, principal: Principal, conversation: Conversation, after_us: int, until_us: int | None
    ) -> int:
        return await self._messages.count(
            principal.tenant,
            conversation.conversation_id,
            is_open=conversation.is_open,
            after_us=after_us,
            until_us=until_us,
            not_by=(principal.user, RESPONDER_NAME),
            limit=MAX_UNREAD,
        )

    async def _latest(self, principal: Principal, conversation: Conversation, before_us: int | None) -> Message | None:
        messages, _ = await self._messages.page(
            principal.tenant,
            conversation.conversation_id,
            is_open=conversation.is_open,
            limit=1,
            before_us=before_us,
            after_us=None,
        )
        return messages[0] if messages else None
