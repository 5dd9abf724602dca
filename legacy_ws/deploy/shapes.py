"""What each resource of a stack looks like, for the deployment by API calls and for the template alike. until phase 3

Pure. Property names are those of CloudFormation, which are nearly always those of the services' own APIs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from legacy_ws.deploy.spec import QueueSpec, StackNames, TableSpec

__all__ = [
    "ACCESS_LOG_FORMAT",
    "ARCHITECTURE",
    "AUTHORIZER_NAME",
    "DEAD_RETENTION_S",
    "EVENT_SOURCE",
    "INTEGRATION_TIMEOUT_MS",
    "POLICY_NAME",
    "USER_POOL",
    "USER_POOL_CLIENT",
    "dead_queue_shape",
    "queue_shape",
    "stage_shape",
    "table_shape",
]

ARCHITECTURE = "arm64"
AUTHORIZER_NAME = "jwt"
INTEGRATION_TIMEOUT_MS = 29_000
POLICY_NAME = "access"

DEAD_RETENTION_S = 14 * 24 * 3600
"""Of dead-letter queues: SQS's maximum, since somebody has to look first."""

EVENT_SOURCE: Mapping[str, object] = {"BatchSize": 10, "FunctionResponseTypes": ["ReportBatchItemFailures"]}
"""Of the event source mapping of a queue. A failed message of a FIFO queue holds up its group only (Lambda developer
guide, "Handling errors for an SQS event source in Lambda")."""

USER_POOL: Mapping[str, object] = {
    # Addresses are the user names. The pool tells "A@x.y" from "a@x.y" no more than mail does.
    "UsernameAttributes": ["email"],
    "AutoVerifiedAttributes": ["email"],
    "UsernameConfiguration": {"CaseSensitive": False},
}
USER_POOL_CLIENT: Mapping[str, object] = {
    "GenerateSecret": False,
    "ExplicitAuthFlows": ["ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
    "PreventUserExistenceErrors": "ENABLED",
}

# One JSON object per event (API Gateway developer guide, "Configure logging for WebSocket APIs in API Gateway"). No
# query string, since tokens travel there, and nothing of $context.authorizer, which is what the authorizer put in.
ACCESS_LOG_FORMAT = json.dumps(
    {
        "requestId": "$context.requestId",
        "requestTime": "$context.requestTime",
        "apiId": "$context.apiId",
        "stage": "$context.stage",
        "eventType": "$context.eventType",
        "routeKey": "$context.routeKey",
        "connectionId": "$context.connectionId",
        "messageId": "$context.messageId",
        "status": "$context.status",
        "sourceIp": "$context.identity.sourceIp",
        "userAgent": "$context.identity.userAgent",
        "integrationStatus": "$context.integrationStatus",
        "integrationLatency": "$context.integrationLatency",
        "error": "$context.error.message",
        "errorType": "$context.error.responseType",
    },
    separators=(",", ":"),
)


def table_shape(table: TableSpec) -> dict[str, object]:
    """KeySchema, AttributeDefinitions and GlobalSecondaryIndexes of a table."""
    types = dict(table.keys)
    for pairs in table.indexes.values():
        types |= dict(pairs)
    shape: dict[str, object] = {
        "KeySchema": _key_schema(table.keys),
        "AttributeDefinitions": [
            {"AttributeName": attribute, "AttributeType": kind} for attribute, kind in types.items()
        ],
    }
    if table.indexes:
        shape["GlobalSecondaryIndexes"] = [
            {"IndexName": name, "KeySchema": _key_schema(pairs), "Projection": {"ProjectionType": "ALL"}}
            for name, pairs in table.indexes.items()
        ]
    return shape


def queue_shape(queue: QueueSpec, names: StackNames) -> dict[str, object]:
    """Attributes of a queue. A FIFO queue takes duplicates for such within their message group, which is also what
    lets it pass more than 300 messages a second (SQS developer guide, "High throughput for FIFO queues").
    """
    shape: dict[str, object] = {
        "VisibilityTimeout": queue.visibility_s,
        "MessageRetentionPeriod": queue.retention_s,
        "RedrivePolicy": {
            "deadLetterTargetArn": names.dead_queue_arn(queue),
            "maxReceiveCount": queue.max_receives,
        },
    }
    return shape | (_FIFO if queue.fifo else {})


def dead_queue_shape(queue: QueueSpec) -> dict[str, object]:
    """Attributes of a queue's dead-letter queue."""
    shape: dict[str, object] = {"MessageRetentionPeriod": DEAD_RETENTION_S}
    return shape | (_FIFO if queue.fifo else {})


def stage_shape(names: StackNames, *, rate: float, burst: int, access_log: bool) -> dict[str, object]:
    """DefaultRouteSettings of a stage and, when wanted, its AccessLogSettings."""
    shape: dict[str, object] = {
        "DefaultRouteSettings": {
            "ThrottlingRateLimit": rate,
            "ThrottlingBurstLimit": burst,
            "DetailedMetricsEnabled": True,
        }
    }
    if access_log:
        shape["AccessLogSettings"] = {"DestinationArn": names.access_log_arn, "Format": ACCESS_LOG_FORMAT}
    return shape


_FIFO: dict[str, object] = {
    "FifoQueue": True,
    "ContentBasedDeduplication": False,
    "DeduplicationScope": "messageGroup",
    "FifoThroughputLimit": "perMessageGroupId",
}


def _key_schema(pairs: tuple[tuple[str, str], ...]) -> list[dict[str, str]]:
    return [
        {"AttributeName": attribute, "KeyType": kind}
        for (attribute, _), kind in zip(pairs, ("HASH", "RANGE"), strict=False)
    ]
