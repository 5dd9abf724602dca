"""What a comparison of records runs on: tables are made and queried by SQL. until phase 3

Implemented by migrate.compare.duck and migrate.compare.athena.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from migrate.compare.dialect import Dialect

__all__ = ["Engine", "with_names"]


class Engine(Protocol):
    """What a comparison runs on."""

    dialect: Dialect

    def table(self, name: str, select: str) -> None:
        """Make (or replace) a table of a query."""

    def view(self, name: str, select: str) -> None:
        """Make (or replace) a view."""

    def rows(self, select: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""


def with_names(rows: Sequence[tuple[Any, ...]], column: int, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Rows with the feature's name instead of its place among the rules."""
    return [(*row[:column], names[int(row[column])], *row[column + 1 :]) for row in rows]
