"""Which tables hold connections, and what AWS says of one. until phase 3"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from migrate.config import Config
from migrate.config.model import Table
from migrate.errors import UsageError

__all__ = ["connection_tables", "described"]


def connection_tables(config: Config, name: str = "") -> list[Table]:
    """The tables of connections, or the one named.

    Raises: UsageError: there is none.
    """
    tables = [table for table in config.tables if table.role == "connections" and name in {"", table.name}]
    if not tables:
        known = ", ".join(table.name for table in config.tables if table.role == "connections") or "none"
        raise UsageError(
            f"{config.path} has no table of connections" + (f" called {name}" if name else ""), f"its tables: {known}"
        )
    return tables


def described(dynamodb: Any, name: str) -> tuple[tuple[str, ...], tuple[float, float]]:
    """Key attributes, and provisioned (read, write) units; 0 on demand."""
    try:
        table = dynamodb.describe_table(TableName=name)["Table"]
    except (ClientError, BotoCoreError) as error:
        said = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        raise UsageError(f"the table {name} could not be read: {said}", "see `migrate check-config`") from None
    schema = sorted(table["KeySchema"], key=lambda one: one["KeyType"] != "HASH")
    through = table.get("ProvisionedThroughput", {})
    on_demand = table.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST"
    units = (0.0, 0.0) if on_demand else (
        float(through.get("ReadCapacityUnits", 0)), float(through.get("WriteCapacityUnits", 0))
    )  # fmt: skip
    return tuple(one["AttributeName"] for one in schema), units
