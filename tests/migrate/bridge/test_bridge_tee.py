"""Without the tee nothing crosses to SSE: the bridge's status says so, and its start mends it. until phase 3"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner, Result

import migrate.tee.setup
from migrate.cli import app
from migrate.config.model import Api, Project, Settings
from migrate.config.write import to_toml
from migrate.control.table import ControlTable
from migrate.tee.consumers import TeeState
from migrate.tee.install import InstalledTee
from migrate.up.state import STACK, StateDir

REGION = "eu-west-1"
FUNCTIONS = tuple(f"arn:aws:lambda:{REGION}:1:function:f{number}" for number in range(5))


@dataclass
class World:
    """A stack of `migrate up` whose tee is on some functions."""

    state: StateDir
    tee: TeeState
    on: set[str]
    up: dict[str, Any]

    def migrate(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, "--state-dir", str(self.state.path)])


@pytest.fixture
def world(aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    state = StateDir(tmp_path)
    state.configs.mkdir()
    settings = Settings(project=Project(name="p", state_table="state"), api=Api(id="abc", stage="prod", region=REGION))
    (state.configs / f"{STACK}.toml").write_text(to_toml(settings), encoding="utf-8")
    up: dict[str, Any] = {"status": "ready", "pids": {"bridge": 4711}, "env": {}}
    monkeypatch.setattr(StateDir, "running", lambda _: up)
    monkeypatch.setattr(StateDir, "read_up", lambda _: up)
    state.bridge_status.write_text(json.dumps({"pid": 4711, "live": True, "to_sse": 9}), encoding="utf-8")

    on = set(FUNCTIONS)

    def installs(*_: Any) -> InstalledTee:
        changed = tuple(sorted(set(FUNCTIONS) - on))
        on.update(FUNCTIONS)
        return InstalledTee("https://queue", FUNCTIONS, changed)

    setup = migrate.tee.setup
    monkeypatch.setattr(setup, "functions_of_api", lambda *_: list(FUNCTIONS))
    monkeypatch.setattr(setup, "is_installed", lambda _, name: name in on)
    monkeypatch.setattr(setup, "install_tee", installs)
    table = ControlTable(boto3.client("dynamodb", REGION), "state", "p")
    table.ensure()
    found = World(state, TeeState(table, "abc"), on, up)
    found.tee.add("bridge", "https://queue")
    return found


def test_with_the_tee_it_is_well(world: World) -> None:
    done = world.migrate("bridge", "status")
    assert done.exit_code == 0, done.output
    assert "tee: on 5 of 5 functions" in done.stdout
    assert json.loads(world.migrate("bridge", "status", "--json").stdout)["tee"]["lacks"] is None


def test_a_bridge_without_the_tee_is_not_well_and_start_puts_it_on(world: World) -> None:
    """Also one that runs: nobody has to stop it first."""
    world.on -= {FUNCTIONS[0], FUNCTIONS[3]}
    done = world.migrate("bridge", "status")
    assert done.exit_code == 3
    assert "tee: on 3 of 5 functions" in done.stdout
    assert "without it: f0, f3" in done.stderr
    assert "`migrate bridge start`" in done.stderr
    done = world.migrate("bridge", "start")
    assert done.exit_code == 0, done.output
    assert "the tee was missing on 2 of 5 functions" in done.stderr
    assert world.migrate("bridge", "status").exit_code == 0


def test_a_bridge_that_does_not_read_the_tee_gets_nothing(world: World) -> None:
    """The tee is on again for the shadow, but nobody hands anything to the bridge: `shadow stop --all-readers`."""
    world.tee.remove("bridge")
    done = world.migrate("bridge", "status")
    assert done.exit_code == 3
    assert "taken away from the tee's readers" in done.stderr
    assert world.migrate("bridge", "start").exit_code == 0
    assert [one.name for one in world.tee.consumers()] == ["bridge"]
    assert world.migrate("bridge", "status").exit_code == 0


def test_counters_are_those_of_the_process_named(world: World) -> None:
    """Right after a kill -9 the file is still the dead one's: nothing of it is the new one's since its start."""
    view = json.loads(world.migrate("bridge", "status", "--json").stdout)
    assert (view["state"], view["to_sse"]) == ("running", 9)
    world.state.bridge_status.write_text(json.dumps({"pid": 4710, "live": True, "to_sse": 77}), encoding="utf-8")
    view = json.loads(world.migrate("bridge", "status", "--json").stdout)
    assert (view["state"], view["pid"], "to_sse" in view) == ("starting", 4711, False)
    said = world.migrate("bridge", "status").stdout
    assert "starting (pid 4711), since its start" in said
    assert "77" not in said
    world.up["pids"] = {}
    said = world.migrate("bridge", "status").stdout
    assert "of the one that has ended" in said
    assert "77" in said
