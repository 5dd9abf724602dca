"""The old stack's connections as the bridge sees them: who is posted to, and whose one is (MG8). until phase 3"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from legacy_ws.dynamo import Table as DynamoTable
from legacy_ws.errors import ConnectionGoneError, SendFailedError
from legacy_ws.manager import ConnectionManager
from legacy_ws.schema import ConnectionSchema, Item
from migrate.bridge.connections import OWNERS, LegacyConnections
from migrate.bridge.core import NOBODY, Owner
from migrate.bridge.gateways import Gateways
from migrate.config import Config
from migrate.config.model import Api, Project, Settings, Table
from migrate.errors import UsageError

SCHEMA = ConnectionSchema(
    "connectionId", "ttl", "connectedAt", user="userId", tenant="tenantId", user_index="by-user",
    tenant_index="by-tenant",
)  # fmt: skip


class Posts:
    def __init__(self) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.gone: set[str] = set()
        self.stuck: set[str] = set()

    def post(self, connection_id: str, data: bytes) -> None:
        if connection_id in self.gone:
            raise ConnectionGoneError(connection_id)
        if connection_id in self.stuck:
            raise SendFailedError(connection_id, "throttled", retryable=True)
        self.got.append((connection_id, data))

    def disconnect(self, connection_id: str) -> None:
        raise AssertionError(connection_id)


@pytest.fixture
def dynamodb(aws: None) -> Any:
    client = boto3.client("dynamodb", "eu-west-1")
    index = [
        {"IndexName": name, "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
         "Projection": {"ProjectionType": "ALL"}}
        for name, key in (("by-user", "userId"), ("by-tenant", "tenantId"))
    ]  # fmt: skip
    client.create_table(
        TableName="connections",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": key, "AttributeType": "S"} for key in ("connectionId", "userId", "tenantId")
        ],
        KeySchema=[{"AttributeName": "connectionId", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=index,
    )
    for connection_id, user, tenant in (
        ("a1", "alice", "acme"), ("a2", "alice", "acme"), ("a3", "alice", "other"), ("b1", "bob", "acme"),
        ("c1", "carol", None), ("d1", None, None),
    ):  # fmt: skip
        item = {"connectionId": connection_id, "userId": user, "tenantId": tenant}
        client.put_item(
            TableName="connections", Item={key: {"S": value} for key, value in item.items() if value is not None}
        )
    return client


def connections(dynamodb: Any, posts: Posts | None = None, schema: ConnectionSchema = SCHEMA) -> LegacyConnections:
    manager = ConnectionManager(
        schema, DynamoTable(dynamodb, "connections"), posts or Posts(), ttl_s=1, sleep=lambda _: None
    )
    return LegacyConnections(schema, manager)


@pytest.mark.parametrize("schema", [SCHEMA, replace(SCHEMA, user_index=None, tenant_index=None)])
@pytest.mark.parametrize(
    ("to", "tenant", "who"),
    [
        ("user:alice", "acme", ["a1", "a2"]),
        # The same id in another tenant is another person on the SSE service.
        ("user:alice", "other", ["a3"]),
        ("tenant:acme", "acme", ["a1", "a2", "b1"]),
        ("tenant:acme", "other", []),
        ("user:nobody", "acme", []),
        # A row that names no tenant belongs to whoever asks, as on a stack that has none.
        ("user:carol", "acme", ["c1"]),
        ("all", "acme", ["a1", "a2", "b1", "c1", "d1"]),
    ],
)
def test_who_is_posted_to(dynamodb: Any, schema: ConnectionSchema, to: str, tenant: str, who: list[str]) -> None:
    found = connections(dynamodb, schema=schema)
    assert sorted(found.id_of(row) for row in found.to(to, tenant)) == who


def test_a_stack_without_tenants_is_one(dynamodb: Any) -> None:
    found = connections(dynamodb, schema=replace(SCHEMA, tenant=None, tenant_index=None))
    assert len(found.to("tenant:demo", "demo")) == 6
    assert found.tenants() == set()


def test_every_tenant_that_is_connected_is_known(dynamodb: Any) -> None:
    """Who only listens on WebSocket is owed what users of the new stack say, from the first moment."""
    assert connections(dynamodb).tenants() == {"acme", "other"}


def test_a_rule_for_nobody_is_an_error(dynamodb: Any) -> None:
    with pytest.raises(UsageError, match="room"):
        connections(dynamodb).to("room:main", "acme")
    with pytest.raises(UsageError, match="user"):
        connections(dynamodb, schema=replace(SCHEMA, user=None, user_index=None)).to("user:alice", "acme")


def test_a_virtual_connection_is_posted_to_where_it_is_and_keeps_its_row(dynamodb: Any) -> None:
    """While users move over, the table holds connections of both: gone is what neither of them knows."""
    api, service = Posts(), Posts()
    api.gone, service.gone = {"a1", "a2"}, {"a2", "b1"}
    manager = ConnectionManager(
        SCHEMA, DynamoTable(dynamodb, "connections"), Gateways([api, service]), ttl_s=1, sleep=lambda _: None
    )
    found = LegacyConnections(SCHEMA, manager)
    for row in found.to("tenant:acme", "acme"):
        assert found.post(row, {"n": 1}, 5.0)
    assert [one for one, _ in api.got] == ["b1"]
    assert [one for one, _ in service.got] == ["a1"]
    assert sorted(found.id_of(row) for row in found.to("tenant:acme", "acme")) == ["a1", "b1"]
    # One that cannot say does not make a row go.
    service.stuck.add("a1")
    row = next(row for row in found.to("user:alice", "acme"))
    assert not found.post(row, {"n": 2}, 0.1)
    assert [found.id_of(row) for row in found.to("user:alice", "acme")] == ["a1"]


def test_a_post_says_whether_it_may_be_missing(dynamodb: Any) -> None:
    posts = Posts()
    found = connections(dynamodb, posts)
    row: Item = {"connectionId": "a1"}
    assert found.post(row, {"type": "message", "message": "é"}, 5.0)
    assert [(one, data.decode()) for one, data in posts.got] == [("a1", '{"type":"message","message":"é"}')]
    posts.stuck.add("a1")
    assert not found.post(row, {"type": "message"}, 5.0)
    assert not found.post({"connectionId": "a2"}, {"type": "message"}, 0.0)
    # Gone is no loss, and its row goes with it.
    posts.gone.add("b1")
    assert found.post({"connectionId": "b1"}, {"type": "message"}, 5.0)
    assert found.to("user:bob", "acme") == []


def test_whose_a_connection_is_is_asked_for_once(dynamodb: Any) -> None:
    found = connections(dynamodb)
    assert found.owner_of("a1") == Owner("alice", "acme")
    assert found.owner_of("c1") == Owner("carol", None)
    assert found.owner_of("nobody") == NOBODY
    dynamodb.delete_item(TableName="connections", Key={"connectionId": {"S": "a1"}})
    assert found.owner_of("a1") == Owner("alice", "acme"), "a connection never changes its user"


def test_whose_a_connection_was_is_known_by_what_entered_over_it(dynamodb: Any) -> None:
    """Its row went between a post and the bridge's reading of it: the message reached nobody on the new stack."""
    found = connections(dynamodb)
    found.met("left", Owner("dora", "acme"))
    # Whether the table names users as the authorizer does has not been seen yet.
    assert found.owner_of("left") == NOBODY
    found._owners.clear()
    found.met("a1", Owner("alice", "acme"))
    assert found.owner_of("a1") == Owner("alice", "acme")
    assert found.owner_of("left") == Owner("dora", "acme")


