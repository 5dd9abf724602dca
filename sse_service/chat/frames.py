"""What clients of both stacks get: one function for each payload, equal to the WebSocket frame of the same thing. Pure.

Rooms speak camelCase with UNIX seconds; direct messages camelCase with ISO 8601 times; chat with the responder
(`chat_...`) snake_case with ISO 8601 times. Each shape is the one that its clients know already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

from sse_service.chat.addresses import direct_room, is_direct
from sse_service.errors import InvalidInputError
from sse_service.ports import Conversation, Message

__all__ = [
    "MICRO",
    "chat_message_frame",
    "id_frame",
    "iso",
    "message_frame",
    "other_party",
    "parse_iso",
    "pieces",
    "read_frame",
    "room_message_frame",
    "typing_frame",
    "without_type",
]

MICRO = 1_000_000
MAX_CHUNK_BYTES = 16 << 10

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|\+00:00)", re.ASCII)


def iso(timestamp_us: int) -> str:
    """ISO 8601, UTC, exactly microseconds: "2026-11-22T03:15:52.123456Z"."""
    at = _EPOCH + timedelta(microseconds=timestamp_us)
    return at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_iso(field: str, text: str) -> int:
    """UNIX microseconds. Raises InvalidInputError."""
    if _ISO.fullmatch(text):
        try:
            return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
        except ValueError:  # the 31st of February
            pass
    raise InvalidInputError(field, "must be UNIX seconds or a time such as 2026-11-22T03:15:52.123456Z")


def other_party(conversation: Conversation, user: str) -> str:
    """Whom `user` talks to in a direct conversation (themselves, when nobody else is in it)."""
    return next((one for one in sorted(conversation.participants) if one != user), user)


def _attached(message: Message) -> dict[str, object]:
    if message.attachment is None:
        return {}
    it = message.attachment
    return {"attachment": {"contentType": it.content_type, "size": it.size, "name": it.name}}


def room_message_frame(message: Message) -> dict[str, object]:
    """A message in a room (timestamp: UNIX seconds with microseconds)."""
    return {
        "type": "message",
        "roomId": message.conversation_id,
        "messageId": message.message_id,
        "userName": message.user_name,
        "message": message.text,
        "timestamp": message.timestamp_us / MICRO,
        **_attached(message),
    }


def message_frame(
    message: Message, conversation: Conversation | None = None, *, is_read: bool = False
) -> dict[str, object]:
    """The message as its conversation's clients know it. is_read: direct ones, whether the receiver has read it."""
    if conversation is None or not is_direct(conversation.conversation_id):
        return room_message_frame(message)
    receiver = other_party(conversation, message.sender)
    people = sorted(conversation.participants)
    return {
        "type": "message",
        # Not of sender and receiver: the assistant may speak in it, and is neither of the two.
        "roomId": direct_room(people[0], people[-1]),
        "messageId": message.message_id,
        "senderEmail": message.sender,
        "receiverEmail": receiver,
        "message": message.text,
        "timestamp": iso(message.timestamp_us),
        "read": is_read,
        **_attached(message),
    }


def id_frame(message: Message, conversation: Conversation) -> dict[str, object]:
    """The message's id alone (SSE_NOTIFY=id), and where to get it."""
    shown = message_frame(message, conversation)
    query = urlencode({"conversationId": message.conversation_id})
    return {
        "type": "message",
        "roomId": shown["roomId"],
        "messageId": message.message_id,
        "href": f"/api/chat/messages/{quote(message.message_id, safe='')}?{query}",
    }


def chat_message_frame(message: Message) -> dict[str, object]:
    """What somebody said to the responder, for the others in the chat."""
    return {
        "type": "chat_message",
        "chat_id": message.conversation_id,
        "message_id": message.message_id,
        "user_id": message.sender,
        "message": message.text,
        "timestamp": iso(message.timestamp_us),
        **_attached(message),
    }


def typing_frame(conversation: Conversation, user: str, is_typing: bool) -> dict[str, object]:
    return {
        "type": "chat_typing",
        "chat_id": conversation.conversation_id,
        "typing": is_typing,
        "user_id": user,
    }


def read_frame(conversation: Conversation, reader: str, up_to_us: int | None, count: int) -> dict[str, object]:
    """How far somebody has read; count: messages of others that this made read."""
    if is_direct(conversation.conversation_id):
        return {
            "type": "read",
            "roomId": direct_room(reader, other_party(conversation, reader)),
            "readerEmail": reader,
            "upTo": iso(up_to_us) if up_to_us is not None else None,
            "count": count,
        }
    return {
        "type": "read",
        "roomId": conversation.conversation_id,
        "userId": reader,
        "upTo": up_to_us / MICRO if up_to_us is not None else None,
        "count": count,
    }


def pieces(text: str) -> Iterator[str]:
    """`text` in parts of at most MAX_CHUNK_BYTES of UTF-8, none of them empty."""
    if len(text.encode()) <= MAX_CHUNK_BYTES:
        if text:
            yield text
        return
    # Four bytes is the longest that UTF-8 makes of a character.
    step = MAX_CHUNK_BYTES // 4
    for start in range(0, len(text), step):
        yield text[start : start + step]


def without_type(shown: dict[str, object]) -> dict[str, object]:
    """A row of a room's history."""
    return {name: value for name, value in shown.items() if name != "type"}
