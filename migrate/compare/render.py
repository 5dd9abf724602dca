"""A report as JSON and as text. until phase 3"""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from migrate.compare.core import Latency, Offender, Report
from migrate.compare.model import Path, Stack
from migrate.compare.stats import Mean, binomial_upper
from migrate.compare.verdict import Counts, StackCounts, Verdict

__all__ = ["STYLES", "as_json", "print_report", "printable"]

JSON_SCHEMA = 1
STYLES = {Verdict.PASS: "bold green", Verdict.FAIL: "bold red", Verdict.INCONCLUSIVE: "bold yellow"}
RECIPIENTS_SHOWN = 3


def as_json(report: Report) -> dict[str, Any]:
    """The report as one JSON object.

        {"schema": 1, "run_id": "20261122-004501-3f9a2c", "verdict": "fail", "reasons": [...], "hints": [...],
         "notes": [...], "messages": 200, "pairs": 800, "matched": 792,
         "only_on": {"websocket": 8, "sse": 0}, "changed": 0, "refused": 0,
         "stacks": {"websocket": {"expected": 800, "missing": 0, ..., "loss_rate": 0.0, "loss_rate_upper":
         0.0149,
                                  "latency_ms": {"p50": 12.1, "p99": 40.2, "mean": 14.0, "mean_low": 13.1,
                                                 "mean_high": 14.9, "samples": 800}}, "sse": {...}},
         "directions": {"rest->websocket": {"expected": 400, "delivered": 392, "missing": 8, "latency_ms":
         {...}}}, "offenders": [{"kind": "missing", "stack": "sse", "blame": "sse", "message_id": ...,
         "sender": ...,
                        "room": ..., "text": ..., "sent_over": "websocket", "recipients": [...], "detail": "",
                        "fields": {}}], "offenders_total": {"missing": 2}}

    `loss_rate` is of deliveries, `loss_rate_upper` the one-sided upper bound of the rate of messages that any
    recipient
    misses: deliveries of one message are lost together, so they are no independent samples.
    """
    counts = report.counts
    return {
        "schema": JSON_SCHEMA,
        "run_id": report.run_id,
        "verdict": report.verdict.value,
        "reasons": report.reasons,
        "hints": report.hints,
        "notes": report.notes,
        "recipients": report.recipients,
        "sent": report.sends,
        "messages": counts.messages,
        "pairs": counts.pairs,
        "matched": counts.matched,
        "only_on": {stack.value: number for stack, number in counts.alone.items()},
        "changed": counts.changed,
        "refused": counts.refused,
        "confidence": report.thresholds.confidence,
        "stacks": {
            stack.value: {**_stack_json(c, report), "latency_ms": _latency_json(report.latency[stack, None])}
            for stack, c in counts.stacks.items()
        },
        "directions": {
            f"{path.value}->{stack.value}": {
                "expected": d.expected,
                "delivered": d.delivered,
                "missing": d.missing,
                "latency_ms": _latency_json(report.latency[stack, path]),
            }
            for (path, stack), d in sorted(counts.directions.items())
        },
        "sse_minus_websocket_ms": _mean_json(report.difference),
        "offenders": [_offender_json(offender) for offender in report.offenders],
        "offenders_total": {kind.value: number for kind, number in report.offenders_total.items()},
    }


def print_report(report: Report, console: Console) -> None:
    """Write the report for people: verdict, reasons, counts, latency, offenders."""
    # Reasons and notes may repeat what a server said.
    reasons = [printable(reason) for reason in report.reasons]
    console.print(Text(report.verdict.value.upper(), STYLES[report.verdict]), Text(reasons[0]), sep="  ")
    for reason in reasons[1:]:
        console.print(Text(f"      {reason}"))
    for hint in report.hints:
        console.print(Text(f"hint: {hint}"))
    for note in report.notes:
        console.print(Text(f"note: {printable(note)}", "dim"))
    counts = report.counts
    console.print()
    console.print(
        Text(
            f"run {report.run_id}: {counts.messages} messages, {report.recipients} clients on each stack; "
            f"{_spread(counts)}",
            "dim",
        )
    )
    console.print(_counts_table(report))
    if counts.directions:
        console.print()
        console.print(_directions_table(report))
    if report.offenders:
        _print_offenders(report, console)


def _spread(counts: Counts) -> str:
    """Where the deliveries were: half of them on each stack is another fault than none at all."""
    alone = [f"{number} on {stack.label} only" for stack, number in counts.alone.items() if number]
    rest = counts.pairs - counts.matched - sum(counts.alone.values())
    parts = [f"{counts.matched} the same on both", *alone, *([f"{rest} otherwise wrong"] if rest else [])]
    return f"of {counts.pairs} deliveries {', '.join(parts)}"


def _counts_table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stack")
    for title in ("expected", "missing", "extra", "duplicate", "reordered", "unjudged", "max loss"):
        table.add_column(title, justify="right")
    for stack, c in report.counts.stacks.items():
        table.add_row(
            stack.label,
            str(c.expected),
            *(_bad(number) for number in (c.missing, c.extra, c.duplicate, c.reordered)),
            str(c.unjudged),
            f"{_upper(c, report):.2%}" if c.messages else "-",
        )
    return table


