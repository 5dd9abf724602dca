"""The connections that the tables know, page by page. until phase 3 (MG10)"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from migrate.config.model import Table
from migrate.errors import MigrateError
from migrate.tables.dynamojson import decode, encode
from migrate.tables.rows import Rows

__all__ = ["Known", "pages"]

PAGE = 250


@dataclass(frozen=True)
class Known:
    """A connection that a table knows.

    Args:
        user, tenant: as the table has them, or empty.
    """

    connection_id: str
    user: str = ""
    tenant: str = ""


def pages(
    dynamodb: Any,
    table: Table,
    keys: tuple[str, ...],
    start: dict[str, Any] | None = None,
    scanned: Callable[[], None] = lambda: None,
) -> Iterator[tuple[list[Known], dict[str, Any] | None]]:
    """The connections of a table, with where to go on after each page (None at the end), as text.

    Args:
        start: where to go on.
        scanned: called before each page.

    Raises: MigrateError: the table cannot be read.
    """
    rows = Rows(table, keys)
    arguments: dict[str, Any] = {"TableName": table.name, "Limit": PAGE, "ConsistentRead": True}
    if start:
        arguments["ExclusiveStartKey"] = decode(start)
    while True:
        scanned()
        try:
            page = dynamodb.scan(**arguments)
        except (ClientError, BotoCoreError) as error:
            said = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
            raise MigrateError(
                f"the table {table.name} could not be read: {said}", "run it again: it goes on"
            ) from error
        found = [
            Known(entry.connection_id, *(_text(item, entry.value, name) for name in (table.user, table.tenant)))
            for item in page["Items"]
            for entry in rows.entries(item)
        ]
        last = page.get("LastEvaluatedKey")
        yield found, encode(last) if last else None
        if not last:
            return
        arguments["ExclusiveStartKey"] = last


def _text(item: dict[str, Any], entry: dict[str, Any], name: str) -> str:
    """An attribute of the connection itself, where it is inside an item, else of the item."""
    if not name:
        return ""
    value = entry.get("M", {}).get(name) or item.get(name) or {}
    return str(value.get("S", value.get("N", "")))
