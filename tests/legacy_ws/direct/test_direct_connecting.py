"""legacy_ws.apps.direct: connecting and leaving (DC1). until phase 3"""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from legacy_ws.apps.direct import connect, default, disconnect

from .direct_support import ANN, BOB, HANDLERS, EventMaker, rows


def test_entry_points_are_synchronous() -> None:
    """Fault 1: AWS's Python runtime never awaits a handler."""
    modules = (connect, disconnect, default, *HANDLERS.values())
    assert not any(inspect.iscoroutinefunction(module.handler) for module in modules)


def test_connect_stores_the_verified_address(join: Any, dynamodb: Any) -> None:
    """DC1: { connectionId, email, connectedAt } with a TTL; an address in the query string counts for nothing."""
    assert join("a", queryStringParameters={"token": "t", "email": "mallory@example.com"}) == {"statusCode": 200}
    (row,) = rows(dynamodb, "connections")
    ttl = int(row.pop("ttl")["N"])
    assert row == {
        "connectionId": {"S": "a"},
        "email": {"S": ANN},
        "connectedAt": {"S": "2024-06-18T06:13:20+00:00"},
    }
    assert ttl > 1718691200 + 2 * 3600
    query = {"ExpressionAttributeValues": {":e": {"S": ANN}}, "KeyConditionExpression": "email = :e"}
    found = dynamodb.query(TableName="direct-connections", IndexName="email-index", **query)["Items"]
    assert [one["connectionId"]["S"] for one in found] == ["a"]


@pytest.mark.parametrize("email", [None, "", "no address", "a@b@c", "a" * 400 + "@example.com", 5])
def test_nobody_comes_in_without_an_address(join: Any, dynamodb: Any, email: object) -> None:
    assert join("a", email) == {"statusCode": 400}
    assert rows(dynamodb, "connections") == []


def test_connect_refuses_the_handshake_when_the_row_cannot_be_stored(join: Any, dynamodb: Any) -> None:
    dynamodb.delete_table(TableName="direct-connections")
    assert join("a") == {"statusCode": 500}


def test_disconnect_deletes_the_row_and_may_come_twice(event: EventMaker, join: Any, dynamodb: Any) -> None:
    """Fault 15."""
    join("a")
    join("b", BOB)
    for _ in range(2):
        gone = event("disconnect", context={"connectionId": "a"})
        assert disconnect.handler(gone, None) == {"statusCode": 200}
    assert [row["connectionId"]["S"] for row in rows(dynamodb, "connections")] == ["b"]
