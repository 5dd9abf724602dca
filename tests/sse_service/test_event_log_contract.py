"""One behaviour suite for event logs, over memory and DynamoDB (docs/decisions/0003)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from sse_service.adapters.dynamodb import Dynamo
from sse_service.adapters.dynamodb_log import DynamoEventLog
from sse_service.adapters.memory import MemoryEventLog
from sse_service.errors import AppendConflictError, HistoryGoneError, UnavailableError
from sse_service.events import Draft, EventId
from sse_service.metrics import Metrics
from sse_service.ports import Batch, EventLog, Tail
from sse_service.publisher import Publisher
from sse_service.settings import Settings
from sse_service.testing import FakeClock

RETENTION_S = 3600.0
TENANT = "demo"


class Logs:
    """Several instances of one log, as several processes would have them, and the clock they share."""

    def __init__(self, kind: str, clock: FakeClock, make: Callable[[], EventLog], dynamo: Dynamo | None) -> None:
        self.kind = kind
        self.clock = clock
        self.make = make
        self.dynamo = dynamo

    async def forget(self, table: str) -> None:
        """Delete what has expired, as TTL would, newest first (TTL keeps no order)."""
        if self.dynamo is None:
            return
        items = await self.dynamo.query(
            TableName=table,
            KeyConditionExpression="#t = :t",
            ExpressionAttributeNames={"#t": "tenant"},
            ExpressionAttributeValues={":t": {"S": TENANT}},
        )
        for item in reversed(items):
            if "expires_at" in item and float(item["expires_at"]["N"]) < self.clock():
                key = {"tenant": item["tenant"], "seq": item["seq"]}
                await self.dynamo.call("delete_item", TableName=table, Key=key)


@pytest.fixture(params=["memory", "dynamodb"])
async def logs(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Logs]:
    clock = FakeClock()
    if request.param == "memory":
        log = MemoryEventLog(clock, retention_s=RETENTION_S, max_bytes=1 << 20)
        yield Logs("memory", clock, lambda: log, None)
        return
    config: Settings = request.getfixturevalue("dynamo_settings")
    dynamo = Dynamo(config)
    await dynamo.connect()
    await dynamo.create_tables()
    table = f"{config.table_prefix}-events"
    made = Logs("dynamodb", clock, lambda: DynamoEventLog(dynamo, table, clock, retention_s=RETENTION_S), dynamo)
    made.table = table  # type: ignore[attr-defined]
    yield made
    await dynamo.close()


def draft(logs: Logs, text: str = "x", topic: str = "room:main", key: str = "") -> Draft:
    return Draft(topic, "message", f'"{text}"', logs.clock(), "rest", key)


async def append(log: EventLog, tail: Tail, *drafts: Draft) -> Batch:
    return await log.append(TENANT, tail, drafts, uuid.uuid4().hex)


async def read_all(log: EventLog, after: EventId, **options: Any) -> list[Any]:
    events: list[Any] = []
    more = True
    while more:
        page = await log.read(TENANT, after, max_bytes=1 << 16, **options)
        events += page.events
        after, more = page.end, page.more
    return events


async def test_a_new_log_is_empty_and_stays_the_same(logs: Logs) -> None:
    log = logs.make()
    tail = await log.tail(TENANT)
    assert tail.position.seq == 0 and tail.is_unused
    assert (await log.tail(TENANT)).position == tail.position
    assert (await log.read(TENANT, tail.position, max_bytes=1000)).events == ()


async def test_numbers_are_dense_and_pages_are_in_order(logs: Logs) -> None:
    log = logs.make()
    start = await log.tail(TENANT)
    tail = start
    for size in (1, 3, 2, 5):
        batch = await append(log, tail, *(draft(logs, f"{tail.position.seq}.{i}") for i in range(size)))
        assert [e.id.seq for e in batch.events] == list(range(tail.position.seq + 1, tail.position.seq + size + 1))
        tail = batch.tail
    assert (await log.tail(TENANT)).position == tail.position
    events = await read_all(log, start.position)
    assert [e.id.seq for e in events] == list(range(1, 12))
    assert {e.id.epoch for e in events} == {start.position.epoch}


@pytest.mark.parametrize("cursor", range(7))
async def test_reading_may_begin_inside_a_batch(logs: Logs, cursor: int) -> None:
    log = logs.make()
    start = await log.tail(TENANT)
    first = await append(log, start, *(draft(logs, str(i)) for i in range(3)))
    await append(log, first.tail, *(draft(logs, str(i)) for i in range(3, 6)))
    events = await read_all(log, EventId(start.position.epoch, cursor))
    assert [e.data for e in events] == [f'"{i}"' for i in range(cursor, 6)]


async def test_every_field_comes_back(logs: Logs) -> None:
    log = logs.make()
    start = await log.tail(TENANT)
    given = Draft("user:a#b:c", "agent.run", '{"t":"日本 \\u0000 \\"x\\""}', 1718700020.123456, "legacy", "k#1")
    await append(log, start, given)
    (event,) = await read_all(logs.make(), start.position)
    assert (event.topic, event.type, event.data, event.time, event.origin, event.key) == (
        given.topic,
        given.type,
        given.data,
        given.time,
        given.origin,
        given.key,
    )
    assert event.tenant == TENANT


async def test_the_second_of_two_appends_at_one_place_is_told(logs: Logs) -> None:
    one, two = logs.make(), logs.make()
    tail = await one.tail(TENANT)
    assert (await two.tail(TENANT)).position == tail.position
    await append(one, tail, draft(logs, "first"))
    with pytest.raises(AppendConflictError):
        await append(two, tail, draft(logs, "second"))
    assert [e.data for e in await read_all(two, tail.position)] == ['"first"']


async def test_tenants_have_logs_of_their_own(logs: Logs) -> None:
    log = logs.make()
    tail = await log.tail(TENANT)
    await append(log, tail, draft(logs))
    other = await log.tail("other")
    assert other.position.seq == 0
    assert (await log.read("other", other.position, max_bytes=1000)).events == ()
    with pytest.raises(HistoryGoneError) as caught:
        await log.read("other", tail.position._replace(seq=1), max_bytes=1000)
    assert caught.value.reason == "unknown_log"


async def test_a_cursor_ahead_of_the_log_is_told(logs: Logs) -> None:
    log = logs.make()
    tail = (await append(log, await log.tail(TENANT), draft(logs))).tail
    with pytest.raises(HistoryGoneError) as caught:
        await log.read(TENANT, tail.position._replace(seq=9), max_bytes=1000)
    assert caught.value.reason == "ahead"


async def test_a_cursor_of_an_earlier_log_is_told(logs: Logs) -> None:
    log = logs.make()
    await append(log, await log.tail(TENANT), draft(logs))
    for seq in (0, 1, 7):
        with pytest.raises(HistoryGoneError):
            await log.read(TENANT, EventId("0old", seq), max_bytes=1000)


@pytest.mark.parametrize("deleted", [False, True], ids=["expired", "expired and deleted"])
async def test_what_has_expired_is_gone_whether_deleted_or_not(logs: Logs, deleted: bool) -> None:
    """The cursor gets an answer, never silence and never a part."""
    log = logs.make()
    start = await log.tail(TENANT)
    first = await append(log, start, draft(logs, "old"))
    logs.clock.advance(RETENTION_S / 2)
    second = await append(log, first.tail, draft(logs, "new"))
    logs.clock.advance(RETENTION_S / 2 + 10)
    if deleted:
        await logs.forget(getattr(logs, "table", ""))
    with pytest.raises(HistoryGoneError):
        await log.read(TENANT, start.position, max_bytes=1000)
    events = await read_all(log, first.end)
    assert [e.id for e in events] == [second.end]


@pytest.mark.parametrize("deleted", [False, True], ids=["expired", "expired and deleted"])
async def test_after_everything_expired_no_old_cursor_is_honoured(logs: Logs, deleted: bool) -> None:
    """Numbers may be used again only under another epoch: an old id never means a new event."""
    log = logs.make()
    tail = await log.tail(TENANT)
    for text in "abc":
        tail = (await append(log, tail, draft(logs, text))).tail
    logs.clock.advance(RETENTION_S + 10)
    if deleted:
        await logs.forget(getattr(logs, "table", ""))
    fresh = logs.make()
    assert logs.kind == "memory" or logs.clock() > tail.trusted_until
    begun = await fresh.tail(TENANT)
    batch = await append(fresh, begun, draft(logs, "d"))
    for seq in range(3):
        with pytest.raises(HistoryGoneError):
            await fresh.read(TENANT, tail.position._replace(seq=seq), max_bytes=1000)
    assert [e.id for e in await read_all(fresh, begun.position)] == [batch.end]


async def test_racing_writers_make_one_dense_sequence(logs: Logs) -> None:
    """Two processes append as fast as they can: nothing lost, nothing doubled, each caller's id is right."""
    delivered: list[list[Batch]] = [[], []]
    writers = [
        Publisher(logs.make(), delivered[i].append, Metrics(), clock=logs.clock, max_event_bytes=1 << 17, timeout_s=30)
        for i in range(2)
    ]
    start = await writers[0].tail(TENANT)
    assert await writers[1].tail(TENANT) == start
    placed: dict[str, int] = {}

    async def publish(writer: int, stream: int) -> None:
        for n in range(8):
            name = f'"{writer}.{stream}.{n}"'
            (one,) = await writers[writer].publish(TENANT, [draft(logs, name.strip('"'))])
            placed[name] = one.id.seq

    await asyncio.gather(*(publish(w, n) for n in range(4) for w in range(2)))
    events = await read_all(logs.make(), start)
    assert [e.id.seq for e in events] == list(range(1, 65))
    assert {e.data: e.id.seq for e in events} == placed
    if logs.kind == "dynamodb":
        for batches in delivered:  # each process has seen, in order, everything up to its last append
            seen = [e.id.seq for batch in batches for e in batch.events]
            assert seen == list(range(1, len(seen) + 1))


