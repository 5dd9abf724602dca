"""How far a job has come, segment by segment, so that another machine can go on. until phase 3"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migrate.control.table import ControlTable

__all__ = ["Checkpoints"]


class Checkpoints:
    """Checkpoints of jobs.

    Args:
        table: of the shared state.
    """

    def __init__(self, table: ControlTable) -> None:
        self._table = table

    def get(self, job: str, segment: str) -> dict[str, Any] | None:
        """What was put last, or None."""
        item = self._table.get(f"checkpoint#{job}", segment)
        return dict(item["value"]) if item else None

    def put(self, job: str, segment: str, value: Mapping[str, Any]) -> None:
        """Remember how far a segment has come."""
        self._table.put({"pk": f"checkpoint#{job}", "sk": segment, "value": dict(value)})

    def all(self, job: str) -> dict[str, dict[str, Any]]:
        """By segment."""
        return {item["sk"]: dict(item["value"]) for item in self._table.query(f"checkpoint#{job}")}

    def forget(self, job: str, segment: str) -> None:
        """Forget one segment."""
        self._table.delete(f"checkpoint#{job}", segment)

    def clear(self, job: str) -> None:
        """Forget a job."""
        for segment in self.all(job):
            self.forget(job, segment)
