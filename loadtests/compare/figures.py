"""Ratios with their spread: of both stacks, and of two versions. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Change", "Spread", "against", "differing", "names_of", "ratios", "spread_of", "with_parts"]

PER_MESSAGE = " per message"
Spread = tuple[float, float, float]
"""Median, least, most."""


def spread_of(values: Sequence[float]) -> Spread | None:
    return (statistics.median(values), min(values), max(values)) if values else None


def names_of(rounds: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Names of all figures, in the order in which they first come; calls of all sides together."""
    names = list(dict.fromkeys(name for runs in rounds.values() for run in runs for name in run["figures"]))
    calls = sorted(name for name in names if name.endswith(PER_MESSAGE))
    at = next((index for index, name in enumerate(names) if name.endswith(PER_MESSAGE)), 0)
    return [*names[:at], *calls, *(name for name in names[at:] if not name.endswith(PER_MESSAGE))]


def ratios(base: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]], name: str) -> Spread | None:
    """other / base, repetition by repetition: what slows the machine down for a while hits both of a pair."""
    found = [
        two["figures"][name] / one["figures"][name]
        for one, two in zip(base, other, strict=False)
        if one["figures"].get(name) and name in two["figures"]
    ]
    return spread_of(found)


def with_parts(run: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a run, and cores and memory of each part."""
    parts = {f"{part}, {unit}": value for unit, key in (("cores", "cpu_cores"), ("MB", "memory_mb"))
             for part, value in run[key].items()}  # fmt: skip
    return {**run["figures"], **parts}


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of what differs in two plans."""
    return sorted(key for key in {*before, *now} if before.get(key) != now.get(key))


@dataclass(frozen=True)
class Change:
    """One figure of one side in two results: medians (None: not there), their ratio (None: there is none), and whether
    the ranges of both do not touch."""

    side: str
    name: str
    before: float | None
    now: float | None
    ratio: float | None
    apart: bool


def against(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Every figure that either of two results of one plan has, but for those that are 0 in both."""
    rows = []
    for side, runs in now["rounds"].items():
        earlier = [with_parts(run) for run in before["rounds"].get(side, ())]
        later = [with_parts(run) for run in runs]
        if not earlier:
            continue
        for name in dict.fromkeys(name for run in (*later, *earlier) for name in run):
            old = spread_of([run[name] for run in earlier if name in run])
            new = spread_of([run[name] for run in later if name in run])
            if not (old and old[2]) and not (new and new[2]):
                continue
            apart = old is None or new is None or new[1] > old[2] or new[2] < old[1]
            ratio = new[0] / old[0] if old and new and old[0] else None
            rows.append(Change(side, name, old and old[0], new and new[0], ratio, apart))
    return rows
