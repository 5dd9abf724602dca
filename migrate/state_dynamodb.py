"""State a team shares while it migrates: one DynamoDB table, so that any machine can continue. until phase 3

Items so far: pk `bridge`, sk `cursor#TENANT`: the id of the last event that was posted to the legacy stack.
"""

from __future__ import annotations

import time
from typing import Any

__all__ = ["DEFAULT_TABLE", "MigrationState"]

DEFAULT_TABLE = "ws2sse-migration"


class MigrationState:
    """The shared table.

    Args:
        dynamodb: a boto3 DynamoDB client.
        table: its name.
    """

    def __init__(self, dynamodb: Any, table: str = DEFAULT_TABLE) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def ensure_table(self) -> None:
        """Create the table where it is missing; safe to repeat and to race."""
        try:
            self._dynamodb.create_table(
                TableName=self._table,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[
                    {"AttributeName": "pk", "AttributeType": "S"},
                    {"AttributeName": "sk", "AttributeType": "S"},
                ],
                KeySchema=[
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
            )
        except self._dynamodb.exceptions.ResourceInUseException:
            return
        self._dynamodb.get_waiter("table_exists").wait(
            TableName=self._table, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )

    def bridge_cursor(self, tenant: str) -> str | None:
        """The id after which the bridge goes on, or None when it never ran."""
        item = self._dynamodb.get_item(
            TableName=self._table,
            Key={"pk": {"S": "bridge"}, "sk": {"S": f"cursor#{tenant}"}},
            ConsistentRead=True,
        ).get("Item")
        return str(item["cursor"]["S"]) if item else None

    def save_bridge_cursor(self, tenant: str, cursor: str) -> None:
        """Remember how far the bridge has come."""
        self._dynamodb.put_item(
            TableName=self._table,
            Item={
                "pk": {"S": "bridge"},
                "sk": {"S": f"cursor#{tenant}"},
                "cursor": {"S": cursor},
                "saved_at": {"N": f"{time.time():.3f}"},
            },
        )
