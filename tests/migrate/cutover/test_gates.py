"""`migrate cutover` before anybody is moved: what opens, what refuses, what makes no sense. until phase 3"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from migrate.compare.verdicts import last_verdict
from migrate.control.flags import Flags
from migrate.control.journal import Journal
from migrate.cutover.evidence import Evidence
from migrate.cutover.gates import State, comparison_gates
from migrate.shadow.state import Control, ShadowState
from sse_service.flags import PARTITION, FlagSet

from .cutover_support import USERS, Metrics, World

pytestmark = pytest.mark.integration


def test_nothing_is_done_without_execute(world: World, connections: None) -> None:
    world.verdict()
    code, said, told = world.run("cutover", "chat", "--percent", "50", "--json")
    assert code == 0, told
    plan = json.loads(said)
    [step] = plan["steps"]
    assert plan["executed"] is False
    assert step["connected_users"] == 200
    assert 70 < step["to_sse"] < 130
    assert step["to_sse"] == step["on_sse"]
    assert {gate["state"] for gate in plan["gates"]} == {"open"}
    assert "nothing was done: --execute does it" in told
    assert (world.percents(), world.actions()) == ({}, [])


def test_users_move_and_the_service_decides_as_the_flag_says(world: World) -> None:
    world.verdict()
    assert world.run("cutover", "chat", "--percent", "50", "--execute")[0] == 0
    items = world.dynamodb.query(
        TableName=world.table.name,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": PARTITION}},
    )["Items"]
    known, problems = FlagSet("websocket").read(items)
    assert problems == []
    half = {user for user in USERS if known.decide("chat", "demo", user).transport == "sse"}
    assert 70 < len(half) < 130
    assert world.run("cutover", "chat", "--percent", "10", "--execute")[0] == 0
    salt = world.flags.of("chat")["*"].salt
    assert world.run("cutover", "chat", "--percent", "100", "--execute", "--note", "all of it")[0] == 0
    flag = world.flags.of("chat")["*"]
    assert (flag.percent, flag.epoch, flag.state, flag.updated_by, flag.note) == (
        100,
        3,
        "moved",
        "tester",
        "all of it",
    )
    assert flag.salt == salt
    assert world.actions() == [("cutover", "done")] * 3
    last = next(Journal(world.table).entries())
    assert last.arguments == {"feature": "chat", "percent": 100.0, "note": "all of it"}
    assert last.facts["from_percent"] == 10


@pytest.mark.parametrize(
    ("make", "code", "said"),
    [
        (lambda world: None, 4, "nothing was compared"),
        (lambda world: world.verdict("fail"), 3, "1 in 500 is missing"),
        (lambda world: world.verdict("inconclusive"), 4, "inconclusive"),
        (lambda world: world.verdict(ago_s=7200), 4, "old"),
        (lambda world: world.verdict(expected=10), 4, "min_samples"),
        (lambda world: world.verdict(loss_upper=0.1), 4, "inconclusive: up to 10.0000% may be lost"),
        (lambda world: world.verdict(complete=False), 3, "incomplete"),
        (lambda world: world.verdict(tenant="acme"), 4, "nothing was compared"),
    ],
)
def test_a_gate_that_is_not_open_lets_nobody_over(
    world: World, make: Callable[[World], None], code: int, said: str
) -> None:
    make(world)
    got, _, told = world.run("cutover", "chat", "--percent", "1", "--execute")
    assert got == code
    assert said in told
    assert "hint:" in told
    assert world.percents() == {}
    assert world.actions() == [("cutover", "refused")]


@pytest.mark.parametrize(
    ("state", "stands"), [("running", "is running"), ("paused", "is paused"), ("stopped", "began after it")]
)
def test_the_verdict_on_an_older_run_is_no_evidence_for_a_newer_one(world: World, state: Any, stands: str) -> None:
    """It is fresh and a pass, while the run that began after it may be failing."""
    world.verdict()
    shadow = ShadowState(world.table, world.config().project.name)
    shadow.tell(Control(state, "r2", time.time()))
    got, _, told = world.run("cutover", "chat", "--percent", "1", "--execute")
    assert got == 4
    assert f"the verdict is of run r1, run r2 {stands}" in told
    assert "hint: `migrate compare`" in told
    assert world.percents() == {}
    # Nothing was seen to be wrong: nobody is brought back by it.
    gate = Evidence(world.config(), world.table, "chat", None).known()[0]
    assert (gate.state, gate.breaks) == (State.UNSURE, False)
    world.verdict(run_id="r2")
    assert world.run("cutover", "chat", "--percent", "1", "--execute")[0] == 0


def test_a_run_that_began_before_the_one_of_the_verdict_shuts_nothing(world: World) -> None:
    world.verdict()
    ShadowState(world.table, world.config().project.name).tell(Control("stopped", "r0", time.time() - 9999))
    assert world.run("cutover", "chat", "--percent", "1", "--execute")[0] == 0


@pytest.mark.parametrize("lacks", [{"loss_upper": 0.1}, {"expected": 10}, {"ago_s": 7200}, {"verdict": "inconclusive"}])
def test_too_little_evidence_brings_nobody_back(world: World, lacks: dict[str, Any]) -> None:
    world.verdict(**lacks)
    verdict = last_verdict(world.table, "chat")
    gate = comparison_gates(verdict, world.config().gates, time.time())[0]
    assert (gate.state, gate.breaks) == (State.UNSURE, False)


@pytest.mark.parametrize(
    ("make", "code", "said"),
    [
        (lambda world: None, 4, "nothing was compared"),
        (lambda world: world.verdict("fail"), 3, "1 in 500 is missing"),
    ],
)
def test_the_dry_run_ends_as_the_real_one_would(
    world: World, connections: None, make: Callable[[World], None], code: int, said: str
) -> None:
    """It shows everything first, and sends nobody to --execute, which would be refused."""
    make(world)
    got, shown, told = world.run("cutover", "chat", "--percent", "50", "--json")
    assert got == code
    assert json.loads(shown)["executed"] is False
    assert f"--execute would be refused (exit code {code}): nobody is moved: comparison: " in told
    assert said in told
    assert "--execute does it" not in told
    assert world.run("cutover", "chat", "--steps")[0] == code
    got, _, told = world.run("cutover", "chat", "--percent", "50", "--without-gate", "comparison", "--note", "I know")
    assert (got, "--execute does it" in told) == (0, True)
    # Down needs no gate.
    Flags(world.table).change("chat", "*", 50, None)
    got, _, told = world.run("cutover", "chat", "--percent", "10")
    assert (got, "--execute does it" in told) == (0, True)


def test_before_there_is_a_shared_state_the_dry_run_says_what_is_lacking(world: World) -> None:
    """The first --execute makes the table, and is then refused all the same."""
    text = world.path.read_text(encoding="utf-8")
    world.path.write_text(text.replace(f'"{world.table.name}"', '"not-yet"'), encoding="utf-8")
    got, _, told = world.run("cutover", "chat", "--percent", "50")
    assert got == 4, told
    assert "there is no table not-yet" in told
    assert "nothing was compared" in told


def test_what_opens_the_gate_is_named_in_its_order(world: World) -> None:
    """Without records `migrate compare` only probes, which opens nothing: first comes what records."""
    told = world.run("cutover", "chat", "--percent", "1", "--execute")[2]
    assert "hint: `migrate shadow start`" in told
    run = world.path.parent / world.config().settings.project.records / "run-1"
    (run / "deliveries").mkdir(parents=True)
    told = world.run("cutover", "chat", "--percent", "1", "--execute")[2]
    assert "hint: run `migrate compare`" in told
    assert "shadow" not in told


def test_errors_of_the_service_and_vetoes_of_hooks_shut_as_well(world: World, tmp_path: Path) -> None:
    world.verdict()
    world.metrics.failed = 50
    code, _, told = world.run("cutover", "chat", "--percent", "1", "--execute")
    assert (code, "50 of 1000 requests failed" in told) == (3, True)
    world.metrics.failed = 0
    veto = tmp_path / "veto.py"
    veto.write_text(
        "import os, sys\nprint(os.environ['MIGRATE_FEATURE'], os.environ['MIGRATE_PERCENT'])\nsys.exit('not today')\n"
    )
    world.config(hooks=(f"{sys.executable} {veto}",))
    code, _, told = world.run("cutover", "chat", "--percent", "1", "--execute")
    assert (code, "not today" in told) == (3, True)
    world.config(hooks=("/no/such/hook",))
    assert world.run("cutover", "chat", "--percent", "1", "--execute")[0] == 3
    world.config(hooks=(f"{sys.executable} -c pass",))
    assert world.run("cutover", "chat", "--percent", "1", "--execute")[0] == 0
    world.metrics.stop()
    code, _, told = world.run("cutover", "chat", "--percent", "10", "--execute")
    assert (code, "does not answer" in told) == (3, True)
    # Fewer is a way back, and needs no gate.
    assert world.run("cutover", "chat", "--percent", "0.5", "--execute")[0] == 0
    assert world.percents() == {"*": 0.5}
    world.metrics = Metrics()


def test_a_gate_can_be_left_out_by_name_with_a_reason(world: World) -> None:
    assert world.run("cutover", "chat", "--percent", "1", "--execute", "--without-gate", "comparison")[0] == 2
    wrong = ("--without-gate", "nonsense", "--note", "x")
    assert world.run("cutover", "chat", "--percent", "1", "--execute", *wrong)[0] == 2
    why = ("--without-gate", "comparison", "--note", "a pilot of two people")
    assert world.run("cutover", "chat", "--percent", "1", "--execute", *why)[0] == 0
    assert next(Journal(world.table).entries()).arguments["without_gates"] == ["comparison"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("cutover", "chat", "--percent", "150", "--execute"), 2),
        (("cutover", "chat", "--percent", "-1", "--execute"), 2),
        (("cutover", "chat", "--percent", "nan", "--execute"), 2),
        (("cutover", "nope", "--percent", "1", "--execute"), 2),
        (("cutover", "chat", "--execute"), 2),
        (("cutover", "chat", "--percent", "1", "--steps"), 2),
        (("cutover", "chat", "--percent", "1", "--tenant", "*"), 2),
        (("rollback", "nope"), 2),
        (("journal", "--since", "yesterday"), 2),
    ],
)
def test_what_makes_no_sense_changes_nothing(world: World, arguments: tuple[str, ...], code: int) -> None:
    world.verdict()
    got, _, told = world.run(*arguments)
    assert got == code, told
    assert told.strip()
    assert world.flags.all() == []


def test_without_a_table_and_without_a_permission(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.dynamodb.delete_table(TableName=world.table.name)
    for arguments in (("cutover", "status"), ("rollback", "chat"), ("journal",)):
        code, _, told = world.run(*arguments)
        assert (code, "there is no table" in told, "hint:" in told) == (2, True, True), told
    code, said, told = world.run("cutover", "chat", "--percent", "1")
    assert (code, "stands at 0 %" in said, "there is no table" in told) == (4, True, True)


@pytest.mark.parametrize("percent", ["nan", "NaN", "inf"])
def test_no_number_is_no_percentage(world: World, percent: str) -> None:
    world.verdict()
    code, _, stderr = world.run("cutover", "chat", "--percent", percent, "--execute")
    assert (code, world.percents(), world.actions()) == (2, {}, [])
    assert "percent" in stderr


def test_an_empty_hook_is_a_closed_gate_and_no_traceback(world: World) -> None:
    world.verdict()
    world.config(hooks=("",))
    code, _, stderr = world.run("cutover", "chat", "--percent", "1", "--execute")
    assert code in {2, 3}, stderr
    assert world.percents() == {}
