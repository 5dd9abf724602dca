"""`migrate cleanup`: connection tables, and resources. until phase 3 (MG11, MG12)"""

from __future__ import annotations

import socket
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Annotated, Any

import typer
from rich.status import Status

from migrate.cli.cleanup_resources import resources
from migrate.cli.options import JsonOption, StateDirOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.config import Config, ConfigOption, resolve_config
from migrate.control.journal import Journal, actor
from migrate.control.locks import LEASE_S, Locks
from migrate.control.table import ControlTable
from migrate.errors import GateClosedError, InconclusiveError, UsageError
from migrate.up.state import DEFAULT_STATE_DIR

__all__ = ["app", "connections"]

app = typer.Typer(help="Clean up what the migration leaves behind: connection tables, resources.", no_args_is_help=True)
connections = typer.Typer(
    help="Rows of connections that are gone: the gateway is asked about each one.", invoke_without_command=True
)
app.add_typer(connections, name="connections")
app.add_typer(resources, name="resources")

TableOption = Annotated[str, typer.Option("--table", help="One table; all connection tables if it is not given.")]
ExecuteOption = Annotated[bool, typer.Option("--execute", help="Do it; without it nothing is changed.")]


@connections.callback()
@reports_errors
def sweep(
    context: typer.Context,
    config: ConfigOption = None,
    table: TableOption = "",
    execute: Annotated[bool, typer.Option("--execute", help="Delete; without it this is a dry run.")] = False,
    segment: Annotated[
        str, typer.Option("--segment", help="i/n: this machine's share, so that n machines sweep together.")
    ] = "1/1",
    segments: Annotated[
        int | None, typer.Option("--segments", min=1, help="Parallel segments. [default: cleanup.segments]")
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew instead of going on.")] = False,
    lease_s: Annotated[
        float, typer.Option("--lease-s", min=1, help="Seconds after which a killed sweep may be taken over.")
    ] = LEASE_S,
    json_: JsonOption = False,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:
    """Delete the rows of connections that are gone; everything deleted is exported first.

    Example: migrate cleanup connections --execute --segment 1/2
    """
    if context.invoked_subcommand is not None:
        return
    from migrate.sweep.job import Report, Sweep
    from migrate.tables.description import connection_tables

    settings = resolve_config(config, state_dir)
    part, parts = _share(segment)
    control = ControlTable.of(settings)
    if execute:
        control.ensure()
    reports: list[Report] = []
    for one in connection_tables(settings, table):
        with _showing(f"{'sweeping' if execute else 'asking about'} {one.name}", json_) as status:
            job = Sweep(
                settings, one, control, part=part, parts=parts, segments=segments, lease_s=lease_s,
                show=partial(_show, status, one.name),
            )  # fmt: skip
            if not execute:
                reports.append(job.dry_run())
            else:
                arguments = {"table": one.name, "segment": segment, "restart": restart}
                with Journal(control).record("cleanup connections", arguments) as entry:
                    report = job.execute(restart)
                    entry.note(job=report.job, finished=report.finished, **report.counts)
                    reports.append(report)
    if json_:
        print_json([_view(report) for report in reports])
    else:
        for report in reports:
            _print(report)
    if any(report.counts["unknown"] for report in reports):
        reasons = Counter[str]()
        for report in reports:
            reasons.update(report.unknown)
        raise InconclusiveError(
            f"{sum(reasons.values())} connections are not known: {', '.join(f'{k} {v}' for k, v in reasons.items())}",
            "their rows stay; sweep again when the gateway answers",
        )


@connections.command()
@reports_errors
def status(
    config: ConfigOption = None,
    table: TableOption = "",
    ask_per_s: Annotated[float, typer.Option("--ask-per-s", help="Another limit of questions, from now on.")] = 0.0,
    delete_per_s: Annotated[float, typer.Option("--delete-per-s", help="Another limit of deletions.")] = 0.0,
    pause: Annotated[bool | None, typer.Option("--pause/--resume", help="Hold it, or let it go on.")] = None,
    stop: Annotated[bool, typer.Option("--stop", help="End it after the pages under way; it can go on later.")] = False,
    json_: JsonOption = False,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:
    """Show how the sweeps stand, how fast they are and why; change their pace while they run.

    Example: migrate cleanup connections status --ask-per-s 20
    """
    from migrate.sweep.job import status_of
    from migrate.tables.description import connection_tables

    settings = resolve_config(config, state_dir)
    control = ControlTable.of(settings)
    tables = connection_tables(settings, table)
    said: dict[str, Any] = {
        "ask_per_s": ask_per_s or None, "delete_per_s": delete_per_s or None, "paused": pause, "stop": stop or None,
    }  # fmt: skip
    said = {key: value for key, value in said.items() if value is not None}
    for one in tables if said else ():
        with Journal(control).record("cleanup connections status", {"table": one.name, **said}):
            before = control.get(f"sweep#{one.name}", "controls") or {}
            control.put({**before, "pk": f"sweep#{one.name}", "sk": "controls", **said})
    try:
        views = [status_of(control, one.name) for one in tables]
    except UsageError:
        # No table of the shared state: nothing was ever swept.
        views = [{"table": one.name, "job": None, "status": "never swept"} for one in tables]
    if json_:
        print_json(views)
        return
    for view in views:
        _print_status(view)


@connections.command()
@reports_errors
def restore(
    job: Annotated[
        str, typer.Argument(help="Name of the sweep, as `status` shows it; the last one if not given.")
    ] = "",
    config: ConfigOption = None,
    table: TableOption = "",
    execute: ExecuteOption = False,
    json_: JsonOption = False,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:
    """Put back what a sweep deleted, from its export, and compare every row with it. Newer rows are not overwritten.

    A sweep that deleted nothing is nothing to restore: exit code 0.

    Example: migrate cleanup connections restore --execute
    """
    from migrate.sweep.exports import noted_runs
    from migrate.sweep.restore import restore as put_back
    from migrate.tables.description import connection_tables, described
    from migrate.tables.export import Page, pages_of
    from migrate.tables.pace import Pace
    from migrate.tables.rows import Rows

    settings = resolve_config(config, state_dir)
    dynamodb, control = settings.client("dynamodb"), ControlTable.of(settings)
    tables = connection_tables(settings, table)
    name = job or _last_job(control, [one.name for one in tables])
    if _is_nothing(settings, control, name):
        if json_:
            print_json({"job": name, "execute": execute, "counts": {}, "problems": []})
        else:
            out.print(f"{name}: the sweep deleted nothing, so there is nothing to restore")
        return
    shapes = {one.name: Rows(one, described(dynamodb, one.name)[0]) for one in tables}
    sources: set[str] = set()
    pace = Pace(settings.cleanup.delete_per_s)

    def pages() -> Iterator[Page]:
        for page in pages_of(settings.records, name, lambda: settings.client("s3")):
            sources.add(page.source)
            yield page

    def work(pool: ThreadPoolExecutor, check: Any) -> Any:
        return put_back(dynamodb, shapes.get, pages(), pool, pace, execute=execute, check=check)

    with _showing(f"{'restoring' if execute else 'reading'} {name}", json_), ThreadPoolExecutor(8) as pool:
        if execute:
            with (
                Journal(control).record("cleanup connections restore", {"job": name}) as entry,
                Locks(control).hold(f"restore-{name}", actor()) as lease,
            ):
                result = work(pool, lease.check)
                entry.note(**{key.replace(" ", "_"): value for key, value in result.counts.items()})
        else:
            result = work(pool, lambda: None)
    counts = dict(result.counts)
    for run, host in noted_runs(control, name).items():
        if host != socket.gethostname() and not any(run in source for source in sources):
            result.problems.append(f"{host} exported as well, and that is not here: restore there, too")
    if json_:
        print_json({"job": name, "execute": execute, "counts": counts, "problems": result.problems})
    else:
        would = "put back" if execute else "would be put back"
        out.print(
            f"{name}: {counts.get('put', 0)} {would}, {counts.get('same', 0)} there as exported, "
            f"{counts.get('newer', 0)} newer ones kept, {counts.get('missing', 0)} without their item"
        )
        for problem in result.problems:
            err.print(problem)
        if not execute:
            err.print("hint: --execute puts them back")
    if counts.get("wrong"):
        raise GateClosedError(f"{counts['wrong']} rows are not as in the export", "look at the table's streams and TTL")


def _is_nothing(settings: Config, control: ControlTable, job: str) -> bool:
    """Whether the sweep deleted nothing. Raises: UsageError: it did, or may have, and its export is not here."""
    from migrate.sweep.exports import deleted_nothing, noted_runs
    from migrate.tables.export import NoExportError, pages_of

    try:
        next(pages_of(settings.records, job, lambda: settings.client("s3")), None)
    except NoExportError as error:
        if deleted_nothing(control, job):
            return True
        if hosts := sorted(set(noted_runs(control, job).values())):
            raise NoExportError(error.message, f"it was made on {', '.join(hosts)}: restore there") from None
        raise
    return False


def _last_job(control: ControlTable, tables: list[str]) -> str:
    jobs = [item for name in tables if (item := control.get(f"sweep#{name}", "job"))]
    if len(jobs) != 1:
        raise UsageError(
            f"{len(jobs)} sweeps could be meant: {', '.join(str(one['job']) for one in jobs) or 'none was made'}",
            "name the sweep, or its --table",
        )
    return str(jobs[0]["job"])


def _share(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal()):
        raise UsageError(f"--segment {text} is no share", "for example 2/4: the second of four machines")
    return int(part), int(parts)


def _showing(text: str, quiet: bool) -> AbstractContextManager[Status | None]:
    return nullcontext(None) if quiet or not sys.stderr.isatty() else err.status(text)


def _show(status: Status | None, name: str, counts: Counter[str], reasons: dict[str, str]) -> None:
    if status is not None:
        status.update(
            f"{name}: {counts['rows']:,} rows, {counts['alive']:,} alive, {counts['gone']:,} gone, "
            f"{counts['deleted']:,} deleted; {reasons.get('ask', '')}"
        )


def _view(report: Any) -> dict[str, Any]:
    return {
        "table": report.table,
        "job": report.job or None,
        "execute": report.execute,
        "finished": report.finished,
        "counts": {key: report.counts[key] for key in (
            "rows", "connections", "alive", "gone", "unknown", "exported", "deleted", "changed")},
        "unknown": dict(report.unknown),
        "seconds": round(report.seconds, 2),
        "pace": report.reasons,
        "notes": report.notes,
    }  # fmt: skip


def _print(report: Any) -> None:
    counts = report.counts
    out.print(
        f"{report.table}: {counts['rows']:,} rows with {counts['connections']:,} connections: "
        f"{counts['alive']:,} alive, {counts['gone']:,} gone, {counts['unknown']:,} not known"
    )
    if report.execute:
        state = (
            "finished" if report.finished else "this share is done; others are not" if not report.stopped else "stopped"
        )
        out.print(
            f"  {counts['deleted']:,} deleted, {counts['changed']:,} had changed and stay; {state}; "
            f"export: {report.job}"
        )
    for note in report.notes:
        err.print(f"note: {note}")
    if not report.execute and counts["gone"]:
        err.print("hint: nothing was changed; --execute deletes, after an export that `restore` reads")


def _print_status(view: dict[str, Any]) -> None:
    if view["job"] is None:
        out.print(f"{view['table']}: never swept")
        return
    counts = view["counts"]
    out.print(
        f"{view['table']}: {view['status']}, {view['done']} of {view['segments']} segments done, "
        f"{counts.get('rows', 0):,} rows, {counts.get('alive', 0):,} alive, {counts.get('gone', 0):,} gone, "
        f"{counts.get('deleted', 0):,} deleted ({view['job']})"
    )
    if view["status"] == "done":
        if view["exported_on"]:
            out.print(f"  exported on {', '.join(view['exported_on'])}; `restore` puts it back")
        elif not counts.get("deleted"):
            out.print("  nothing was deleted, so there is nothing to restore")
    for worker in view["workers"]:
        held = "paused, " if worker["paused"] else ""
        pace = "; ".join(f"{name} {reason}" for name, reason in worker["reasons"].items())
        out.print(f"  {worker['who']} ({worker['part']}): {held}{pace}")
