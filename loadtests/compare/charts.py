"""Curves as inline SVG: latencies by their share, deliveries by the second. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from loadtests.compare.rounds import NAMES
from loadtests.users.histogram import Histogram

__all__ = ["latency", "throughput"]

COLOURS = {"ws": "#c2410c", "sse": "#0369a1", "dropin": "#7e22ce"}
WIDTH, HEIGHT, LEFT, BOTTOM = 860, 300, 50, 40
Rounds = Mapping[str, Sequence[Mapping[str, Any]]]
Points = Sequence[tuple[float, float]]


def _line(places: Sequence[str], side: str, width: float, opacity: float) -> str:
    return (
        f'<polyline points="{" ".join(places)}" fill="none" stroke="{COLOURS[side]}" stroke-width="{width}"'
        f' opacity="{opacity}"/>'
    )


def _across(y: float, text: str) -> str:
    return (
        f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#8883"/>'
        f'<text x="{LEFT - 6}" y="{y:.1f}" text-anchor="end">{text}</text>'
    )


def _below(x: float, text: str) -> str:
    # The last one would be cut off.
    anchor = "end" if x > WIDTH - 30 else "middle"
    return f'<text x="{x:.1f}" y="{HEIGHT - 22}" text-anchor="{anchor}">{text}</text>'


def _figure(drawn: Sequence[str], sides: Sequence[str], label: str) -> str:
    names = [
        f'<text x="{LEFT + index * 160}" y="12" style="fill:{COLOURS[side]}">{NAMES[side]}</text>'
        for index, side in enumerate(sides)
    ]
    inner = "".join([*drawn, *names])
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{inner}</svg>'


def latency(rounds: Rounds, name: str) -> str:
    """Share of values by milliseconds (logarithmic): a thin line a repetition, a thick one for all."""
    found = {
        side: [Histogram(run["latency"][name]) for run in runs if run["latency"].get(name)]
        for side, runs in rounds.items()
    }
    every = [point for parts in found.values() for part in parts for point in part.points()]
    low, high = math.floor(math.log10(min(x for x, _ in every))), math.ceil(math.log10(max(x for x, _ in every)))
    high = max(high, low + 1)

    def place(x: float, share: float) -> tuple[float, float]:
        across = LEFT + (math.log10(x) - low) / (high - low) * (WIDTH - LEFT - 10)
        return across, HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - 20)

    def places(points: Points) -> list[str]:
        return ["{:.1f},{:.1f}".format(*place(x, share)) for x, share in ((points[0][0], 0.0), *points)]

    drawn = []
    for power in range(low, high + 1):
        x, y = place(10.0**power, 0)
        drawn.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="20" y2="{y:.1f}" stroke="#8886"/>')
        drawn.append(_below(x, f"{10.0**power:g} ms"))
    drawn += [_across(place(10.0**low, share)[1], f"{share * 100:g} %") for share in (0, 0.5, 0.95, 1)]
    for side, parts in found.items():
        if parts:
            drawn += [_line(places(part.points()), side, 1, 0.4) for part in parts]
            drawn.append(_line(places(Histogram.merged(parts).points()), side, 2.5, 1))
    return _figure(drawn, list(rounds), f"Latency of {name}: share of values by milliseconds")


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

    def place(at: float, count: float) -> str:
        across = LEFT + at / last * (WIDTH - LEFT - 10)
        return f"{across:.1f},{HEIGHT - BOTTOM - count / most * (HEIGHT - BOTTOM - 20):.1f}"

    drawn = [_across(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - 20), f"{share * most:.3g}") for share in (0, 0.5, 1)]
    for at in sorted({0, last // 2, last}):
        drawn.append(_below(LEFT + at / last * (WIDTH - LEFT - 10), f"{at} s"))
    for side, runs in found.items():
        if not runs:
            continue
        drawn += [_line([place(at, run.get(at, 0)) for at in range(last + 1)], side, 1, 0.4) for run in runs]
        mean = [place(at, sum(run.get(at, 0) for run in runs) / len(runs)) for at in range(last + 1)]
        drawn.append(_line(mean, side, 2.5, 1))
    return _figure(drawn, list(rounds), "Deliveries by the second since the first message")
