"""Ratios with their spread: of both stacks, and of two versions. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Spread", "against", "names_of", "ratios", "spread_of"]

Spread = tuple[float, float, float]
"""Median, least, most."""


def spread_of(values: Sequence[float]) -> Spread | None:
    return (statistics.median(values), min(values), max(values)) if values else None


def names_of(rounds: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Names of all figures, in the order in which they first come."""
    return list(dict.fromkeys(name for runs in rounds.values() for run in runs for name in run["figures"]))


def ratios(base: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]], name: str) -> Spread | None:
    """other / base, repetition by repetition: what slows the machine down for a while hits both of a pair."""
    found = [
        two["figures"][name] / one["figures"][name]
        for one, two in zip(base, other, strict=False)
        if one["figures"].get(name) and name in two["figures"]
    ]
    return spread_of(found)


def against(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, str, float, float, float, bool]]:
    """(side, figure, median before, median now, ratio, whether the ranges are apart) of figures both have.

    Raises: ValueError: they are results of different plans.
    """
    if before["plan"] != now["plan"]:
        differing = sorted(key for key in now["plan"] if now["plan"][key] != before["plan"].get(key))
        raise ValueError(f"the other result is of another plan: {', '.join(differing) or 'other keys'} differ")
    rows = []
    for side, runs in now["rounds"].items():
        if side not in before["rounds"]:
            continue
        earlier = before["rounds"][side]
        for name in names_of({side: runs}):
            old = spread_of([run["figures"][name] for run in earlier if name in run["figures"]])
            new = spread_of([run["figures"][name] for run in runs if name in run["figures"]])
            if old and new and old[0]:
                apart = new[1] > old[2] or new[2] < old[1]
                rows.append((side, name, old[0], new[0], new[0] / old[0], apart))
    return rows
