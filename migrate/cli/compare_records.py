"""What `migrate compare` does with records: compare, show, store the verdict. until phase 3"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from migrate.cli.output import err, out, print_json
from migrate.compare.athena import compare_prefix, script
from migrate.compare.engine import OnStep, Options
from migrate.compare.files import NoDeliveriesError
from migrate.compare.html import html_report
from migrate.compare.recorded import Offence, RecordedReport
from migrate.compare.recorded_render import (
    moment,
    offence_json,
    offence_line,
    print_recorded,
    recorded_json,
)
from migrate.compare.render import STYLES, printable
from migrate.compare.rules import Rules
from migrate.compare.session import Follower, compare_directory, parse_moment, rules_for
from migrate.compare.verdict import Verdict
from migrate.compare.verdicts import keep_report, save_verdict
from migrate.config import Config
from migrate.control.journal import Journal
from migrate.control.table import ControlTable
from migrate.errors import ExitCode, MigrateError, UsageError

__all__ = ["Recorded", "compare_recorded"]

# A report in HTML shows more than a terminal.
HTML_OFFENDERS = 50
NEW_OFFENDERS = 200


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was asked for.

    Args:
        source: directory of records, or s3://bucket/prefix.
        settle_s, min_samples: None: as configured.
        athena: database and workgroup, None: DuckDB.
    """

    config: Config
    source: str
    features: Sequence[str]
    tenant: str | None
    since: str | None
    until: str | None
    settle_s: float | None
    min_samples: int | None
    limit: int
    html: Path | None
    athena: tuple[str, str] | None
    save: bool
    json: bool

    def options(self, limit: int) -> Options:
        gates, now = self.config.gates, time.time()
        since = None if self.since is None else parse_moment(self.since, now)
        until = None if self.until is None else parse_moment(self.until, now)
        if since is not None and until is not None and since >= until:
            raise UsageError("--since is not before --until", "swap them")
        return Options(
            tenant=self.tenant,
            since=since,
            until=until,
            settle_s=self.config.shadow.settle_s if self.settle_s is None else self.settle_s,
            min_samples=gates.min_samples if self.min_samples is None else self.min_samples,
            max_loss=gates.max_loss,
            complete_capture=gates.complete_capture,
            limit=limit,
        )


def compare_recorded(request: Recorded, *, follow_s: float | None = None, only_sql: bool = False) -> int:
    """Compare records, once or (follow_s) again and again until Ctrl-C. Returns the exit code."""
    rules = rules_for(request.config.features, request.features)
    limit = max(request.limit, HTML_OFFENDERS) if request.html else request.limit
    options = request.options(limit)
    if only_sql:
        sys.stdout.write(script(rules, options, request.source, athena=request.athena is not None))
        return ExitCode.OK
    if request.html is not None and not request.html.resolve().parent.is_dir():
        raise UsageError(f"there is no directory {request.html.resolve().parent}", "make it, or choose another --html")
    if follow_s is not None:
        if request.athena or request.source.startswith("s3://"):
            raise UsageError("--follow reads a local directory", "leave out --engine athena")
        return _follow(request, rules, request.options(NEW_OFFENDERS), follow_s)
    try:
        with _steps() as on_step:
            report, directory = _once(request, rules, options, on_step)
    except NoDeliveriesError as error:
        if request.json:
            print_json({"verdict": Verdict.INCONCLUSIVE.value, "reasons": [error.message]})
        raise
    _finish(request, report, directory)
    if request.json:
        print_json(recorded_json(report))
    else:
        print_recorded(_shortened(report, request.limit), out)
    return int(report.verdict.exit_code)


