"""One JSON line per event on standard error. Until phase 3.

Fields: time (ISO 8601), event, apiId, stage, and what the event has of connectionId, requestId, routeKey,
status, latencyMs, bytes, sourceIp, code, reason, detail. Never a query string, a header or a body: tokens
travel there.
"""

import asyncio
import json
import sys
from datetime import UTC, datetime
from functools import lru_cache
from typing import TextIO

FLUSH_S = 0.05
"""How long lines are collected before they are written in one go."""


@lru_cache(maxsize=4)
def _second(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class AccessLog:
    """Collects lines for FLUSH_S and writes them at once: a write per line would cost as much as the event."""

    def __init__(self, *, enabled: bool, stream: TextIO | None = None) -> None:
        self._enabled = enabled
        self._stream = stream
        self._lines: list[str] = []

    def write(self, event: str, epoch_ms: int, **fields: object) -> None:
        """Log one event; fields that are None are left out."""
        if not self._enabled:
            return
        record: dict[str, object] = {
            "time": f"{_second(epoch_ms // 1000)}.{epoch_ms % 1000:03}Z",
            "logger": "gateway",
            "event": event,
        }
        record.update((name, value) for name, value in fields.items() if value is not None)
        if not self._lines:
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        self._lines.append(json.dumps(record, separators=(",", ":")))

    def flush(self) -> None:
        """Write what is collected."""
        if not self._lines:
            return
        text = "\n".join(self._lines) + "\n"
        self._lines.clear()
        stream = self._stream if self._stream is not None else sys.stderr
        stream.write(text)
        stream.flush()
