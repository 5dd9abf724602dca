"""Appending to the log: group commit, one append in flight per tenant.

Everything that is published while an append is on its way goes into the next one, so a store that answers in
5 ms takes thousands of events a second from one process. An append is one conditional write of the number
after the tail this process has seen. When somebody else was first, what they wrote is read, delivered to the
streams here, and the append is tried again behind it, so nobody can write number n + 1 without having seen n.

Events with a key are appended once: a writer compares the keys of what it reads forward with those it is about
to append, and, for an attempt that continues an earlier one, reads from where the earlier one began.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from sse_service.errors import AppendConflictError, HistoryGoneError, TooLargeError, UnavailableError
from sse_service.events import Draft, Event, EventId
from sse_service.metrics import Metrics
from sse_service.ports import Batch, Clock, EventLog, ImmediateEventLog, Tail

__all__ = ["Published", "Publisher", "take_batch"]

logger = logging.getLogger("sse_service.publisher")

MAX_BATCH_BYTES = 256 << 10
"""A DynamoDB item may have 400 KB; keys, names and the text's overhead need room."""
MAX_BATCH_EVENTS = 500
READ_BYTES = 1 << 20
MAX_WAITING_BYTES = 32 << 20
"""Of all tenants together. A log that is away for long must not fill the memory with what waits for it."""


@dataclass(frozen=True, slots=True)
class Published:
    """Where an event is in the log; was_there: it had been appended by an earlier attempt."""

    id: EventId
    was_there: bool = False


@dataclass(eq=False, slots=True)
class _Entry:
    draft: Draft
    size: int
    since: EventId | None
    deadline: float
    placed: asyncio.Future[Published] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


