"""Changes are bundled, numbered and resumed. until phase 3 (MG18)"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from migrate.dashboard.hub import GAP_S, PIECE_BYTES, Hub
from migrate.dashboard.model import RINGS, Change

Event = tuple[str, str, Any]


class Clock:
    """Time that a test moves, and the calls that wait for it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self.calls.append((self.now + seconds, call))

    def go(self, seconds: float) -> None:
        self.now += seconds
        due = [call for at, call in self.calls if at <= self.now]
        self.calls = [(at, call) for at, call in self.calls if at > self.now]
        for call in due:
            call()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hub(clock: Clock) -> Hub:
    return Hub({"project": "p", "read_only": True}, clock=lambda: clock.now, later=clock.later)


def events(raw: bytes) -> list[Event]:
    """(type, id, data) of each event."""
    found = []
    for block in raw.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if "data" in fields:
            found.append((fields["event"], fields["id"], json.loads(fields["data"])))
    return found


class Reader:
    """A reader of the stream that reads when it is told to."""

    def __init__(self, hub: Hub, last_event_id: str = "") -> None:
        self.frames: AsyncIterator[bytes] = hub.frames(last_event_id)

    async def next(self) -> list[Event]:
        while not (found := events(await asyncio.wait_for(anext(self.frames), 5))):
            pass
        return found

    async def close(self) -> None:
        await self.frames.aclose()  # type: ignore[attr-defined] # of a generator


def put(value: Any, section: str = "cutover") -> Change:
    return Change(section, value)


def add(*ids: int) -> Change:
    return Change("mismatches", items=[{"id": str(number)} for number in ids])


async def test_first_everything_then_what_changes(hub: Hub, clock: Clock) -> None:
    reader = Reader(hub)
    [(kind, _, data)] = await reader.next()
    assert kind == "snapshot" and data["project"] == "p" and data["sections"]["cutover"] == []
    hub.tell([put([1]), add(1)])
    assert [(kind, data) for kind, _, data in await reader.next()] == [
        ("update", {"section": "cutover", "value": [1]}),
        ("append", {"section": "mismatches", "items": [{"id": "1"}]}),
    ]
    await reader.close()


async def test_at_most_five_updates_a_second_and_the_last_word_counts(hub: Hub, clock: Clock) -> None:
    """1,000 findings in a second are five events of the section, and none of them is lost."""
    reader = Reader(hub)
    await reader.next()
    for number in range(1000):
        hub.tell([put(number), add(number)])
        clock.go(0.001)
    clock.go(GAP_S)
    found = await reader.next()
    values = [data["value"] for kind, _, data in found if kind == "update"]
    assert values[-1] == 999 and len(values) <= 7
    batches = [data["items"] for kind, _, data in found if kind == "append"]
    assert [item["id"] for batch in batches for item in batch] == [str(number) for number in range(1000)]
    assert len(batches) <= 7
    await reader.close()


async def test_sections_do_not_hold_each_other_up(hub: Hub, clock: Clock) -> None:
    hub.tell([put(1)])
    hub.tell([put(2, "phases")])
    assert json.loads(hub.snapshot())["sections"]["phases"] == 2


async def test_who_comes_back_gets_what_it_missed(hub: Hub, clock: Clock) -> None:
    reader = Reader(hub)
    await reader.next()
    hub.tell([put("seen")])
    [(_, last, _)] = await reader.next()
    await reader.close()
    for value in ("missed", "missed too"):
        clock.go(1)
        hub.tell([put(value)])
    back = Reader(hub, last)
    assert [data["value"] for _, _, data in await back.next()] == ["missed", "missed too"]
    await back.close()


@pytest.mark.parametrize("last", ["", "nonsense", "0-0", "{epoch}-99999", "{epoch}-", "{epoch}-²"])
async def test_who_was_elsewhere_gets_everything(hub: Hub, clock: Clock, last: str) -> None:
    """A dashboard that was started again knows nothing of ids of the one before."""
    hub.tell([put("now")])
    reader = Reader(hub)
    [(_, id_, _)] = await reader.next()
    await reader.close()
    reader = Reader(hub, last.replace("{epoch}", id_.partition("-")[0]))
    [(kind, _, data)] = await reader.next()
    assert kind == "snapshot" and data["sections"]["cutover"] == "now"
    await reader.close()


