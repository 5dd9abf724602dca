"""`migrate shadow stop` while the bridge reads the tee as well: it stays, and that is said. until phase 3"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from migrate.cli import app
from migrate.config.model import Api, Project, Settings
from migrate.config.write import to_toml
from migrate.control.locks import Locks
from migrate.control.table import ControlTable
from migrate.tee.consumers import TeeState

REGION = "eu-west-1"


@pytest.fixture
def readers(aws: None, tmp_path: Path) -> TeeState:
    settings = Settings(project=Project(name="p", state_table="state"), api=Api(id="abc", stage="prod", region=REGION))
    (tmp_path / "own.toml").write_text(to_toml(settings), encoding="utf-8")
    table = ControlTable(boto3.client("dynamodb", REGION), "state")
    table.ensure()
    return TeeState(table, "abc")


def _stop(folder: Path, *more: str) -> Any:
    options = ("--config", str(folder / "own.toml"), "--state-dir", str(folder / "state"))
    done = CliRunner().invoke(app, ["shadow", "stop", *options, *more], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def test_who_still_reads_it_is_said_with_the_command_that_takes_it_off(readers: TeeState, tmp_path: Path) -> None:
    readers.add("bridge", "https://queue")
    readers.add("shadow", "https://queue")
    command = f"migrate shadow stop --all-readers --config {tmp_path / 'own.toml'}"
    told = _stop(tmp_path).stderr
    assert "the tee stays on the functions, since the bridge reads it as well" in told
    assert f"`{command}` takes it off" in told
    view = json.loads(_stop(tmp_path, "--json").stdout)
    assert (view["tee"], view["readers"], view["take_off"]) == ("stays for the bridge", ["bridge"], command)


def test_that_the_tee_goes_from_under_a_bridge_is_said_with_what_brings_it_back(
    readers: TeeState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loudly while it runs: what WebSocket users say is not seen on SSE from then on."""
    monkeypatch.setattr("migrate.tee.setup.tee_functions", lambda _: ())
    readers.add("bridge", "https://queue")
    table = ControlTable(boto3.client("dynamodb", REGION), "state", "p")
    with Locks(table).hold("bridge#abc", "ann@build1 (pid 7)"):
        told = _stop(tmp_path, "--all-readers").stderr
    assert "WARNING: the tee was taken from under the bridge, which runs (ann@build1 (pid 7))" in told
    assert f"`migrate bridge run --config {tmp_path / 'own.toml'}`" in told
    readers.add("bridge", "https://queue")
    done = _stop(tmp_path, "--all-readers", "--json")
    assert json.loads(done.stdout)["taken_from"] == ["bridge"]
    assert "does not run now" in done.stderr
    assert "WARNING" not in _stop(tmp_path, "--all-readers").stderr
