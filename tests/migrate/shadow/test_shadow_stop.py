"""`migrate shadow stop` while the bridge reads the tee as well: it stays, and that is said. until phase 3"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner

from migrate.cli import app
from migrate.config.model import Api, Project, Settings
from migrate.config.write import to_toml
from migrate.control.table import ControlTable
from migrate.tee.consumers import TeeState

REGION = "eu-west-1"


@pytest.fixture
def readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TeeState]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    settings = Settings(project=Project(name="p", state_table="state"), api=Api(id="abc", stage="prod", region=REGION))
    (tmp_path / "own.toml").write_text(to_toml(settings), encoding="utf-8")
    with mock_aws():
        table = ControlTable(boto3.client("dynamodb", REGION), "state")
        table.ensure()
        yield TeeState(table, "abc")


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