@pytest.mark.parametrize("kept", [{"kept_events": 5}, {"kept_bytes": 300}])
async def test_who_was_away_too_long_or_reads_too_slowly_gets_everything(clock: Clock, kept: dict[str, int]) -> None:
    hub = Hub({}, clock=lambda: clock.now, later=clock.later, **kept)  # type: ignore[arg-type]
    slow, gone = Reader(hub), Reader(hub)
    await slow.next()
    [(_, last, _)] = await gone.next()
    await gone.close()
    for number in range(20):
        clock.go(1)
        hub.tell([put(number), add(number)])
    for reader in (slow, Reader(hub, last)):
        [(kind, _, data)] = await reader.next()
        assert kind == "snapshot"
        assert data["sections"]["cutover"] == 19 and len(data["sections"]["mismatches"]) == 20
        await reader.close()


async def test_a_place_of_thousands_of_digits_is_none_of_ours(hub: Hub) -> None:
    first = Reader(hub)
    await first.next()
    reader = Reader(hub, f"{hub._epoch}-{'9' * 5000}")
    assert [kind for kind, _, _ in await reader.next()] == ["snapshot"]
    await first.close()
    await reader.close()


async def test_a_snapshot_is_what_was_told_so_that_nothing_comes_twice(hub: Hub, clock: Clock) -> None:
    """What waits for its time is not in the snapshot, and comes after it."""
    hub.tell([add(1)])
    hub.tell([add(2)])
    reader = Reader(hub)
    [(_, _, data)] = await reader.next()
    assert [item["id"] for item in data["sections"]["mismatches"]] == ["1"]
    clock.go(GAP_S)
    assert [item["id"] for _, _, data in await reader.next() for item in data["items"]] == ["2"]
    await reader.close()


async def test_a_whole_value_takes_in_the_items_that_waited(hub: Hub, clock: Clock) -> None:
    hub.tell([Change("journal", items=[{"id": "1"}])])
    hub.tell([Change("journal", items=[{"id": "2"}])])
    hub.tell([Change("journal", [{"id": "1"}, {"id": "2", "outcome": "done"}])])
    hub.tell([Change("journal", items=[{"id": "3"}])])
    clock.go(GAP_S)
    shown = json.loads(hub.snapshot())["sections"]["journal"]
    assert shown == [{"id": "1"}, {"id": "2", "outcome": "done"}, {"id": "3"}]


async def test_a_flood_is_bounded(hub: Hub, clock: Clock) -> None:
    """A section's list is never longer than its ring, and an event never much larger than a piece."""
    reader = Reader(hub)
    await reader.next()
    hub.tell([add(0)])
    text = "x" * 4000
    hub.tell([Change("mismatches", items=[{"id": str(number), "legacy": text} for number in range(2000)])])
    clock.go(GAP_S)
    raw = b""
    with contextlib.suppress(TimeoutError):
        while True:
            raw += await asyncio.wait_for(anext(reader.frames), 0.2)
    sizes = [len(block) for block in raw.split(b"\n\n")]
    assert max(sizes) < PIECE_BYTES + 2 * len(text)
    assert len(json.loads(hub.snapshot())["sections"]["mismatches"]) == RINGS["mismatches"]
    await reader.close()


async def test_streams_end_when_the_program_does(hub: Hub) -> None:
    reader = Reader(hub)
    await reader.next()
    assert hub.readers == 1
    waiting = asyncio.create_task(reader.next())
    await asyncio.sleep(0)
    hub.close()
    with pytest.raises(StopAsyncIteration):
        await waiting
    assert hub.readers == 0


async def test_a_feed_waits_for_the_slowest_reader(hub: Hub, clock: Clock) -> None:
    reader = Reader(hub)
    await reader.next()
    for number in range(10):
        clock.go(1)
        hub.tell([put(number)])
    waiting = asyncio.create_task(hub.read_up_to(5))
    await asyncio.sleep(0)
    assert not waiting.done()
    await reader.next()
    rest = asyncio.create_task(reader.next())
    await asyncio.wait_for(waiting, 5)
    rest.cancel()
    await asyncio.gather(rest, return_exceptions=True)
