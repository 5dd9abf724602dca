"""What a stack used, from CloudWatch. until phase 3

Sources: API Gateway guide, "Monitor WebSocket API execution with CloudWatch" (MessageCount); Lambda guide, "Metrics
for Lambda functions"; DynamoDB guide, "DynamoDB metrics and dimensions"; SQS guide, "Available CloudWatch metrics".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from migrate.aws import GATEWAY, stage_dimensions
from migrate.config import Config
from migrate.cost.model import DYNAMODB, LAMBDA, MESSAGES, Usage
from migrate.errors import MigrateError
from migrate.tables.rows import Rows

__all__ = ["measure"]

MONTH_DAYS = 365.25 / 12
# Of the service: one append and one record of its key for a message; a position read for each stream that resumes.
WRITES_A_MESSAGE = 3.0
COUNTED = 100_000


def measure(config: Config, days: float, now: datetime) -> Usage:
    """Usage of a month, from the last `days`.

    Raises: MigrateError: CloudWatch could not be asked.
    """
    try:
        return _Measure(config, days, now).run()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise MigrateError(
            f"{error.operation_name} failed with {code}", "it needs cloudwatch:GetMetricStatistics"
        ) from error
    except BotoCoreError as error:
        raise MigrateError(
            f"AWS could not be asked: {type(error).__name__}", "check network and credentials"
        ) from error


class _Measure:
    def __init__(self, config: Config, days: float, now: datetime) -> None:
        self._config = config
        self._client = config.client("cloudwatch")
        self._days, self._now = days, now
        self._seen: set[str] = set()

    def run(self) -> Usage:
        config = self._config
        messages = self._sum(GATEWAY, "MessageCount", stage_dimensions(config))
        invocations = gb_s = 0.0
        lambda_ = config.client("lambda")
        for function in config.functions:
            of_function = _one("FunctionName", function.name)
            invocations += self._sum("AWS/Lambda", "Invocations", of_function)
            milliseconds = self._sum("AWS/Lambda", "Duration", of_function)
            gb_s += milliseconds / 1000 * _memory_mb(lambda_, function.name) / 1024
        writes = reads = 0.0
        for table in config.tables:
            writes += self._sum("AWS/DynamoDB", "ConsumedWriteCapacityUnits", _one("TableName", table.name))
            reads += self._sum("AWS/DynamoDB", "ConsumedReadCapacityUnits", _one("TableName", table.name))
        # The new stack's tables have datapoints of their own.
        unmeasured = self._unmeasured()
        new_writes = new_reads = 0.0
        if config.sse.table_prefix:
            for name in ("events", "messages", "conversations", "participants"):
                of_table = _one("TableName", f"{config.sse.table_prefix}-{name}")
                new_writes += self._sum("AWS/DynamoDB", "ConsumedWriteCapacityUnits", of_table)
                new_reads += self._sum("AWS/DynamoDB", "ConsumedReadCapacityUnits", of_table)
        is_measured = new_writes > 0
        return Usage(
            messages=messages,
            connections=self._connections(),
            invocations=invocations,
            gb_s=gb_s,
            writes=writes,
            reads=reads,
            queue_messages=self._queue_messages(),
            new_writes=new_writes if is_measured else messages * WRITES_A_MESSAGE,
            new_reads=new_reads if is_measured else messages,
            is_measured_new=is_measured,
            unmeasured=unmeasured,
        )

    def _unmeasured(self) -> tuple[str, ...]:
        """Parts of the old stack for which no metric has a datapoint: nothing ran, or nobody counts here.

        Metrics are there only for what was used (CloudWatch guide, "Metrics concepts"), so the two look the same.
        """
        config = self._config
        asked = {MESSAGES: True, LAMBDA: bool(config.functions), DYNAMODB: bool(config.tables)}
        seen = {MESSAGES: GATEWAY, LAMBDA: "AWS/Lambda", DYNAMODB: "AWS/DynamoDB"}
        return tuple(part for part, is_there in asked.items() if is_there and seen[part] not in self._seen)

    def _sum(self, namespace: str, metric: str, dimensions: Sequence[Mapping[str, str]]) -> float:
        """Of a metric, for a month."""
        answer = self._client.get_metric_statistics(
            Namespace=namespace,
            MetricName=metric,
            Dimensions=dimensions,
            StartTime=self._now - timedelta(days=self._days),
            EndTime=self._now,
            Period=86400 if self._days >= 1 else 3600,
            Statistics=["Sum"],
        )
        if answer["Datapoints"]:
            self._seen.add(namespace)
        return float(sum(point["Sum"] for point in answer["Datapoints"])) * MONTH_DAYS / self._days

    def _connections(self) -> float:
        """Connections that are in the tables now: there is no metric of how many are open."""
        client, count = self._config.client("dynamodb"), 0
        for table in self._config.tables:
            if table.role != "connections":
                continue
            try:
                schema = client.describe_table(TableName=table.name)["Table"]["KeySchema"]
            except client.exceptions.ResourceNotFoundException:
                continue
            rows = Rows(table, [one["AttributeName"] for one in schema])
            for page in client.get_paginator("scan").paginate(TableName=table.name):
                count += sum(len(rows.entries(item)) for item in page["Items"])
                if count >= COUNTED:
                    return float(count)
        return float(count)

    def _queue_messages(self) -> float:
        lambda_, found = self._config.client("lambda"), 0.0
        for function in self._config.functions:
            try:
                pages = lambda_.get_paginator("list_event_source_mappings").paginate(FunctionName=function.name)
                arns = [str(one.get("EventSourceArn", "")) for page in pages for one in page["EventSourceMappings"]]
            except ClientError:
                continue
            for arn in arns:
                if ":sqs:" in arn:
                    found += self._sum("AWS/SQS", "NumberOfMessagesSent", _one("QueueName", arn.rsplit(":", 1)[-1]))
        return found


def _one(name: str, value: str) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value}]


def _memory_mb(lambda_: Any, name: str) -> float:
    try:
        return float(lambda_.get_function_configuration(FunctionName=name)["MemorySize"])
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return 128.0
        raise
