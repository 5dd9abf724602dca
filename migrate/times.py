"""Times as people and programs read them. Pure. until phase 3"""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["utc_text"]


def utc_text(at: float, timespec: str = "seconds") -> str:
    """Epoch seconds as ISO 8601, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
