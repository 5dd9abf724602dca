"""`migrate cutover --steps`, the watch, `rollback`, `journal`: the way over and back, two operators. until phase 3"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from migrate.control.flags import Flags
from migrate.control.journal import Journal
from migrate.control.locks import Locks
from migrate.cutover.run import Cutover, lock_name
from migrate.errors import GateClosedError, InconclusiveError, RefusedError

from .cutover_support import MIGRATE, WAIT_S, Metrics, World, cutover_of

pytestmark = pytest.mark.integration


def test_steps_are_held_and_reach_the_end(world: World) -> None:
    world.verdict()
    run, said = cutover_of(world)
    begun = time.monotonic()
    run.steps((1.0, 50.0, 100.0), 0.2)
    assert time.monotonic() - begun >= 0.6
    assert world.percents() == {"*": 100}
    assert [line for line in said if "->" in line] == ["chat: 0 % -> 1 %", "chat: 1 % -> 50 %", "chat: 50 % -> 100 %"]
    assert any("7 streams open" in line for line in said)
    assert world.actions() == [("cutover-steps", "done"), *[("cutover", "done")] * 3]


@pytest.mark.parametrize("what", ["comparison", "errors", "hook", "away"])
def test_a_gate_that_breaks_while_users_are_over_brings_everybody_back(world: World, what: str, tmp_path: Path) -> None:
    world.verdict()
    flag = tmp_path / "broken"
    config = world.config(hooks=(f"test ! -e {flag}",))
    run = Cutover(config, world.table, "chat", None, look_s=0.02)
    Flags(world.table).change("chat", "acme", 70.0, None)
    failed: list[BaseException] = []

    def steps() -> None:
        try:
            run.steps((50.0, 100.0), 600.0)
        except GateClosedError as error:
            failed.append(error)

    running = threading.Thread(target=steps)
    running.start()
    world.until(lambda: world.percents().get("*") == 50)
    broken_at = time.monotonic()
    if what == "comparison":
        world.verdict("fail")
    elif what == "errors":
        world.metrics.total, world.metrics.failed = 1100, 60
    elif what == "hook":
        flag.touch()
    else:
        world.metrics.stop()
    world.until(lambda: world.percents() == {"*": 0, "acme": 0})
    assert time.monotonic() - broken_at < 10  # the promise of the guide
    running.join(WAIT_S)
    assert "everybody is back" in str(failed[0])
    assert world.flags.of("chat")["*"].state == "returned"
    assert ("cutover-return", "done") in world.actions()
    # Again to the end, once it is mended.
    if what == "away":
        world.metrics = Metrics()
        world.config()
    flag.unlink(missing_ok=True)
    world.metrics.failed = 0
    world.verdict()
    again, _ = cutover_of(world)
    again.steps((50.0, 100.0), 0.1)
    assert world.percents()["*"] == 100


def test_an_old_comparison_stops_the_next_step_and_brings_nobody_back(world: World) -> None:
    world.verdict()
    run, _ = cutover_of(world)
    run.to(1.0)
    world.verdict(ago_s=9000)
    with pytest.raises(InconclusiveError):
        run.steps((1.0, 50.0), 0.05)
    assert world.percents() == {"*": 1}


def test_a_run_that_was_killed_goes_on_with_the_same_command(world: World) -> None:
    world.verdict()
    command = [MIGRATE, "cutover", "chat", "--steps", "--hold", "600", "--execute", "--config", str(world.path)]
    killed = subprocess.Popen(command, env={**os.environ, **world.env}, stderr=subprocess.DEVNULL)
    try:
        world.until(lambda: world.percents() == {"*": 1})
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    run, _ = cutover_of(world)
    # Its lock is that of a process which is no more.
    run.steps((1.0, 50.0, 100.0), 0.1)
    assert world.percents() == {"*": 100}
    assert ("cutover", "done") in world.actions()
    assert ("cutover-steps", "started") in world.actions()  # what was cut off is seen as that


def test_a_table_that_is_away_for_a_moment_does_not_end_the_watch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch ended with an error, and nobody was brought back when a gate broke after that."""
    world.verdict()
    world.config()
    run, said = cutover_of(world)
    run.to(50.0)
    real, asked = world.dynamodb.query, 0

    def query(**arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked <= 3:
            raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "Query")
        if asked == 4:
            world.verdict("fail")
        return real(**arguments)

    monkeypatch.setattr(world.dynamodb, "query", query)
    with pytest.raises(GateClosedError, match="everybody is back"):
        run.watch()
    assert world.percents() == {"*": 0}
    assert any("ProvisionedThroughputExceededException" in line for line in said)


def test_a_held_step_outlasts_it_as_well(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.verdict()
    run, _ = cutover_of(world)
    real, asked = world.dynamodb.query, 0

    def query(**arguments: Any) -> Any:
        nonlocal asked
        if run.percent == 1 and asked < 2:
            asked += 1
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "Query")
        return real(**arguments)

    monkeypatch.setattr(world.dynamodb, "query", query)
    run.steps((1.0, 50.0), 0.3)
    assert (asked, world.percents()) == (2, {"*": 50})


