"""Signatures, waivers and closed phases, in the team's state table. until phase 3

Items: pk `sign#PROJECT#PHASE`, sk item id {kind, by, note, at, config}; pk `phase#PROJECT#PHASE`, sk `closed` {by, at,
config, rows}.
"""

from __future__ import annotations

from typing import Any

from migrate.control.table import ControlTable
from migrate.phases.model import Signature

__all__ = ["Signatures"]


class Signatures:
    """What people said.

    Args:
        table: of the shared state.
        project: whose checklists: several projects may share a table.
    """

    def __init__(self, table: ControlTable, project: str) -> None:
        self._table = table
        self._project = project

    def of(self, phase: int) -> dict[str, Signature]:
        """By item id."""
        return {
            str(item["sk"]): Signature(
                str(item["kind"]), str(item["by"]), str(item["note"]), float(item["at"]), str(item["config"])
            )
            for item in self._table.query(self._pk("sign", phase))
        }

    def put(self, phase: int, item: str, signature: Signature) -> None:
        """Sign or waive; a later one replaces an earlier one, and the journal has both."""
        self._table.put(
            {
                "pk": self._pk("sign", phase),
                "sk": item,
                "kind": signature.kind,
                "by": signature.by,
                "note": signature.note,
                "at": signature.at,
                "config": signature.config,
            }
        )

    def withdraw(self, phase: int, item: str) -> None:
        """Take a signature back; nothing happens when there is none."""
        self._table.delete(self._pk("sign", phase), item)

    def closed(self, phase: int) -> dict[str, Any] | None:
        """Who closed a phase, when; None while it is open."""
        return self._table.get(self._pk("phase", phase), "closed")

    def close(self, phase: int, by: str, at: float, config: str, rows: list[dict[str, Any]]) -> None:
        """Close it, with what was known of each item."""
        self._table.put(
            {"pk": self._pk("phase", phase), "sk": "closed", "by": by, "at": at, "config": config, "rows": rows}
        )

    def reopen(self, phase: int) -> None:
        self._table.delete(self._pk("phase", phase), "closed")

    def _pk(self, kind: str, phase: int) -> str:
        return f"{kind}#{self._project}#{phase}"
