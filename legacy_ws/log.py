"""Structured log records: one JSON object a line on stdout, where Lambda sends it to CloudWatch Logs. until
phase 3
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Literal

from legacy_ws.redact import redact

__all__ = ["Level", "Log", "log"]

_MAX_TEXT = 16_384

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Log = Callable[..., None]
"""Called as `log(level, event, **fields)`."""


def log(level: Level, event: str, **fields: object) -> None:
    """Write one record; fields that are None are left out, tokens and secrets are redacted.

    Args:
        level: shown as `level`.
        event: what happened, in snake_case; shown as `event`.
        fields: anything JSON can show; other values are shown as their text.
    """
    record = {"level": level, "event": event}
    record.update((key, value) for key, value in fields.items() if value is not None)  # type: ignore[misc]
    shown = redact(record)
    if isinstance(shown, dict):
        shown = {key: _cut(value) for key, value in shown.items()}
    line = json.dumps(shown, ensure_ascii=False, default=str, separators=(",", ":"))
    # A client chooses parts of this text: a lone surrogate must not keep the record from being written.
    sys.stdout.write(line.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")
    sys.stdout.flush()


def _cut(value: object) -> object:
    """Text of a sensible length: a record that is too large for CloudWatch Logs would be lost."""
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        return f"{value[:_MAX_TEXT]}... ({len(value)} characters)"
    return value
