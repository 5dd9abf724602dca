"""A drain waits for the cut-over: nobody is closed who has nowhere to go (MG10). until phase 3"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from typer.testing import CliRunner, Result

from migrate.cli import app
from migrate.config import Config
from migrate.config.model import Feature
from migrate.control.flags import EVERY_TENANT, Flags
from migrate.control.journal import Journal
from migrate.control.locks import Locks
from migrate.control.table import ControlTable
from migrate.drain.run import Drain

from .conftest import World, connection

Command = Callable[..., Result]
REASON = ("--without-gate", "features", "--note", "they do not ask for the flag")


@pytest.fixture
def features() -> tuple[str, ...]:
    return ("chat", "typing")


@pytest.fixture
def migrate(config: Config, features: tuple[str, ...], world: World, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`migrate drain …` on the world, with one person connected."""
    settings = replace(
        config.settings,
        features=tuple(Feature(name=name) for name in features),
        drain=replace(config.settings.drain, notice_s=0.0),
    )
    found = Config(settings, config.path)
    for name in ("drain", "rollback"):
        # By its name: the package has commands of the same names.
        monkeypatch.setattr(importlib.import_module(f"migrate.cli.{name}"), "resolve_config", lambda *_: found)
    one = connection("ann")
    config.client("dynamodb").put_item(TableName="Connections", Item={"id": {"S": one}, "user": {"S": "ann"}})
    world.living.add(one)
    return lambda *arguments: CliRunner().invoke(app, arguments)


@pytest.fixture
def shared(config: Config) -> ControlTable:
    table = ControlTable(config.client("dynamodb"), "state", "chat")
    table.ensure()
    return table


def move(table: ControlTable, feature: str, percent: float, tenant: str = EVERY_TENANT) -> None:
    flags = Flags(table)
    flags.change(feature, tenant, percent, flags.get(feature, tenant))


@pytest.mark.parametrize(
    ("percents", "said"),
    [
        ({EVERY_TENANT: 99.0}, "typing at 99 %"),
        ({EVERY_TENANT: 100.0, "acme": 50.0}, "typing at 50 %"),
        ({"acme": 100.0}, "typing at 0 %"),
        ({}, "typing at 0 %"),
    ],
)
def test_nobody_is_closed_before_everybody_has_moved(
    migrate: Command, world: World, shared: ControlTable, percents: dict[str, float], said: str
) -> None:
    """Exit code 5, and nothing was done, for a feature or one of its tenants that lags behind."""
    move(shared, "chat", 100)
    for tenant, percent in percents.items():
        move(shared, "typing", percent, tenant)
    done = migrate("drain", "start", "--execute")
    assert done.exit_code == 5, done.output
    assert f"not everybody has moved: {said};" in done.stderr
    assert "--without-gate features --note" in done.stderr
    assert world.updates == 0
    assert not world.told
    assert next(Journal(shared).entries(limit=1)).outcome == "refused"


