"""A project with a configuration, and AWS. until phase 3"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
from typer.testing import CliRunner

from migrate.cli import app
from migrate.config.model import Api, Feature, Project, Settings, Sse, Table
from migrate.config.write import to_toml
from migrate.control.table import ControlTable

__all__ = ["SETTINGS", "Rehearsed"]

SETTINGS = Settings(
    project=Project(name="chat", state_table="state"),
    api=Api(id="abc", stage="prod", region="eu-west-1"),
    sse=Sse(url=""),
    tables=(Table(name="connections", role="connections", key="connectionId"),),
    features=(Feature(name="chat", types=("sendMessage",)), Feature(name="runs", types=("agent_run",))),
)


class Rehearsed:
    """A directory with a configuration, and AWS.

    Args:
        config: the file, below the directory.
    """

    def __init__(self, folder: Path, config: str = "migrate.toml", settings: Settings = SETTINGS) -> None:
        self.folder = folder
        self.config = folder / config
        self.config.parent.mkdir(parents=True, exist_ok=True)
        self.config.write_text(to_toml(settings), encoding="utf-8")
        self.table = ControlTable(boto3.client("dynamodb", "eu-west-1"), "state")

    def migrate(self, *arguments: str) -> Any:
        return CliRunner().invoke(app, [*arguments, "--config", str(self.config)])

    def items(self, phase: int, *more: str) -> dict[str, Any]:
        done = self.migrate(f"phase{phase}", "--json", *more)
        assert done.exit_code == 0, done.output
        return {item["id"]: item for item in json.loads(done.stdout)["items"]}
