"""legacy_ws.deploy.apps.direct: tables, routes and least privilege. until phase 3 (DC1, DC2)"""

from __future__ import annotations

import importlib

from legacy_ws.apps.direct.schema import ACTIONS, CONNECTIONS
from legacy_ws.deploy.apps import APPS, app_named
from legacy_ws.deploy.apps.direct import DIRECT


def test_the_application_is_known_by_its_name() -> None:
    assert APPS["direct"] is DIRECT
    assert app_named(None, "direct") is DIRECT
    assert DIRECT.auth == "cognito"
    assert DIRECT.route_selection == "$request.body.action"


def test_the_tables_are_the_documents() -> None:
    """DC1: GSI email-index; DC2: roomId and an ISO timestamp as text."""
    tables = {table.name: table for table in DIRECT.tables}
    assert tables["connections"].keys == (("connectionId", "S"),)
    assert tables["connections"].indexes == {"email-index": (("email", "S"),)}
    assert tables["connections"].ttl == CONNECTIONS.ttl
    assert tables["messages"].keys == (("roomId", "S"), ("timestamp", "S"))
    assert [table.suffix for table in DIRECT.tables] == ["connections", "messages"]


def test_every_action_has_its_route_and_every_route_a_handler() -> None:
    routes = {route: function for function in DIRECT.functions for route in function.routes}
    assert set(routes) == {"$connect", "$disconnect", "$default", *ACTIONS}
    for function in routes.values():
        module, _, name = function.handler.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))


def test_no_function_may_do_more_than_its_own_work() -> None:
    allowed = {
        function.name: {(grant.on, action) for grant in function.grants for action in grant.actions}
        for function in DIRECT.functions
    }
    manage = ("management", "execute-api:ManageConnections")

    def on(table: str, *actions: str) -> set[tuple[str, str]]:
        return {(table, f"dynamodb:{action}") for action in actions}

    assert allowed == {
        "authorizer": set(),
        "connect": on("connections", "PutItem"),
        "disconnect": on("connections", "DeleteItem"),
        "default": {manage, *on("connections", "DeleteItem")},
        "sendMessage": {manage, *on("connections", "DeleteItem", "GetItem", "Query"), *on("messages", "PutItem")},
        "getHistory": {manage, *on("connections", "DeleteItem", "GetItem"), *on("messages", "Query")},
        "read": {
            manage,
            *on("connections", "DeleteItem", "GetItem", "Query"),
            *on("messages", "Query", "UpdateItem"),
        },
    }
