"""A project on a DynamoDB of the loopback interface, and its users' connections. until phase 3"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from migrate.control.table import ControlTable

from .cutover_support import USERS, Metrics, World


@pytest.fixture
def world(moto_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    env = {
        "AWS_ENDPOINT_URL": moto_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "eu-west-1",
        "MIGRATE_ACTOR": "tester",
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    dynamodb = boto3.client("dynamodb", region_name="eu-west-1", endpoint_url=moto_url)
    table = ControlTable(dynamodb, f"state-{time.time_ns()}")
    table.ensure()
    metrics = Metrics()
    made = World(table, metrics, tmp_path / "migrate.toml", dynamodb, env)
    made.config()
    yield made
    # Also the one that a test has put in its place: a thread that nobody ends keeps the whole run from ending.
    made.metrics.stop()
    metrics.stop()


@pytest.fixture
def connections(world: World) -> Iterator[None]:
    world.dynamodb.create_table(
        TableName="connections",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "connectionId", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "connectionId", "KeyType": "HASH"}],
    )
    for n, user in enumerate([*USERS, USERS[0]]):  # one of them with two devices
        item = {"connectionId": {"S": f"c{n}"}, "userId": {"S": user}, "tenantId": {"S": "acme" if n % 2 else "demo"}}
        world.dynamodb.put_item(TableName="connections", Item=item)
    yield
    world.dynamodb.delete_table(TableName="connections")
