"""Cut-over flags in DynamoDB: read only. The table and its items: sse_service/flags.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sse_service.adapters.dynamodb import Dynamo
from sse_service.flags import PARTITION

__all__ = ["DynamoFlags"]


class DynamoFlags:
    """A FlagSource. The service's role needs `dynamodb:Query` on the table."""

    def __init__(self, dynamo: Dynamo, table: str) -> None:
        self._dynamo = dynamo
        self._table = table

    async def start(self) -> None:
        await self._dynamo.connect()

    async def close(self) -> None:
        await self._dynamo.close()

    async def read(self) -> list[Mapping[str, Mapping[str, object]]]:
        """Every item. Raises UnavailableError."""
        items: list[Mapping[str, Mapping[str, object]]] = []
        start: dict[str, Any] = {}
        while True:
            # Consistent: who has just come back must not be sent over once more by a replica that is behind.
            page = await self._dynamo.call(
                "query",
                TableName=self._table,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": PARTITION}},
                ConsistentRead=True,
                **start,
            )
            items += page.get("Items", [])
            if "LastEvaluatedKey" not in page:
                return items
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