def _directions_table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("sent -> received")
    for title in ("expected", "missing", "p50 ms", "p99 ms", "mean ms (95 %)"):
        table.add_column(title, justify="right")
    short = {Path.WEBSOCKET: "WS", Path.REST: "REST", Stack.WEBSOCKET: "WS", Stack.SSE: "SSE"}
    for path in Path:
        for stack in Stack:
            direction = report.counts.directions.get((path, stack))
            if direction is None:
                continue
            latency = report.latency[stack, path]
            table.add_row(
                f"{short[path]} -> {short[stack]}",
                str(direction.expected),
                _bad(direction.missing),
                _ms(latency.p50),
                _ms(latency.p99),
                _mean_text(latency.mean),
            )
    return table


def _print_offenders(report: Report, console: Console) -> None:
    for offender in report.offenders:
        console.print()
        where = f"on {offender.stack.label}" if offender.stack is not None else "on both"
        if offender.blame is not None and offender.blame is not offender.stack:
            where += f", lost by {offender.blame.label}"
        line = Text(f"{offender.kind.value} {where}", "bold red")
        # Text, never markup: people wrote this. Control characters do not reach the terminal.
        line.append(f"  {printable(offender.message_id)}", "default not bold")
        over = f" over {offender.path.label}" if offender.path is not None else ""
        line.append(f"  #{printable(offender.room)} from {printable(offender.sender)}{over}", "dim not bold default")
        console.print(line)
        if offender.detail:
            console.print(Text(f"    {printable(_detail(offender))}"))
        shown = ", ".join(offender.recipients[:RECIPIENTS_SHOWN])
        more = len(offender.recipients) - RECIPIENTS_SHOWN
        at = f"  at {shown}" + (f" and {more} more" if more > 0 else "") if shown else ""
        console.print(Text(f"    “{printable(offender.text)}”{printable(at)}"))
    hidden = sum(report.offenders_total.values()) - len(report.offenders)
    if hidden > 0:
        console.print(Text(f"\n... and {hidden} more"))
    console.print()


def _detail(offender: Offender) -> str:
    """The particulars; of changed fields both values, shortened."""
    if not offender.fields:
        return offender.detail
    return "; ".join(
        f"{name}: {_shortened(old)} on WebSocket, {_shortened(new)} on SSE"
        for name, (old, new) in offender.fields.items()
    )


def _shortened(value: object) -> str:
    text = "nothing" if value is ... else repr(value)
    return text if len(text) <= 50 else text[:49] + "…"


def printable(text: str) -> str:
    """A text without what would command a terminal."""
    return "".join(char if char.isprintable() or char in "\u200d" else "\ufffd" for char in text)


def _bad(number: int) -> Text:
    return Text(str(number), "bold red" if number else "")


def _upper(c: StackCounts, report: Report) -> float:
    return binomial_upper(c.messages_lost, c.messages, report.thresholds.confidence)


def _stack_json(c: StackCounts, report: Report) -> dict[str, Any]:
    return {
        "expected": c.expected,
        "delivered": c.delivered,
        "missing": c.missing,
        "extra": c.extra,
        "duplicate": c.duplicate,
        "reordered": c.reordered,
        "unjudged": c.unjudged,
        "messages": c.messages,
        "messages_lost": c.messages_lost,
        "loss_rate": c.missing / c.expected if c.expected else None,
        "loss_rate_upper": _upper(c, report) if c.messages else None,
    }


def _latency_json(latency: Latency) -> dict[str, Any]:
    return {
        "samples": latency.samples,
        "p50": _round_ms(latency.p50),
        "p99": _round_ms(latency.p99),
        **_mean_json(latency.mean),
    }


def _mean_json(value: Mean | None) -> dict[str, float | None]:
    return {
        "mean": _round_ms(value.value if value else None),
        "mean_low": _round_ms(value.low if value else None),
        "mean_high": _round_ms(value.high if value else None),
    }


def _offender_json(offender: Offender) -> dict[str, Any]:
    return {
        "kind": offender.kind.value,
        "stack": offender.stack.value if offender.stack else "both",
        "blame": offender.blame.value if offender.blame else None,
        "message_id": offender.message_id,
        "sender": offender.sender,
        "room": offender.room,
        "text": offender.text,
        "sent_over": offender.path.value if offender.path else None,
        "recipients": list(offender.recipients),
        "detail": offender.detail,
        "fields": {
            name: {"websocket": _present(old), "sse": _present(new)} for name, (old, new) in offender.fields.items()
        },
    }


def _present(value: object) -> object:
    # A field that is not there at all is left out of its object's comparison as "...".
    return "(absent)" if value is ... else value


def _round_ms(seconds: float | None) -> float | None:
    return None if seconds is None or not math.isfinite(seconds) else round(seconds * 1000, 2)


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f}"


def _mean_text(value: Mean | None) -> str:
    if value is None:
        return "-"
    if value.low is None or value.high is None:
        return _ms(value.value)
    return f"{_ms(value.value)} ({_ms(value.low)} to {_ms(value.high)})"
