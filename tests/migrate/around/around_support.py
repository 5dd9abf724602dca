"""A stack's configuration, and AWS. until phase 3"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from typer.testing import CliRunner, Result

from migrate.cli import app
from migrate.config import Config, load_config
from migrate.config.model import Api, Feature, Function, Project, Settings, Sse, Table
from migrate.config.write import to_toml
from migrate.control.journal import Journal
from migrate.control.table import ControlTable

REGION = "eu-west-1"


def settings(name: str = "chat", **sse: Any) -> Settings:
    return Settings(
        project=Project(name=name, state_table="state"),
        api=Api(id="abc", stage="prod", region=REGION),
        sse=Sse(
            **{
                "url": "https://sse.example.com", "table_prefix": "sse", "load_balancer": "app/sse/1",
                "ecs_cluster": "c", "ecs_service": "s", **sse,
            }
        ),
        tables=(Table(name="connections", role="connections", key="connectionId"),),
        functions=(Function(name="chat-handler"),),
        features=(Feature(name="chat"),),
    )  # fmt: skip


@dataclass
class World:
    folder: Path
    path: Path

    def configure(self, name: str = "chat", **sse: Any) -> Config:
        self.path.write_text(to_toml(settings(name, **sse)), encoding="utf-8")
        return load_config(self.path)

    def migrate(self, *arguments: str, code: int = 0) -> Result:
        done = CliRunner().invoke(app, [*arguments, "--config", str(self.path)])
        assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
        assert done.exit_code == code, done.output
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self.migrate(*arguments, "--json").stdout)

    @property
    def table(self) -> ControlTable:
        return ControlTable(boto3.client("dynamodb", REGION), "state")

    def actions(self) -> list[tuple[str, str]]:
        return [(entry.action, entry.outcome) for entry in Journal(self.table).entries()][::-1]
