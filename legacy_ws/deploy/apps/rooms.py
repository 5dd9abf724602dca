"""What the rooms application is made of. until phase 3

Pure. Grants are least privilege: a function may do what its own code does, and nothing else.
"""

from __future__ import annotations

from legacy_ws.apps.rooms.schema import CONNECTIONS
from legacy_ws.deploy.spec import AppSpec, FunctionSpec, Grant, TableSpec

__all__ = ["ROOMS"]

_HANDLERS = "legacy_ws.apps.rooms"
# Answering a client: post a frame, and remove the row of a client that is gone.
_ANSWER = (
    Grant("management", ("execute-api:ManageConnections",)),
    Grant("connections", ("dynamodb:DeleteItem",)),
)

ROOMS = AppSpec(
    name="rooms",
    tables=(
        TableSpec(
            name="connections",
            suffix="Connections",
            env="LEGACY_WS_CONNECTIONS_TABLE",
            keys=((CONNECTIONS.key, "S"),),
            ttl=CONNECTIONS.ttl,
        ),
        TableSpec(
            name="messages",
            suffix="ChatMessages",
            env="LEGACY_WS_MESSAGES_TABLE",
            keys=(("roomId", "S"), ("timestamp", "N")),
        ),
    ),
    functions=(
        FunctionSpec("authorizer", "legacy_ws.apps.authorize.handler", authorizer=True),
        FunctionSpec(
            "connect",
            f"{_HANDLERS}.connect.handler",
            routes=("$connect",),
            grants=(Grant("connections", ("dynamodb:PutItem",)),),
        ),
        FunctionSpec(
            "disconnect",
            f"{_HANDLERS}.disconnect.handler",
            routes=("$disconnect",),
            grants=(Grant("connections", ("dynamodb:DeleteItem",)),),
        ),
        FunctionSpec("default", f"{_HANDLERS}.default.handler", routes=("$default",), grants=_ANSWER),
        FunctionSpec(
            "sendMessage",
            f"{_HANDLERS}.send_message.handler",
            routes=("sendMessage",),
            grants=(
                Grant("management", ("execute-api:ManageConnections",)),
                Grant(
                    "connections",
                    ("dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:Scan", "dynamodb:UpdateItem"),
                ),
                Grant("messages", ("dynamodb:PutItem",)),
            ),
            # API Gateway waits 29 s for an integration; a broadcast uses what it gets, and more memory is
            # more CPU.
            timeout_s=29,
            memory_mb=512,
        ),
        FunctionSpec(
            "getHistory",
            f"{_HANDLERS}.get_history.handler",
            routes=("getHistory",),
            grants=(*_ANSWER, Grant("messages", ("dynamodb:Query",))),
        ),
    ),
)
