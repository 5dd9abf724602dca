"""`migrate bridge stop` is in the journal, and needs it not. until phase 3"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from typer.testing import CliRunner

from migrate.cli import bridge
from migrate.control.journal import Journal
from migrate.control.table import ControlTable
from migrate.errors import MigrateError
from migrate.up.state import StateDir


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateDir:
    """Of two stacks that run, whose bridge has just gone down."""
    state = StateDir(tmp_path)
    monkeypatch.setattr(StateDir, "running", lambda _: {})
    monkeypatch.setattr(bridge, "_config", lambda _: SimpleNamespace(api=SimpleNamespace(id="abc")))
    (tmp_path / "up.json").write_text(json.dumps({"pids": {}}))
    return state


def test_that_the_bridge_was_stopped_is_in_the_journal(
    aws: None, state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = ControlTable(boto3.client("dynamodb", "eu-west-1"), "state")
    table.ensure()
    monkeypatch.setattr(bridge, "state_table", lambda _: table)
    done = CliRunner().invoke(bridge.app, ["stop", "--state-dir", str(state.path)])
    assert done.exit_code == 0, done.output
    [entry] = Journal(table).entries()
    assert (entry.action, entry.arguments, entry.outcome) == ("bridge stop", {"api": "abc"}, "done")
    assert state.bridge_held.exists()


def test_a_journal_that_is_away_keeps_nobody_from_stopping_it(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: object) -> ControlTable:
        raise MigrateError("the state table does not answer", "")

    monkeypatch.setattr(bridge, "state_table", away)
    done = CliRunner().invoke(bridge.app, ["stop", "--state-dir", str(state.path)])
    assert done.exit_code == 0, done.output
    assert "not in the journal: the state table does not answer" in done.stderr
    assert state.bridge_held.exists()
