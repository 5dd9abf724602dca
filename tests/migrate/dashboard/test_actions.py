"""What an operator's request becomes, and what becomes of it. until phase 3 (MG18)"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer.main

from migrate.cli import app
from migrate.dashboard.action_table import ACTIONS, WrongActionError, planned, told
from migrate.dashboard.actions import TOKEN_VARIABLE, BusyError, Operator

WAIT_S = 20.0
ARGUMENTS: dict[str, dict[str, Any]] = {
    "cutover": {"feature": "chat", "percent": 12.5, "tenant": "acme"},
    "rollback": {"feature": "chat", "tenant": "acme"},
    "sweep-throttle": {"delete_per_s": 3, "paused": True, "table": "connections"},
    "sweep-stop": {"table": "connections"},
}


@pytest.mark.parametrize("execute", [True, False])
@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_is_a_command_that_there_is(name: str, execute: bool) -> None:
    """A renamed command or option fails here. Only what is told to do something has a word that does it."""
    words = planned(name, ARGUMENTS.get(name, {}), execute=execute)
    command: Any = typer.main.get_command(app)
    while rest := getattr(command, "commands", {}).get(words[0] if words else ""):
        command, words = rest, words[1:]
    made = command.make_context(name, words)
    assert made.invoked_subcommand is None
    doing = {"execute", "pause", "stop", "delete_per_s", "now"}
    if not execute:
        assert not any(made.params.get(option) for option in doing)
        assert command.name not in {"rollback", "stop", "pause", "resume"}
    assert {"config", "state_dir"} <= {parameter.name for parameter in command.params}


def test_the_words_of_a_cut_over() -> None:
    assert planned("cutover", {"feature": "chat", "percent": 5}, execute=True) == [
        "cutover", "--execute", "--percent=5.0", "--json", "--", "chat",
    ]  # fmt: skip
    assert planned("rollback", {"feature": "chat"}, execute=True) == ["rollback", "--json", "--", "chat"]


def test_a_way_back_is_not_held_up_by_what_is_shown_before() -> None:
    """Neither users are counted nor hooks run, and a feature that the file does not name any more is no mistake."""
    assert planned("rollback", {"feature": "gone", "tenant": "acme"}, execute=False) == ["cutover", "status", "--json"]


def test_what_looks_like_an_option_is_none() -> None:
    words = planned("cutover", {"feature": "--help", "percent": 5, "tenant": "--execute"}, execute=False)
    assert words == ["cutover", "--percent=5.0", "--tenant=--execute", "--json", "--", "--help"]


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("rm", {}, "no such action"),
        (None, {}, "no such action"),
        (["cutover"], {}, "no such action"),
        ("cutover", [], "must be an object"),
        ("cutover", {"percent": 5}, "needs feature"),
        ("cutover", {"feature": "chat"}, "needs percent"),
        ("cutover", {"feature": "chat", "percent": 101}, "percent"),
        ("cutover", {"feature": "chat", "percent": True}, "percent"),
        ("cutover", {"feature": "chat", "percent": float("nan")}, "percent"),
        ("cutover", {"feature": "chat", "percent": "5"}, "percent"),
        ("cutover", {"feature": "a b", "percent": 5}, "feature"),
        ("cutover", {"feature": "status", "percent": 5}, "feature"),
        ("cutover", {"feature": "chat", "percent": 5, "tenant": "a\nb"}, "tenant"),
        ("cutover", {"feature": "chat", "percent": 5, "tenant": "x" * 257}, "tenant"),
        ("cutover", {"feature": "chat", "percent": 5, "tenant": "\ud800"}, "tenant"),
        ("cutover", {"feature": "chat", "percent": 10**400}, "percent"),
        ("cutover", {"feature": "chat", "percent": 5, "without_gate": "hook"}, "takes no without_gate"),
        ("drain-start", {"no_refuse": True}, "takes no no_refuse"),
        ("sweep-throttle", {}, "needs delete_per_s or paused"),
        ("sweep-throttle", {"table": "t"}, "needs delete_per_s or paused"),
        ("sweep-throttle", {"delete_per_s": 0}, "delete_per_s"),
        ("sweep-throttle", {"delete_per_s": float("inf")}, "delete_per_s"),
        ("sweep-throttle", {"delete_per_s": float("nan")}, "delete_per_s"),
        ("sweep-throttle", {"delete_per_s": 10**400}, "delete_per_s"),
        ("sweep-throttle", {"paused": "yes"}, "paused"),
    ],
)
def test_what_is_not_in_the_table_is_not_done(name: Any, arguments: Any, said: str) -> None:
    with pytest.raises(WrongActionError, match=said):
        planned(name, arguments, execute=True)


@pytest.mark.parametrize("name", ACTIONS)
def test_what_the_page_is_told_to_ask_for_is_what_is_taken(name: str) -> None:
    """At its limits an argument is taken; beyond them it is not."""
    said = told()[name]
    assert json.loads(json.dumps(said)) == said
    assert {one["name"] for one in said["asks"]} <= set(said["takes"])
    given = ARGUMENTS.get(name, {})
    for one in said["asks"]:
        if one["kind"] == "number":
            fits, unfit = [one["least"], one["most"]], [one["least"] - 0.001, one["most"] + 1]
        elif one["kind"] == "text":
            fits, unfit = ["x", "x" * one["longest"]], ["x" * (one["longest"] + 1)]
        else:
            fits, unfit = [True, False], ["yes"]
        for value in fits:
            assert planned(name, {**given, one["name"]: value}, execute=True)
        for value in unfit:
            with pytest.raises(WrongActionError, match=one["name"]):
                planned(name, {**given, one["name"]: value}, execute=True)
        without = {key: value for key, value in given.items() if key != one["name"]}
        if one["required"]:
            with pytest.raises(WrongActionError, match=f"needs {one['name']}"):
                planned(name, without, execute=True)
        else:
            assert planned(name, without, execute=True)


def echo(script: str, **waits: float) -> Operator:
    return Operator(["--config=c"], (sys.executable, "-c", script), **waits)


async def test_an_answer_is_what_the_command_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "not for children")
    monkeypatch.setenv("MIGRATE_ACTOR", "ann")
    script = """
