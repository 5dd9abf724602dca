"""What a tenant's open streams on this instance are fed from.

The feed follows the tenant's log: batches come from the publisher or the broker, in order or not, and what is
missing is read from the log, so a lost notification costs a read and never an event. Events are encoded once,
kept in a ring for resuming streams, and written in one go per loop iteration: everything that is pending of
a topic is joined once and the same bytes go to all its streams.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sse_service.errors import HistoryGoneError
from sse_service.events import EVERY_TOPIC, Event, EventId, Topic, user_topic
from sse_service.fanout import Seats, TopicIndex
from sse_service.metrics import Metrics
from sse_service.ports import Batch, Clock, EventLog, Page, Tail
from sse_service.ring import EncodedEvent, RecentEvents
from sse_service.shared import SharedBytes
from sse_service.stream import Recovery
from sse_service.subscriber import Subscriber, membership_of

__all__ = ["Located", "TenantFeed"]

logger = logging.getLogger("sse_service.feed")

PAGE_BYTES = 512 << 10


@dataclass(frozen=True, slots=True)
class Located:
    """Where a stream begins, and the first page of its replay where that had to be read already."""

    recovery: Recovery
    page: Page | None = None


class TenantFeed:
    def __init__(
        self,
        tenant: str,
        tail: Tail,
        log: EventLog,
        metrics: Metrics,
        *,
        clock: Clock,
        ring_bytes: int,
        schedule_flush: Callable[[TenantFeed], None],
    ) -> None:
        self.tenant = tenant
        self.position = tail.position
        self.writers: dict[Subscriber, None] = {}
        self.idle_since = time.monotonic()
        self._trusted_until = tail.trusted_until
        self._log = log
        self._metrics = metrics
        self._clock = clock
        self._ring_bytes = ring_bytes
        self._ring = RecentEvents(tail.position.seq, ring_bytes)
        self._schedule_flush = schedule_flush
        self._plain = TopicIndex(_plain)
        self._envelope = TopicIndex(_envelope)
        self._whole = Seats(EVERY_TOPIC)
        self._fresh: list[EncodedEvent] = []
        self._catching_up: asyncio.Task[None] | None = None
        self._once_more = False
        self.is_behind = False
        """The log could not be read when it had to be."""
        self._reads: dict[EventId, asyncio.Task[Page]] = {}

    # What the log and the broker say ------------------------------------------------------------------

    def accept(self, batch: Batch) -> None:
        """Take a batch that was appended by somebody; never waits."""
        first, end = batch.events[0].id, batch.end
        if first.epoch != self.position.epoch or first.seq > self.position.seq + 1:
            self._metrics.gaps.inc()
            self.hurry()
        elif end.seq > self.position.seq:
            self._absorb(batch.events, batch.trusted_until)

    def _absorb(self, events: Sequence[Event], trusted_until: float) -> None:
        """Events that follow the position without a hole, perhaps with some that are known already."""
        known = self.position.seq
        new = [EncodedEvent(event) for event in events if event.id.seq > known]
        if not new:
            return
        self._ring.append(new)
        self.position = new[-1].event.id
        self._trusted_until = trusted_until
        for event in new:
            change = membership_of(event)
            if change is None:
                continue
            if change.is_joined:
                self._join(event.event.topic, change.room)
            else:
                # What came before is theirs to read, what comes after is not.
                self.flush()
                self._part(event.event.topic, change.room)
        if self.writers:
            self._fresh += [event for event in new if not event.event.until or not event.event.is_over(self._clock())]
            self._schedule_flush(self)

    def now(self) -> float:
        """UNIX seconds."""
        return self._clock()

    def _join(self, told: str, room: Topic) -> None:
        for index in (self._plain, self._envelope):
            for writer in index.of(told):
                if writer.join(room):
                    index.add(writer, room)

    def _part(self, told: str, room: Topic) -> None:
        for index in (self._plain, self._envelope):
            for writer in index.of(room):
                # Found by the room: a stream of chosen topics need not follow its user's own.
                if told == user_topic(writer.user) and writer.part(room):
                    index.remove(writer, room)

    def _start_catching_up(self) -> asyncio.Task[None]:
        task = self._catching_up
        if task is None:
            task = self._catching_up = asyncio.create_task(self._catch_up())
            task.add_done_callback(self._caught_up)
        return task

    def _caught_up(self, task: asyncio.Task[None]) -> None:
        self._catching_up = None
        once_more, self._once_more = self._once_more, False
        if task.cancelled():
            return
        error = task.exception()
        self.is_behind = error is not None
        if error is not None:
            # The next batch, or the hub's clockwork, tries again.
            logger.warning("could not read the event log: %s", error, extra={"tenant": self.tenant})
        elif once_more:
            self._start_catching_up()

    def hurry(self) -> None:
        """There is more in the log than was told here."""
        # A read that is under way may have begun before the event was appended which the caller knows of.
        self._once_more = self._catching_up is not None
        self._start_catching_up()

    def follows(self, position: EventId) -> bool:
        """Whether everything up to `position` has come here."""
        return position.epoch == self.position.epoch and position.seq <= self.position.seq

    async def catch_up(self) -> None:
        """Read the log up to where it ends now, or further. Raises UnavailableError."""
        if self._catching_up is not None:
            # That read may have begun before the event was appended which the caller knows of.
            await asyncio.wait([self._catching_up])
        await asyncio.shield(self._start_catching_up())

    async def _catch_up(self) -> None:
        if self._clock() >= self._trusted_until:
            # All that was known may have expired, and the log may have begun anew meanwhile.
            tail = await self._log.tail(self.tenant)
            if tail.position.epoch != self.position.epoch or tail.position.seq < self.position.seq:
                self._restart(tail, "expired")
                return
            if tail.position == self.position:
                self._trusted_until = tail.trusted_until
        more = True
        while more:
            try:
                page = await self._log.read(self.tenant, self.position, max_bytes=PAGE_BYTES, aligned=True)
            except HistoryGoneError as gone:
                self._restart(await self._log.tail(self.tenant), gone.reason)
                return
            self._metrics.log_reads.labels("gap").inc()
            # Meanwhile a batch may have brought the feed further than the page: _absorb skips what is known.
            if page.events and page.events[0].id.seq <= self.position.seq + 1:
                self._absorb(page.events, page.trusted_until)
            more = page.more

    def _restart(self, tail: Tail, reason: str) -> None:
        """The log that the streams followed is gone; say so and follow the new one."""
        self.flush()
        self.position = tail.position
        self._trusted_until = tail.trusted_until
        self._ring = RecentEvents(tail.position.seq, self._ring_bytes)
        for writer in list(self.writers):
            writer.reset(reason, self.position)
            self._metrics.resets.labels(reason).inc()

    # Resume -------------------------------------------------------------------------------------------

    async def locate(self, cursor: str | None) -> Located:
        """Where a stream with this Last-Event-ID begins. Raises UnavailableError."""
        if cursor is None:
            return Located(Recovery(False, "fresh", self.position))
        event_id = EventId.parse(cursor)
        if event_id is None:
            return self._reset_at("invalid_id")
        if event_id.epoch != self.position.epoch or event_id.seq > self.position.seq:
            # Another instance may be ahead of what this one was told.
            await self.catch_up()
        if event_id.epoch != self.position.epoch:
            return self._reset_at("unknown_log")
        if event_id.seq > self.position.seq:
            return self._reset_at("ahead")
        resumed = Recovery(True, "resumed", event_id)
        if self._ring.covers(event_id.seq):
            return Located(resumed)
        try:
            return Located(resumed, await self.read(event_id))
        except HistoryGoneError as gone:
            return self._reset_at(gone.reason)

    def _reset_at(self, reason: str) -> Located:
        self._metrics.resets.labels(reason).inc()
        return Located(Recovery(False, reason, self.position))

    async def read(self, after: EventId) -> Page:
        """A page of the log; streams that ask for the same one share the read."""
        task = self._reads.get(after)
        if task is None:
            self._metrics.log_reads.labels("resume").inc()
            task = asyncio.create_task(self._log.read(self.tenant, after, max_bytes=PAGE_BYTES))
            self._reads[after] = task
            task.add_done_callback(lambda done: self._was_read(after, done))
        # Shielded: one reader's cancellation must not take the page from the others.
        return await asyncio.shield(task)

    def _was_read(self, after: EventId, task: asyncio.Task[Page]) -> None:
        self._reads.pop(after, None)
        if not task.cancelled():
            task.exception()  # seen, also where every reader has left meanwhile

    def recent(self, after: EventId, limit: int) -> Sequence[EncodedEvent] | None:
        """Events after `after` out of the ring, or None when it does not reach back so far."""
        if after.epoch != self.position.epoch or not self._ring.covers(after.seq):
            return None
        return self._ring.since(after.seq, limit)

    # Streams ------------------------------------------------------------------------------------------

    def attach(self, writer: Subscriber) -> None:
        """From now on `writer` gets every event it wants. It has everything up to `position`."""
        # What is not flushed yet is in the ring as well, so this writer has it already.
        self.flush()
        self.writers[writer] = None
        topics, writer.topics = writer.topics, None
        if topics is None:
            self._whole.add(writer)
            writer.seats = (self._whole,)
            return
        index = self._envelope if writer.envelope else self._plain
        for topic in topics:
            index.add(writer, topic)

    def detach(self, writer: Subscriber) -> None:
        if writer not in self.writers:
            return
        del self.writers[writer]
        self.idle_since = time.monotonic()
        if writer.is_whole:
            self._whole.remove(writer)
            writer.seats = ()
        else:
            (self._envelope if writer.envelope else self._plain).remove_all(writer)

    def flush(self) -> None:
        """Write everything that came since the last flush."""
        fresh, self._fresh = self._fresh, []
        if not fresh:
            return
        delivered = self._plain.send(fresh) + self._envelope.send(fresh)
        if self._whole:
            delivered += len(fresh) * len(self._whole)
            self._whole.send(SharedBytes(b"".join([event.envelope for event in fresh])))
        if delivered:
            self._metrics.deliveries.inc(delivered)
            # Of the one that has waited longest: one look at the clock for all of them.
            self._metrics.delivery_lag_seconds.observe(max(0.0, self._clock() - fresh[0].event.time))

    async def close(self) -> None:
        tasks = [task for task in (self._catching_up, *self._reads.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _plain(event: EncodedEvent) -> bytes:
    return event.plain


def _envelope(event: EncodedEvent) -> bytes:
    return event.envelope
