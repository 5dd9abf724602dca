"""What the page shows, put together from what each source found. Pure: no clock, no I/O. until phase 3 (MG18)

A section is a JSON value with a name; its shape stands in docs/guides/dashboard.md. Some are put together from several
sources (rows of connections, jobs, verdicts), some are lists of which only the newest items are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["LATENCY_EDGES_MS", "RINGS", "SECTIONS", "Board", "Change", "Finding", "empty", "plain"]

RINGS = {"mismatches": 500, "journal": 200}
"""Sections of which the newest so many items are kept."""
SECTIONS = (
    "connections", "deliveries", "comparison", "mismatches", "latency", "cutover", "phases", "jobs", "journal",
    "bridge", "sources",
)  # fmt: skip
SERIES_S = 120
# A rate that is older says nothing about now; CloudWatch's are never newer than minutes.
RECENT_S = 10
LATE_S = {"cloudwatch": 300}
# A value that says the same is told again after this long, so that its `at` is seen to move.
SAME_S = 10.0
LATENCY_EDGES_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
"""Upper bounds of the bins; a last bin has what took longer."""
# Whose rates are the better ones, first the best: what is counted on the spot, what is recorded, a mean of a minute.
RATE_SOURCES = ("sse-metrics", "legacy-messages", "records", "cloudwatch", "demo")
STACKS = ("legacy", "sse", "shadow")

State = Literal["ok", "away", "absent"]


@dataclass(frozen=True)
class Finding:
    """What a source found.

    Attributes:
        parts: section -> its value, or this source's part of it (rows of connections, points of deliveries as
            {stack: {second: per_s}}, features of comparison, jobs).
        items: section -> items of a list, oldest first; one whose `id` is known replaces it.
        state: ok; away: could not be asked; absent: there is nothing to ask, or nothing was ever done.
        why: in words; also what is worth saying of one that is ok.
    """

    parts: Mapping[str, Any] = field(default_factory=dict)
    items: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    state: State = "ok"
    why: str = ""


@dataclass(frozen=True)
class Change:
    """A section with another value, or with new items at its end."""

    section: str
    value: Any = None
    items: Sequence[Mapping[str, Any]] = ()


def empty() -> dict[str, Any]:
    """Every section before anything was found."""
    latency = {
        "at": None, "edges_ms": list(LATENCY_EDGES_MS), "legacy": [], "sse": [],
        "legacy_p": {"p50": None, "p99": None}, "sse_p": {"p50": None, "p99": None},
    }  # fmt: skip
    deliveries: dict[str, Any] = {"at": None, "series": [], "legacy_per_s": None, "sse_per_s": None}
    given: dict[str, Any] = {
        "connections": {"at": None, "rows": []},
        "deliveries": deliveries,
        "comparison": {"at": None, "features": []},
        "latency": latency,
        "bridge": {"state": "absent"},
    }
    return {name: given.get(name, []) for name in SECTIONS}


def plain(value: Any) -> Any:
    """The value as JSON can say it: no NaN, no infinity, nothing but its own types."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    # What was cut out of a broken frame may hold half a character.
    return str(value).encode("utf-8", "replace").decode("utf-8")