def test_when_everybody_has_moved_it_drains(migrate: Command, world: World, shared: ControlTable) -> None:
    for feature in ("chat", "typing"):
        move(shared, feature, 100)
    done = migrate("drain", "start", "--execute", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["status"] == "drained"
    assert not world.living


def test_a_reason_opens_it_and_is_kept(migrate: Command, world: World, shared: ControlTable) -> None:
    assert migrate("drain", "start", "--execute", *REASON[:2]).exit_code == 2
    assert migrate("drain", "start", "--execute", "--without-gate", "comparison", "--note", "x").exit_code == 2
    done = migrate("drain", "start", "--execute", *REASON)
    assert done.exit_code == 0, done.output
    assert not world.living
    entry = next(Journal(shared).entries(limit=1))
    assert entry.arguments["note"] == entry.facts["without_gate_because"] == "they do not ask for the flag"
    assert entry.facts["features"] == {"chat": 0.0, "typing": 0.0}


def test_after_undo_there_is_nothing_to_undo(migrate: Command, world: World, shared: ControlTable) -> None:
    """It said that nobody is refused, and that --execute lets them in."""
    assert migrate("drain", "start", "--execute", *REASON).exit_code == 0
    assert "--execute does it" in migrate("drain", "undo").stderr
    assert migrate("drain", "undo", "--execute").exit_code == 0
    again = migrate("drain", "undo")
    assert (again.exit_code, again.stderr) == (0, "there is nothing to undo\n")
    assert again.stdout.startswith("undone: ") and "would_put_back" not in migrate("drain", "undo", "--json").stdout


def test_what_was_begun_with_a_reason_goes_on_with_it(
    migrate: Command, world: World, shared: ControlTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Drain, "_announce", killed)
        assert migrate("drain", "start", "--execute", *REASON).exit_code != 0
    assert migrate("drain", "start", "--execute").exit_code == 0
    assert not world.living
    # Another drain needs one of its own.
    assert migrate("drain", "undo", "--execute").exit_code == 0
    assert migrate("drain", "start", "--execute").exit_code == 5


def test_the_dry_run_lists_the_features(migrate: Command, world: World) -> None:
    """Also before there is any shared state; and it does not send people to --execute, which would refuse."""
    done = migrate("drain", "start")
    assert done.exit_code == 5, done.output
    assert "feature chat: 0 % of every tenant moved" in done.stdout
    assert "--execute would be refused (exit code 5): not everybody has moved: chat at 0 %" in done.stderr
    assert "--execute does it" not in done.stderr
    assert "--execute does it" in migrate("drain", "start", *REASON).stderr
    value = json.loads(migrate("drain", "start", "--json").stdout)
    assert value["features"] == {"chat": 0.0, "typing": 0.0}
    assert "not everybody has moved" in value["refused_because"]
    assert world.updates == 0


@pytest.mark.parametrize("features", [()])
def test_without_features_it_says_so_and_drains(migrate: Command, world: World) -> None:
    done = migrate("drain", "start")
    assert "no features in the configuration" in done.stdout
    assert "--execute does it" in done.stderr
    assert migrate("drain", "start", "--execute").exit_code == 0
    assert not world.living


def test_a_rollback_says_that_nobody_can_come_back_yet(migrate: Command, shared: ControlTable) -> None:
    """It is done, with exit code 0, and says loudly what else is needed; after `undo` there is nothing to say."""
    for feature in ("chat", "typing"):
        move(shared, feature, 100)
    assert json.loads(migrate("rollback", "typing", "--json").stdout)["warnings"] == []
    move(shared, "typing", 100)
    assert migrate("drain", "start", "--execute").exit_code == 0
    done = migrate("rollback", "chat")
    assert done.exit_code == 0, done.output
    assert "chat (every tenant): 100 % -> 0 %" in done.stdout
    assert "WARNING: new WebSocket connections are refused" in done.stderr
    assert "migrate drain undo --execute" in done.stderr
    done = migrate("rollback", "chat", "--json")
    assert "migrate drain undo --execute" in json.loads(done.stdout)["warnings"][0]
    assert "WARNING" in done.stderr
    assert next(Journal(shared).entries(limit=1)).facts["warnings"]
    assert migrate("drain", "undo", "--execute").exit_code == 0
    done = migrate("rollback", "chat", "--json")
    assert json.loads(done.stdout)["warnings"] == []
    assert "WARNING" not in done.stderr


def test_one_that_was_cut_off_is_not_said_to_stop(migrate: Command, world: World, shared: ControlTable) -> None:
    """Nobody is at work who could: what is to be done is said instead."""
    state = {"pk": "drain#a1", "sk": "prod", "drain": "drain-1", "status": "draining", "phase": "close"}
    shared.put(state)
    done = migrate("drain", "stop")
    assert done.exit_code == 5, done.output
    assert "the drain is interrupted" in done.stderr
    assert "`migrate drain start --execute` goes on" in done.stderr
    with Locks(shared).hold("drain-a1-prod", "ann"):
        done = migrate("drain", "stop")
    assert done.exit_code == 0, done.output
    assert "the drain stops" in done.stderr
