"""Tickets and sessions of all instances, in the claims table: {claim, facts (JSON text), taker, expires_at}.

The conditional write decides who takes a ticket. TTL deletes late, so that what has expired counts as gone
(developer guide, "Working with expired items").
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from sse_service.adapters.dynamodb import ConditionFailedError, Dynamo
from sse_service.tickets import SessionRecord

__all__ = ["DynamoSessions"]


class DynamoSessions:
    def __init__(self, dynamo: Dynamo, table: str) -> None:
        self._dynamo = dynamo
        self._table = table

    async def put(self, key: str, facts: Mapping[str, str], *, expires_at: float) -> None:
        await self._dynamo.call(
            "put_item",
            TableName=self._table,
            Item={
                "claim": {"S": key},
                "facts": {"S": json.dumps(dict(facts))},
                "expires_at": {"N": str(math.ceil(expires_at))},
            },
        )

    async def get(self, key: str, *, now: float) -> SessionRecord | None:
        answer = await self._dynamo.call(
            "get_item", TableName=self._table, Key={"claim": {"S": key}}, ConsistentRead=True
        )
        item = answer.get("Item")
        if item is None or float(item["expires_at"]["N"]) <= now:
            return None
        taker = item.get("taker")
        return SessionRecord(json.loads(item["facts"]["S"]), taker["S"] if taker else None)

    async def take(self, key: str, taker: str, *, now: float, expires_at: float) -> bool:
        try:
            await self._dynamo.call(
                "update_item",
                TableName=self._table,
                Key={"claim": {"S": key}},
                UpdateExpression="SET taker = :taker, expires_at = :end",
                ConditionExpression="expires_at > :now AND (attribute_not_exists(taker) OR taker = :taker)",
                ExpressionAttributeValues={
                    ":taker": {"S": taker},
                    ":end": {"N": str(math.ceil(expires_at))},
                    ":now": {"N": repr(now)},
                },
            )
        except ConditionFailedError:
            return False
        return True
