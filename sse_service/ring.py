"""The recent events of a tenant, encoded once. Pure.

A resume after a short absence and the last part of every replay are served from here, without asking the log.
Sequence numbers are dense, so an event's place is its number minus the first one's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from sse_service.events import Event
from sse_service.wire import envelope_frame, event_frame

__all__ = ["EncodedEvent", "RecentEvents"]

logger = logging.getLogger("sse_service.ring")


class EncodedEvent:
    """An event and its frames, each encoded at its first use and shared by all streams."""

    __slots__ = ("_envelope", "_plain", "event")

    def __init__(self, event: Event) -> None:
        self.event = event
        self._plain: bytes | None = None
        self._envelope: bytes | None = None

    @property
    def plain(self) -> bytes:
        data = self._plain
        if data is None:
            data = self._plain = self._encoded(event_frame)
        return data

    @property
    def envelope(self) -> bytes:
        data = self._envelope
        if data is None:
            data = self._envelope = self._encoded(envelope_frame)
        return data

    def _encoded(self, encode: Callable[[Event], bytes]) -> bytes:
        try:
            return encode(self.event)
        except ValueError:
            # What this service appends is checked before. Somebody else's row in the log must not take the
            # other events of a flush with it.
            logger.exception("event %s cannot be written to a stream", self.event.id)
            return b""

    @property
    def cost(self) -> int:
        """Bytes it may come to occupy here: text, frames, objects."""
        return 2 * len(self.event.data) + 512


class RecentEvents:
    """Events `start + 1` ... `end`, bounded in bytes; the oldest go first."""

    def __init__(self, start: int, max_bytes: int) -> None:
        self.start = start
        self.max_bytes = max_bytes
        self._events: list[EncodedEvent] = []
        self._skip = 0
        self._bytes = 0

    @property
    def end(self) -> int:
        return self.start + len(self._events) - self._skip

    def append(self, events: Sequence[EncodedEvent]) -> None:
        """Raises ValueError when they do not follow the last one without a hole."""
        if not events:
            return
        if events[0].event.id.seq != self.end + 1:
            raise ValueError(f"event {events[0].event.id.seq} does not follow {self.end}")
        self._events.extend(events)
        self._bytes += sum([event.cost for event in events]) if len(events) > 1 else events[0].cost
        while self._bytes > self.max_bytes and len(self._events) - self._skip > 1:
            self._bytes -= self._events[self._skip].cost
            self._skip += 1
            self.start += 1
        # Deleting from the front of a list moves the rest: do it seldom.
        if self._skip > 64 and self._skip * 2 > len(self._events):
            del self._events[: self._skip]
            self._skip = 0

    def covers(self, seq: int) -> bool:
        """Is every event after `seq` (up to the end) here?"""
        return self.start <= seq <= self.end

    def since(self, seq: int, limit: int | None = None) -> Sequence[EncodedEvent]:
        """At most `limit` events after `seq`; only where `covers(seq)`."""
        first = seq - self.start + self._skip
        return self._events[first:] if limit is None else self._events[first : first + limit]
