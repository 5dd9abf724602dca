"""What the layers application is made of. until phase 3

Pure. Grants are least privilege: a function may do what its own code does, and nothing else.
"""

from __future__ import annotations

from legacy_ws.apps.layers.schema import CONNECTIONS, TENANT_INDEX, USER_INDEX
from legacy_ws.deploy.spec import AppSpec, FunctionSpec, Grant, QueueSpec, TableSpec

__all__ = ["LAYERS"]

_HANDLERS = "legacy_ws.apps.layers"
_USER, _TENANT = "user_id", "tenant_id"

_MANAGE = Grant("management", ("execute-api:ManageConnections",))
# Answering a client: post a frame, and remove the row of a client that is gone; and note that the client was active.
_SERVE = (_MANAGE, Grant("connections", ("dynamodb:DeleteItem", "dynamodb:UpdateItem")))
# The connections of a user or a tenant.
_FIND = Grant("connections", ("dynamodb:Query",))
_HAND_OVER = Grant("processing", ("lambda:InvokeFunction",))
_ANSWER_TIMEOUT_S = 15

LAYERS = AppSpec(
    name="layers",
    auth="jwt",
    route_selection="$request.body.type",
    tables=(
        TableSpec(
            name="connections",
            suffix="websocket-connections",
            env="LEGACY_WS_CONNECTIONS_TABLE",
            keys=((CONNECTIONS.key, "S"),),
            ttl=CONNECTIONS.ttl,
            indexes={USER_INDEX: ((_USER, "S"), (_TENANT, "S")), TENANT_INDEX: ((_TENANT, "S"),)},
        ),
    ),
    queues=(
        QueueSpec(
            name="answers",
            suffix="answers",
            env="LEGACY_WS_ANSWERS_QUEUE_URL",
            fifo=True,
            # At least six times the consumer's timeout.
            visibility_s=6 * _ANSWER_TIMEOUT_S,
            # Nobody waits for an answer of yesterday.
            retention_s=3600,
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
        FunctionSpec(
            "default",
            f"{_HANDLERS}.default.handler",
            routes=("$default",),
            # It closes the connection of a client that asks for it.
            grants=(*_SERVE, _FIND, _HAND_OVER, Grant("close", ("execute-api:ManageConnections",))),
            # API Gateway waits 29 s for an integration; a broadcast uses what it gets, and more memory is more CPU.
            timeout_s=29,
            memory_mb=512,
        ),
        FunctionSpec(
            "chat",
            f"{_HANDLERS}.chat.handler",
            routes=("chat",),
            grants=(*_SERVE, _FIND, _HAND_OVER),
            timeout_s=29,
            memory_mb=512,
        ),
        FunctionSpec("ping", f"{_HANDLERS}.ping.handler", routes=("ping",), grants=_SERVE),
        FunctionSpec(
            "processing",
            f"{_HANDLERS}.processing.handler",
            grants=(Grant("answers", ("sqs:SendMessage",)),),
            env="LEGACY_WS_PROCESSING_FUNCTION",
            # As long as a responder may take; it is told to stop some seconds before.
            timeout_s=300,
            memory_mb=512,
        ),
        FunctionSpec(
            "answer",
            f"{_HANDLERS}.answer.handler",
            grants=(_MANAGE, _FIND, Grant("connections", ("dynamodb:DeleteItem",))),
            consumes="answers",
            timeout_s=_ANSWER_TIMEOUT_S,
            memory_mb=512,
        ),
    ),
)