def _once(
    request: Recorded, rules: Sequence[Rules], options: Options, on_step: OnStep
) -> tuple[RecordedReport, Path | None]:
    if request.source.startswith("s3://"):
        if request.athena is None:
            raise UsageError(
                f"the records are in {request.source}",
                "compare them with --engine athena, or copy them and --records DIR",
            )
        return compare_prefix(request.config, request.source, rules, options, *request.athena, on_step), None
    if request.athena is not None:
        raise UsageError(
            f"Athena reads s3://, not {request.source}", "set project.records to s3://BUCKET/PREFIX, or add --sql"
        )
    return compare_directory(Path(request.source), rules, options, on_step)


def _shortened(report: RecordedReport, limit: int) -> RecordedReport:
    return replace(report, offences=report.offences[:limit])


def _finish(request: Recorded, report: RecordedReport, directory: Path | None) -> None:
    """Write the HTML report, keep the JSON report, store the verdict."""
    if request.html is not None:
        request.html.write_text(html_report(report), encoding="utf-8")
        err.print(f"report: {request.html}")
    if not request.save or not report.run.window[1] > report.run.window[0]:
        return
    try:
        kept = "" if directory is None else str(keep_report(directory, report))
        table = ControlTable.of(request.config)
        table.ensure()
        arguments: dict[str, Any] = {
            "features": [one.name for one in report.features], "tenant": report.tenant,
            "window": list(report.run.window), "run_id": report.run.run_id,
        }  # fmt: skip
        with Journal(table).record("compare", arguments) as entry:
            entry.note(verdict=report.verdict.value, report_digest=save_verdict(table, report, kept))
    except (MigrateError, OSError) as error:
        # The comparison is done all the same; only the gates do not know.
        said = error.message if isinstance(error, MigrateError) else str(error.strerror)
        err.print(f"note: the verdict is not stored for the gates: {said}", style="yellow")


@contextmanager
def _steps() -> Iterator[OnStep]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        bar = bars.add_task("reading the records", total=None)
        yield lambda what: bars.update(bar, description=what)


def _follow(request: Recorded, rules: Sequence[Rules], options: Options, interval_s: float) -> int:
    """Say every change of the verdict and every new offender; Ctrl-C ends with the last verdict."""
    last: RecordedReport | None = None
    seen: set[tuple[object, ...]] = set()
    verdict: Verdict | None = None
    waiting = False
    if not request.json:
        out.print(Text(printable(f"comparing: records in {request.source}, as they are written"), "dim"))
    with Follower(Path(request.source), rules, options) as follower:
        try:
            for report in follower.rounds(interval_s):
                if report is None:
                    if not waiting:
                        err.print(f"waiting for records in {request.source}")
                    waiting = True
                    continue
                last = report
                if report.verdict is not verdict:
                    _say_verdict(report, json_lines=request.json)
                    verdict = report.verdict
                for one in sorted(report.offences, key=lambda one: one.at):
                    if one.key not in seen:
                        seen.add(one.key)
                        _say_offence(one, json_lines=request.json)
        except KeyboardInterrupt:
            pass
        directory = follower.run_directory
    if last is None:
        err.print("nothing was recorded")
        return ExitCode.INCONCLUSIVE
    _finish(request, last, directory)
    if request.json:
        _line({"event": "end", **recorded_json(_shortened(last, request.limit))})
    else:
        out.print()
        print_recorded(_shortened(last, request.limit), out)
    return int(last.verdict.exit_code)


def _say_verdict(report: RecordedReport, *, json_lines: bool) -> None:
    if json_lines:
        _line(
            {
                "event": "verdict",
                "at": moment(report.made_at),
                "verdict": report.verdict.value,
                "reasons": list(report.reasons),
                "features": {one.name: one.verdict.value for one in report.features},
            }
        )
        return
    out.print(
        Text(moment(report.made_at), "dim"),
        Text(report.verdict.value.upper(), STYLES[report.verdict]),
        Text(printable(report.reasons[0])),
    )


def _say_offence(one: Offence, *, json_lines: bool) -> None:
    if json_lines:
        _line({"event": "offender", **offence_json(one)})
    else:
        out.print(Text(offence_line(one), "red" if one.blame == "sse" else "yellow"))


def _line(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()
