"""Whose connections the legacy stack's own tables say they are. until phase 3"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from migrate.config.model import Table
from migrate.shadow.people import Person, connections_in

__all__ = ["ConnectionTables"]

# A connection that no table has is asked for once in so long.
ASK_AGAIN_S = 60.0
KEPT = 200_000


class ConnectionTables:
    """Reads them.

    Args:
        dynamodb: a boto3 client; its calls run in a thread.
        tables: of the configuration; those that name no user are of no use here.
        default_tenant: of rows that name none.
    """

    def __init__(self, dynamodb: Any, tables: Sequence[Table], default_tenant: str) -> None:
        self._dynamodb = dynamodb
        self._tables = [table for table in tables if table.role == "connections" and table.user]
        self._default_tenant = default_tenant
        self._asked: dict[str, float] = {}

    async def all(self) -> list[tuple[str, Person]]:
        """Every connection there is now, with whose it is."""
        return await asyncio.to_thread(self._scan)

    async def find(self, connection_id: str) -> tuple[str, Person] | None:
        """A connection by its row; None: there is none, or it was asked for a moment ago."""
        now = time.monotonic()
        if now - self._asked.get(connection_id, float("-inf")) < ASK_AGAIN_S:
            return None
        if len(self._asked) > KEPT:
            self._asked.clear()
        self._asked[connection_id] = now
        for table in self._tables:
            if table.sort_key or table.map_attribute:
                continue
            answer = await asyncio.to_thread(
                self._dynamodb.get_item,
                TableName=table.name,
                Key={table.key: {"S": table.id_prefix + connection_id}},
                ConsistentRead=True,
            )
            found = next(connections_in(table, answer.get("Item", {}), self._default_tenant), None)
            if found is not None:
                return found
        return None

    def _scan(self) -> list[tuple[str, Person]]:
        return [
            found
            for table in self._tables
            for page in self._dynamodb.get_paginator("scan").paginate(TableName=table.name)
            for item in page["Items"]
            for found in connections_in(table, item, self._default_tenant)
        ]
