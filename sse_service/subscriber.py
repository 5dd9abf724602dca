"""What hub and feed know of a stream's writer, whichever way its bytes take: what it wants, and what to tell it."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sse_service.events import CONVERSATION_TYPE, LEFT_TYPE, EventId, Topic, room_topic, user_topic
from sse_service.ring import EncodedEvent
from sse_service.shared import SharedBytes
from sse_service.stream import EndReason, SubscriberStream

if TYPE_CHECKING:
    from sse_service.fanout import Seats

__all__ = ["Keeper", "Membership", "Send", "Subscriber", "membership_of"]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
"""Source: ASGI specification, "Applications"."""

_NONE: frozenset[Topic] = frozenset()


class Membership(NamedTuple):
    """A room that an event opens to whoever receives it, or takes from the user it is addressed to."""

    room: Topic
    is_joined: bool


def membership_of(event: EncodedEvent) -> Membership | None:
    """What this event changes about who may read which conversation."""
    kind = event.event.type
    if kind != CONVERSATION_TYPE and kind != LEFT_TYPE:
        return None
    # {"type","conversationId","open"}: written by chat/conversations.py only, publishers may not use the types.
    try:
        facts = json.loads(event.event.data)
        conversation, is_open = facts["conversationId"], facts.get("open", False)
    except (ValueError, TypeError, KeyError):
        return None
    if not isinstance(conversation, str) or (kind == LEFT_TYPE and is_open):
        return None  # who leaves an open conversation may still read it
    return Membership(room_topic(conversation), kind == CONVERSATION_TYPE)


class Keeper(Protocol):
    """Whom a writer tells what happens to its connection: the hub."""

    def note_blocked(self, writer: Subscriber) -> None:
        """The client does not take what is written to it."""

    def end(self, writer: Subscriber, reason: EndReason) -> None:
        """The server wants the stream to end."""

    def leave(self, writer: Subscriber) -> None:
        """The connection is gone."""


class Subscriber(ABC):
    """One stream: its state, and which events it wants.

    topics: what it follows, until it is attached to a feed; `seats` tell it from then on. is_whole: every event of
    the tenant. envelope: events with all their fields. joins: it follows its user into new conversations. dropped:
    rooms that were taken from it; it gets them back when its user does. direct_fd, direct_send: see fanout.Seats. slot:
    when its heartbeats are.

    Thousands of these are open at once, so there is nothing in it that an idle stream does not need.
    """

    __slots__ = (
        "address",
        "direct_fd",
        "direct_send",
        "dropped",
        "envelope",
        "gave_up",
        "is_whole",
        "joins",
        "keeper",
        "seats",
        "slot",
        "stream",
        "topics",
        "user",
    )

    def __init__(
        self,
        stream: SubscriberStream,
        keeper: Keeper,
        *,
        user: str,
        address: str,
        topics: set[Topic] | None,
        envelope: bool,
        joins: bool,
    ) -> None:
        self.stream = stream
        self.keeper = keeper
        self.user = user
        self.address = address
        self.topics = topics
        self.is_whole = topics is None
        self.envelope = envelope
        self.joins = joins
        self.dropped = _NONE
        self.gave_up = False
        self.direct_fd = -1
        self.direct_send: Send | None = None
        self.slot = 0
        self.seats: tuple[Seats, ...] = ()

    # What it wants ------------------------------------------------------------------------------------

    def follows(self, topic: str) -> bool:
        if self.topics is not None:
            return topic in self.topics
        return self.is_whole or any(seat.topic == topic for seat in self.seats)

    def wants(self, event: EncodedEvent) -> bool:
        return self.is_whole or (self.follows(event.event.topic) and event.event.exclude != self.user)

    def join(self, room: Topic) -> bool:
        """Its user may read `room` now. True: so will this stream, from here on."""
        if self.is_whole or self.follows(room) or not (self.joins or room in self.dropped):
            return False
        if self.topics is not None:
            self.topics.add(room)
        if self.dropped:
            self.dropped -= {room}
        return True

    def part(self, room: Topic) -> bool:
        """Its user may not read `room` any more. True: this stream did."""
        if self.is_whole or not self.follows(room):
            return False
        if self.topics is not None:
            self.topics.discard(room)
        self.dropped |= {room}
        return True

    def frame(self, event: EncodedEvent) -> bytes:
        return event.envelope if self.envelope else event.plain

    def collect(self, events: Iterable[EncodedEvent], now: float) -> list[bytes]:
        """The frames of what this stream wants among replayed events that are not over; joins and leaves
        conversations on the way."""
        frames = []
        mine = user_topic(self.user)
        for event in events:
            if self.wants(event) and not event.event.is_over(now):
                frames.append(self.frame(event))
            change = membership_of(event)
            if change is None:
                continue
            if not change.is_joined:
                if event.event.topic == mine:
                    self.part(change.room)
            elif self.wants(event) or event.event.topic == mine:
                self.join(change.room)
        return frames

    # What it is told ----------------------------------------------------------------------------------

    @abstractmethod
    def push(self, shared: SharedBytes) -> None:
        """Write shared bytes now, or keep them while an earlier write is under way."""

    def wrote(self, sent: int, data: bytes) -> None:
        """Only `sent` bytes of a chunk were taken by its `direct_fd`; -1: the connection is broken."""
        raise NotImplementedError

    def waits(self, coroutine: Awaitable[None], waits_for: Any) -> None:
        """What its `direct_send` returned has been stepped once and waits for something: carry on with it."""
        raise NotImplementedError

    def refused(self) -> None:
        """Its `direct_send` raised an error: the connection is gone."""
        raise NotImplementedError

    @abstractmethod
    def end(self, reason: EndReason, position: EventId | None = None) -> bool:
        """Last event, clean end of the response. False: it was ending already."""

    @abstractmethod
    def reset(self, reason: str, position: EventId) -> None:
        """The log began anew under a live stream."""

    @abstractmethod
    def abort(self) -> None:
        """Cut the connection: nothing more can be said to this client."""

    @property
    @abstractmethod
    def is_busy(self) -> bool:
        """Is a write under way that the client has not taken?"""

    @property
    def unsent_bytes(self) -> int:
        """What the connection has been given and not passed on yet, as far as it can be known."""
        return 0
