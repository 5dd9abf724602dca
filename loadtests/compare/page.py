"""The comparison as one HTML file that needs nothing else: tables and curves as inline SVG. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from loadtests.compare.figures import names_of, ratios, spread_of
from loadtests.users.histogram import Histogram

__all__ = ["CAVEATS", "NAMES", "number", "render", "spread_text"]

NAMES = {"ws": "WebSocket", "sse": "SSE + REST", "dropin": "drop-in client"}
COLOURS = {"ws": "#c2410c", "sse": "#0369a1", "dropin": "#7e22ce"}
CAVEATS = (
    "The WebSocket side ran on an emulated AWS on this machine: DynamoDB, SQS and Lambda are one or a few local"
    " processes. Its latencies, throughput and CPU say nothing about AWS's own, in neither direction.",
    "What carries over: how many calls a message makes (AWS bills those), what is lost, doubled or out of order, what"
    " the SSE service itself uses, and differences between two versions on the same machine.",
    "What an emulated AWS cannot tell: latency and cold starts of Lambda, capacity and throttling of DynamoDB, limits"
    " of an account, networks, load balancers and TLS, the price.",
    "Load generator and stacks share the machine; where the generator used most of a core, the figures are its own.",
    "The tee of the migration was installed in the functions of rooms; the bridge was held.",
)
REAL = (
    "Measured against deployments elsewhere: CPU, memory and calls of theirs are not seen from here, and the way to"
    " each is in its latencies.",
)
WIDTH, HEIGHT, LEFT, BOTTOM = 860, 300, 50, 40


def number(value: float) -> str:
    """Three significant digits."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def spread_text(values: Sequence[float]) -> str:
    """Median (least-most)."""
    spread = spread_of(values)
    if spread is None:
        return "-"
    middle, least, most = map(number, spread)
    return middle if least == most else f"{middle} ({least}-{most})"


def render(result: Mapping[str, Any]) -> str:
    """The page of a result as `loadtests.compare` stores it."""
    rounds: Mapping[str, Sequence[Mapping[str, Any]]] = result["rounds"]
    plan, origin = result["plan"], result["provenance"]
    title = f"Load comparison: {plan['scenario']}"
    curves = "".join(
        f"<h2>Latency: {escape(name)}</h2>{_curves(rounds, name)}"
        for name in ("delivery", "slow reader", "first words", "recovered", "send", "connect", "reconnect")
        if any(name in run["latency"] for runs in rounds.values() for run in runs)
    )
    plan_text = ", ".join(f"{key} {value}" for key, value in plan.items())
    versions = ", ".join(f"{name} {version}" for name, version in origin["versions"].items())
    caveats = "".join(f"<li>{escape(line)}</li>" for line in (CAVEATS if result["emulated"] else REAL))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; display: block; overflow-x: auto; }}
