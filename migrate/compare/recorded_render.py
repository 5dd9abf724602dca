"""A report of a comparison of records as JSON and as text. until phase 3"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from migrate.compare.recorded import BIN_S, Distribution, FeatureReport, Offence, RecordedReport
from migrate.compare.render import STYLES, printable

__all__ = ["moment", "offence_line", "print_recorded", "recorded_json"]

JSON_SCHEMA = 2


def moment(seconds: float) -> str:
    """Epoch seconds as a UTC time of ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def recorded_json(report: RecordedReport) -> dict[str, Any]:
    """The report as one JSON object.

    {"schema": 2, "source": "records", "run_id": ..., "made_at": "2026-11-22T...Z", "window": [start, stop],
     "verdict": "fail", "reasons": [...], "hints": [...], "notes": [...], "tenant": null, "confidence": 0.95,
     "max_loss": 0.0005, "min_samples": 1000, "in_flight": 12, "captured": 0, "lost": 0,
     "features": {"chat": {"verdict": "fail", "reasons": [...], "notes": [...], "recorded": {"legacy": 800, ...},
         "counts": {"expected": 800, "matched": 797, "missing_sse": 3, ...}, "unjudged": {"paused": 4},
         "loss_rate": 0.00375, "loss_rate_lower": ..., "loss_rate_upper": ...,
         "message_loss": {"messages": 200, "lost": 3, "upper": 0.038}, "fields": {"userName": 2},
         "noise_fields": {}, "latency_ms": {"legacy": {"samples": 797, "mean": 30.1, "p50": 30.0,
         "p50_low": 29.9, "p50_high": 30.2, "p90": ..., "p99": ...}, "sse": {...}, "difference": {...}},
         "timeline": [{"start": ..., "expected": 13, "lost_sse": 1, "lost_legacy": 0, "unjudged": 0}, ...]}},
     "offenders": [{"kind": "missing", "stack": "sse", "blame": "sse", "feature": "chat", "tenant": ...,
         "recipient": ..., "sender": ..., "stream": ..., "message_id": null, "cause": ..., "at": ...,
         "detail": "", "legacy": {...frame...}, "sse": null, "fields": {"userName": ["Ann", "ann"]}}],
     "offenders_total": 3}
    """
    return {
        "schema": JSON_SCHEMA,
        "source": "records",
        "run_id": report.run.run_id,
        "made_at": moment(report.made_at),
        "window": list(report.run.window),
        "verdict": report.verdict.value,
        "reasons": list(report.reasons),
        "hints": list(report.hints),
        "notes": list(report.notes),
        "tenant": report.tenant,
        "confidence": report.confidence,
        "max_loss": report.max_loss,
        "min_samples": report.min_samples,
        "in_flight": report.run.edge,
        "captured": report.run.captured,
        "lost": report.run.lost,
        "features": {one.name: feature_json(one) for one in report.features},
        "offenders": [offence_json(one) for one in report.offences],
        "offenders_total": report.offences_total,
    }


def feature_json(one: FeatureReport) -> dict[str, Any]:
    """One feature's part of it."""
    return {
        "verdict": one.verdict.value,
        "reasons": list(one.reasons),
        "notes": list(one.notes),
        "recorded": dict(one.rows),
        "counts": dict(one.counts),
        "unjudged": dict(one.unjudged),
        "loss_rate": one.loss[0],
        "loss_rate_lower": one.loss[1],
        "loss_rate_upper": one.loss[2],
        "message_loss": {"lost": one.message_loss[0], "messages": one.message_loss[1], "upper": one.message_loss[2]},
        "fields": dict(one.fields),
        "noise_fields": dict(one.noise_fields),
        "latency_ms": {stack: _latency(found) for stack, found in one.latency.items()},
        "timeline": [
            {
                "start": bar.start,
                "expected": bar.expected,
                "lost_sse": bar.lost_sse,
                "lost_legacy": bar.lost_legacy,
                "unjudged": bar.unjudged,
            }
            for bar in one.timeline
        ],
    }