def test_of_two_operators_one_is_refused(world: World) -> None:
    world.verdict()
    with Locks(world.table).hold("cutover of chat", "the other one"):
        code, _, told = world.run("cutover", "chat", "--percent", "10", "--execute")
        assert (code, "the other one" in told) == (5, True)
    assert world.percents() == {}
    seen = world.flags.change("chat", "*", 10.0, None)
    world.flags.change("chat", "*", 20.0, seen)
    with pytest.raises(RefusedError, match="was changed to 20 % by tester"):
        world.flags.change("chat", "*", 30.0, seen)
    with pytest.raises(RefusedError):
        world.flags.change("chat", "*", 30.0, None)
    assert world.percents() == {"*": 20}


def test_a_rollback_wins_over_a_run_and_needs_nothing(world: World) -> None:
    world.verdict()
    run, _ = cutover_of(world)
    ended: list[str] = []

    def steps() -> None:
        try:
            run.steps((50.0, 100.0), 600.0)
        except RefusedError as error:
            ended.append(error.message)

    running = threading.Thread(target=steps)
    running.start()
    world.until(lambda: world.percents() == {"*": 50})
    world.flags.change("chat", "acme", 80.0, None)
    code, said, _ = world.run("rollback", "chat", "--note", "complaints", "--json")
    assert code == 0
    assert {one["tenant"]: one["percent"] for one in json.loads(said)["flags"]} == {"*": 0, "acme": 0}
    running.join(WAIT_S)
    assert not running.is_alive()
    assert "was changed by tester" in ended[0]
    assert world.percents() == {"*": 0, "acme": 0}
    entry = next(one for one in Journal(world.table).entries() if one.action == "rollback")
    assert entry.facts["from_percent"] == {"*": 50, "acme": 80}
    world.metrics = Metrics()


def test_rollback_in_every_state(world: World) -> None:
    for percent in (None, 1.0, 100.0):
        if percent is not None:
            world.flags.change("chat", "*", percent, world.flags.get("chat"))
        assert world.run("rollback", "chat")[0] == 0
        before = world.flags.get("chat")
        code, said, _ = world.run("rollback", "chat")
        assert code == 0 and "nothing to roll back" in said
        assert world.flags.get("chat") == before
        assert world.percents() == {"*": 0}
    assert [entry.action for entry in Journal(world.table).entries()].count("rollback") == 3
    world.flags.change("chat", "*", 60.0, world.flags.get("chat"))
    assert world.run("rollback", "chat", "--tenant", "acme")[0] == 0
    assert world.percents() == {"*": 60, "acme": 0}
    # The tenant's flag is newer than what its clients have heard: its epoch is higher, whatever its own number was.
    assert world.flags.of("chat")["acme"].epoch > world.flags.of("chat")["*"].epoch


def test_a_rollback_at_0_percent_still_ends_a_run_that_is_about_to_move_users(world: World) -> None:
    """The run goes by the flag as it read it, and nothing is written by it after another's change."""
    world.run("rollback", "chat")
    before = world.flags.get("chat")
    with Locks(world.table).hold(lock_name("chat"), "ann"):
        assert "nothing" not in world.run("rollback", "chat")[1]
    after = world.flags.get("chat")
    assert before is not None and after is not None and after.epoch > before.epoch


def test_a_rollback_finds_a_flag_that_is_made_at_the_same_moment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second operator moves one tenant while everybody is brought back."""
    world.flags.change("chat", "*", 50.0, None)
    flags, real = world.flags, Flags._one_back

    def one_back(self: Flags, feature: str, tenant: str, note: str) -> Any:
        if not self.get(feature, "late"):
            world.flags.change(feature, "late", 10.0, None)
        return real(self, feature, tenant, note)

    monkeypatch.setattr(Flags, "_one_back", one_back)
    flags.back("chat")
    assert world.percents() == {"*": 0, "late": 0}


def test_status_and_journal_show_what_was_done(world: World) -> None:
    world.verdict()
    world.run("cutover", "chat", "--percent", "10", "--execute", "--note", "first\nten")
    world.run("cutover", "files", "--percent", "10", "--execute")
    status = json.loads(world.run("cutover", "status", "--json")[1])
    chat, files = status["features"]
    assert (chat["feature"], chat["flags"][0]["percent"], chat["running"]) == ("chat", 10, None)
    assert files["flags"] == []
    text = world.run("cutover", "status")[1]
    assert "10 %" in text
    assert "nothing was compared" in text
    entries = json.loads(world.run("journal", "--json")[1])["entries"]
    assert [(one["action"], one["outcome"]) for one in entries] == [("cutover", "refused"), ("cutover", "done")]
    assert {"actor", "started_at", "ended_at", "arguments", "digest", "facts"} <= entries[0].keys()
    shown = world.run("journal", "--limit", "1", "--since", "1h")[1]
    assert "files" in shown
    assert "chat" not in shown.splitlines()[0]
    assert world.run("journal", "--since", "2099-01-01")[1] == "nothing was done since then\n"
