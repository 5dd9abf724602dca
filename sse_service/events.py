"""Events, their ids and topics. Pure.

An event belongs to one topic of one tenant. Topics: `user:ID`, `room:ID`, `tenant:ID`, and the application's
own (`anything:ID`). Its id is `{epoch}-{seq}`: `seq` counts 1, 2, 3 ... without a hole within the tenant, and
`epoch` (base 36) changes whenever a log begins anew, so that an id of a log that is gone is recognised
(docs/decisions/0003).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from typing import NamedTuple, NewType
from urllib.parse import quote

from sse_service.errors import InvalidInputError

__all__ = [
    "CONVERSATION_TYPE",
    "EVERY_TOPIC",
    "KEEPALIVE_TYPE",
    "LEFT_TYPE",
    "RESERVED_TYPES",
    "TOPIC_KINDS",
    "TRANSPORT_TYPE",
    "Draft",
    "Event",
    "EventId",
    "Topic",
    "base36",
    "check_conversation_id",
    "check_event_type",
    "check_key",
    "check_name",
    "key_part",
    "parse_topic",
    "room_topic",
    "tenant_topic",
    "user_topic",
]

Topic = NewType("Topic", str)

EVERY_TOPIC = "*"
TOPIC_KINDS = ("user", "room", "tenant")
"""Kinds of topics that mean something to the service; SSE_TOPIC_KINDS names the application's own."""
CONVERSATION_TYPE = "conversation"
"""An event of this type tells open streams that a conversation is now theirs to read."""

LEFT_TYPE = "left"
"""An event of this type takes a conversation from the open streams of the user it is addressed to."""

KEEPALIVE_TYPE = "keepalive"
"""A heartbeat that scripts see, for streams that ask for it."""

TRANSPORT_TYPE = "transport"
"""An event of this type tells an open stream which transport its user is on from now on (sse_service/transports.py)."""

RESERVED_TYPES = frozenset(
    {"ready", "reset", "rotate", "farewell", KEEPALIVE_TYPE, CONVERSATION_TYPE, LEFT_TYPE, TRANSPORT_TYPE}
)
"""What the service itself says; a publisher may not use these."""

_ID = re.compile(r"([0-9a-z]{1,13})-(0|[1-9][0-9]{0,14})", re.ASCII)
_TYPE = re.compile(r"[A-Za-z0-9_.:/-]{1,64}", re.ASCII)
_TOPIC = re.compile(r"[a-z][a-z0-9_.-]{0,31}:.+", re.ASCII | re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

MAX_NAME = 200
MAX_TOPIC = 256
MAX_KEY = 256
MAX_KEY_PART = 400


class EventId(NamedTuple):
    """Position of an event in its tenant's log."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> EventId | None:
        """The id in `text`, or None when it is none of ours (a client may send anything)."""
        match = _ID.fullmatch(text)
        return cls(match[1], int(match[2])) if match else None


class Draft(NamedTuple):
    """An event before the log has given it a place.

    data: JSON text on one line. time: UNIX seconds. origin: who made it ("rest", "legacy", a publisher's own
    name). key: what makes a repeat recognisable ("" when nothing does). until: UNIX seconds after which nobody
    wants it any more, so that a replay leaves it out (0: always wanted). exclude: a user whose streams do not
    get it ("": nobody).
    """

    topic: str
    type: str
    data: str
    time: float
    origin: str = "rest"
    key: str = ""
    until: float = 0.0
    exclude: str = ""

    @property
    def size(self) -> int:
        """Upper bound of its bytes in a log item: text in UTF-8 plus what surrounds it."""
        names = len(self.type) + (len(self.key) + len(self.exclude)) * 4
        return len(self.data.encode()) + len(self.topic.encode()) + names + 96


class Event(NamedTuple):
    """An event with its place in the log."""

    id: EventId
    tenant: str
    topic: str
    type: str
    data: str
    time: float
    origin: str = "rest"
    key: str = ""
    until: float = 0.0
    exclude: str = ""

    @classmethod
    def of(cls, draft: Draft, tenant: str, event_id: EventId) -> Event:
        return cls(event_id, tenant, *draft)  # the other fields are a draft's, in its order

    def is_over(self, now: float) -> bool:
        """Is its short life over at `now` (UNIX seconds)?"""
        return 0.0 < self.until <= now


def base36(number: int) -> str:
    """Digits and small letters, most significant first."""
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text or "0"


def check_name(field: str, value: str, limit: int = MAX_NAME) -> str:
    """A user id, tenant id, display name ...: text that can stand in a topic and in a log line."""
    if not value or len(value) > limit:
        raise InvalidInputError(field, f"must have 1 to {limit} characters")
    if _CONTROL.search(value):
        raise InvalidInputError(field, "must not contain control characters")
    _check_unicode(field, value)
    return value


def key_part(part: str) -> str:
    """A name in a key of a store: without the separators `#`, `:` and `/`, in 400 characters at most.

    A partition key may have 2048 bytes (DynamoDB developer guide, "Constraints"); 200 characters of other scripts come
    to 2400 when they are escaped. What is too long ends with a digest behind a `!`, which nothing escaped contains.
    """
    escaped = quote(part, safe="@.+-_")
    if len(escaped) <= MAX_KEY_PART:
        return escaped
    return f"{escaped[: MAX_KEY_PART - 65]}!{hashlib.sha256(part.encode()).hexdigest()}"


def check_conversation_id(value: str, field: str = "conversationId") -> str:
    return check_name(field, value)


def check_key(field: str, value: str) -> str:
    return check_name(field, value, MAX_KEY)


def check_event_type(value: str, field: str = "type") -> str:
    """What stands after `event:` on the wire; letters, digits and `_.:/-`, at most 64."""
    if not _TYPE.fullmatch(value):
        raise InvalidInputError(field, "must be 1 to 64 of A-Z a-z 0-9 _ . : / -")
    return value


def parse_topic(value: str, kinds: Collection[str], field: str = "topic") -> Topic:
    """`kind:ID` of one of the `kinds`, at most 256 characters, no control characters. Raises InvalidInputError."""
    if len(value) > MAX_TOPIC or not _TOPIC.fullmatch(value) or _CONTROL.search(value):
        raise InvalidInputError(field, f"must be kind:ID in at most {MAX_TOPIC} printable characters")
    _check_unicode(field, value)
    kind = value.partition(":")[0]
    if kind not in kinds:
        # Most likely misspelt, and then nobody would ever get it.
        raise InvalidInputError(field, f"{kind!r} is no kind of topic; there are {', '.join(kinds)} (SSE_TOPIC_KINDS)")
    return Topic(value)


def user_topic(user: str) -> Topic:
    return Topic(f"user:{user}")


def room_topic(conversation_id: str) -> Topic:
    return Topic(f"room:{conversation_id}")


def tenant_topic(tenant: str) -> Topic:
    return Topic(f"tenant:{tenant}")


def _check_unicode(field: str, value: str) -> None:
    # JSON can spell half of a surrogate pair ("\\ud800"), which no UTF-8 can carry.
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(field, "is not valid Unicode text") from None