def take_batch(sizes: Sequence[int], max_bytes: int, max_events: int) -> int:
    """How many of the first entries go into one append (at least one). Pure."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if count and (total > max_bytes or count >= max_events):
            return count
    return len(sizes)


class Publisher:
    """Puts drafts into the log and hands what was appended to `deliver`."""

    def __init__(
        self,
        log: EventLog,
        deliver: Callable[[Batch], None],
        metrics: Metrics,
        *,
        clock: Clock,
        max_event_bytes: int,
        timeout_s: float,
        rng: random.Random | None = None,
    ) -> None:
        self._log = log
        self._immediate = log if isinstance(log, ImmediateEventLog) else None
        self._deliver = deliver
        self._metrics = metrics
        self._clock = clock
        self._max_event_bytes = max_event_bytes
        self._timeout_s = timeout_s
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._writers: dict[str, _TenantWriter] = {}
        self._waiting_bytes = 0

    async def tail(self, tenant: str) -> EventId:
        """A position at or before the end of the log: what is appended from now on comes after it."""
        if self._immediate is not None:
            return (await self._log.tail(tenant)).position
        return await self._writer(tenant).known_position()

    async def publish(
        self, tenant: str, drafts: Sequence[Draft], since: Sequence[EventId | None] | None = None
    ) -> list[Published]:
        """Append `drafts` in their order.

        since: for each draft that an earlier attempt may have appended, the tail before that attempt.
        Raises TooLargeError (nothing was appended), UnavailableError (what was appended is unknown).
        """
        sizes = self._sizes(drafts)
        if self._immediate is not None and not since:
            return [Published(event_id) for event_id in self._append_now(self._immediate, tenant, drafts)]
        began = time.perf_counter()
        size = sum(sizes)
        # Whoever comes alone is never too much.
        if self._waiting_bytes and self._waiting_bytes + size > MAX_WAITING_BYTES:
            self._metrics.publish_failures.inc()
            raise UnavailableError("the event log is busy")
        self._waiting_bytes += size
        try:
            placed = await self._writer(tenant).publish(drafts, sizes, since, self._timeout_s)
        except UnavailableError:
            self._metrics.publish_failures.inc()
            raise
        finally:
            self._waiting_bytes -= size
        self._metrics.events.inc(sum(1 for one in placed if not one.was_there))
        self._metrics.publish_seconds.observe(time.perf_counter() - began)
        return placed

    @property
    def is_immediate(self) -> bool:
        """Whether the log appends without waiting."""
        return self._immediate is not None

    def publish_now(self, tenant: str, drafts: Sequence[Draft]) -> list[EventId]:
        """As `publish`, where the log `is_immediate`. Raises TooLargeError."""
        if self._immediate is None:
            raise RuntimeError("this log takes its time")
        # A character has at most four bytes: where that is few enough they need not be counted.
        if any(len(draft.data) * 4 > self._max_event_bytes for draft in drafts):
            self._sizes(drafts)
        return self._append_now(self._immediate, tenant, drafts)

    def _append_now(self, log: ImmediateEventLog, tenant: str, drafts: Sequence[Draft]) -> list[EventId]:
        began = time.perf_counter()
        batch = log.append_now(tenant, drafts)
        self._deliver(batch)
        self._metrics.events.inc(len(drafts))
        self._metrics.publish_seconds.observe(time.perf_counter() - began)
        return [event.id for event in batch.events]

    def _sizes(self, drafts: Sequence[Draft]) -> list[int]:
        sizes = [draft.size for draft in drafts]
        for draft, size in zip(drafts, sizes, strict=True):
            if size > self._max_event_bytes + 1024:
                raise TooLargeError(f"the event for {draft.topic}", self._max_event_bytes)
        return sizes

    def _writer(self, tenant: str) -> _TenantWriter:
        writer = self._writers.get(tenant)
        if writer is None:
            writer = self._writers[tenant] = _TenantWriter(
                tenant, self._log, self._deliver, self._metrics, self._clock, self._rng
            )
        return writer

    async def close(self) -> None:
        """Wait for the appends in flight."""
        tasks = [writer.task for writer in self._writers.values() if writer.task is not None]
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)


class _TenantWriter:
    """The one that appends to a tenant's log from this process."""

    def __init__(
        self,
        tenant: str,
        log: EventLog,
        deliver: Callable[[Batch], None],
        metrics: Metrics,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self.tenant = tenant
        self.task: asyncio.Task[None] | None = None
        self._log = log
        self._deliver = deliver
        self._metrics = metrics
        self._clock = clock
        self._rng = rng
        self._waiting: deque[_Entry] = deque()
        self._tail: Tail | None = None

    async def known_position(self) -> EventId:
        tail = self._tail
        if tail is None or self._clock() >= tail.trusted_until:
            fresh = await self._log.tail(self.tenant)
            # Another task may have gone further meanwhile; an older position is right as well (see tail()).
            if self._tail is tail:
                self._tail = fresh
            return fresh.position
        return tail.position

    async def publish(
        self,
        drafts: Sequence[Draft],
        sizes: Sequence[int],
        since: Sequence[EventId | None] | None,
        timeout_s: float,
    ) -> list[Published]:
        deadline = asyncio.get_running_loop().time() + timeout_s
        entries = [
            _Entry(draft, size, since[i] if since else None, deadline)
            for i, (draft, size) in enumerate(zip(drafts, sizes, strict=True))
        ]
        self._waiting.extend(entries)
        if self.task is None:
            self.task = asyncio.create_task(self._run())
        results = await asyncio.gather(*(entry.placed for entry in entries), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if isinstance(result, Published)]

    async def _run(self) -> None:
        try:
            while self._waiting:
                count = take_batch([entry.size for entry in self._waiting], MAX_BATCH_BYTES, MAX_BATCH_EVENTS)
                entries = [self._waiting.popleft() for _ in range(count)]
                try:
                    await self._append(_without_twins(self._in_time(entries)))
                except UnavailableError as error:
                    _fail(entries, error)
                except Exception:
                    # Whatever it is, nobody may wait for ever, and the next batch gets its own chance.
                    logger.exception("append failed", extra={"tenant": self.tenant})
                    _fail(entries, UnavailableError("the event log did not take the event"))
        finally:
            self.task = None

    def _in_time(self, entries: list[_Entry]) -> list[_Entry]:
        """Those whose publishers still wait. The others were told to repeat: appending theirs now could double it."""
        now = asyncio.get_running_loop().time()
        late = [entry for entry in entries if entry.deadline <= now]
        _fail(late, UnavailableError("the event log is busy"))
        return [entry for entry in entries if entry.deadline > now]

    async def _append(self, entries: list[_Entry]) -> None:
        """Append what is not there yet. Raises UnavailableError at the deadline of the first entry."""
        if not entries:
            return
        batch_id = uuid.uuid4().hex
        loop = asyncio.get_running_loop()
        deadline = min(entry.deadline for entry in entries)
        attempt = 0
        tail: Tail | None = None
        while True:
            try:
                if tail is None:
                    tail = await self._trusted_tail()
                    entries = await self._drop_appended(entries, tail)
                if not entries:
                    return
                batch = await self._log.append(self.tenant, tail, [entry.draft for entry in entries], batch_id)
            except AppendConflictError:
                self._metrics.conflicts.inc()
                tail, entries = await self._read_forward(entries, tail, batch_id)
                if not entries:
                    return
            except UnavailableError:
                if loop.time() >= deadline:
                    raise
            else:
                self._tail = batch.tail
                self._deliver(batch)
                for entry, event in zip(entries, batch.events, strict=True):
                    _place(entry, Published(event.id))
                return
            attempt += 1
            # Full jitter, so that writers that met once do not meet again.
            await asyncio.sleep(self._rng.random() * min(0.5, 0.005 * 2 ** min(attempt, 8)))
            if loop.time() >= deadline:
                raise UnavailableError("the event log is busy")

    async def _trusted_tail(self) -> Tail:
        tail = self._tail
        if tail is None or self._clock() >= tail.trusted_until:
            tail = self._tail = await self._log.tail(self.tenant)
        return tail

    async def _read_forward(
        self, entries: list[_Entry], tail: Tail | None, batch_id: str
    ) -> tuple[Tail | None, list[_Entry]]:
        """After a conflict: see what is there now, up to the end. Returns the new tail and what is left to do.

        `None` for the tail: the log began anew, or could not be read; ask it where it ends.
        """
        if tail is None:
            return None, entries
        position, trusted_until = tail.position, tail.trusted_until
        try:
            while True:
                page = await self._log.read(self.tenant, position, max_bytes=READ_BYTES, aligned=True)
                self._metrics.log_reads.labels("conflict").inc()
                if page.events:
                    trusted_until = page.trusted_until
                    self._deliver(Batch(self.tenant, page.events, "", trusted_until))
                    if batch_id in page.batch_ids:
                        # Our own attempt was carried out although its answer did not arrive. Its events are
                        # consecutive; recognise them by their first draft.
                        _place_own(entries, page.events)
                        entries = [entry for entry in entries if not entry.placed.done()]
                    entries = _match_keys(entries, page.events)
                position = page.end
                if not page.more:
                    break
        except HistoryGoneError:
            self._tail = None
            return None, entries
        # Nothing to be seen although the number is taken: what we took for the end is not it.
        self._tail = Tail(position, trusted_until) if position != tail.position else None
        return self._tail, entries

    async def _drop_appended(self, entries: list[_Entry], tail: Tail) -> list[_Entry]:
        """Look for what earlier attempts appended, between their beginning and the tail."""
        starts = [entry.since for entry in entries if entry.since is not None and entry.draft.key]
        if not starts:
            return entries
        position = min((s for s in starts if s.epoch == tail.position.epoch), default=None, key=lambda s: s.seq)
        try:
            while position is not None and position.seq < tail.position.seq:
                page = await self._log.read(self.tenant, position, max_bytes=READ_BYTES)
                self._metrics.log_reads.labels("repeat").inc()
                entries = _match_keys(entries, page.events)
                if not page.events:
                    break
                position = page.end
        except HistoryGoneError:
            # Older than the retention: the claim that brought us here is as old, which its own
            # retention rules out; appending again is then the lesser evil (at least once).
            logger.warning("history of a repeated publish is gone", extra={"tenant": self.tenant})
        return entries


def _without_twins(entries: list[_Entry]) -> list[_Entry]:
    """Entries of different keys. A repeat that waits in the same batch as the first attempt shares its result."""
    firsts: dict[str, _Entry] = {}
    left = []
    for entry in entries:
        first = firsts.setdefault(entry.draft.key, entry) if entry.draft.key else entry
        if first is entry:
            left.append(entry)
        else:
            first.placed.add_done_callback(partial(_follow, entry))
    return left


def _follow(twin: _Entry, placed: asyncio.Future[Published]) -> None:
    if placed.cancelled():
        _fail([twin], UnavailableError("the event log did not take the event"))
    elif (error := placed.exception()) is not None:
        _fail([twin], error)
    else:
        _place(twin, Published(placed.result().id, was_there=True))


def _match_keys(entries: list[_Entry], events: Sequence[Event]) -> list[_Entry]:
    keys = {event.key: event.id for event in events if event.key}
    if not keys:
        return entries
    left = []
    for entry in entries:
        found = keys.get(entry.draft.key) if entry.draft.key else None
        if found is None:
            left.append(entry)
        else:
            _place(entry, Published(found, was_there=True))
    return left


def _place_own(entries: list[_Entry], events: Sequence[Event]) -> None:
    wanted = [_identity(entry.draft) for entry in entries]
    for start in range(len(events) - len(entries) + 1):
        if [_identity(event) for event in events[start : start + len(entries)]] == wanted:
            for entry, event in zip(entries, events[start:], strict=False):
                _place(entry, Published(event.id))
            return


def _identity(event: Draft | Event) -> tuple[str, str, str, float, str, str]:
    return (event.topic, event.type, event.data, event.time, event.origin, event.key)


def _place(entry: _Entry, published: Published) -> None:
    if not entry.placed.done():
        entry.placed.set_result(published)


def _fail(entries: Sequence[_Entry], error: BaseException) -> None:
    for entry in entries:
        if not entry.placed.done():
            entry.placed.set_exception(error)
