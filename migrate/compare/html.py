"""A report as one HTML file that needs no network. until phase 3

Everything that people wrote goes through `html.escape`; there is no script at all, so nothing in a frame can run, and
the page says so to the browser (Content-Security-Policy). Plots are inline SVG with a text alternative; colours are
told apart by shape and word as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from migrate.compare.plots import latency_plot, timeline_plot
from migrate.compare.recorded import FeatureReport, Offence, RecordedReport
from migrate.compare.recorded_render import moment, parsed
from migrate.compare.render import printable

__all__ = ["html_report"]

_STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1c2126;--dim:#5a646e;--line:#d5dae0;--card:#f5f7f9;
--legacy:#b45309;--sse:#1d4ed8;--bad:#b91c1c;--good:#15803d;--unsure:#a16207;--mark:#fde2e2}
@media(prefers-color-scheme:dark){:root{--bg:#14181c;--fg:#e6eaee;--dim:#9aa5b0;--line:#343c45;--card:#1c2228;
--legacy:#f59e0b;--sse:#7aa8ff;--bad:#f87171;--good:#4ade80;--unsure:#facc15;--mark:#5b2020}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif}
main{max-width:70rem;margin:0 auto;padding:1rem}h1{font-size:1.5rem;margin:.5rem 0}
h2{font-size:1.2rem;margin:2rem 0 .5rem}
h3{font-size:1rem;margin:1.2rem 0 .3rem}p,ul{margin:.4rem 0}.dim{color:var(--dim)}.pass{color:var(--good)}
.fail{color:var(--bad)}.inconclusive{color:var(--unsure)}.verdict{font-weight:700;text-transform:uppercase}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.35rem .6rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left}td.bad{color:var(--bad);font-weight:700}
svg{width:100%;height:auto;background:var(--card);border-radius:.5rem}svg text{fill:var(--dim);font-size:11px}
.grid{stroke:var(--line)}.l-line{stroke:var(--legacy);stroke-dasharray:6 3}.s-line{stroke:var(--sse)}
.l-line,.s-line{fill:none;stroke-width:2}.l-fill{fill:var(--legacy)}.s-fill{fill:var(--bad)}.u-fill{fill:var(--dim);opacity:.5}
.v-fill{fill:var(--line)}.key{display:inline-block;width:1.2em;height:.7em;margin-right:.3em}
details{background:var(--card);border:1px solid var(--line);border-radius:.5rem;margin:.5rem 0;padding:.5rem .8rem}
summary{cursor:pointer;overflow-wrap:anywhere}.both{display:grid;grid-template-columns:1fr 1fr;gap:.8rem}
@media(max-width:40rem){.both{grid-template-columns:1fr}svg text{font-size:20px}}
pre{margin:.3rem 0;padding:.5rem;background:var(--bg);
border:1px solid var(--line);border-radius:.3rem;white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem}
mark{background:var(--mark);color:inherit;outline:1px solid var(--bad)}.tag{border:1px solid currentColor;
border-radius:.3rem;padding:0 .4em;font-size:.85em}:focus-visible{outline:3px solid var(--sse)}
"""
_ICON = "data:,"


def html_report(report: RecordedReport) -> str:
    """The page."""
    start, stop = report.run.window
    when = f"{moment(start)} to {moment(stop)}" if stop > start else "nothing was judged"
    title = f"{report.verdict.value.upper()}: deliveries compared"
    tenant = f", tenant {_text(report.tenant)}" if report.tenant is not None else ""
    lines = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:">',
        f'<title>{_text(title)}</title><link rel="icon" href="{_ICON}"><style>{_STYLE}</style></head><body><main>',
        f'<h1><span class="verdict {report.verdict.value}">{report.verdict.value}</span> '
        "Did both stacks deliver the same?</h1>",
        f'<p class="dim">Run {_text(report.run.run_id or "?")}{tenant}, {when} (UTC). '
        f"Compared {moment(report.made_at)}.</p>",
        "<ul>",
        *(f"<li>{_text(reason)}</li>" for reason in report.reasons),
        "</ul>",
    ]
    if report.hints or report.notes:
        lines += ["<details open><summary>Notes</summary><ul>"]
        lines += [f"<li>{_text(note)}</li>" for note in (*report.hints, *report.notes)]
        lines += ["</ul></details>"]
    lines += ["<h2>Features</h2>", _features(report)]
    for one in report.features:
        lines += _feature(one, many=len(report.features) > 1)
    lines += ["<h2>Offenders</h2>", *_offenders(report)]
    lines += ["</main></body></html>"]
    return "\n".join(lines) + "\n"


