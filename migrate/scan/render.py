"""A scan as text and as JSON. until phase 3 (MG3)"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from migrate.scan.baseline import Difference
from migrate.scan.model import Finding, Kind, ScanReport, Target
from migrate.scan.rules import RULES
from migrate.words import counted

__all__ = ["as_json", "print_scan", "print_summary", "summary"]

_STYLE = {"high": "bold", "medium": "", "low": "dim"}


def summary(report: ScanReport, difference: Difference | None) -> dict[str, Any]:
    """Counts for people and machines."""
    ours = [finding for finding in report.findings if not finding.is_other]
    counts: dict[str, Any] = {
        "findings": len(ours),
        "by_kind": {kind.value: sum(found.kind is kind for found in ours) for kind in Kind},
        "by_target": dict(Counter(found.target.value for found in report.findings if found.target)),
        "in_tests": sum(found.in_test for found in ours),
        "other_services": len(report.findings) - len(ours),
        "files": report.files,
        "skipped": dict(sorted(report.skipped.items())),
        "problems": len(report.problems),
        "seconds": round(report.seconds, 3),
    }
    if difference is not None:
        counts["new"] = len(difference.new)
        counts["stale"] = sum(count for _, count in difference.stale)
    return counts


def as_json(report: ScanReport, difference: Difference | None) -> dict[str, Any]:
    """One document: findings, problems, what changed since the baseline, counts."""
    new = {id(found) for found in difference.new} if difference is not None else set()
    findings = []
    for found in report.findings:
        value = json.loads(json.dumps(asdict(found)))
        value["title"] = RULES[found.rule].title
        if difference is not None:
            value["new"] = id(found) in new
        findings.append(value)
    document: dict[str, Any] = {
        "version": 1,
        "summary": summary(report, difference),
        "findings": findings,
        "problems": [asdict(problem) for problem in report.problems],
    }
    if difference is not None:
        document["stale"] = [{**asdict(entry), "gone": gone} for entry, gone in difference.stale]
    return document


def print_scan(report: ScanReport, difference: Difference | None, out: Console, *, only_new: bool) -> None:
    """A line for each finding, then the counts."""
    shown = difference.new if difference is not None and only_new else report.findings
    for found in shown:
        if not found.is_other:
            out.print(_line(found), soft_wrap=True)
    others = [found for found in shown if found.is_other]
    if others:
        out.print(Text("to other services, nothing to do:", style="dim"))
        for found in others:
            out.print(_line(found), soft_wrap=True)


def _line(found: Finding) -> Text:
    line = Text(f"{found.path}:{found.line}:{found.column}: ", style="dim")
    line.append(f"{found.kind.value} ", style="cyan")
    line.append(found.rule, style=_STYLE[found.confidence.value])
    notes = [found.confidence.value]
    if found.target is Target.THIS:
        notes.append("this stack")
    elif found.target is Target.ANOTHER_API:
        where = f": {', '.join(found.urls[:2])}" if found.urls else ""
        notes.append(f"an API of another id, an older or a staging one? look{where}")
    elif found.target is Target.UNKNOWN and found.urls:
        notes.append(f"goes to {', '.join(found.urls[:2])}")
    elif found.target is Target.OTHER:
        notes.append(f"other: {', '.join(found.urls[:2])}")
    if found.in_test:
        notes.append("in a test")
    line.append(f" ({', '.join(notes)}) ", style="dim")
    line.append(found.snippet)
    return line


def print_summary(report: ScanReport, difference: Difference | None, err: Console) -> None:
    """What was found, what was not looked at, what could not be judged."""
    for problem in report.problems:
        words = ", holds words of WebSocket: look yourself" if problem.suspect else ""
        err.print(f"{problem.path}: {problem.reason} ({problem.detail}{words})", markup=False, highlight=False)
    counts = summary(report, difference)
    kinds = ", ".join(f"{number} {kind}" for kind, number in counts["by_kind"].items() if number)
    rate = report.files / report.seconds if report.seconds else 0
    uses = counted(counts["findings"], "use of WebSocket", "uses of WebSocket")
    err.print(uses + (f": {kinds}" if kinds else ""), highlight=False)
    if counts["other_services"]:
        sockets = counted(counts["other_services"], "socket goes to another service", "sockets go to other services")
        err.print(sockets, highlight=False)
    skipped = ", ".join(f"{number} {reason}" for reason, number in counts["skipped"].items())
    files = counted(report.files, "file")
    err.print(
        f"{files} in {report.seconds:.1f} s ({rate:.0f}/s)" + (f"; skipped: {skipped}" if skipped else ""),
        highlight=False,
    )
    if difference is not None:
        err.print(f"{len(difference.new)} new, {counts['stale']} stale since the baseline", highlight=False)
        for entry, gone in difference.stale:
            where = f" in {entry.symbol}" if entry.symbol else ""
            err.print(f"stale: {gone} of {entry.rule}{where}: {entry.code}", markup=False, highlight=False, style="dim")