class Board:
    """Everything that is known.

    Args:
        sources: names of those that will say something.
    """

    def __init__(self, sources: Iterable[str] = ()) -> None:
        self._sources: dict[str, dict[str, Any]] = {
            name: {"name": name, "state": "away", "why": "not asked yet", "at": None, "since": None} for name in sources
        }
        self._parts: dict[str, dict[str, Any]] = {}
        self._points: dict[str, dict[str, dict[int, float]]] = {}
        self._rings: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in RINGS}
        self._said: dict[str, tuple[float, Any]] = {}

    def first(self) -> list[Change]:
        """What is known before anything was asked: who will be."""
        return [Change("sources", [dict(one) for one in self._sources.values()])]

    def take(self, source: str, found: Finding, at: float) -> list[Change]:
        """What changes by it.

        Args:
            at: when it was found, epoch seconds.
        """
        found = Finding(plain(found.parts), plain(found.items), found.state, str(plain(found.why)))
        changes = [self._change(name, at) for name in self._keep(source, found, at)]
        changes += [self._append(name, items) for name, items in found.items.items() if items]
        before = self._sources.get(source, {})
        # What was never asked is away since the first look, not since ever.
        since = before.get("since") if before.get("state") == found.state else None
        self._sources[source] = {
            "name": source, "state": found.state, "why": found.why, "at": at, "since": since or at,
        }  # fmt: skip
        changes.append(self._change("sources", at))
        return [change for change in changes if change is not None]

    def _keep(self, source: str, found: Finding, at: float) -> list[str]:
        """Keep a source's parts. Returns the sections they belong to."""
        touched = set(found.parts)
        for section, parts in self._parts.items():
            # What is said to be open, or at work, must be known to be so now.
            is_of_now = section in {"connections", "jobs"} and section not in found.parts
            if is_of_now and parts.pop(source, None) is not None:
                touched.add(section)
        if source in self._points:
            # Also one that says nothing: its line ends, and its rate is not known any more.
            touched.add("deliveries")
        for section, part in found.parts.items():
            if section == "deliveries":
                self._count(source, part, at)
            else:
                self._parts.setdefault(section, {})[source] = part
        return sorted(touched)

    def _count(self, source: str, part: Mapping[str, Mapping[Any, float]], at: float) -> None:
        kept = self._points.setdefault(source, {})
        oldest = int(at) - max(SERIES_S, *LATE_S.values())
        for stack, points in part.items():
            known = kept.setdefault(stack, {})
            known.update({int(second): float(value) for second, value in points.items()})
            for second in [one for one in known if one <= oldest]:
                del known[second]

    def _change(self, section: str, at: float) -> Change | None:
        """The section as it is now; None when it says what it said a moment ago."""
        value = self._value(section, at)
        meaning = _without_time(value)
        said = self._said.get(section)
        if said is not None and said[1] == meaning and at - said[0] < SAME_S:
            return None
        self._said[section] = (at, meaning)
        return Change(section, value)

    def _value(self, section: str, at: float) -> Any:
        parts = self._parts.get(section, {})
        if section == "connections":
            return {"at": at, "rows": [row for name in sorted(parts) for row in parts[name]]}
        if section == "jobs":
            return [job for name in sorted(parts) for job in parts[name]]
        if section == "comparison":
            return {"at": at, "features": self._features()}
        if section == "deliveries":
            return self._deliveries(at)
        if section == "sources":
            return [dict(one) for one in self._sources.values()]
        return next(iter(parts.values()))

    def _features(self) -> list[dict[str, Any]]:
        """What is compared now, else the verdict that was stored last."""
        parts = self._parts["comparison"]
        rows = {row["feature"]: row for row in parts.get("verdicts", ())}
        for name, part in parts.items():
            if name != "verdicts":
                rows |= {row["feature"]: row for row in part if row["expected"] or row["feature"] not in rows}
        return list(rows.values())

    def _deliveries(self, at: float) -> dict[str, Any]:
        now = int(at)
        chosen = {stack: self._best(stack, now) for stack in STACKS}
        seconds = [second for points, _ in chosen.values() for second in points if second > now - SERIES_S]
        series = [
            {"t": second, **{stack: points.get(second) for stack, (points, _) in chosen.items()}}
            for second in range(min(seconds, default=now), max(seconds, default=now - 1) + 1)
        ]
        rates = {
            f"{stack}_per_s": points[max(points)] if is_recent else None
            for stack, (points, is_recent) in chosen.items()
        }
        return {"at": at, "series": series, **rates}

    def _best(self, stack: str, now: int) -> tuple[Mapping[int, float], bool]:
        """The points of the best source that has recent ones, else of the one with the newest, and which it is."""
        found = [(name, points) for name in RATE_SOURCES if (points := self._points.get(name, {}).get(stack))]
        for name, points in found:
            if max(points) >= now - LATE_S.get(name, RECENT_S):
                return points, True
        return max((points for _, points in found), key=max, default={}), False

    def _append(self, section: str, items: Sequence[Mapping[str, Any]]) -> Change | None:
        ring = self._rings[section]
        fresh = [dict(item) for item in items if ring.get(str(item["id"])) != item]
        if not fresh:
            return None
        has_old = any(str(item["id"]) in ring for item in fresh)
        ring.update({str(item["id"]): item for item in fresh})
        while len(ring) > RINGS[section]:
            del ring[next(iter(ring))]
        return Change(section, list(ring.values())) if has_old else Change(section, items=fresh)


def _without_time(value: Any) -> Any:
    """What a value says besides when it was said."""
    if isinstance(value, Mapping):
        return {key: _without_time(one) for key, one in value.items() if key not in {"at", "age_s"}}
    if isinstance(value, list):
        return [_without_time(one) for one in value]
    return value
