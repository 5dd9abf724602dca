"""Two people, their frames and their rows, for the tests of legacy_ws.apps.direct. until phase 3"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from legacy_ws.apps.direct import get_history, read, send_message

EventMaker = Callable[..., dict[str, Any]]
HANDLERS = {"sendMessage": send_message, "getHistory": get_history, "read": read}
ANN, BOB = "ann@example.com", "bob@example.com"
ROOM = f"{ANN}#{BOB}"
AT_MS = 1718691220123


def rows(dynamodb: Any, table: str) -> list[dict[str, Any]]:
    return list(dynamodb.scan(TableName=f"direct-{table}")["Items"])


def to_bob(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"action": "sendMessage", "receiverEmail": BOB, "message": text, **more}


class Clock:
    """A Lambda context with so many seconds left."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return self.seconds * 1000
