"""Route selection: the tables of the AWS page "Create routes for WebSocket APIs", and hostile bodies
(CL6)."""

import json

import pytest

from sse_service.connections.selection import SelectionExpression, select_route_key

AWS_EXAMPLE = json.dumps({"service": "chat", "action": "join", "data": {"room": "room1234"}})


@pytest.mark.parametrize(
    ("expression", "key"),
    [
        ("$request.body.action", "join"),
        ("${request.body.action}", "join"),
        ("${request.body.service}/${request.body.action}", "chat/join"),
        ("${request.body.action}-${request.body.invalidPath}", "join-"),
        ("action", "action"),
        (r"\$default", "$default"),
        ("$request.body.data.room", "room1234"),
        ("$request.body['data']['room']", "room1234"),
        ('${request.body["action"]}', "join"),
        ("v1-${request.body.action}", "v1-join"),
        ("$request.body.data.room.deeper", ""),
        ("$request.header.x-thing", ""),
        ("$context.connectionId", ""),
        ("", ""),
    ],
)
def test_documented_expressions(expression: str, key: str) -> None:
    """Each row of the page's table, and the forms its rules allow. (The page prints `join` for the row with
    an invalid path, although its rule, "the variable is resolved as ''", gives `join-`.)"""
    assert SelectionExpression(expression).evaluate(AWS_EXAMPLE) == key


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("text", "text"),
        (1, "1"),
        (1.5, "1.5"),
        (True, "true"),
        (None, ""),
        (["item1", "item2"], "[item1, item2]"),
        ({"a": 1}, '{"a": 1}'),
        ("", ""),
        ("日本", "日本"),
    ],
)
def test_results_are_stringified(value: object, key: str) -> None:
    """ "Keep in mind that the result will be stringified"."""
    body = json.dumps({"action": value, "list": [value]})
    assert SelectionExpression("$request.body.action").evaluate(body) == key
    assert SelectionExpression("$request.body.list[0]").evaluate(body) == key


@pytest.mark.parametrize(
    "body",
    [
        "",
        "plain text",
        "{",
        '{"action": NaN}',
        '{"a": Infinity}',
        "[" * 100_000,
        "{'action': 'x'}",
        "\x00",
        "1e",
        "1" * 5000,
    ],
)
def test_bodies_that_are_no_json_go_to_default(body: str) -> None:
    """ "Non-JSON messages are directed to a $default route"."""
    expression = SelectionExpression("$request.body.action")
    assert expression.evaluate(body) is None
    assert select_route_key(expression, {"$default": 1, "x": 1}, body) == "$default"
    assert select_route_key(expression, {"x": 1}, body) is None


@pytest.mark.parametrize(
    "body", ['"join"', "[1, 2]", "17", "null", "true", "{}", '{"action": {}}', '{"Action": "join"}']
)
def test_json_without_the_key_goes_to_default(body: str) -> None:
    """A path that leads nowhere is "", which no route has."""
    expression = SelectionExpression("$request.body.action")
    assert select_route_key(expression, {"$default": 1, "join": 1}, body) == "$default"
    assert select_route_key(expression, {"join": 1}, body) is None


ROUTES = {"$connect": 1, "$disconnect": 1, "$default": 1, "join": 1}


@pytest.mark.parametrize("action", ["$connect", "$disconnect", "$default", "nope"])
def test_predefined_keys_cannot_be_chosen_by_a_body(action: str) -> None:
    """A body that names `$connect` or `$disconnect` is an unknown action like any other."""
    expression = SelectionExpression("$request.body.action")
    assert select_route_key(expression, ROUTES, json.dumps({"action": action})) == "$default"
    without_default = {key: 1 for key in ROUTES if key != "$default"}
    assert select_route_key(expression, without_default, json.dumps({"action": action})) is None


def test_exact_match_only() -> None:
    """ "The route whose routeKey exactly matches the evaluated value"."""
    expression = SelectionExpression("$request.body.action")
    for action in ("Join", "join ", "joi", "joined"):
        assert select_route_key(expression, ROUTES, json.dumps({"action": action})) == "$default"
    assert select_route_key(expression, ROUTES, '{"action": "join"}') == "join"


def test_static_expression_takes_messages_that_are_no_json() -> None:
    """A static value needs no body."""
    assert select_route_key(SelectionExpression("join"), ROUTES, "no json") == "join"


@pytest.mark.parametrize(
    "expression", ["$request.body.a..b", "$request.body.a[*]", "${request.body.}", "$request.body.a[?(@.b)]"]
)
def test_unsupported_paths_resolve_as_empty(expression: str) -> None:
    """What the small JSONPath does not know is a path that is not found."""
    assert select_route_key(SelectionExpression(expression), ROUTES, '{"a": {"b": "join"}}') == "$default"
