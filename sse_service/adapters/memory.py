"""Back ends that live in this process: the embedded default, and what tests run against."""

from __future__ import annotations

import secrets
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from math import inf

from sse_service.errors import AppendConflictError, HistoryGoneError
from sse_service.events import Draft, Event, EventId, base36
from sse_service.ports import Batch, BrokerListener, Claim, Clock, Conversation, Departure, Message, Page, Tail

__all__ = ["MemoryBroker", "MemoryClaims", "MemoryConversations", "MemoryEventLog", "MemoryMessages"]


@dataclass(slots=True)
class _TenantLog:
    epoch: str
    start: int = 0
    events: deque[Event] = field(default_factory=deque)
    appended_at: deque[float] = field(default_factory=deque)
    batch_ids: dict[int, str] = field(default_factory=dict)
    size: int = 0

    @property
    def end(self) -> int:
        return self.start + len(self.events)

    @property
    def position(self) -> EventId:
        return EventId(self.epoch, self.end)


class MemoryEventLog:
    """Bounded in bytes and in age; gone when the process ends (the next one has another epoch)."""

    def __init__(self, clock: Clock, *, retention_s: float, max_bytes: int) -> None:
        self._clock = clock
        self._retention_s = retention_s
        self._max_bytes = max_bytes
        self._tenants: dict[str, _TenantLog] = {}

    async def start(self) -> None:
        """Nothing to connect to."""

    async def close(self) -> None:
        """Nothing to release."""

    def _of(self, tenant: str) -> _TenantLog:
        log = self._tenants.get(tenant)
        if log is None:
            # Milliseconds tell runs apart, the random part two that begin in the same one.
            epoch = base36((int(self._clock() * 1000) << 10) | secrets.randbelow(1024))
            log = self._tenants[tenant] = _TenantLog(epoch)
        return log

    async def tail(self, tenant: str) -> Tail:
        log = self._of(tenant)
        return Tail(log.position, inf, is_unused=log.end == 0)

    def append_now(self, tenant: str, drafts: Sequence[Draft], batch_id: str = "") -> Batch:
        log = self._of(tenant)
        first, now = log.end + 1, self._clock()
        epoch = log.epoch
        events = tuple([Event.of(draft, tenant, EventId(epoch, seq)) for seq, draft in enumerate(drafts, first)])
        log.events += events
        log.appended_at += [now] * len(events)
        log.size += sum([_cost(event) for event in events])
        if batch_id:
            log.batch_ids[first] = batch_id
        self._trim(log, now)
        return Batch(tenant, events, batch_id, inf)

    async def append(self, tenant: str, tail: Tail, drafts: Sequence[Draft], batch_id: str) -> Batch:
        log = self._of(tenant)
        if tail.position != log.position:
            raise AppendConflictError(tenant, tail.position.seq + 1)
        return self.append_now(tenant, drafts, batch_id)

    async def read(self, tenant: str, after: EventId, *, max_bytes: int, aligned: bool = False) -> Page:
        del aligned  # nothing to save here
        log = self._of(tenant)
        self._trim(log, self._clock())
        if after.epoch != log.epoch:
            raise HistoryGoneError(tenant, "unknown_log")
        if after.seq > log.end:
            raise HistoryGoneError(tenant, "ahead")
        if after.seq < log.start:
            raise HistoryGoneError(tenant, "expired")
        events: list[Event] = []
        size = 0
        for index in range(after.seq - log.start, len(log.events)):
            event = log.events[index]
            size += _cost(event)
            if events and size > max_bytes:
                break
            events.append(event)
        end = events[-1].id if events else after
        own = frozenset(log.batch_ids[e.id.seq] for e in events if e.id.seq in log.batch_ids)
        return Page(tuple(events), end, end.seq < log.end, inf, own)

    def _trim(self, log: _TenantLog, now: float) -> None:
        oldest = now - self._retention_s
        events = log.events
        while events and (log.size > self._max_bytes or log.appended_at[0] < oldest):
            log.size -= _cost(events.popleft())
            log.appended_at.popleft()
            log.start += 1
            log.batch_ids.pop(log.start, None)


def _cost(event: Event) -> int:
    return len(event.data) + len(event.topic) + len(event.key) + 300


class MemoryBroker:
    """Connects the instances of one process (in tests there are several; otherwise nobody listens)."""

    def __init__(self) -> None:
        self._listeners: list[BrokerListener] = []

    def for_instance(self) -> _MemoryBrokerEnd:
        return _MemoryBrokerEnd(self._listeners)


class _MemoryBrokerEnd:
    def __init__(self, listeners: list[BrokerListener]) -> None:
        self._listeners = listeners
        self._mine: BrokerListener | None = None

    async def start(self, listener: BrokerListener) -> None:
        self._mine = listener
        self._listeners.append(listener)

    def notify(self, batch: Batch) -> None:
        for listener in self._listeners:
            if listener is not self._mine:
                listener.accept(batch)

    def follow(self, tenant: str, user: str | None) -> None:
        """Everybody is told everything."""

    def unfollow(self, tenant: str, user: str | None) -> None:
        """Everybody is told everything."""

    async def close(self) -> None:
        if self._mine in self._listeners:
            self._listeners.remove(self._mine)


