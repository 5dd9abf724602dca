"""What several verbs ask AWS, and how its answers are read. until phase 3"""

from __future__ import annotations

from datetime import UTC, datetime

from botocore.exceptions import ClientError

from migrate.config import Config

__all__ = ["GATEWAY", "is_missing", "stage_dimensions", "stage_traffic"]

GATEWAY = "AWS/ApiGateway"
"""CloudWatch's namespace of API Gateway's metrics."""

# As Lambda, API Gateway, DynamoDB, CloudWatch, IAM, SQS and S3 call it (their API references, "Errors").
_MISSING = frozenset({
    "NotFoundException", "ResourceNotFoundException", "ResourceNotFound", "ResourceNotFoundFault",
    "DashboardNotFoundError", "NoSuchEntity", "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "404",
})  # fmt: skip


def is_missing(error: ClientError) -> bool:
    """Whether what was asked about is not there, in the words of whichever service."""
    return error.response["Error"]["Code"] in _MISSING


def stage_dimensions(config: Config) -> list[dict[str, str]]:
    """What a WebSocket API's metrics are told apart by (API Gateway guide, "Monitor WebSocket API execution with
    CloudWatch")."""
    return [{"Name": "ApiId", "Value": config.api.id}, {"Name": "Stage", "Value": config.api.stage}]


def stage_traffic(config: Config, hours: float, now: float) -> dict[str, float]:
    """ConnectCount and MessageCount of the API's stage, their sums of the last hours (API Gateway guide, "Monitor
    WebSocket API execution with CloudWatch").

    Args:
        now: epoch seconds.

    Raises: ClientError, BotoCoreError: they could not be read; that is not quiet.
    """
    client = config.client("cloudwatch")
    found = {}
    for metric in ("ConnectCount", "MessageCount"):
        answer = client.get_metric_statistics(
            Namespace=GATEWAY,
            MetricName=metric,
            Dimensions=stage_dimensions(config),
            StartTime=datetime.fromtimestamp(now - hours * 3600, UTC),
            EndTime=datetime.fromtimestamp(now + 60, UTC),
            Period=3600,
            Statistics=["Sum"],
        )
        found[metric] = float(sum(point["Sum"] for point in answer["Datapoints"]))
    return found
