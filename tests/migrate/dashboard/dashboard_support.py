"""An account, and a configuration of two features, for what the dashboard's sources find. until phase 3 (MG18)"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3

from migrate.config.load import Config
from migrate.config.model import Api, Feature, Project, Settings, Sse, Table
from migrate.control.table import ControlTable
from migrate.dashboard.sources import Clients

SETTINGS = Settings(
    project=Project(name="chat", state_table="state"),
    api=Api(id="abc", stage="prod", region="eu-west-1"),
    sse=Sse(url=""),
    tables=(Table(name="connections", role="connections", key="connectionId"),),
    features=(Feature(name="chat"), Feature(name="runs")),
)


class World:
    """A configuration, and an AWS to go with it."""

    def __init__(self, folder: Path) -> None:
        self.config = Config(SETTINGS, folder / "migrate.toml")
        self.clients = Clients(self.config)
        self.dynamodb = boto3.client("dynamodb", "eu-west-1")
        self.table = ControlTable(self.dynamodb, "state")

    def with_(self, **parts: Any) -> Clients:
        return Clients(Config(replace(SETTINGS, **parts), self.config.path))
