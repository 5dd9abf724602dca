"""The comparison in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from loadtests.compare.figures import Change, names_of, ratios
from loadtests.compare.page import caveats, cells_of, change_cells, origin_text, ratio_text, repeated, spread_text
from loadtests.compare.rounds import NAMES

__all__ = ["show", "show_changes"]


def show(result: Mapping[str, Any], out: Console) -> None:
    """One table, where it was made, and what it cannot tell."""
    rounds = result["rounds"]
    sides = list(rounds)
    table = Table(title=f"{result['plan']['scenario']}: {repeated(rounds)}")
    table.add_column("figure")
    for side in sides:
        table.add_column(NAMES[side], justify="right")
    for side in sides[1:]:
        table.add_column(f"{NAMES[side]} / {NAMES[sides[0]]}", justify="right")
    for name in names_of(rounds):
        cells = cells_of(result, name)
        cells += [ratio_text(ratios(rounds[sides[0]], rounds[side], name)) for side in sides[1:]]
        table.add_row(name, *cells)
    for part in sorted({part for runs in rounds.values() for run in runs for part in run["memory_mb"]}):
        for what, key in (("cores", "cpu_cores"), ("MB", "memory_mb")):
            cells = [spread_text([run[key].get(part, 0.0) for run in rounds[side]]) for side in sides]
            table.add_row(f"{part}, {what}", *cells, *("" for _ in sides[1:]))
    out.print(table)
    out.print(origin_text(result), highlight=False, markup=False)
    for line in caveats(result):
        out.print(f"- {line}", highlight=False, markup=False)


def show_changes(changes: Sequence[Change], before: Mapping[str, Any], now: Mapping[str, Any], out: Console) -> None:
    """What has changed since another result of the same plan."""
    revisions = before["provenance"]["revision"], now["provenance"]["revision"]
    table = Table(title=f"{revisions[0]} -> {revisions[1]}; * the ranges of both do not touch")
    for column in ("figure", "before", "now", "ratio"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for change in changes:
        table.add_row(*change_cells(change))
    out.print(table)
    if before["provenance"]["cpu"] != now["provenance"]["cpu"]:
        out.print("The machines differ: only calls per message and loss can be compared.", highlight=False)
    if (before["emulated"], before.get("target", {})) != (now["emulated"], now.get("target", {})):
        out.print("Not the same stacks: other addresses were measured.", highlight=False)
