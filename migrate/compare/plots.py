"""Plots as SVG text: loss over time, distributions of latency. Pure. until phase 3"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from migrate.compare.recorded import BIN_S, Bar, Distribution
from migrate.compare.recorded_render import moment

__all__ = ["latency_plot", "timeline_plot"]

WIDTH, HEIGHT = 720, 200
LEFT, RIGHT, TOP, BOTTOM = 56, 10, 10, 24


def _svg(label: str, body: Sequence[str]) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}"><title>{label}</title>'
    return f"{head}{''.join(body)}</svg>"


def _rect(kind: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def _grid(top: float, unit: str) -> list[str]:
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{top * share:.3g}{unit}</text>')
    return parts


def timeline_plot(bars: Sequence[Bar]) -> str:
    """Share lost in each stretch of time, stacked by who lost it, over how much was judged (pale)."""
    worst = max((_share(bar, bar.lost_sse + bar.lost_legacy + bar.unjudged) for bar in bars), default=0.0)
    top = max(worst, 0.001)
    most = max((bar.expected for bar in bars), default=0) or 1
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    step = width / max(1, len(bars))
    parts = _grid(top * 100, "%")
    for place, bar in enumerate(bars):
        x = LEFT + place * step
        tall = bar.expected / most * height
        parts.append(_rect("v-fill", x, HEIGHT - BOTTOM - tall, step * 0.9, tall))
        y = float(HEIGHT - BOTTOM)
        for kind, lost in (("s-fill", bar.lost_sse), ("l-fill", bar.lost_legacy), ("u-fill", bar.unjudged)):
            if lost:
                tall = max(2.0, _share(bar, lost) / top * height)
                y -= tall
                parts.append(_rect(kind, x, y, step * 0.9, tall))
    if bars:
        parts.append(f'<text x="{LEFT}" y="{HEIGHT - 6}">{moment(bars[0].start)}</text>')
        parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{moment(bars[-1].start)}</text>')
    lost = sum(bar.lost_sse for bar in bars)
    label = (
        f"Loss over time: SSE lost {lost:,}, legacy {sum(bar.lost_legacy for bar in bars):,}, not judged "
        f"{sum(bar.unjudged for bar in bars):,} of {sum(bar.expected for bar in bars):,} deliveries; "
        f"worst stretch {worst:.2%}"
    )
    return _svg(label, parts)


def _share(bar: Bar, lost: int) -> float:
    total = bar.expected + bar.lost_legacy + bar.unjudged
    return lost / total if total else 0.0


def latency_plot(found: Mapping[str, Distribution]) -> str:
    """Cumulative share of deliveries by latency, logarithmic in time: where a curve is left, it is faster."""
    edges = [max(edge, 1) for one in found.values() for edge, _ in one.bins]
    if not edges:
        return _svg("No latency is known", [])
    low, high = math.log10(min(edges) * BIN_S), math.log10((max(edges) + 1) * BIN_S)
    low, high = math.floor(low), max(math.ceil(high), math.floor(low) + 1)
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x_of(seconds: float) -> float:
        return LEFT + (math.log10(max(seconds, 10**low)) - low) / (high - low) * width

    parts = _grid(100, "%")
    for power in range(low, high + 1):
        x = x_of(10**power)
        anchor = "end" if power == high else "middle"
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{_duration(power)}</text>')
    for stack, one in found.items():
        points: list[str] = []
        seen, last = 0, -10.0
        for edge, count in one.bins:
            seen += count
            x = x_of((edge + 0.5) * BIN_S)
            # One point a pixel is all that can be seen.
            if x - last >= 1 or seen == one.samples:
                points.append(f"{x:.1f},{HEIGHT - BOTTOM - seen / one.samples * height:.1f}")
                last = x
        parts.append(f'<polyline class="{stack[0]}-line" points="{" ".join(points)}"/>')
    medians = ", ".join(
        f"{'SSE' if stack == 'sse' else stack} median {one.quantiles[0].value * 1000:.1f} ms"
        for stack, one in found.items()
        if one.quantiles
    )
    return _svg(f"Share of deliveries by latency: {medians}", parts)


def _duration(power: int) -> str:
    return f"{10 ** (power + 3):g} ms" if power < 0 else f"{10**power:g} s"
