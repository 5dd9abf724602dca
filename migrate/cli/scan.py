"""`migrate scan`: every use of WebSocket in a source tree, and the gate of phase 1. until phase 3 (MG3, WL10)"""

from __future__ import annotations

import contextlib
import json as json_module
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from migrate.cli.options import JsonOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.errors import ExitCode, UsageError
from migrate.scan.model import Confidence, Finding, ScanReport
from migrate.words import counted

__all__ = ["ApiIdOption", "ConfigOption", "EnvOption", "HostOption", "find_config", "scan", "scan_progress"]


class Format(StrEnum):
    """How the findings are written."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"


HostOption = Annotated[
    list[str] | None,
    typer.Option(
        "--host", help="A domain of this stack, `*` allowed; repeatable. Every other domain is then another's."
    ),
]
ApiIdOption = Annotated[list[str] | None, typer.Option("--api-id", help="Id of an API of this stack; repeatable.")]
EnvOption = Annotated[
    list[str] | None,
    typer.Option("--env", help="Environment variable that holds this stack's address, `*` allowed; repeatable."),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="[default: migrate.toml of this directory, if there]")
]


@reports_errors
def scan(
    paths: Annotated[list[Path], typer.Argument(help="Directories and files.", metavar="PATH...")],
    host: HostOption = None,
    api_id: ApiIdOption = None,
    env: EnvOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    format_: Annotated[Format | None, typer.Option("--format", help="[default: text]")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the findings to this file.")] = None,
    min_confidence: Annotated[Confidence, typer.Option(help="Leave out what is less sure.")] = Confidence.LOW,
    tests: Annotated[bool, typer.Option("--tests/--no-tests", help="List uses in tests.")] = True,
    baseline: Annotated[Path | None, typer.Option(help="The uses that are known.")] = None,
    write_baseline: Annotated[
        bool, typer.Option("--write-baseline", help="Write what is there now to --baseline.")
    ] = False,
    fail_on_new: Annotated[
        bool, typer.Option("--fail-on-new", help="Exit with 3 when there is a use that --baseline does not know.")
    ] = False,
    gate_tests: Annotated[bool, typer.Option("--gate-tests", help="The gate looks at tests as well.")] = False,
    gitignore: Annotated[bool, typer.Option("--gitignore/--no-gitignore", help="Honour .gitignore.")] = True,
    max_size: Annotated[int, typer.Option(min=1, help="Kilobytes; larger files are only searched for words.")] = 2000,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes. [default: by the number of files]")
    ] = None,
) -> None:
    """Find every use of WebSocket: clients, servers, gateways, routes, permissions, packages, reconnect logic.

    Exit code 0: done, nothing new. 3: a new use, with --fail-on-new. 2: wrong usage; also when --write-baseline or
    --fail-on-new looked at no file at all, which proves nothing.

    Example: migrate scan . --baseline .ws-baseline.jsonl --fail-on-new
    """
    from migrate.scan.baseline import baseline_text, compare, counts_for_gate, read_baseline
    from migrate.scan.config import identity_from
    from migrate.scan.render import as_json, print_scan, print_summary
    from migrate.scan.run import ScanOptions, scan_tree
    from migrate.scan.sarif import as_sarif

    chosen = _format(json, format_)
    _check(paths, baseline, write_baseline, fail_on_new)
    known = read_baseline(baseline) if baseline is not None and not write_baseline else None
    identity = identity_from(find_config(config), api_id, host, env)
    options = ScanOptions(identity, jobs, max_size * 1000, gitignore)
    with scan_progress() as progress:
        report = scan_tree(paths, options, progress)
    if (write_baseline or fail_on_new) and not report.files:
        raise UsageError(*_nothing(paths, report))
    gated = [found for found in report.findings if counts_for_gate(found, tests=gate_tests)]
    not_gated = _not_gated(report.findings, gated, tests=gate_tests)
    difference = compare(gated, known) if known is not None else None
    report.findings = [
        found
        for found in report.findings
        if found.confidence.rank >= min_confidence.rank and (tests or not found.in_test)
    ]
    if write_baseline and baseline is not None:
        _write(baseline, baseline_text(gated))
        err.print(f"{counted(len(gated), 'use')} written to {baseline}{not_gated}", markup=False, highlight=False)
    if chosen is Format.TEXT:
        if output is not None:
            from rich.console import Console

            with output.open("w", encoding="utf-8") as file:
                print_scan(report, difference, Console(file=file, soft_wrap=True), only_new=fail_on_new)
        else:
            print_scan(report, difference, out, only_new=fail_on_new)
    else:
        document = as_sarif(report, difference) if chosen is Format.SARIF else as_json(report, difference)
        if output is not None:
            _write(output, json_module.dumps(document, ensure_ascii=False, indent=2) + "\n")
        else:
            print_json(document)
    print_summary(report, difference, err)
    if fail_on_new and difference is not None and difference.new:
        uses = counted(len(difference.new), "new use of WebSocket", "new uses of WebSocket")
        err.print(f"error: {uses}", style="bold red", highlight=False)
        err.print("hint: use the drop-in client or the REST API instead, or accept them with --write-baseline")
        raise typer.Exit(int(ExitCode.FAILED))
    if difference is not None and difference.stale:
        err.print("hint: known uses are gone; --write-baseline takes them out, so that they cannot come back")


def _not_gated(findings: list[Finding], gated: list[Finding], *, tests: bool) -> str:
    """What is a use and not one of the gate's, for it is listed beside: "; not 2 in tests (--gate-tests), …"."""
    known = set(map(id, gated))
    left = [one for one in findings if not one.is_other and id(one) not in known]
    in_tests = sum(one.in_test for one in left) if not tests else 0
    parts = [
        f"{number} {what}"
        for number, what in ((in_tests, "in tests (--gate-tests)"), (len(left) - in_tests, "guesses (low confidence)"))
        if number
    ]
    return f"; not {', '.join(parts)}" if parts else ""


def find_config(given: Path | None) -> Path | None:
    """The configuration named, or migrate.toml here when there is one."""
    default = Path("migrate.toml")
    return given if given is not None else default if default.is_file() else None


def _format(json: bool, chosen: Format | None) -> Format:
    if json and chosen not in (None, Format.JSON):
        raise UsageError(f"--json and --format {chosen} contradict each other", "leave one of them out")
    return Format.JSON if json else chosen or Format.TEXT


def _check(paths: list[Path], baseline: Path | None, write_baseline: bool, fail_on_new: bool) -> None:
    for path in paths:
        if not path.exists():
            raise UsageError(f"there is no {path}", "name directories or files that exist")
    if (write_baseline or fail_on_new) and baseline is None:
        raise UsageError("--write-baseline and --fail-on-new need --baseline FILE", "name the file of known uses")
    if write_baseline and fail_on_new:
        raise UsageError("--write-baseline and --fail-on-new contradict each other", "leave one of them out")


def _nothing(paths: list[Path], report: ScanReport) -> tuple[str, str]:
    """An error's message and hint, of a scan that looked at no file."""
    where = ", ".join(str(path) for path in paths)
    skipped = ", ".join(f"{number} {reason}" for reason, number in sorted(report.skipped.items()))
    hint = f"skipped: {skipped}; " if skipped else ""
    return f"no file was looked at in {where}", f"{hint}name the directory that holds your code"


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise


@contextmanager
def scan_progress() -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("scanning"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        bar = bars.add_task("scanning", total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)