def _text(value: object) -> str:
    return escape(printable(str(value)))


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[tuple[str, str]]]) -> str:
    """Cells are (html, class)."""
    titles = "".join(f'<th scope="col">{_text(name)}</th>' for name in head)
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row">{cell}</th>' if place == 0 else f'<td class="{kind}">{cell}</td>'
            for place, (cell, kind) in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{_text(caption)}"><table>'
        f"<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _features(report: RecordedReport) -> str:
    head = (
        "feature", "verdict", "judged", "matched", "missing", "extra", "double", "changed", "reordered",
        "loss", "loss at most", "lost by legacy", "not judged",
    )  # fmt: skip
    rows = []
    for one in report.features:
        c = one.counts
        bad = ("missing_sse", "extra_sse", "duplicate_sse", "changed", "reordered_sse")
        rows.append(
            [
                (_text(one.name), ""),
                (f'<span class="verdict {one.verdict.value}">{one.verdict.value}</span>', ""),
                (f"{c['expected']:,}", ""),
                (f"{c['matched']:,}", ""),
                *((f"{c[name]:,}", "bad" if c[name] else "") for name in bad),
                (f"{one.loss[0]:.4%}", ""),
                (f"{one.loss[2]:.4%}", ""),
                (f"{c['missing_legacy']:,}", ""),
                (f"{sum(one.unjudged.values()):,}", ""),
            ]
        )
    return _table("Counts by feature", head, rows) + (
        f'<p class="dim">A delivery is one message at one recipient. "At most": upper bound with '
        f"{report.confidence:.0%} confidence; {report.max_loss:.4%} are allowed.</p>"
    )


def _feature(one: FeatureReport, *, many: bool) -> list[str]:
    name = f" of {_text(one.name)}" if many else ""
    lines = [f"<h2>{_text(one.name)}</h2>"] if many else []
    if one.counts["expected"]:
        lines += [
            f"<h3>Loss over time{name}</h3>",
            timeline_plot(one.timeline),
            _legend((("s-fill", "lost by SSE"), ("l-fill", "lost by legacy"), ("u-fill", "not judged"),
                     ("v-fill", "deliveries judged"))),
        ]  # fmt: skip
        lost, messages, upper = one.message_loss
        lines.append(
            f'<p class="dim">By message: {lost:,} of {messages:,} were lost at a recipient; at most {upper:.4%}. '
            "Deliveries of one message are often lost together.</p>"
        )
    if found := {stack: one.latency[stack] for stack in ("legacy", "sse") if one.latency.get(stack)}:
        lines += [
            f"<h3>Latency{name}</h3>",
            latency_plot(found),
            _legend((("l-fill", "legacy (dashed)"), ("sse-key", "SSE (solid)"))),
            _latency_table(one),
        ]
    if one.fields:
        rows = [
            [(_text(field), ""), (f"{count:,}", ""), ("noise" if field in one.noise_fields else "differs", "")]
            for field, count in sorted(one.fields.items(), key=lambda item: -item[1])
        ]
        lines += [f"<h3>Fields that differ{name}</h3>", _table("Fields", ("field", "pairs examined", ""), rows)]
    return lines


def _legend(entries: Sequence[tuple[str, str]]) -> str:
    colours = {"s-fill": "bad", "l-fill": "legacy", "u-fill": "dim", "v-fill": "line", "sse-key": "sse"}
    keys = "".join(
        f'<span><span class="key" style="background:var(--{colours[kind]})"></span>{_text(word)}</span> &nbsp; '
        for kind, word in entries
    )
    return f'<p class="dim" aria-hidden="true">{keys}</p>'