th, td {{ padding: .25rem .75rem; border-bottom: 1px solid #8884; text-align: right; }}
th:first-child, td:first-child {{ text-align: left; }}
svg {{ width: 100%; height: auto; }} svg text {{ fill: currentColor; font-size: 12px; }}
aside {{ border-left: 4px solid #c2410c; padding-left: 1rem; }}
</style></head><body>
<h1>{escape(title)}</h1>
<p>{escape(plan_text)}; {max(len(runs) for runs in rounds.values())} repetitions, interleaved. Median (least-most).
Ratios are those of each pair of repetitions, against {NAMES[next(iter(rounds))]}.</p>
<aside><h2>What this cannot tell</h2><ul>{caveats}</ul></aside>
<h2>Figures</h2>{_figures(rounds)}
{curves}
<h2>CPU and memory of each part</h2>{_parts(rounds)}
<h2>Where and with what</h2>
<p>{escape(str(origin["time"]))}, revision {escape(str(origin["revision"]))}, Python {escape(str(origin["python"]))},
{escape(str(origin["system"]))}, {escape(str(origin["cpu"]))}, {origin["cores"]} cores,
load {origin["load_before"]:.2f} before.
{escape(versions)}.</p>
</body></html>
"""


def _figures(rounds: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    sides = list(rounds)
    head = "".join(f"<th>{NAMES[side]}" for side in sides)
    head += "".join(f"<th>{NAMES[side]} / {NAMES[sides[0]]}" for side in sides[1:])
    rows = []
    for name in names_of(rounds):
        cells = [spread_text([r["figures"][name] for r in rounds[side] if name in r["figures"]]) for side in sides]
        for side in sides[1:]:
            ratio = ratios(rounds[sides[0]], rounds[side], name)
            cells.append("-" if ratio is None else f"{number(ratio[0])} ({number(ratio[1])}-{number(ratio[2])})")
        rows.append(f"<tr><td>{escape(name)}" + "".join(f"<td>{cell}" for cell in cells))
    return f"<table><tr><th>figure{head}{''.join(rows)}</table>"


def _parts(rounds: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    parts = sorted({part for runs in rounds.values() for run in runs for part in run["memory_mb"]})
    if not parts:
        return "<p>Not seen from here.</p>"
    head = "".join(f"<th>{NAMES[side]}: cores<th>{NAMES[side]}: MB" for side in rounds)
    rows = "".join(
        f"<tr><td>{escape(part)}"
        + "".join(
            f"<td>{spread_text([run['cpu_cores'].get(part, 0.0) for run in runs])}"
            f"<td>{spread_text([run['memory_mb'].get(part, 0.0) for run in runs])}"
            for runs in rounds.values()
        )
        for part in parts
    )
    return f"<table><tr><th>part{head}{rows}</table>"


def _curves(rounds: Mapping[str, Sequence[Mapping[str, Any]]], name: str) -> str:
    """Share of values by milliseconds (logarithmic): a thin line a repetition, a thick one for all."""
    found = {
        side: [Histogram(run["latency"][name]) for run in runs if run["latency"].get(name)]
        for side, runs in rounds.items()
    }
    every = [point for parts in found.values() for part in parts for point in part.points()]
    low, high = math.floor(math.log10(min(x for x, _ in every))), math.ceil(math.log10(max(x for x, _ in every)))
    high = max(high, low + 1)

    def place(x: float, share: float) -> str:
        across = LEFT + (math.log10(x) - low) / (high - low) * (WIDTH - LEFT - 10)
        return f"{across:.1f},{HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - 20):.1f}"

    def line(points: Sequence[tuple[float, float]], side: str, width: float, opacity: float) -> str:
        path = " ".join([place(points[0][0], 0.0), *(place(x, share) for x, share in points)])
        return (
            f'<polyline points="{path}" fill="none" stroke="{COLOURS[side]}" stroke-width="{width}"'
            f' opacity="{opacity}"/>'
        )

    drawn = []
    for power in range(low, high + 1):
        x, y = place(10.0**power, 0).split(",")
        drawn.append(f'<line x1="{x}" x2="{x}" y1="20" y2="{y}" stroke="#8886"/>')
        drawn.append(f'<text x="{x}" y="{HEIGHT - 22}" text-anchor="middle">{10.0**power:g} ms</text>')
    for share in (0, 0.5, 0.95, 1):
        y = place(10.0**low, share).split(",")[1]
        drawn.append(f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{y}" y2="{y}" stroke="#8883"/>')
        drawn.append(f'<text x="{LEFT - 6}" y="{y}" text-anchor="end">{share * 100:g} %</text>')
    for index, (side, parts) in enumerate(found.items()):
        if not parts:
            continue
        drawn += [line(part.points(), side, 1, 0.4) for part in parts]
        drawn.append(line(Histogram.merged(parts).points(), side, 2.5, 1))
        drawn.append(f'<text x="{LEFT + index * 160}" y="12" style="fill:{COLOURS[side]}">{NAMES[side]}</text>')
    label = f"Latency of {name}: share of values by milliseconds"
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(drawn)}</svg>'
