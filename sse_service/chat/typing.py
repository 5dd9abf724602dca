"""Who is typing: an event with a short life, told to the others of a conversation.

It goes through the log like every other event, so that each broker and each instance carries it in its order; a
stream that comes back later does not get it any more (Draft.until). To the log that costs one small event for each
writer in TYPING_LIFE_S / 2 at the most: what says the same again sooner is not published.
"""

from __future__ import annotations

from sse_service.auth import Principal
from sse_service.chat.frames import typing_frame
from sse_service.chat.publishing import Publishing
from sse_service.events import Draft, room_topic
from sse_service.ports import Clock, Conversation
from sse_service.wire import compact_json

__all__ = ["TYPING_LIFE_S", "Typing"]

TYPING_LIFE_S = 6.0
"""A client forgets "is typing" after this long without news."""
REMEMBERED = 10_000


class Typing:
    def __init__(self, publishing: Publishing, clock: Clock) -> None:
        self._publishing = publishing
        self._clock = clock
        self._said: dict[tuple[str, str, str], tuple[bool, float]] = {}

    async def say(self, principal: Principal, conversation: Conversation, is_typing: bool) -> bool:
        """Tell the other participants. False: they have been told the same a moment ago.

        Raises UnavailableError.
        """
        now = self._clock()
        who = (principal.tenant, conversation.conversation_id, principal.user)
        last = self._said.pop(who, None)
        if last is not None and last[0] == is_typing and 0 <= now - last[1] < TYPING_LIFE_S / 2:
            self._said[who] = last
            return False
        self._said[who] = (is_typing, now)
        if len(self._said) > REMEMBERED:
            del self._said[next(iter(self._said))]
        draft = Draft(
            room_topic(conversation.conversation_id),
            "chat_typing",
            compact_json(typing_frame(conversation, principal.user, is_typing)),
            now,
            until=now + TYPING_LIFE_S,
            exclude=principal.user,
        )
        await self._publishing.publisher.publish(principal.tenant, [draft])
        return True
