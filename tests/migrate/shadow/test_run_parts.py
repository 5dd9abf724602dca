"""The parts of a run that decide: what is behind what, who is away, whether it is quiet, where it leaves off (MG6).
until phase 3
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from shadow_support import record

from migrate.compare.deliveries import Span
from migrate.shadow.checkpoint import Checkpoint, CheckpointFile
from migrate.shadow.correlation import Causes
from migrate.shadow.lanes import Lanes
from migrate.shadow.people import Person
from migrate.shadow.presence import Presence
from migrate.shadow.quiescence import LONGEST_END_S, QUIET_S, Quiescence
from migrate.shadow.tee_watch import TeeWatch
from migrate.shadow.translate import Cause

ANN = Person("demo", "ann")
FIRST, SECOND = Cause("r-1", "ann", "demo", 1.0), Cause("r-2", "bob", "demo", 2.0)


def test_whoever_named_something_first_is_behind_it() -> None:
    causes = Causes(kept=2)
    causes.remember(["id=1"], FIRST)
    causes.remember(["id=1", "id=2"], SECOND)
    assert causes.of(["id=9", "id=1"]) == FIRST
    causes.remember(["id=3"], SECOND)
    assert causes.of(["id=1"]) is None
    assert causes.of(["id=2"]) == SECOND


def test_the_time_without_a_connection_is_told_when_somebody_is_back_or_the_run_is_over() -> None:
    told: list[Span] = []
    presence = Presence(lambda _: "demo", told.append)
    assert presence.came(record(connection_id="c-1")) == ANN
    assert presence.came(record(connection_id="c-2")) is None
    assert presence.left(record(connection_id="c-2", event_type="DISCONNECT")) is None
    assert presence.left(record(connection_id="c-1", event_type="DISCONNECT", at=1010.0)) == ANN
    assert presence.gone_at(ANN) == 1010.0
    assert presence.came(record(connection_id="c-3", event_type="CONNECT", status=403)) is None
    assert presence.came(record(connection_id="c-3", event_type="CONNECT", at=1030.0)) == ANN
    presence.left(record(connection_id="c-3", event_type="DISCONNECT", at=1040.0))
    presence.close(1050.0)
    assert [(span.recipient, span.start, span.end) for span in told] == [
        ("ann", 1010.0, 1030.0),
        ("ann", 1040.0, 1050.0),
    ]


def test_a_run_ends_when_nothing_has_come_for_a_while_and_in_the_end_anyway() -> None:
    quiet = Quiescence(0.0)
    assert not quiet.is_reached(0.0, 5, is_idle=True)
    assert not quiet.is_reached(QUIET_S, 6, is_idle=True)
    assert not quiet.is_reached(2 * QUIET_S, 6, is_idle=False)
    assert not quiet.is_reached(3 * QUIET_S - 0.1, 6, is_idle=True)
    assert quiet.is_reached(3 * QUIET_S, 6, is_idle=True)
    quiet.begin(100.0)
    assert not quiet.is_reached(100.0 + LONGEST_END_S - 0.1, 6, is_idle=False)
    assert quiet.is_reached(100.0 + LONGEST_END_S, 6, is_idle=False)


def test_the_next_process_goes_on_where_this_one_was_unless_it_is_another_run(tmp_path: Path) -> None:
    path = tmp_path / "p.places.json"
    assert CheckpointFile(path, "run-1").read() == Checkpoint()
    CheckpointFile(path, "run-1").write({ANN: "7-42"}, {"w1": [3, 1.0, 0, []]})
    assert CheckpointFile(path, "run-1").read() == Checkpoint({ANN: "7-42"}, {"w1": [3, 1.0, 0, []]})
    assert path.stat().st_mode & 0o777 == 0o600
    assert CheckpointFile(path, "run-2").read() == Checkpoint()
    path.write_text(json.dumps(["damaged"]), encoding="utf-8")
    assert CheckpointFile(path, "run-1").read() == Checkpoint()


async def test_lanes_run_side_by_side_and_each_in_order() -> None:
    lanes, order, other = Lanes(), list[str](), asyncio.Event()

    async def do(thing: tuple[str, int]) -> None:
        lane, number = thing
        if lane == "a" and number == 1:
            # Would never end if lanes waited for each other.
            await other.wait()
        if lane == "b":
            other.set()
        order.append(f"{lane}{number}")
        assert lanes.is_busy

    async with asyncio.timeout(30):
        await lanes.run([("a", 1), ("b", 1), ("a", 2)], lambda thing: thing[0], do)
    assert [name for name in order if name[0] == "a"] == ["a1", "a2"]
    assert order[0] == "b1"
    assert not lanes.is_busy


async def test_a_function_without_the_tee_makes_the_capture_incomplete_from_when_all_had_it() -> None:
    told: list[Span] = []
    ending = False
    watch = TeeWatch(lambda: ["arn:aws:lambda:eu-west-1:1:function:send"], lambda: ending, told.append)
    running = asyncio.create_task(watch.run())
    async with asyncio.timeout(30):
        while not watch.missing:
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert watch.missing == ["send"]
    ending = True
    watch.close()
    assert told == []
    ending = False
    watch.close()
    assert [(span.kind, span.reason) for span in told] == [("incomplete", "the tee was not on every function")]
