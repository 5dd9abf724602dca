"""Curves as inline SVG: latencies by their share, deliveries by the second. Pure.

Lines are drawn as wide as the screen is; what is written around them is text of the page, so that it has the same size
on a phone as elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from loadtests.compare.rounds import NAMES
from loadtests.users.histogram import Histogram

__all__ = ["STYLE", "latency", "throughput"]

# Of the drawing, in its own units: both axes are stretched to what room there is.
SIDE = 1000
STYLE = """
:root { --ws: #c2410c; --sse: #0369a1; --dropin: #7e22ce; }
@media (prefers-color-scheme: dark) { :root { --ws: #fb923c; --sse: #38bdf8; --dropin: #c084fc; } }
figure { margin: 1rem 0 1.5rem; font-size: 12px; line-height: 1; }
figcaption { display: flex; flex-wrap: wrap; gap: .5rem 1.25rem; margin-bottom: 1rem; font-size: 13px; }
figcaption i { display: inline-block; width: 1.25rem; height: 3px; margin-right: .4rem; vertical-align: middle; }
.plot { position: relative; height: 320px; margin: 0 1.25rem 0 3rem; }
.plot svg { display: block; width: 100%; height: 100%; overflow: visible; }
.plot svg * { fill: none; vector-effect: non-scaling-stroke; }
.plot span { position: absolute; white-space: nowrap; }
.up { right: 100%; transform: translateY(-50%); padding-right: .4rem; }
.along { top: 100%; transform: translateX(-50%); padding-top: .6rem; }
.unit { margin: 1.9rem 0 0 3rem; text-align: center; }
"""
Rounds = Mapping[str, Sequence[Mapping[str, Any]]]
Points = Sequence[tuple[float, float]]
"""Across and up, each of 0 to 1."""


def _line(points: Points, side: str, width: float, opacity: float) -> str:
    places = " ".join(f"{x * SIDE:.1f},{(1 - y) * SIDE:.1f}" for x, y in points)
    return f'<polyline points="{places}" stroke="var(--{side})" stroke-width="{width}" opacity="{opacity}"/>'


def _grid(along: Points, across: Points) -> str:
    lines = [
        *((x * SIDE, x * SIDE, 0, SIDE) for x, _ in along),
        *((0, SIDE, (1 - y) * SIDE, (1 - y) * SIDE) for _, y in across),
    ]
    return "".join(
        f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" stroke="#8886"/>' for x1, x2, y1, y2 in lines
    )


def _figure(
    lines: Iterator[str],
    sides: Sequence[str],
    label: str,
    unit: str,
    along: Mapping[float, str],
    up: Mapping[float, str],
) -> str:
    """along, up: what is written at which place of an axis, 0 to 1."""
    grid = _grid([(x, 0) for x in along], [(0, y) for y in up])
    names = "".join(f'<span><i style="background:var(--{side})"></i>{escape(NAMES[side])}</span>' for side in sides)
    written = [
        *(f'<span class="up" style="top:{(1 - y) * 100:.2f}%">{text}</span>' for y, text in up.items()),
        *(f'<span class="along" style="left:{x * 100:.2f}%">{text}</span>' for x, text in along.items()),
    ]
    return (
        f'<figure><figcaption>{names}</figcaption><div class="plot"><svg viewBox="0 0 {SIDE} {SIDE}"'
        f' preserveAspectRatio="none" role="img" aria-label="{escape(label)}">{grid}{"".join(lines)}</svg>'
        f'{"".join(written)}</div><div class="unit">{unit}</div></figure>'
    )


def latency(rounds: Rounds, name: str) -> str:
    """Share of values by milliseconds (logarithmic): a thin line a repetition, a thick one for all."""
    found = {
        side: [Histogram(run["latency"][name]) for run in runs if run["latency"].get(name)]
        for side, runs in rounds.items()
    }
    every = [point for parts in found.values() for part in parts for point in part.points()]
    low, high = math.floor(math.log10(min(x for x, _ in every))), math.ceil(math.log10(max(x for x, _ in every)))
    high = max(high, low + 1)

    def places(points: Points) -> list[tuple[float, float]]:
        return [((math.log10(x) - low) / (high - low), share) for x, share in ((points[0][0], 0.0), *points)]

    def lines() -> Iterator[str]:
        for side, parts in found.items():
            if parts:
                yield from (_line(places(part.points()), side, 1, 0.4) for part in parts)
                yield _line(places(Histogram.merged(parts).points()), side, 2.5, 1)

    along = {(power - low) / (high - low): f"{10.0**power:,g}" for power in range(low, high + 1)}
    up = {share: f"{share * 100:g} %" for share in (0, 0.5, 0.95, 1)}
    return _figure(lines(), list(rounds), f"Latency of {name}: share of values by milliseconds", "ms", along, up)


def throughput(rounds: Rounds) -> str:
    """Deliveries by the second since the first message: a thin line a repetition, a thick one for their mean."""
    found = {
        side: [{int(at): count for at, count in run.get("timeline", {}).get("delivered", {}).items()} for run in runs]
        for side, runs in rounds.items()
    }
    every = [item for runs in found.values() for run in runs for item in run.items()]
    if not every:
        return ""
    last, most = max(1, *(at for at, _ in every)), max(count for _, count in every)

    def lines() -> Iterator[str]:
        for side, runs in found.items():
            if not runs:
                continue
            for run in runs:
                yield _line([(at / last, run.get(at, 0) / most) for at in range(last + 1)], side, 1, 0.4)
            mean = [(at / last, sum(run.get(at, 0) for run in runs) / len(runs) / most) for at in range(last + 1)]
            yield _line(mean, side, 2.5, 1)

    along = {at / last: str(at) for at in sorted({0, last // 2, last})}
    up = {share: f"{share * most:,.0f}" if most >= 10 else f"{share * most:g}" for share in (0, 0.5, 1)}
    label = "Deliveries by the second since the first message"
    return _figure(lines(), list(rounds), label, "s since the first message", along, up)
