"""Ensure-steps of DynamoDB tables. until phase 3"""

from __future__ import annotations

from typing import Any

from legacy_ws.aws import error_code
from legacy_ws.deploy.shapes import table_shape
from legacy_ws.deploy.spec import TAG, StackNames, TableSpec
from legacy_ws.deploy.steps import Action, wait_until
from legacy_ws.errors import RefusedError, StepFailedError

__all__ = ["describe", "ensure_index", "ensure_table", "ensure_ttl", "table_tags"]

_READY_S = 180.0
# Filling an index reads the whole table first.
_INDEX_READY_S = 3600.0


def ensure_table(client: Any, names: StackNames, table: TableSpec) -> Action:
    """The table exists with the keys of its spec, belongs to the stack and is ACTIVE.

    Raises: RefusedError: there is such a table, but it is not this stack's. StepFailedError: it has other
        keys.
    """
    name = names.table(table)
    found = describe(client, name)
    if found is not None and found["TableStatus"] == "DELETING":
        wait_until(lambda: describe(client, name) is None, f"table {name}", timeout_s=_READY_S)
        found = None
    if found is None:
        client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            Tags=[{"Key": key, "Value": value} for key, value in names.app_tags.items()],
            **table_shape(table),
        )
        _wait_active(client, name)
        return "created"
    if table_tags(client, found["TableArn"]).get(TAG) != names.stack:
        raise RefusedError(
            f"table {name} exists and is not part of stack {names.stack}",
            f"choose another stack name; or, to take it over, tag it {TAG}={names.stack}",
        )
    if not _same_keys(found["KeySchema"], table_shape(table)["KeySchema"]):
        raise StepFailedError(f"table {name}", "it exists with other keys, and keys cannot be changed")
    _wait_active(client, name)
    return "unchanged"


def ensure_index(client: Any, names: StackNames, table: TableSpec, index: str) -> Action:
    """The table, which is there, has this index, and it can be queried.

    DynamoDB makes one index of a table at a time, and refuses every other change of it meanwhile (developer guide,
    "Managing Global Secondary Indexes").
    Raises: StepFailedError: it has other keys.
    """
    name = names.table(table)
    shape: Any = table_shape(table)
    wanted = next(one for one in shape["GlobalSecondaryIndexes"] if one["IndexName"] == index)
    found = _index(client, name, index)
    if found is not None and not _same_keys(found["KeySchema"], wanted["KeySchema"]):
        raise StepFailedError(
            f"index {name}.{index}",
            "it exists with other keys, and keys cannot be changed: delete it if nobody uses it",
        )
    if found is None:
        _wait_unchanging(client, name)
        client.update_table(
            TableName=name,
            AttributeDefinitions=shape["AttributeDefinitions"],
            GlobalSecondaryIndexUpdates=[{"Create": wanted}],
        )
    wait_until(
        lambda: (_index(client, name, index) or {}).get("IndexStatus") == "ACTIVE",
        f"index {name}.{index}",
        timeout_s=_INDEX_READY_S,
    )
    return "created" if found is None else "unchanged"


def ensure_ttl(client: Any, names: StackNames, table: TableSpec) -> Action:
    """The table's TTL is on."""
    name = names.table(table)
    found = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if found.get("TimeToLiveStatus") in ("ENABLED", "ENABLING") and found.get("AttributeName") == table.ttl:
        return "unchanged"
    client.update_time_to_live(TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": table.ttl})
    return "updated"


def describe(client: Any, name: str) -> dict[str, Any] | None:
    """The table's description; None when there is none."""
    try:
        found: dict[str, Any] = client.describe_table(TableName=name)["Table"]
    except client.exceptions.ResourceNotFoundException:
        return None
    return found


def table_tags(client: Any, arn: str) -> dict[str, str]:
    """The table's tags; empty when it has just gone."""
    tags: dict[str, str] = {}
    arguments = {"ResourceArn": arn}
    try:
        while True:
            answer = client.list_tags_of_resource(**arguments)
            tags |= {tag["Key"]: tag["Value"] for tag in answer.get("Tags", [])}
            if not answer.get("NextToken"):
                return tags
            arguments["NextToken"] = answer["NextToken"]
    except client.exceptions.ClientError as error:
        if error_code(error) == "ResourceNotFoundException":
            return tags
        raise


def _wait_active(client: Any, name: str) -> None:
    def active() -> bool:
        found = describe(client, name)
        return found is not None and found["TableStatus"] in ("ACTIVE", "UPDATING")

    wait_until(active, f"table {name}", timeout_s=_READY_S)


def _wait_unchanging(client: Any, name: str) -> None:
    def settled() -> bool:
        found = describe(client, name) or {}
        indexes = found.get("GlobalSecondaryIndexes", [])
        return found.get("TableStatus") == "ACTIVE" and all(one["IndexStatus"] == "ACTIVE" for one in indexes)

    wait_until(settled, f"table {name}", timeout_s=_INDEX_READY_S)


def _index(client: Any, name: str, index: str) -> dict[str, Any] | None:
    indexes: list[dict[str, Any]] = (describe(client, name) or {}).get("GlobalSecondaryIndexes", [])
    return next((one for one in indexes if one["IndexName"] == index), None)


def _same_keys(one: object, other: object) -> bool:
    return isinstance(one, list) and isinstance(other, list) and sorted(map(str, one)) == sorted(map(str, other))