class MemoryMessages:
    """Messages of all conversations, bounded per conversation."""

    def __init__(self, max_per_conversation: int = 10_000) -> None:
        self._max = max_per_conversation
        self._rooms: dict[tuple[str, str], list[Message]] = {}

    def may_open(self, tenant: str) -> bool:
        return True

    async def put(self, tenant: str, message: Message, *, is_open: bool) -> Message:
        room = self._rooms.setdefault((tenant, message.conversation_id), [])
        at = message.timestamp_us
        index = bisect_left(room, at, key=_time)
        while index < len(room) and room[index].timestamp_us == at:
            if room[index].message_id == message.message_id:
                return room[index]
            at += 1
            index += 1
        stored = replace(message, timestamp_us=at)
        room.insert(index, stored)
        if len(room) > self._max:
            del room[: self._max // 10]
        return stored

    async def page(
        self,
        tenant: str,
        conversation_id: str,
        *,
        is_open: bool,
        limit: int,
        before_us: int | None,
        after_us: int | None,
    ) -> tuple[list[Message], bool]:
        room = self._rooms.get((tenant, conversation_id), [])
        first = 0 if after_us is None else bisect_right(room, after_us, key=_time)
        last = len(room) if before_us is None else bisect_left(room, before_us, key=_time)
        start = max(first, last - limit)
        return room[start:last], start > first

    async def count(
        self,
        tenant: str,
        conversation_id: str,
        *,
        is_open: bool,
        after_us: int | None,
        until_us: int | None,
        not_by: Collection[str],
        limit: int,
    ) -> int:
        room = self._rooms.get((tenant, conversation_id), [])
        first = 0 if after_us is None else bisect_right(room, after_us, key=_time)
        last = len(room) if until_us is None else bisect_right(room, until_us, key=_time)
        return min(limit, sum(1 for message in islice(room, first, last) if message.author not in not_by))

    def has_other_writers(self, tenant: str, *, is_open: bool) -> bool:
        return False


def _time(message: Message) -> int:
    return message.timestamp_us


class MemoryConversations:
    def __init__(self) -> None:
        self._all: dict[tuple[str, str], Conversation] = {}
        self._of_user: dict[tuple[str, str], set[str]] = {}
        self._open: dict[str, set[str]] = {}
        self._untold: dict[str, Departure] = {}

    async def get(self, tenant: str, conversation_id: str) -> Conversation | None:
        return self._all.get((tenant, conversation_id))

    async def save(self, tenant: str, conversation: Conversation) -> Conversation:
        key = (tenant, conversation.conversation_id)
        known = self._all.get(key)
        if known is not None:
            conversation = Conversation(
                conversation.conversation_id,
                known.participants | conversation.participants,
                known.is_open or conversation.is_open,
                known.creator,
                known.former - conversation.participants,
                known.removals,
            )
        self._all[key] = conversation
        for user in conversation.participants:
            self._of_user.setdefault((tenant, user), set()).add(conversation.conversation_id)
        if conversation.is_open:
            self._open.setdefault(tenant, set()).add(conversation.conversation_id)
        return conversation

    async def remove(self, departure: Departure) -> Conversation | None:
        tenant, conversation_id, user = departure.tenant, departure.conversation_id, departure.user
        known = self._all.get((tenant, conversation_id))
        if known is None or user not in known.participants:
            return known
        left = replace(
            known,
            participants=known.participants - {user},
            former=known.former | {user},
            removals=known.removals + 1,
        )
        self._all[tenant, conversation_id] = left
        self._of_user[tenant, user].discard(conversation_id)
        self._untold[departure.note] = departure
        return left

    async def untold(self) -> list[Departure]:
        return list(self._untold.values())

    async def told(self, departure: Departure) -> None:
        self._untold.pop(departure.note, None)

    async def of_user(self, tenant: str, user: str) -> frozenset[str]:
        return frozenset(self._of_user.get((tenant, user), ())) | frozenset(self._open.get(tenant, ()))


@dataclass(slots=True)
class _Record:
    owner: str
    facts: Mapping[str, str]
    lease_until: float
    expires_at: float
    result: Mapping[str, str] | None = None


class MemoryClaims:
    """Records in the order of their making: the oldest go when they have expired, or when there are too many."""

    def __init__(self, max_records: int = 200_000) -> None:
        self._max_records = max_records
        self._records: dict[str, _Record] = {}

    async def claim(
        self, key: str, owner: str, facts: Mapping[str, str], *, now: float, lease_s: float, keep_s: float
    ) -> Claim:
        record = self._records.get(key)
        if record is not None and record.expires_at <= now:
            del self._records[key]
            record = None
        if record is None:
            self._drop_old(now)
            self._records[key] = _Record(owner, dict(facts), now + lease_s, now + keep_s)
            return Claim("mine", facts, {})
        if record.result is not None:
            return Claim("done", record.facts, record.result)
        if record.lease_until > now:
            return Claim("busy", record.facts, {})
        record.owner, record.lease_until = owner, now + lease_s
        return Claim("taken_over", record.facts, {})

    async def renew(self, key: str, owner: str, lease_until: float) -> bool:
        record = self._records.get(key)
        if record is None or record.owner != owner or record.result is not None:
            return False
        record.lease_until = lease_until
        return True

    async def complete(self, key: str, result: Mapping[str, str]) -> None:
        record = self._records.get(key)
        if record is not None:
            record.result = dict(result)

    async def release(self, key: str, owner: str) -> None:
        record = self._records.get(key)
        if record is not None and record.owner == owner and record.result is None:
            record.lease_until = 0.0

    def _drop_old(self, now: float) -> None:
        # Two for every one that is added: the table shrinks to what has not expired.
        for key in list(islice(self._records, 2)):
            if self._records[key].expires_at <= now or len(self._records) >= self._max_records:
                del self._records[key]