def _latency_table(one: FeatureReport) -> str:
    rows = []
    for stack, found in one.latency.items():
        label = "SSE minus legacy" if stack == "difference" else {"sse": "SSE"}.get(stack, stack)
        cells = [(label, "")]
        for quantile in found.quantiles:
            cells.append((f"{_ms(quantile.value)} ({_ms(quantile.low)} to {_ms(quantile.high)})", ""))
        rows.append([*cells, (f"{found.samples:,}", "")])
    return _table("Latency in milliseconds", ("ms (95 % interval)", "p50", "p90", "p99", "samples"), rows)


def _ms(seconds: float | None) -> str:
    return "?" if seconds is None else f"{seconds * 1000:.1f}"


def _offenders(report: RecordedReport) -> list[str]:
    if not report.offences:
        return ["<p>None.</p>"]
    shown = len(report.offences)
    lines = [] if shown >= report.offences_total else [f"<p>{shown:,} of {report.offences_total:,}.</p>"]
    return [*lines, *(_offence(one, first=place == 0) for place, one in enumerate(report.offences))]


def _offence(one: Offence, *, first: bool) -> str:
    blame = {"sse": "SSE", "legacy": "legacy", "capture": "the capture"}.get(one.blame, one.blame)
    where = "SSE" if one.stack == "sse" else one.stack
    facts = {
        "feature": one.feature, "tenant": one.tenant, "recipient": one.recipient, "sender": one.sender,
        "stream": one.stream, "message": one.message_id, "request": one.cause,
    }  # fmt: skip
    listed = ", ".join(f"{name} {_text(value)}" for name, value in facts.items() if value)
    detail = f"<p>{_text(one.detail)}</p>" if one.detail else ""
    return (
        f'<details{" open" if first else ""}><summary><span class="tag {"fail" if one.blame == "sse" else ""}">'
        f"{_text(one.kind)}</span> on {where}, blame: {_text(blame)}; at {_text(one.recipient)}, {moment(one.at)}"
        f'</summary><p class="dim">{listed}</p>{detail}<div class="both">'
        f"<div><strong>legacy</strong>{_payload(one.legacy, one.fields, 0)}</div>"
        f"<div><strong>SSE</strong>{_payload(one.sse, one.fields, 1)}</div></div></details>"
    )


def _payload(text: str | None, fields: Mapping[str, tuple[Any, Any]], side: int) -> str:
    if text is None:
        return "<pre>nothing that belongs to it</pre>"
    lines = _pretty("", parsed(text), 0, {path for path, both in fields.items() if both[side] is not ...})
    absent = [path for path, both in fields.items() if both[side] is ...]
    lines += [f"<mark>{_text(path)} is not there</mark>" for path in absent]
    return f"<pre>{chr(10).join(lines)}</pre>"


def _pretty(path: str, value: Any, depth: int, marked: set[str], name: str = "", comma: str = "") -> list[str]:
    """JSON in lines, those of differing fields marked."""
    pad = "  " * depth
    key = f"{_json(name)}: " if name else ""
    if isinstance(value, dict) and value and path not in marked:
        lines = [f"{pad}{key}{{"]
        for place, (inner, item) in enumerate(value.items()):
            end = "," if place < len(value) - 1 else ""
            lines += _pretty(f"{path}.{inner}" if path else inner, item, depth + 1, marked, inner, end)
        return [*lines, f"{pad}}}{comma}"]
    if isinstance(value, list) and value and any(one.startswith(f"{path}.") for one in marked):
        lines = [f"{pad}{key}["]
        for place, item in enumerate(value):
            lines += _pretty(f"{path}.{place}", item, depth + 1, marked, "", "," if place < len(value) - 1 else "")
        return [*lines, f"{pad}]{comma}"]
    line = f"{key}{_json(value)}{comma}"
    return [f"{pad}<mark>{line}</mark>" if path in marked else f"{pad}{line}"]


def _json(value: Any) -> str:
    return _text(json.dumps(value, ensure_ascii=False))
