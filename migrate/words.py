"""Numbers with their words. Pure. until phase 3"""

from __future__ import annotations

__all__ = ["counted"]


def counted(count: int, one: str, more: str = "") -> str:
    """`1 file`, `2 files`; more: where the plural is not made with an s."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"