def test_where_the_table_names_users_otherwise_nobody_is_guessed(dynamodb: Any) -> None:
    found = connections(dynamodb)
    found.met("a1", Owner("alice@example.com", "acme"))
    found.met("b1", Owner("bob", "acme"))
    assert found.owner_of("a1") == Owner("alice", "acme")
    assert found.owner_of("b1") == Owner("bob", "acme")
    found.met("left", Owner("dora@example.com", "acme"))
    assert found.owner_of("left") == NOBODY


def test_owners_do_not_pile_up_for_ever(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("migrate.bridge.connections.OWNERS", 3)
    assert OWNERS > 3
    found = connections(dynamodb)
    for number in range(10):
        found.owner_of(f"unknown-{number}")
    assert len(found._owners) == 3


def _table(name: str, **more: Any) -> Table:
    return Table(name=name, role="connections", key="id", **more)


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ((), "names 0 tables"),
        ((_table("a"), _table("b")), "names 2 tables"),
        ((_table("a", sort_key="id"),), "cannot use the table a"),
        ((_table("a", id_prefix="CONN#"),), "cannot use the table a"),
        # Posted to, the rows that are no connections would be answered with 410, and deleted.
        ((_table("a", row_prefix="CONN#"),), "cannot use the table a"),
    ],
)
def test_tables_it_cannot_use_are_refused(tables: tuple[Table, ...], says: str) -> None:
    config = Config(
        Settings(
            project=Project(name="p"),
            api=Api(id="abc", stage="prod", region="eu-west-1", endpoint_url="http://127.0.0.1:1"),
            tables=tables,
        ),
        Path("migrate.toml"),
        None,
        {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"},
    )
    with pytest.raises(UsageError, match=says):
        LegacyConnections.of(config)
