"""The direct application's tables in moto, and people who talk to its handlers as Lambda calls them. until phase 3"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from legacy_ws import aws
from legacy_ws.apps.direct import connect, default
from legacy_ws.deploy.apps.direct import DIRECT
from legacy_ws.deploy.spec import StackNames
from legacy_ws.deploy.tables import ensure_table

from .direct_support import ANN, AT_MS, HANDLERS, EventMaker


@pytest.fixture
def dynamodb(poster: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The tables as `legacy-ws deploy` makes them, in moto."""
    names = StackNames("direct", "ap-northeast-1", "123456789012")
    with mock_aws():
        client = boto3.client("dynamodb")
        for table in DIRECT.tables:
            ensure_table(client, names, table)
            monkeypatch.setenv(table.env, names.table(table))
        monkeypatch.setattr(aws, "management", lambda _: poster)
        yield client


@pytest.fixture
def join(event: EventMaker, dynamodb: Any) -> Callable[..., dict[str, object]]:
    """Connects `connection` as somebody whom the authorizer has verified."""

    def connect_(connection: str, email: object = ANN, **fields: Any) -> dict[str, object]:
        context = {"connectionId": connection, "authorizer": _authorizer(email)}
        return connect.handler(event("connect", context=context, **fields), None)

    return connect_


@pytest.fixture
def client(event: EventMaker, poster: Any, dynamodb: Any) -> Callable[..., list[dict[str, Any]]]:
    """Sends one frame as one connection; returns what that connection got for it."""

    def send(frame: Any, connection: str = "a", at_ms: int = AT_MS, email: object = None, context: Any = None) -> Any:
        body = frame if isinstance(frame, str) else json.dumps(frame)
        action = frame.get("action") if isinstance(frame, dict) else None
        handler: Any = HANDLERS.get(action, default) if isinstance(action, str) else default
        fields = {
            "connectionId": connection,
            "routeKey": action if action in HANDLERS else "$default",
            "requestTimeEpoch": at_ms,
            "authorizer": _authorizer(email),
        }
        before = len(poster.frames(connection))
        handler.handler(event("message", body=body, context=fields), context)
        return poster.frames(connection)[before:]

    return send


def _authorizer(email: object) -> dict[str, Any]:
    more = {} if email is None else {"email": email}
    return {"userId": "sub-1", "principalId": "sub-1", "integrationLatency": 41, **more}
