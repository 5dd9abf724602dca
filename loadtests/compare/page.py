"""The comparison as one HTML file that needs nothing else: tables and curves as inline SVG. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from loadtests.compare import charts
from loadtests.compare.credible import SENDS, doubts, repeats
from loadtests.compare.figures import PER_MESSAGE, Change, names_of, ratios, spread_of
from loadtests.compare.rounds import NAMES
from loadtests.users.words import counted

__all__ = [
    *("caveats", "cells_of", "change_cells", "number", "origin_text"),
    *("ratio_text", "render", "repeated", "spread_text", "warnings"),
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


STYLE = """
:root { color-scheme: light dark; --shade: #0004; }
@media (prefers-color-scheme: dark) { :root { --shade: #fff5; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 74rem; margin: 2rem auto; padding: 0 1rem;
  background: Canvas; color: CanvasText; overflow-wrap: break-word; }
p, aside { max-width: 60rem; }
aside { border-left: 4px solid #c2410c; padding-left: 1rem; }
aside ul { padding-left: 1.25rem; }
/* A shade at each edge beyond which there is more: the grounds that cover it move with the table, it does not. */
.wide { overflow-x: auto; background:
  linear-gradient(to right, Canvas 2rem, transparent) left / 4rem 100% no-repeat local,
  linear-gradient(to left, Canvas 2rem, transparent) right / 4rem 100% no-repeat local,
  linear-gradient(to right, var(--shade), transparent) left / 1rem 100% no-repeat,
  linear-gradient(to left, var(--shade), transparent) right / 1rem 100% no-repeat; }
.sideways { display: none; font-size: 13px; margin: 0 0 .5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { position: absolute; clip-path: inset(50%); white-space: nowrap; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid #8884; text-align: right; vertical-align: bottom; }
th { font-weight: normal; } thead th { font-weight: bold; }
td { white-space: nowrap; }
th:first-child { text-align: left; padding-left: 0; }
@media (max-width: 76rem) { .sideways { display: block; } }
@media (max-width: 45rem) {
  th, td { padding: .25rem .5rem; }
  th:first-child { position: sticky; left: 0; min-width: 7rem; max-width: 9rem; font-size: 13px; background: Canvas; }
}
"""
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


def repeated(rounds: Mapping[str, Sequence[Any]]) -> str:
    """What each figure is of."""
    times = max(len(runs) for runs in rounds.values())
    return f"median (least-most) of {counted(times, 'repetition')}, interleaved" if times > 1 else "1 repetition"


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
        found.append(f"The machine had other work: load {load:.1f} on {counted(cores, 'core')} before the first run.")
    return found


def origin_text(result: Mapping[str, Any]) -> str:
    """Where, when and with what, as one line of text."""
    origin = result["provenance"]
    versions = ", ".join(f"{name} {version}" for name, version in origin["versions"].items())
    targets = "; ".join(f"{name} {url}" for name, url in result.get("target", {}).items())
    memory = f", {origin['memory_gb']} GB" if "memory_gb" in origin else ""
    return (
        f"{origin['time']}, revision {origin['revision']}, Python {origin['python']}, {origin['system']}, "
        f"{origin['cpu']}, {counted(origin['cores'], 'core')}{memory}, load"
        f" {origin['load_before']:.2f} before. {versions}." + (f" Measured: {targets}." if targets else "")
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
        table = _table("Changes", ("figure", "before", "now", "ratio"), [change_cells(one) for one in changes])
        since = (
            f"<h2>Since {escape(str(before['provenance']['revision']))}</h2><p>{escape(origin_text(before))}"
            f" * the ranges of both do not touch.</p>{table}"
        )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>
:root {{ color-scheme: light dark; }}
{STYLE}{charts.STYLE}</style></head><body>
<h1>{escape(title)}</h1>
<p>{escape(plan_text)}; {repeated(rounds)}.
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


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are text; the first of a row is what it is about. It scrolls by itself where the screen is narrower."""
    heads = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = "".join(
        f'<tr><th scope="row">{escape(first)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
        for first, *cells in rows
    )
    return (
        '<p class="sideways">What is wider than the screen scrolls sideways.</p>'
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _figures(result: Mapping[str, Any]) -> str:
    rounds: Mapping[str, Sequence[Mapping[str, Any]]] = result["rounds"]
    sides = list(rounds)
    head = [NAMES[side] for side in sides] + [f"{NAMES[side]} / {NAMES[sides[0]]}" for side in sides[1:]]
    rows = [
        [
            name,
            *cells_of(result, name),
            *(ratio_text(ratios(rounds[sides[0]], rounds[side], name)) for side in sides[1:]),
        ]
        for name in names_of(rounds)
    ]
    return _table("Figures", ["figure", *head], rows)


def _parts(rounds: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    parts = sorted({part for runs in rounds.values() for run in runs for part in run["memory_mb"]})
    if not parts:
        return "<p>Not seen from here.</p>"
    head = [f"{NAMES[side]}: {unit}" for side in rounds for unit in ("cores", "MB")]
    rows = [
        [part]
        + [
            spread_text([run[key].get(part, 0.0) for run in runs])
            for runs in rounds.values()
            for key in ("cpu_cores", "memory_mb")
        ]
        for part in parts
    ]
    return _table("CPU and memory", ["part", *head], rows)
