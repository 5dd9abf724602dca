"""Times in frames: ISO 8601 in UTC with microseconds, "2026-11-22T03:15:52.123456Z". until phase 3

Pure.
"""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["iso"]


def iso(epoch_s: float) -> str:
    """`epoch_s` as text."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