def _latency(found: Distribution) -> dict[str, Any]:
    value: dict[str, Any] = {"samples": found.samples, "mean": _ms(found.mean), "bin": BIN_S * 1000}
    for quantile in found.quantiles:
        name = f"p{quantile.share * 100:g}"
        value |= {
            name: _ms(quantile.value),
            f"{name}_low": _ms(quantile.low),
            f"{name}_high": _ms(quantile.high),
        }
    return value


def offence_json(one: Offence) -> dict[str, Any]:
    """One offender; payloads parsed, fields that are not there as null."""
    return {
        "kind": one.kind,
        "stack": one.stack,
        "blame": one.blame,
        "feature": one.feature,
        "tenant": one.tenant,
        "recipient": one.recipient,
        "sender": one.sender,
        "stream": one.stream,
        "message_id": one.message_id,
        "cause": one.cause,
        "at": one.at,
        "detail": one.detail,
        "legacy": parsed(one.legacy),
        "sse": parsed(one.sse),
        "fields": {name: [None if value is ... else value for value in both] for name, both in one.fields.items()},
    }


def parsed(payload: str | None) -> Any:
    """A payload as JSON; as text where it is none."""
    if payload is None:
        return None
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return payload


def offence_line(one: Offence) -> str:
    """One offender in one line, without control characters."""
    who = f"{one.feature}  at {one.recipient} from {one.sender or '?'}" + (f" in {one.stream}" if one.stream else "")
    detail = f"  {one.detail}" if one.detail else ""
    text = one.legacy or one.sse or ""
    shown = text if len(text) <= 80 else text[:79] + "…"
    blame = "" if one.blame == one.stack else f", blame: {'the capture' if one.blame == 'capture' else one.blame}"
    return printable(f"{one.kind} on {one.stack}{blame}  {moment(one.at)}  {who}{detail}  {shown}")


def print_recorded(report: RecordedReport, console: Console) -> None:
    """Write the report for people; what was compared first."""
    start, stop = report.run.window
    period = f", {moment(start)} to {moment(stop)}" if stop > start else ""
    console.print(Text(f"compared: records of run {printable(report.run.run_id)}{period}", "dim"))
    console.print(
        Text(report.verdict.value.upper(), STYLES[report.verdict]), Text(printable(report.reasons[0])), sep="  "
    )
    for reason in report.reasons[1:]:
        console.print(Text(f"      {printable(reason)}"))
    for hint in report.hints:
        console.print(Text(f"hint: {hint}"))
    for note in report.notes:
        console.print(Text(f"note: {printable(note)}", "dim"))
    console.print()
    if stop > start and report.run.edge:
        console.print(Text(f"{report.run.edge:,} deliveries at the edges of that time are not judged", "dim"))
    console.print(_table(report))
    latency = _latency_table(report)
    if latency.row_count:
        console.print()
        console.print(latency)
    if report.offences:
        console.print()
        for one in report.offences:
            console.print(Text(offence_line(one), "red" if one.blame == "sse" else "yellow"))
        if (hidden := report.offences_total - len(report.offences)) > 0:
            console.print(Text(f"... and {hidden:,} more"))


def _table(report: RecordedReport) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("feature")
    table.add_column("verdict")
    titles = ("judged", "missing", "extra", "double", "changed", "order", "max loss")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for one in report.features:
        c = one.counts
        bad = [c[name] for name in ("missing_sse", "extra_sse", "duplicate_sse", "changed", "reordered_sse")]
        table.add_row(
            one.name,
            Text(one.verdict.value, STYLES[one.verdict]),
            f"{c['expected']:,}",
            *(Text(f"{number:,}", "bold red" if number else "") for number in bad),
            f"{one.loss[2]:.3%}" if c["expected"] else "-",
        )
    return table


def _latency_table(report: RecordedReport) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("ms (95 % interval)")
    for title in ("p50", "p90", "p99"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in report.features:
        for stack, found in one.latency.items():
            label = "difference" if stack == "difference" else stack
            cells = [
                f"{_plain(quantile.value)} ({_plain(quantile.low)}-{_plain(quantile.high)})"
                for quantile in found.quantiles
            ]
            table.add_row(f"{one.name} {label}", *cells)
    return table


def _plain(seconds: float | None) -> str:
    return "?" if seconds is None else f"{seconds * 1000:.1f}"


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