async def test_an_append_that_was_carried_out_but_not_answered_counts_once(logs: Logs) -> None:
    """The answer to a put is lost: the writer finds its own batch and reports its place."""
    log = logs.make()

    class LosesAnswers:
        def __init__(self) -> None:
            self.lose = 2

        def __getattr__(self, name: str) -> Any:
            if name == "append_now":  # not an immediate log
                raise AttributeError(name)
            return getattr(log, name)

        async def append(self, *arguments: Any) -> Batch:
            batch = await log.append(*arguments)
            if self.lose:
                self.lose -= 1
                raise UnavailableError("connection lost")
            return batch

    delivered: list[Batch] = []
    lossy: Any = LosesAnswers()
    publisher = Publisher(lossy, delivered.append, Metrics(), clock=logs.clock, max_event_bytes=1 << 17, timeout_s=10)
    start = await publisher.tail(TENANT)
    for n in range(3):
        (placed,) = await publisher.publish(TENANT, [draft(logs, str(n))])
        assert placed.id.seq == n + 1
    assert [e.data for e in await read_all(log, start)] == ['"0"', '"1"', '"2"']
    assert [e.id.seq for batch in delivered for e in batch.events] == [1, 2, 3]


async def test_a_repeat_finds_what_the_first_attempt_appended(logs: Logs) -> None:
    """Given the tail before the first attempt, an event with that key is not appended again."""
    one, two = (
        Publisher(logs.make(), lambda _: None, Metrics(), clock=logs.clock, max_event_bytes=1 << 17, timeout_s=10)
        for _ in range(2)
    )
    before = await one.tail(TENANT)
    (first,) = await one.publish(TENANT, [draft(logs, "m", key="k1")])
    await one.publish(TENANT, [draft(logs, "other", key="k2")])
    (again,) = await two.publish(TENANT, [draft(logs, "m", key="k1")], [before])
    assert again.id == first.id and again.was_there
    assert len(await read_all(logs.make(), before)) == 2


async def test_throttling_is_waited_out_and_then_told(logs: Logs) -> None:
    log = logs.make()

    class Throttled:
        def __init__(self) -> None:
            self.left = 3

        def __getattr__(self, name: str) -> Any:
            if name == "append_now":
                raise AttributeError(name)
            return getattr(log, name)

        async def append(self, *arguments: Any) -> Batch:
            if self.left:
                self.left -= 1
                raise UnavailableError("throttled")
            return await log.append(*arguments)

    throttled: Any = Throttled()
    publisher = Publisher(throttled, lambda _: None, Metrics(), clock=logs.clock, max_event_bytes=1 << 17, timeout_s=5)
    (placed,) = await publisher.publish(TENANT, [draft(logs)])
    assert placed.id.seq == 1
    throttled.left = 10**6
    impatient = Publisher(
        throttled, lambda _: None, Metrics(), clock=logs.clock, max_event_bytes=1 << 17, timeout_s=0.2
    )
    with pytest.raises(UnavailableError):
        await impatient.publish(TENANT, [draft(logs)])
