"""Group commit: what goes into one append, and how many appends it takes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_service.adapters.memory import MemoryEventLog
from sse_service.errors import TooLargeError, UnavailableError
from sse_service.events import Draft
from sse_service.metrics import Metrics
from sse_service.ports import Batch
from sse_service.publisher import Publisher, take_batch
from sse_service.testing import FakeClock


@given(st.lists(st.integers(1, 300), min_size=1, max_size=50), st.integers(1, 500), st.integers(1, 20))
def test_a_batch_is_as_large_as_it_may_be(sizes: list[int], max_bytes: int, max_events: int) -> None:
    count = take_batch(sizes, max_bytes, max_events)
    assert 1 <= count <= len(sizes)
    if count > 1:
        assert sum(sizes[:count]) <= max_bytes and count <= max_events
    if count < len(sizes):
        assert sum(sizes[: count + 1]) > max_bytes or count + 1 > max_events


class GatedLog(MemoryEventLog):
    """Appends wait until the test lets them."""

    def __init__(self) -> None:
        super().__init__(FakeClock(), retention_s=1e9, max_bytes=1 << 30)
        self.gate = asyncio.Event()
        self.appends = 0

    async def append(self, tenant: str, tail: Any, drafts: Any, batch_id: str) -> Batch:
        self.appends += 1
        await self.gate.wait()
        return MemoryEventLog.append_now(self, tenant, drafts, batch_id)


class PlainLog:
    """Hides what makes a log an immediate one."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        if name == "append_now":
            raise AttributeError(name)
        return getattr(self._inner, name)


def publisher(log: Any, delivered: list[Batch], timeout_s: float = 5) -> Publisher:
    return Publisher(log, delivered.append, Metrics(), clock=FakeClock(), max_event_bytes=1000, timeout_s=timeout_s)


async def test_what_comes_while_an_append_is_in_flight_goes_into_the_next_one() -> None:
    log, delivered = GatedLog(), list[Batch]()
    made = publisher(PlainLog(log), delivered)

    def publish(n: int) -> asyncio.Task[Any]:
        return asyncio.create_task(made.publish("t", [Draft("room:a", "m", str(n), 1.0)]))

    waiting = [publish(0)]
    while not log.appends:
        await asyncio.sleep(0)
    waiting += [publish(n) for n in range(1, 50)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert log.appends == 1
    log.gate.set()
    placed = await asyncio.gather(*waiting)
    assert [one.id.seq for (one,) in placed] == list(range(1, 51))
    assert [len(batch.events) for batch in delivered] == [1, 49]


async def test_tenants_do_not_wait_for_each_other() -> None:
    log = GatedLog()
    made = publisher(PlainLog(log), [])
    tasks = [asyncio.create_task(made.publish(t, [Draft("room:a", "m", "1", 1.0)])) for t in ("a", "b")]
    for _ in range(10):
        await asyncio.sleep(0)
    assert log.appends == 2
    log.gate.set()
    await asyncio.gather(*tasks)


async def test_an_event_above_the_limit_is_refused_and_nothing_appended() -> None:
    delivered: list[Batch] = []
    made = publisher(MemoryEventLog(FakeClock(), retention_s=1e9, max_bytes=1 << 30), delivered)
    with pytest.raises(TooLargeError):
        await made.publish("t", [Draft("room:a", "m", "1", 1.0), Draft("room:a", "m", "x" * 5000, 1.0)])
    assert delivered == []


async def test_a_bug_in_a_store_fails_its_batch_and_not_the_next_one() -> None:
    log = MemoryEventLog(FakeClock(), retention_s=1e9, max_bytes=1 << 30)

    class Broken(PlainLog):
        fails = True

        async def append(self, *arguments: Any) -> Batch:
            if self.fails:
                raise KeyError("bug")
            return await log.append(*arguments)

    broken = Broken(log)
    made = publisher(broken, [])
    with pytest.raises(UnavailableError):
        await made.publish("t", [Draft("room:a", "m", "1", 1.0)])
    broken.fails = False
    (placed,) = await made.publish("t", [Draft("room:a", "m", "2", 1.0)])
    assert placed.id.seq == 1


async def test_two_attempts_with_one_key_in_one_batch_are_appended_once() -> None:
    """SQ5: a repeat that waits behind the same stalled append as the first attempt gets the first one's event."""
    log, delivered = GatedLog(), list[Batch]()
    made = publisher(PlainLog(log), delivered)
    first = asyncio.create_task(made.publish("t", [Draft("room:a", "m", "0", 1.0)]))
    while not log.appends:
        await asyncio.sleep(0)
    twins = [
        asyncio.create_task(made.publish("t", [Draft("room:a", "m", "1", float(n), key="same")], [None]))
        for n in range(2)
    ]
    for _ in range(5):
        await asyncio.sleep(0)
    log.gate.set()
    await first
    placed = [one for (one,) in await asyncio.gather(*twins)]
    assert placed[0].id == placed[1].id
    assert [one.was_there for one in placed] == [False, True]
    assert [len(batch.events) for batch in delivered] == [1, 1]


async def test_an_entry_whose_publisher_was_given_up_is_not_appended_later() -> None:
    """SQ5: who waited too long behind another append is told so, and nothing of it comes afterwards."""
    log, delivered = GatedLog(), list[Batch]()
    patient, hasty = publisher(PlainLog(log), delivered), 0.05
    first = asyncio.create_task(patient.publish("t", [Draft("room:a", "m", "0", 1.0)]))
    while not log.appends:
        await asyncio.sleep(0)
    patient._timeout_s = hasty
    late = asyncio.create_task(patient.publish("t", [Draft("room:a", "m", "late", 1.0)]))
    await asyncio.sleep(2 * hasty)
    log.gate.set()
    await first
    with pytest.raises(UnavailableError):
        await late
    assert [event.data for batch in delivered for event in batch.events] == ["0"]


async def test_what_waits_for_a_log_that_is_away_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sse_service.publisher.MAX_WAITING_BYTES", 3000)
    log, delivered = GatedLog(), list[Batch]()
    it = publisher(PlainLog(log), delivered)
    # Several tenants: the bound is the process's.
    tries = [it.publish(f"t{n % 4}", [Draft("room:a", "m", f'"{n}{"x" * 600}"', 0.0)]) for n in range(20)]
    waiting = [asyncio.create_task(one) for one in tries]
    refused, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    while len(refused) < 16:
        refused, _ = await asyncio.wait(waiting, timeout=0)
    assert all(isinstance(task.exception(), UnavailableError) for task in refused)
    log.gate.set()
    placed = await asyncio.gather(*(task for task in waiting if task not in refused))
    assert len(placed) == 4 and sum(len(batch.events) for batch in delivered) == 4
    # And there is room again.
    assert len(await it.publish("t0", [Draft("room:a", "m", f'"{"x" * 900}"', 0.0)])) == 1