import json, os, sys
print(json.dumps({"argv": sys.argv[1:], "actor": os.environ["MIGRATE_ACTOR"],
                  "token": os.environ.get("MIGRATE_OPERATOR_TOKEN")}))
print("error: Bearer abcdefghijklmnop is no token", file=sys.stderr)
sys.exit(3)"""
    answer = await echo(script).act("cutover", {"feature": "chat", "percent": 5}, execute=True)
    assert answer.exit_code == 3
    assert answer.stdout == {
        "argv": ["cutover", "--execute", "--percent=5.0", "--json", "--config=c", "--", "chat"],
        "actor": "ann (dashboard)",
        "token": None,
    }
    assert "abcdefghijklmnop" not in answer.stderr and "is no token" in answer.stderr
    assert answer.as_json()["command"][:2] == ["migrate", "cutover"]


async def test_text_that_is_no_json_is_text() -> None:
    answer = await echo("print('plain')").act("drain-pause", {}, execute=True)
    assert (answer.exit_code, answer.stdout) == (0, "plain\n")
    assert (await echo("").act("drain-pause", {}, execute=True)).stdout is None


async def test_what_takes_hours_is_answered_as_running_and_goes_on(tmp_path: Path) -> None:
    """A drain is not waited for, and not ended with the request."""
    script = f"""
import pathlib, sys, time
here = pathlib.Path({str(tmp_path)!r})
print("begun", file=sys.stderr, flush=True)
(here / "begun").touch()
while not (here / "go").exists(): time.sleep(0.01)
(here / "ended").touch()"""
    operator = echo(script, do_s=0.01)
    answer = await operator.act("drain-start", {}, execute=True)
    assert answer.exit_code is None and answer.as_json()["running"]
    (tmp_path / "go").touch()
    await until(lambda: (tmp_path / "ended").exists())
    await until(lambda: operator._running == 0)


async def test_a_dry_run_that_hangs_is_ended(tmp_path: Path) -> None:
    operator = echo("import time; time.sleep(600)", look_s=0.2)
    answer = await operator.act("drain-start", {}, execute=False)
    assert answer.exit_code is not None and answer.exit_code != 0


async def test_the_program_ends_without_waiting_for_commands(tmp_path: Path) -> None:
    """Ctrl-C ends a dry run, and leaves alone what is being done."""
    script = f"""
import pathlib, time
here = pathlib.Path({str(tmp_path)!r})
(here / "begun").touch()
while not (here / "go").exists(): time.sleep(0.01)
(here / "ended").touch()"""
    operator = echo(script)
    doing = asyncio.create_task(operator.act("drain-start", {}, execute=True))
    await until((tmp_path / "begun").exists)
    looking = asyncio.create_task(operator.act("drain-start", {}, execute=False))
    await until(lambda: operator._running == 2)
    operator.close()
    assert (await doing).exit_code is None
    assert (await looking).exit_code == -9
    (tmp_path / "go").touch()
    await until((tmp_path / "ended").exists)
    await until(lambda: operator._running == 0)


async def test_not_everything_at_once(tmp_path: Path) -> None:
    script = f"""
import pathlib, time
while not (pathlib.Path({str(tmp_path)!r}) / "go").exists(): time.sleep(0.01)"""
    operator = echo(script)
    running = [asyncio.create_task(operator.act("drain-start", {}, execute=False)) for _ in range(4)]
    await until(lambda: operator._running == 4)
    with pytest.raises(BusyError):
        await operator.act("drain-start", {}, execute=False)
    (tmp_path / "go").touch()
    assert [answer.exit_code for answer in await asyncio.gather(*running)] == [0] * 4
    assert operator._running == 0


async def test_what_hangs_holds_up_no_way_back(tmp_path: Path) -> None:
    """Dry runs that wait for an AWS that is away, or a drain that takes hours."""
    script = f"""
import pathlib, sys, time
while "drain" in sys.argv and not pathlib.Path({str(tmp_path / "go")!r}).exists():
    time.sleep(0.01)
"""
    operator = echo(script)
    hanging = [asyncio.create_task(operator.act("drain-start", {}, execute=False)) for _ in range(4)]
    await until(lambda: operator._running == 4)
    try:
        for execute in (False, True):
            assert (await operator.act("rollback", {"feature": "chat"}, execute=execute)).exit_code == 0
            assert (await operator.act("shadow-kill", {}, execute=execute)).exit_code == 0
    finally:
        (tmp_path / "go").touch()
        await asyncio.gather(*hanging)


async def test_a_command_that_is_not_there_does_not_count_for_ever() -> None:
    operator = Operator((), ("/no/such/program",))
    for _ in range(6):
        with pytest.raises(OSError):
            await operator.act("drain-start", {}, execute=False)


async def until(condition: Any) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)
