"""Makes again what a plan deleted, from its export. until phase 3

In the order in which things need each other: roles, tables, queues, functions, what feeds them, retention, alarms. What
is there already is left alone and said: nothing is overwritten. The API itself cannot come back under its id.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from migrate.aws import is_missing
from migrate.config import Config
from migrate.errors import MigrateError
from migrate.resources.functions import make_function
from migrate.tables.dynamojson import canonical, decode, encode
from migrate.tables.export import Page

__all__ = ["Restored", "check_wanted", "restore"]

ORDER = ("role", "table", "queue", "function", "event-source", "log-group", "alarm", "api-mapping", "api")
WAIT_S = 90.0
BATCH = 25

# Of a mapping, besides what it reads and for whom (CreateEventSourceMapping, Lambda API reference).
_SOURCE = (
    "BatchSize", "MaximumBatchingWindowInSeconds", "FunctionResponseTypes", "FilterCriteria", "ScalingConfig",
    "StartingPosition", "StartingPositionTimestamp", "ParallelizationFactor", "MaximumRecordAgeInSeconds",
    "BisectBatchOnFunctionError", "MaximumRetryAttempts", "TumblingWindowInSeconds", "DestinationConfig", "KMSKeyArn",
    "MetricsConfig", "ProvisionedPollerConfig",
)  # fmt: skip
_ROLE = ("Description", "MaxSessionDuration")
_QUEUE_ONLY_READ = {"QueueArn", "CreatedTimestamp", "dead_letters_of"}


@dataclass(frozen=True)
class Restored:
    """What became of one resource: `made`, `there already` or `cannot`, and what is to be known of it."""

    id: str
    outcome: str
    note: str = ""


def restore(
    config: Config,
    pages: Iterable[Page],
    wanted: set[str],
    told: Callable[[Restored], None],
    warned: Callable[[str], None] = lambda _: None,
) -> list[Restored]:
    """Make them again.

    Args:
        pages: of the export, verified.
        wanted: ids (`table:NAME`); empty: all.
        warned: told what of the export does not count, in words.

    Raises: MigrateError: the export does not hold a wanted one, or AWS refused.
    """
    heads: dict[str, dict[str, Any]] = {}
    rows: dict[str, list[dict[str, Any]]] = {}
    for page in pages:
        if page.problem:
            warned(f"{page.source}: {page.problem}")
        for record in page.records:
            if record["kind"] == "item":
                rows.setdefault(record["name"], []).append(record["item"])
            else:
                heads.setdefault(f"{record['kind']}:{record['name']}", record)
    check_wanted(wanted, heads)
    items = {name: _newest(rows.pop(name), heads[f"table:{name}"]) for name in list(rows) if f"table:{name}" in heads}
    maker = _Maker(config, items)
    found = []
    for kind in ORDER:
        # A queue of dead letters before the queue that has it.
        for name, record in sorted(heads.items(), key=lambda one: "dead_letters_of" not in one[1]["facts"]):
            if record["kind"] == kind and (not wanted or name in wanted):
                try:
                    one = maker.make(name, record)
                except ClientError as error:
                    code = error.response["Error"]["Code"]
                    raise MigrateError(
                        f"{name}: {error.operation_name} failed with {code}",
                        "run it again: what is there is left alone",
                    ) from error
                except BotoCoreError as error:  # out of reach, or a waiter that waited in vain
                    raise MigrateError(
                        f"{name}: {type(error).__name__}", "run it again: what is there is left alone"
                    ) from error
                told(one)
                found.append(one)
    return found


def check_wanted(wanted: set[str], there: Iterable[str]) -> None:
    """Raises: MigrateError: the export does not hold all that is wanted."""
    known = set(there)
    if unknown := wanted - known:
        raise MigrateError(f"the export holds no {', '.join(sorted(unknown))}", f"it holds {', '.join(sorted(known))}")


def _newest(rows: Iterable[dict[str, Any]], head: Mapping[str, Any]) -> dict[bytes, dict[str, Any]]:
    """Rows by their canonical form, one for each key. A table whose step was repeated, or that was made again and
    deleted again, is in the export twice; the newest run comes first."""
    names = [one["AttributeName"] for one in head["facts"]["KeySchema"]]
    found: dict[bytes, dict[str, Any]] = {}
    for row in rows:
        found.setdefault(canonical({name: row[name] for name in names}), row)
    return {canonical(row): row for row in found.values()}


class _Maker:
    def __init__(self, config: Config, items: Mapping[str, Mapping[bytes, dict[str, Any]]]) -> None:
        self._config = config
        self._items = items

    def make(self, name: str, record: Mapping[str, Any]) -> Restored:
        made: Restored = getattr(self, "_" + record["kind"].replace("-", "_"))(name, record)
        return made

    def _role(self, name: str, record: Mapping[str, Any]) -> Restored:
        iam, facts, role = self._config.client("iam"), record["facts"], record["name"]
        kept, outcome = record.get("role") or {}, "made"
        try:
            more = {key: kept[key] for key in _ROLE if kept.get(key)}
            if boundary := (kept.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn"):
                more["PermissionsBoundary"] = boundary
            if tags := [one for one in kept.get("Tags") or () if not one["Key"].startswith("aws:")]:
                more["Tags"] = tags
            iam.create_role(
                RoleName=role,
                Path=facts["Path"],
                AssumeRolePolicyDocument=json.dumps(facts["AssumeRolePolicyDocument"]),
                **more,
            )
        except iam.exceptions.EntityAlreadyExistsException:
            outcome = "there already"
        # Of a role that is there only what it lacks: a policy that somebody has changed meanwhile stays so.
        known = iam.get_paginator("list_role_policies").paginate(RoleName=role) if outcome != "made" else ()
        there = {policy for page in known for policy in page["PolicyNames"]}
        for policy, document in facts["inline"].items():
            if policy in there:
                continue
            text = document if isinstance(document, str) else json.dumps(document)
            iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=text)
        for arn in facts["attached"]:
            iam.attach_role_policy(RoleName=role, PolicyArn=arn)
        return Restored(name, outcome, "policies that name resources by unique id have to be looked at")

    def _table(self, name: str, record: Mapping[str, Any]) -> Restored:
        client, facts, table = self._config.client("dynamodb"), record["facts"], record["name"]
        rows = [decode(item) for item in self._items.get(table, {}).values()]
        try:
            client.create_table(**_table_definition(facts))
        except client.exceptions.ResourceInUseException:
            # Or what a restore that was cut off has left: that is not to pass for the whole.
            client.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
            missing = _missing(client, table, self._items.get(table, {}))
            if missing:
                note = f"it is there, and {missing} rows of the export are not in it: delete it to have all of them"
                return Restored(name, "cannot", note)
            return Restored(name, "there already", "its rows were not touched")
        client.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
        for first in range(0, len(rows), BATCH):
            _write(client, table, rows[first : first + BATCH])
        if record.get("ttl"):
            client.update_time_to_live(
                TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": record["ttl"]}
            )
        missing = _missing(client, table, self._items.get(table, {}))
        if missing:
            raise MigrateError(
                f"{missing} rows of {table} are not what the export says", "delete the table, and run it again"
            )
        return Restored(name, "made", f"{len(rows)} rows, each compared with the export")

    def _queue(self, name: str, record: Mapping[str, Any]) -> Restored:
        client = self._config.client("sqs")
        try:
            client.get_queue_url(QueueName=record["name"])
        except ClientError as error:
            if not is_missing(error):
                raise
            attributes = {key: value for key, value in record["facts"].items() if key not in _QUEUE_ONLY_READ}
            client.create_queue(QueueName=record["name"], Attributes=attributes)
            return Restored(name, "made", "its messages are gone")
        return Restored(name, "there already")

    def _function(self, name: str, record: Mapping[str, Any]) -> Restored:
        outcome, lost = make_function(self._config.client("lambda"), record)
        if outcome != "made":
            return Restored(name, outcome)
        note = "its permissions for API Gateway come with the new API"
        return Restored(name, outcome, "; ".join([note, f"not brought back: {', '.join(lost)}"] if lost else [note]))

    def _event_source(self, name: str, record: Mapping[str, Any]) -> Restored:
        client, facts = self._config.client("lambda"), record["facts"]
        mapping = {**facts, **(record.get("mapping") or {})}
        source = self._present(facts["EventSourceArn"])
        pages = client.get_paginator("list_event_source_mappings").paginate(FunctionName=facts["FunctionName"])
        if any(one["EventSourceArn"] == source for page in pages for one in page["EventSourceMappings"]):
            return Restored(name, "there already")
        arguments = {key: mapping[key] for key in _SOURCE if mapping.get(key) not in (None, [], {})}
        if not arguments.get("DestinationConfig", {}).get("OnFailure", {"": ""}):
            del arguments["DestinationConfig"]
        enabled = mapping.get("State") not in {"Disabled", "Disabling"}
        client.create_event_source_mapping(
            FunctionName=facts["FunctionName"], EventSourceArn=source, Enabled=enabled, **arguments
        )
        return Restored(name, "made", "with another UUID" + ("" if enabled else "; it is disabled, as it was"))

    def _present(self, arn: str) -> str:
        """The stream of a table that was made again has another name (DynamoDB guide, "Change data capture")."""
        table, is_stream, _ = arn.partition("/stream/")
        if not is_stream or ":dynamodb:" not in arn:
            return arn
        found = self._config.client("dynamodb").describe_table(TableName=table.rsplit("/", 1)[-1])["Table"]
        return str(found.get("LatestStreamArn") or arn)

    def _log_group(self, name: str, record: Mapping[str, Any]) -> Restored:
        client, days = self._config.client("logs"), record["facts"]["retentionInDays"]
        if days is None:
            client.delete_retention_policy(logGroupName=record["name"])
        else:
            client.put_retention_policy(logGroupName=record["name"], retentionInDays=days)
        return Restored(name, "made", f"retention: {'for ever' if days is None else days}")

    def _alarm(self, name: str, record: Mapping[str, Any]) -> Restored:
        client = self._config.client("cloudwatch")
        if client.describe_alarms(AlarmNames=[record["name"]])["MetricAlarms"]:
            return Restored(name, "there already")
        client.put_metric_alarm(**record["facts"])
        return Restored(name, "made", "without its history")

    def _api_mapping(self, name: str, _: Mapping[str, Any]) -> Restored:
        return Restored(name, "cannot", "it needs an API: make one, then the mapping, with what the export says")

    def _api(self, name: str, _: Mapping[str, Any]) -> Restored:
        return Restored(
            name, "cannot", "API Gateway gives every API a new id and address; the export has its whole definition"
        )


def _table_definition(facts: Mapping[str, Any]) -> dict[str, Any]:
    definition = {
        key: facts[key]
        for key in ("TableName", "KeySchema", "AttributeDefinitions", "LocalSecondaryIndexes", "StreamSpecification")
        if facts.get(key)
    }
    for index in definition.get("LocalSecondaryIndexes", ()):
        for gone in ("IndexSizeBytes", "ItemCount", "IndexArn"):
            index.pop(gone, None)
    indexes = facts.get("GlobalSecondaryIndexes")
    if indexes:
        definition["GlobalSecondaryIndexes"] = [
            {key: index[key] for key in ("IndexName", "KeySchema", "Projection")} for index in indexes
        ]
    # On demand, whatever it was: a restored table of a stack that goes has no capacity to plan.
    definition["BillingMode"] = "PAY_PER_REQUEST"
    return definition


def _write(client: Any, table: str, rows: list[dict[str, Any]]) -> None:
    requests = {table: [{"PutRequest": {"Item": row}} for row in rows]}
    end = time.monotonic() + WAIT_S
    pause = 0.05
    while requests:
        requests = client.batch_write_item(RequestItems=requests).get("UnprocessedItems") or {}
        if requests:
            if time.monotonic() > end:
                raise MigrateError(f"{table} does not take its rows", "delete the table, and run it again")
            time.sleep(pause)
            pause = min(2.0, pause * 2)


def _missing(client: Any, table: str, wanted: Mapping[bytes, Any]) -> int:
    left = set(wanted)
    for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        left -= {canonical(encode(item)) for item in page["Items"]}
    return len(left)
