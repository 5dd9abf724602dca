"""What the direct application is made of. until phase 3

Pure. Grants are least privilege: a function may do what its own code does, and nothing else.
"""

from __future__ import annotations

from legacy_ws.apps.direct.schema import CONNECTIONS, EMAIL
from legacy_ws.deploy.spec import AppSpec, FunctionSpec, Grant, TableSpec

__all__ = ["DIRECT"]

_HANDLERS = "legacy_ws.apps.direct"
_MANAGE = Grant("management", ("execute-api:ManageConnections",))
# Answering a client: post a frame, and remove the row of a client that is gone.
_ANSWER = (_MANAGE, Grant("connections", ("dynamodb:DeleteItem",)))
# The same, and look up the asker's own address.
_ANSWER_SOMEBODY = (_MANAGE, Grant("connections", ("dynamodb:DeleteItem", "dynamodb:GetItem")))
# The same, and deliver to every connection of an address.
_DELIVER = (_MANAGE, Grant("connections", ("dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:Query")))

DIRECT = AppSpec(
    name="direct",
    auth="cognito",
    tables=(
        TableSpec(
            name="connections",
            suffix="connections",
            env="LEGACY_WS_CONNECTIONS_TABLE",
            keys=((CONNECTIONS.key, "S"),),
            ttl=CONNECTIONS.ttl,
            indexes={CONNECTIONS.user_index or "email-index": ((EMAIL, "S"),)},
        ),
        TableSpec(
            name="messages",
            suffix="messages",
            env="LEGACY_WS_MESSAGES_TABLE",
            keys=(("roomId", "S"), ("timestamp", "S")),
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
            grants=(*_DELIVER, Grant("messages", ("dynamodb:PutItem",))),
            # API Gateway waits 29 s for an integration; more memory is more CPU.
            timeout_s=29,
            memory_mb=512,
        ),
        FunctionSpec(
            "getHistory",
            f"{_HANDLERS}.get_history.handler",
            routes=("getHistory",),
            grants=(*_ANSWER_SOMEBODY, Grant("messages", ("dynamodb:Query",))),
        ),
        FunctionSpec(
            "read",
            f"{_HANDLERS}.read.handler",
            routes=("read",),
            grants=(*_DELIVER, Grant("messages", ("dynamodb:Query", "dynamodb:UpdateItem"))),
            timeout_s=29,
            memory_mb=512,
        ),
    ),
)
