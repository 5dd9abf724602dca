"""The comparison in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from loadtests.compare.figures import against, names_of, ratios
from loadtests.compare.page import CAVEATS, NAMES, REAL, number, spread_text

__all__ = ["show", "show_against"]


def show(result: Mapping[str, Any], out: Console) -> None:
    """One table, and what it cannot tell."""
    rounds = result["rounds"]
    sides = list(rounds)
    table = Table(title=f"{result['plan']['scenario']}: median (least-most) of {len(rounds[sides[0]])} repetitions")
    table.add_column("figure")
    for side in sides:
        table.add_column(NAMES[side], justify="right")
    for side in sides[1:]:
        table.add_column(f"{NAMES[side]} / {NAMES[sides[0]]}", justify="right")
    for name in names_of(rounds):
        cells = [spread_text([r["figures"][name] for r in rounds[side] if name in r["figures"]]) for side in sides]
        for side in sides[1:]:
            ratio = ratios(rounds[sides[0]], rounds[side], name)
            cells.append("-" if ratio is None else f"{number(ratio[0])} ({number(ratio[1])}-{number(ratio[2])})")
        table.add_row(name, *cells)
    for part in sorted({part for runs in rounds.values() for run in runs for part in run["memory_mb"]}):
        for what, key in (("cores", "cpu_cores"), ("MB", "memory_mb")):
            cells = [spread_text([run[key].get(part, 0.0) for run in rounds[side]]) for side in sides]
            table.add_row(f"{part}, {what}", *cells, *("" for _ in sides[1:]))
    out.print(table)
    for line in CAVEATS if result["emulated"] else REAL:
        out.print(f"- {line}", highlight=False, markup=False)


def show_against(before: Mapping[str, Any], now: Mapping[str, Any], out: Console) -> None:
    """What has changed since another result. Raises ValueError when they cannot be compared."""
    rows = against(before, now)
    revisions = before["provenance"]["revision"], now["provenance"]["revision"]
    table = Table(title=f"{revisions[0]} -> {revisions[1]}; * the ranges of both do not touch")
    for column in ("figure", "before", "now", "ratio"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for side, name, old, new, ratio, apart in rows:
        table.add_row(f"{NAMES[side]}: {name}", number(old), number(new), f"{number(ratio)}{' *' if apart else ''}")
    out.print(table)
    if before["provenance"]["cpu"] != now["provenance"]["cpu"]:
        out.print("The machines differ: only calls per message and loss can be compared.", highlight=False)
