"""Who gets what, and the one loop that all deliveries go through.

Streams whose connection was handed to the hub and takes what is written are kept by their file descriptor, so
that a delivery to a thousand of them is one pass of `os.write` without a line of Python per stream
(docs/decisions/0002). Those that the server writes and whose client takes what is written are kept by their `send`,
in a loop that touches nothing else of them. Everybody else is pushed to one by one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import repeat

from sse_service.ring import EncodedEvent
from sse_service.shared import BodyMessage, SharedBytes
from sse_service.subscriber import Send, Subscriber

__all__ = ["Seats", "TopicIndex", "push_all", "send_direct", "write_direct", "write_each"]

Audience = tuple[str, str]
"""A topic, and the user who is left out ("": nobody)."""

FEW = 4


class Seats:
    """The streams that follow one topic.

    A writer is among the direct ones, under its descriptor, exactly while its `direct_fd` is not -1, and among the
    steady ones exactly while it has a `direct_send`: it is live, and nothing is waiting to be written to it. It leaves
    before its descriptor is closed, as a closed one's number is given to the next connection.

    Most topics are a user's own with one stream, so one alone needs no table.
    """

    __slots__ = ("_direct", "_others", "_steady", "alone", "topic")

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.alone: Subscriber | None = None
        self._direct: dict[int, Subscriber] | None = None
        self._steady: dict[Subscriber, Send] | None = None
        self._others: dict[Subscriber, None] | None = None

    def __len__(self) -> int:
        if self.alone is not None:
            return 1
        return sum(len(part) for part in (self._direct, self._steady, self._others) if part)

    def __iter__(self) -> Iterator[Subscriber]:
        """As they are now, whatever happens to them meanwhile."""
        if self.alone is not None:
            return iter((self.alone,))
        found: list[Subscriber] = []
        if self._direct:
            found += self._direct.values()
        if self._steady:
            found += self._steady
        if self._others:
            found += self._others
        return iter(found)

    def add(self, writer: Subscriber) -> None:
        if not self:
            self.alone = writer
            return
        if self.alone is not None:
            self._enter(self.alone)
            self.alone = None
        self._enter(writer)

    def _enter(self, writer: Subscriber) -> None:
        if writer.direct_fd >= 0:
            if self._direct is None:
                self._direct = {}
            self._direct[writer.direct_fd] = writer
        elif writer.direct_send is not None:
            if self._steady is None:
                self._steady = {}
            self._steady[writer] = writer.direct_send
        else:
            if self._others is None:
                self._others = {}
            self._others[writer] = None

    def remove(self, writer: Subscriber) -> None:
        if self.alone is writer:
            self.alone = None
        elif writer.direct_fd >= 0:
            if self._direct is not None:
                self._direct.pop(writer.direct_fd, None)
                self._direct = self._direct or None
        elif writer.direct_send is not None:
            if self._steady is not None:
                self._steady.pop(writer, None)
                self._steady = self._steady or None
        elif self._others is not None:
            self._others.pop(writer, None)
            self._others = self._others or None

    def send(self, shared: SharedBytes) -> None:
        """To everybody here."""
        direct, steady = self._direct, self._steady
        if (direct is None or len(direct) <= FEW) and (steady is None or len(steady) <= FEW):
            for writer in self:
                writer.push(shared)
            return
        # Before the passes: who does not take it all there joins the others, and has it.
        others = list(self._others or ())
        _pass(direct, steady, others, shared)


def push_all(writers: Iterable[Subscriber], shared: SharedBytes) -> None:
    """To each of them, whatever they follow."""
    direct: dict[int, Subscriber] = {}
    steady: dict[Subscriber, Send] = {}
    others: list[Subscriber] = []
    for writer in writers:
        if writer.direct_fd >= 0:
            direct[writer.direct_fd] = writer
        elif writer.direct_send is not None:
            steady[writer] = writer.direct_send
        else:
            others.append(writer)
    _pass(direct, steady, others, shared)


def _pass(
    direct: dict[int, Subscriber] | None,
    steady: dict[Subscriber, Send] | None,
    others: Iterable[Subscriber],
    shared: SharedBytes,
) -> None:
    if direct:
        write_direct(direct, shared.chunk)
    if steady:
        send_direct(steady, shared.message)
    for writer in others:
        writer.push(shared)


def write_direct(direct: dict[int, Subscriber], data: bytes) -> None:
    """Write `data` to every descriptor; tell the writers of those that did not take it whole."""
    sent = _write(direct, repeat(data))
    if sent.count(len(data)) != len(sent):
        for writer, count in zip(list(direct.values()), sent, strict=True):
            if count != len(data):
                writer.wrote(count, data)


def write_each(writers: list[Subscriber], chunks: list[bytes]) -> None:
    """As `write_direct`, each its own."""
    sent = _write([writer.direct_fd for writer in writers], chunks)
    for writer, count, data in zip(writers, sent, chunks, strict=True):
        if count != len(data):
            writer.wrote(count, data)


def _write(descriptors: Iterable[int], chunks: Iterable[bytes]) -> list[int]:
    """How many bytes each has taken; -1: it is broken."""
    sent: list[int] = []
    left, data = iter(descriptors), iter(chunks)
    while True:
        try:
            # One after the other in C. What raises has been taken from the iterators, and what was written before
            # it is in the list.
            sent.extend(map(os.write, left, data))
            return sent
        except BlockingIOError:
            sent.append(0)
        except OSError:
            sent.append(-1)


def send_direct(steady: dict[Subscriber, Send], message: BodyMessage) -> None:
    """Step each `send` once; tell the writers of those that did not finish in that step."""
    for writer, send in list(steady.items()):
        try:
            coroutine = send(message)
            # A loop is left without an exception where `coroutine.send` would raise StopIteration, and asking what
            # was returned takes time as well: each is a tenth of a delivery.
            for waits_for in coroutine.__await__():  # noqa: B007 - used behind the loop
                break
            else:
                continue
        except Exception:
            writer.refused()
        else:
            writer.waits(coroutine, waits_for)


class TopicIndex:
    """Which streams follow which topic; all of them want events in the same form."""

    def __init__(self, encode: Callable[[EncodedEvent], bytes]) -> None:
        self._encode = encode
        self._seats: dict[str, Seats] = {}

    def of(self, topic: str) -> Collection[Subscriber]:
        """Those that follow `topic`, as they are now."""
        seats = self._seats.get(topic)
        return list(seats) if seats is not None else ()

    def add(self, writer: Subscriber, topic: str) -> None:
        seats = self._seats.get(topic)
        if seats is None:
            seats = self._seats[topic] = Seats(topic)
        seats.add(writer)
        writer.seats += (seats,)

    def remove(self, writer: Subscriber, topic: str) -> None:
        writer.seats = tuple(seat for seat in writer.seats if seat.topic != topic)
        self._leave(self._seats[topic], writer)

    def remove_all(self, writer: Subscriber) -> None:
        seats, writer.seats = writer.seats, ()
        for seat in seats:
            self._leave(seat, writer)

    def _leave(self, seat: Seats, writer: Subscriber) -> None:
        seat.remove(writer)
        if not seat:
            self._seats.pop(seat.topic, None)

    def send(self, fresh: Iterable[EncodedEvent]) -> int:
        """Give each stream its part of `fresh` in one write. Returns the number of deliveries.

        Streams that get the same events get the same bytes object: one join for all subscribers of a topic, and
        one for each combination of topics that really occurs.
        """
        index = self._seats
        if not index:
            return 0
        by_audience: dict[Audience, list[EncodedEvent]] = {}
        for event in fresh:
            topic = event.event.topic
            if topic in index:
                audience = topic, event.event.exclude
                events = by_audience.get(audience)
                if events is None:
                    by_audience[audience] = [event]
                else:
                    events.append(event)
        if len(by_audience) == 1:
            (((topic, exclude), events),) = by_audience.items()
            if not exclude:
                seats = index[topic]
                count = len(seats)  # before: a broken connection leaves
                seats.send(self._join(events))
                return len(events) * count
        return self._send_mixed(by_audience)

    def _send_mixed(self, by_audience: dict[Audience, list[EncodedEvent]]) -> int:
        # Most streams get the events of one topic; only those with several need them mixed.
        alone: dict[Subscriber, Audience] = {}
        mixed: dict[Subscriber, tuple[Audience, ...]] = {}
        for audience in by_audience:
            topic, exclude = audience
            seats = self._seats[topic]
            # A chat is a topic of one stream for most events.
            for writer in (seats.alone,) if seats.alone is not None else seats:
                if exclude and writer.user == exclude:
                    continue
                first = alone.setdefault(writer, audience)
                if first is not audience:
                    mixed[writer] = (*mixed.get(writer, (first,)), audience)
        delivered = 0
        made: dict[Audience | tuple[Audience, ...], tuple[SharedBytes, int]] = {}
        # Everything is made before anything is written: the processor does both quicker when it need not go from one
        # to the other, and who reads is woken once.
        direct: list[Subscriber] = []
        chunks: list[bytes] = []
        others: list[tuple[Subscriber, SharedBytes]] = []
        for writer, first in alone.items():
            audiences = mixed.get(writer, first) if mixed else first
            known = made.get(audiences)
            if known is None:
                events = by_audience[first] if audiences is first else _in_order(by_audience, mixed[writer])
                known = made[audiences] = self._join(events), len(events)
            shared, count = known
            delivered += count
            if writer.direct_fd >= 0:
                direct.append(writer)
                chunks.append(shared.chunk)
            else:
                others.append((writer, shared))
        write_each(direct, chunks)
        for writer, shared in others:
            writer.push(shared)
        return delivered

    def _join(self, events: list[EncodedEvent]) -> SharedBytes:
        encode = self._encode
        if len(events) == 1:
            return SharedBytes(encode(events[0]))
        return SharedBytes(b"".join([encode(event) for event in events]))


def _in_order(by_audience: dict[Audience, list[EncodedEvent]], audiences: Iterable[Audience]) -> list[EncodedEvent]:
    return sorted([event for audience in audiences for event in by_audience[audience]], key=_seq)


def _seq(event: EncodedEvent) -> int:
    return event.event.id.seq
