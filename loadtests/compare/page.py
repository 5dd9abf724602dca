"""The comparison as one HTML file that needs nothing else: tables and curves as inline SVG. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from loadtests.compare import charts
from loadtests.compare.credible import SENDS, doubts, repeats
from loadtests.compare.figures import PER_MESSAGE, Change, names_of, ratios, spread_of
from loadtests.compare.rounds import NAMES

__all__ = [
    *("caveats", "cells_of", "change_cells", "number", "origin_text"),
    *("ratio_text", "render", "spread_text", "warnings"),
]

CAVEATS = (
    "The WebSocket side ran on an emulated AWS on this machine: DynamoDB, SQS and Lambda are one or a few local"
    " processes. Its latencies, throughput and CPU say nothing about AWS's own, in neither direction.",
    "What carries over: how many calls a message makes (AWS bills those), what is lost, doubled or out of order, what"
    " the SSE service itself uses, and differences between two versions on the same machine.",
    "What an emulated AWS cannot tell: latency and cold starts of Lambda, capacity and throttling of DynamoDB, limits"
    " of an account, networks, load balancers and TLS, the price.",
    "Load generator and stacks share the machine: what one uses, the other lacks.",
    "The bridge and the simulated people were held.",
)
TEE = {
    True: "The tee of the migration was installed in the functions of rooms: its SendMessage is in the calls.",
    False: "The tee of the migration was not installed in the functions of rooms.",
}
REAL = (
    "Measured against deployments elsewhere: CPU, memory and calls of theirs are not seen from here, and the way to"
    " each is in its latencies.",
)


# Of a core; and what is no more a slow greenlet but a wait.
BUSY, LATE_MS = 0.8, 250.0


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


def ratio_text(ratio: tuple[float, float, float] | None) -> str:
    """Median (least-most)."""
    return "-" if ratio is None else spread_text(ratio)


def change_cells(change: Change) -> tuple[str, str, str, str]:
    """figure, before, now, ratio; * the ranges of both do not touch."""
    old, new = ("-" if value is None else number(value) for value in (change.before, change.now))
    ratio = "-" if change.ratio is None else number(change.ratio)
    return f"{NAMES[change.side]}: {change.name}", old, new, ratio + (" *" if change.apart else "")


def warnings(result: Mapping[str, Any]) -> list[str]:
    """What makes the figures of this very result worth less."""
    found = []
    if result.get("stopped"):
        found.append(f"Not all of it: {result['stopped']}.")
    for side, said in doubts(result).items():
        found.append(f"{NAMES[side]}: figures per message (marked ?) are NOT CREDIBLE: {'; '.join(said)}.")
    for side, more in repeats(result).items():
        found.append(
            f"{NAMES[side]}: up to {number(more)} of {SENDS} are the tee's own repeats: the queue had not answered"
            " within 0.15 s, and keeps one of both (or what waited for that from the warm-up). The machine was busy."
        )
    if result.get("restless"):
        found.append(
            "Something else made calls before or after, and may have meanwhile: the figures per message may hold them:"
            f" {', '.join(result['restless'])}. Does somebody chat, or another program work?"
        )
    for side, runs in result["rounds"].items():
        busiest = max((run.get("busiest", 0.0) for run in runs), default=0.0)
        if busiest > BUSY:
            found.append(
                f"{NAMES[side]}: a process of the load generator used {busiest:.0%} of a core: its own latency is in"
                " the figures. More --workers."
            )
        late = max((run["figures"].get("behind schedule p99 ms", 0.0) for run in runs), default=0.0)
        if late > LATE_MS:
            found.append(
                f"{NAMES[side]}: users spoke up to {number(late)} ms (p99) later than planned: a busy machine, or"
                " sends that take longer than the time between two."
            )
    load, cores = result["provenance"].get("load_before") or 0.0, result["provenance"].get("cores") or 1
    if load > cores / 2:
        found.append(f"The machine had other work: load {load:.1f} on {cores} cores before the first run.")
    return found


def origin_text(result: Mapping[str, Any]) -> str:
    """Where, when and with what, as one line of text."""
    origin = result["provenance"]
    versions = ", ".join(f"{name} {version}" for name, version in origin["versions"].items())
    targets = "; ".join(f"{name} {url}" for name, url in result.get("target", {}).items())
    memory = f", {origin['memory_gb']} GB" if "memory_gb" in origin else ""
    return (
        f"{origin['time']}, revision {origin['revision']}, Python {origin['python']}, {origin['system']}, "
        f"{origin['cpu']}, {origin['cores']} cores{memory}, load {origin['load_before']:.2f} before. {versions}."
        + (f" Measured: {targets}." if targets else "")
    )


def caveats(result: Mapping[str, Any]) -> tuple[str, ...]:
    """What the figures cannot tell."""
    if not result["emulated"]:
        return (*warnings(result), *REAL)
    tee = result.get("tee")
    return (*warnings(result), *CAVEATS, *(() if tee is None else (TEE[tee],)))


def cells_of(result: Mapping[str, Any], name: str) -> list[str]:
    """A figure of each side; ? where it is not credible."""
    doubtful = doubts(result) if name.endswith(PER_MESSAGE) else {}
    return [
        spread_text([run["figures"][name] for run in runs if name in run["figures"]])
        + (" ?" if side in doubtful else "")
        for side, runs in result["rounds"].items()
    ]


def render(result: Mapping[str, Any], changes: Sequence[Change] = (), before: Mapping[str, Any] | None = None) -> str:
    """The page of a result as `loadtests.compare` stores it; with the changes since an earlier one."""
    rounds: Mapping[str, Sequence[Mapping[str, Any]]] = result["rounds"]
    plan = result["plan"]
    title = f"Load comparison: {plan['scenario']}"
    curves = "".join(
        f"<h2>Latency: {escape(name)}</h2>{charts.latency(rounds, name)}"
        for name in ("delivery", "slow reader", "first words", "recovered", "send", "connect", "reconnect")
        if any(run["latency"].get(name) for runs in rounds.values() for run in runs)
    )
    plan_text = ", ".join(f"{key} {value}" for key, value in plan.items())
    told = "".join(f"<li>{escape(line)}</li>" for line in caveats(result))
    since = ""
    if before is not None:
        rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}" for cell in change_cells(one)) for one in changes)
        since = (
            f"<h2>Since {escape(str(before['provenance']['revision']))}</h2><p>{escape(origin_text(before))}"
            f" * the ranges of both do not touch.</p><table><tr><th>figure<th>before<th>now<th>ratio{rows}</table>"
        )
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
<aside><h2>What this cannot tell</h2><ul>{told}</ul></aside>
<h2>Figures</h2>{_figures(result)}
<h2>Throughput: deliveries a second</h2>{charts.throughput(rounds)}
{curves}
<h2>CPU and memory of each part</h2>{_parts(rounds)}
{since}
<h2>Where and with what</h2>
<p>{escape(origin_text(result))}</p>
</body></html>
"""


def _figures(result: Mapping[str, Any]) -> str:
    rounds: Mapping[str, Sequence[Mapping[str, Any]]] = result["rounds"]
    sides = list(rounds)
    head = "".join(f"<th>{NAMES[side]}" for side in sides)
    head += "".join(f"<th>{NAMES[side]} / {NAMES[sides[0]]}" for side in sides[1:])
    rows = []
    for name in names_of(rounds):
        cells = cells_of(result, name)
        for side in sides[1:]:
            cells.append(ratio_text(ratios(rounds[sides[0]], rounds[side], name)))
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
