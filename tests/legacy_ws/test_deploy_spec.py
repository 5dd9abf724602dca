"""legacy_ws.deploy.spec, .apps, .policies and .urls. until phase 3"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from legacy_ws.deploy.apps import ROOMS, app_named
from legacy_ws.deploy.policies import function_policy
from legacy_ws.deploy.spec import StackNames
from legacy_ws.deploy.urls import is_aws, management_url, websocket_url
from legacy_ws.errors import UsageError

NAMES = StackNames("chat", "ap-northeast-1", "123456789012")


@pytest.mark.parametrize("stack", ["", "1chat", "my chat", "x" * 33, "chat_1", "chat/", "ちゃっと", "chat\n"])
def test_names_that_do_not_fit_are_refused(stack: str) -> None:
    with pytest.raises(UsageError, match="no stack name"):
        StackNames(stack, "ap-northeast-1", "123456789012")


def test_the_longest_names_are_within_awss_limits() -> None:
    names = StackNames("x" * 32, "ap-southeast-1", "123456789012")
    for function in ROOMS.functions:
        assert len(names.function(function)) <= 64
        assert len(names.role(function)) <= 64


def test_the_application_is_the_one_named_like_the_stack_else_rooms() -> None:
    assert app_named(None, "rooms") is ROOMS
    assert app_named(None, "my-chat") is ROOMS
    with pytest.raises(UsageError, match="no application"):
        app_named("nope", "rooms")


def policy(name: str) -> list[dict[str, Any]]:
    function = next(one for one in ROOMS.functions if one.name == name)
    document = function_policy(ROOMS, function, NAMES, "abc123", "prod")
    statements: list[dict[str, Any]] = document["Statement"]  # type: ignore[assignment]
    return statements


def test_no_function_may_do_more_than_its_own_work() -> None:
    allowed = {
        function.name: {
            (action, statement["Resource"].split(":", 5)[-1])
            for statement in policy(function.name)
            for action in statement["Action"]
            if not action.startswith("logs:")
        }
        for function in ROOMS.functions
    }
    connections, messages = "table/chat-Connections", "table/chat-ChatMessages"
    manage = ("execute-api:ManageConnections", "abc123/prod/POST/@connections/*")
    assert allowed == {
        "authorizer": set(),
        "connect": {("dynamodb:PutItem", connections)},
        "disconnect": {("dynamodb:DeleteItem", connections)},
        "default": {manage, ("dynamodb:DeleteItem", connections)},
        "getHistory": {manage, ("dynamodb:DeleteItem", connections), ("dynamodb:Query", messages)},
        "sendMessage": {
            manage,
            ("dynamodb:PutItem", messages),
            *((f"dynamodb:{action}", connections) for action in ("DeleteItem", "GetItem", "Scan", "UpdateItem")),
        },
    }


def test_no_resource_is_a_bare_star() -> None:
    for function in ROOMS.functions:
        for statement in policy(function.name):
            assert re.fullmatch(r"arn:aws:[a-z-]+:ap-northeast-1:123456789012:.+", statement["Resource"])
            assert "*" not in json.dumps(statement["Action"])


@pytest.mark.parametrize(
    ("endpoint", "websocket", "management"),
    [
        (
            "wss://abc.execute-api.ap-northeast-1.amazonaws.com",
            "wss://abc.execute-api.ap-northeast-1.amazonaws.com/prod",
            "https://abc.execute-api.ap-northeast-1.amazonaws.com/prod",
        ),
        ("ws://127.0.0.1:4567/abc", "ws://127.0.0.1:4567/abc/prod", "http://127.0.0.1:4567/prod"),
    ],
)
def test_addresses_follow_from_the_apis_endpoint(endpoint: str, websocket: str, management: str) -> None:
    assert websocket_url(endpoint, "prod") == websocket
    assert management_url(endpoint, "prod") == management


def test_an_endpoint_that_is_none_is_said_so() -> None:
    with pytest.raises(UsageError):
        management_url("abc", "prod")


def test_aws_is_told_from_what_behaves_like_it() -> None:
    assert is_aws("https://apigateway.ap-northeast-1.amazonaws.com")
    assert is_aws("https://apigateway.cn-north-1.amazonaws.com.cn")
    assert not is_aws("http://127.0.0.1:4566")
    assert not is_aws("https://amazonaws.com.evil.example")
