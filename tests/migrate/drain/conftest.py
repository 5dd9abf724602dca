"""A stage, its connections, and a configuration that reaches them. until phase 3"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from migrate.config import Config
from migrate.config.model import Api, Cleanup, Drain, Project, Settings, Sse, Table
from migrate.control.table import ControlTable


def connection(name: object) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(str(name).encode()).digest()[:11]).decode()


def _error(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "x")


class World:
    """API Gateway: one stage and who is connected.

    Attributes:
        meddle: told every call before it is made.
    """

    def __init__(self) -> None:
        self.stage: dict[str, Any] = {"StageName": "prod", "DefaultRouteSettings": {"LoggingLevel": "INFO"}}
        self.routes = ["$connect", "$default"]
        self.living: set[str] = set()
        self.told: list[str] = []
        self.closed: list[str] = []
        self.updates = 0
        self.meddle: Callable[[str], None] = lambda _: None
        # Who waits to come in with the next read of the tables.
        self.frames: list[bytes] = []

    # apigatewayv2

    def get_stage(self, **_: str) -> dict[str, Any]:
        return self.stage

    def get_routes(self, **_: str) -> dict[str, Any]:
        return {"Items": [{"RouteKey": key} for key in self.routes]}

    def update_stage(self, RouteSettings: dict[str, Any], **_: str) -> None:  # noqa: N803 - AWS's names
        self.meddle("update_stage")
        self.updates += 1
        self.stage["RouteSettings"] = RouteSettings

    def delete_route_settings(self, RouteKey: str, **_: str) -> None:  # noqa: N803
        self.stage["RouteSettings"].pop(RouteKey, None)

    # apigatewaymanagementapi

    def get_connection(self, ConnectionId: str) -> dict[str, Any]:  # noqa: N803
        self.meddle("get_connection")
        self._alive(ConnectionId)
        return {"Identity": {"UserAgent": "their-app/1"}}

    def post_to_connection(self, ConnectionId: str, Data: bytes) -> None:  # noqa: N803
        self.meddle("post_to_connection")
        self._alive(ConnectionId)
        self.told.append(ConnectionId)
        self.frames.append(Data)

    def delete_connection(self, ConnectionId: str) -> None:  # noqa: N803
        self.meddle("delete_connection")
        self._alive(ConnectionId)
        self.living.discard(ConnectionId)
        self.closed.append(ConnectionId)

    def _alive(self, one: str) -> None:
        if one not in self.living:
            raise _error("GoneException", 410)


class Clock:
    """Time that goes on when somebody waits, and `step` whenever somebody looks."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self._step = 1000.0, step

    def time(self) -> float:
        self.now += self._step
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def config(aws: None, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    settings = Settings(
        project=Project(name="chat", state_table="state"),
        api=Api(id="a1", stage="prod", region="eu-west-1"),
        sse=Sse(url="https://sse.example"),
        tables=(Table(name="Connections", role="connections", key="id", user="user"),),
        drain=Drain(
            rate_per_s=1e6,
            announce_per_s=1e6,
            notice_s=5.0,
            frame={"type": "move", "to": "{$sse_url}", "who": "{$user}"},
        ),
        cleanup=Cleanup(get_connection_per_s=1e6, settle_s=0.0),
    )
    dynamodb = boto3.client("dynamodb", "eu-west-1")
    dynamodb.create_table(
        TableName="Connections",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    monkeypatch.setattr(Config, "client", lambda _, name, **__: dynamodb if name == "dynamodb" else world)
    return Config(settings, tmp_path / "migrate.toml")


@pytest.fixture
def control(config: Config) -> ControlTable:
    table = ControlTable(config.client("dynamodb"), "state")
    table.ensure()
    return table
