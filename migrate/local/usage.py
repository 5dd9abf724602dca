"""What AWS would bill: API and database calls, messages, connection time, Lambda time. until phase 3

Pure. Counted where it happens in the local AWS, read at `GET /_local/usage` of the front door; it only ever grows, so a
reader takes the difference of two readings. Sources of the units: API Gateway pricing page, "WebSocket APIs" (messages
both ways in increments of 32 KB, connection minutes); AWS Lambda pricing page (GB-seconds, requests).

Not counted: what AWS's own pollers do (an event source mapping's ReceiveMessage), and DynamoDB's read and write units,
which depend on the sizes of items: the operations are what is shown.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

__all__ = ["MESSAGE_UNIT_BYTES", "USAGE_PATH", "Usage"]

USAGE_PATH = "/_local/usage"
"""Of the front door."""
MESSAGE_UNIT_BYTES = 32 * 1024


class Usage:
    """Counters since the local AWS was started."""

    def __init__(self) -> None:
        self._calls: Counter[tuple[str, str]] = Counter()
        self._invocations: Counter[str] = Counter()
        self._gb_seconds: defaultdict[str, float] = defaultdict(float)
        self._messages: Counter[str] = Counter()
        self._units: Counter[str] = Counter()
        self._connection_s: defaultdict[str, float] = defaultdict(float)

    def call(self, service: str, operation: str) -> None:
        """One request to an AWS API."""
        self._calls[service, operation] += 1

    def invocation(self, function: str, seconds: float, memory_mb: int) -> None:
        """One run of a Lambda function."""
        self._invocations[function] += 1
        self._gb_seconds[function] += seconds * memory_mb / 1024

    def message(self, api_id: str, size: int) -> None:
        """One WebSocket message of `size` bytes, either way."""
        self._messages[api_id] += 1
        self._units[api_id] += max(1, -(-size // MESSAGE_UNIT_BYTES))

    def connection(self, api_id: str, seconds: float) -> None:
        """A connection that has ended after `seconds`."""
        self._connection_s[api_id] += seconds

    def snapshot(self) -> dict[str, Any]:
        """{"calls": {service: {operation: n}}, "lambda": {function: {"invocations", "gb_seconds"}},
        "websocket": {api_id: {"messages", "message_units", "connection_seconds"}}}."""
        calls: dict[str, dict[str, int]] = {}
        for (service, operation), count in sorted(self._calls.items()):
            calls.setdefault(service, {})[operation] = count
        return {
            "calls": calls,
            "lambda": {
                name: {"invocations": count, "gb_seconds": round(self._gb_seconds[name], 6)}
                for name, count in sorted(self._invocations.items())
            },
            "websocket": {
                api_id: {
                    "messages": self._messages[api_id],
                    "message_units": self._units[api_id],
                    "connection_seconds": round(self._connection_s[api_id], 3),
                }
                for api_id in sorted({*self._messages, *self._connection_s})
            },
        }
