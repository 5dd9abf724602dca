"""`migrate compare`: did both stacks deliver the same? until phase 3 (MG7)"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from migrate.cli.compare_records import Recorded, compare_recorded
from migrate.cli.options import JsonOption, StateDirOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.clients import UpInfo
from migrate.compare.core import compare as compare_capture
from migrate.compare.files import has_records
from migrate.compare.model import Capture
from migrate.compare.probe import OnProgress, Plan, new_run_id, probe
from migrate.compare.records import RecordWriter, read_capture
from migrate.compare.render import as_json, print_report, printable
from migrate.compare.verdict import Thresholds
from migrate.config import Config, ConfigOption, resolve_config
from migrate.errors import UsageError
from migrate.up.state import DEFAULT_STATE_DIR

__all__ = ["compare"]

DEFAULT_MESSAGES = 200
DEFAULT_RATE = 20.0
DEFAULT_USERS = 4
PROBE_MIN_SAMPLES = 50
NOT_STORED = (
    "a probe's verdict opens no gate; a cut-over needs one over recorded traffic: `migrate shadow start` records, "
    "then `migrate compare` stores it"
)


class EngineName(StrEnum):
    """What compares."""

    DUCKDB = "duckdb"
    ATHENA = "athena"


@reports_errors
def compare(
    config: ConfigOption = None,
    records: Annotated[
        str | None,
        typer.Option(help="Records to compare: a run, a directory of runs, or a probe's. [default: as configured]"),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Compare what is being recorded, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds between comparisons of --follow.")] = 2.0,
    since: Annotated[str | None, typer.Option(help="From then on: 15m, 2h, or a time of ISO 8601.")] = None,
    until: Annotated[str | None, typer.Option(help="Until then.")] = None,
    feature: Annotated[
        list[str] | None, typer.Option(help="Only this feature; repeatable. [default: all configured]")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report as one HTML file.")] = None,
    engine: Annotated[EngineName, typer.Option(help="DuckDB here, or Athena over records in S3.")] = EngineName.DUCKDB,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL of the comparison and do nothing.")] = False,
    database: Annotated[str, typer.Option(help="Athena: database of the temporary tables.")] = "default",
    workgroup: Annotated[str, typer.Option(help="Athena: workgroup, with a place for results.")] = "primary",
    settle: Annotated[
        float | None,
        typer.Option(min=0, max=3600, help="Seconds that a late message has. [default: as configured; probe: 10]"),
    ] = None,
    min_samples: Annotated[
        int | None,
        typer.Option(min=1, help="Deliveries needed for a pass. [default: as configured; probe: 50 messages]"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many offenders to show.")] = 6,
    save: Annotated[bool, typer.Option(help="Store the verdict for the gates of the cut-over.")] = True,
    probing: Annotated[
        bool, typer.Option("--probe", help="Connect to both stacks of `migrate up` and send, instead of records.")
    ] = False,
    duration: Annotated[
        float | None, typer.Option(min=0.1, max=86_400, help="Probe: seconds to send for, instead of --messages.")
    ] = None,
    users: Annotated[
        int | None,
        typer.Option(min=1, max=500, help=f"Probe: users, each on both stacks. [default: {DEFAULT_USERS}]"),
    ] = None,
    messages: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            help=f"Probe: messages to send, half over each way. [default: {DEFAULT_MESSAGES}]",
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=0.1, max=2000, help=f"Probe: messages a second. [default: {DEFAULT_RATE:g}]"),
    ] = None,
    room: Annotated[
        list[str] | None, typer.Option(help="Probe: room to use; repeatable. [default: the demo's rooms]")
    ] = None,
    own_only: Annotated[
        bool, typer.Option("--own-only", help="Probe: judge only its own messages, not other people's.")
    ] = False,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Say whether both stacks delivered the same: by what the shadow recorded, or by connecting to both and sending.

    Records are compared where there are some. --probe, or any option of a probe (--messages, --users, ...), connects
    and sends instead. The first line says which it was.

    Exit code 0: pass. 3: fail. 4: inconclusive, or nothing recorded yet. 2: no records, damaged ones, or wrong usage.

    Example: migrate compare --feature chat --since 30m --html report.html
    """
    asked = _probe_options(users, messages, rate, duration, room)
    is_probe_record = records is not None and (Path(records) / "sends.jsonl").exists()
    if own_only and not is_probe_record:
        asked.append("--own-only")
    plan = users or DEFAULT_USERS, messages, rate, duration, room
    if is_probe_record and not asked and not probing:
        raise typer.Exit(_by_probe(records, state_dir, json, limit, min_samples, settle, plan, own_only))
    if probing or asked:
        _only_a_probe(
            asked,
            {
                "--records": records, "--follow": follow, "--sql": sql, "--html": html, "--since": since,
                "--until": until, "--feature": feature, "--tenant": tenant, "--engine": engine is EngineName.ATHENA,
            },
        )  # fmt: skip
        raise typer.Exit(_by_probe(None, state_dir, json, limit, min_samples, settle, plan, own_only))
    wants_records = bool(records or config or follow or sql or html or since or until or feature or tenant)
    found = _configured(config, state_dir, needed=wants_records)
    source = (records or str(found.records)) if found is not None else ""
    if found is None or not (wants_records or source.startswith("s3://") or has_records(Path(source))):
        raise typer.Exit(_by_probe(None, state_dir, json, limit, min_samples, settle, plan, own_only))
    request = Recorded(
        config=found,
        source=source,
        features=feature or [],
        tenant=tenant,
        since=since,
        until=until,
        settle_s=settle,
        min_samples=min_samples,
        limit=limit,
        html=html,
        athena=(database, workgroup) if engine is EngineName.ATHENA else None,
        save=save,
        json=json,
    )
    raise typer.Exit(compare_recorded(request, follow_s=interval if follow else None, only_sql=sql))


def _probe_options(
    users: int | None, messages: int | None, rate: float | None, duration: float | None, room: list[str] | None
) -> list[str]:
    """Those that were given and that only a probe understands."""
    given = {"--users": users, "--messages": messages, "--rate": rate, "--duration": duration, "--room": room}
    return [name for name, value in given.items() if value]


def _only_a_probe(asked: list[str], of_records: dict[str, object]) -> None:
    """Raises: UsageError: options of a probe beside those of records."""
    if wrong := [name for name, value in of_records.items() if value]:
        probe_says = f"{', '.join(asked)} makes this a probe, which" if asked else "--probe"
        raise UsageError(
            f"{probe_says} compares no records", f"leave out {', '.join(wrong)}" + (", or the former" if asked else "")
        )


def _configured(config: str | None, state_dir: Path, *, needed: bool) -> Config | None:
    """The configuration; None when none is needed and there is none."""
    try:
        return resolve_config(config, state_dir)
    except UsageError:
        if needed:
            raise
        return None


def _by_probe(
    records: str | None,
    state_dir: Path,
    json: bool,
    limit: int,
    min_samples: int | None,
    settle: float | None,
    plan: tuple[int, int | None, float | None, float | None, list[str] | None],
    own_only: bool,
) -> int:
    """Probe both stacks, or read what a probe recorded. Returns the exit code."""
    if records is not None:
        capture = read_capture(Path(records))
        what = f"records of probe {capture.run_id}"
    else:
        up = UpInfo.load(state_dir)
        users, messages, rate, duration, room = plan
        plan_ = _plan(up, users, messages, rate, duration, 10.0 if settle is None else settle, room)
        what = f"probes, now: {plan_.users} users on both stacks send {plan_.messages} messages"
        capture = _probe(up, plan_, state_dir)
    thresholds = Thresholds(min_samples=min_samples or PROBE_MIN_SAMPLES)
    report = compare_capture(capture, thresholds, own_only=own_only, limit=limit)
    if json:
        print_json({**as_json(report), "stored": False, "not_stored_because": NOT_STORED})
    else:
        out.print(Text(printable(f"compared: {what}"), "dim"))
        print_report(report, out)
        err.print(f"note: not stored: {NOT_STORED}")
    return int(report.verdict.exit_code)


def _plan(
    up: UpInfo,
    users: int,
    messages: int | None,
    rate: float | None,
    duration: float | None,
    settle: float,
    rooms: list[str] | None,
) -> Plan:
    """Two of messages, rate and duration give the third."""
    if None not in (messages, rate, duration):
        raise UsageError("--messages, --rate and --duration together say too much", "leave one of them out")
    if duration is not None and messages is not None:
        rate = messages / duration
    rate = rate or DEFAULT_RATE
    if messages is None:
        messages = DEFAULT_MESSAGES if duration is None else max(1, round(duration * rate))
    chosen = tuple(dict.fromkeys(rooms)) if rooms else up.rooms
    if not chosen or not all(chosen):
        raise UsageError("there is no room to send to", "name one with --room")
    return Plan(users, messages, rate, settle, chosen)


def _probe(up: UpInfo, plan: Plan, state_dir: Path) -> Capture:
    run_id = new_run_id()
    with RecordWriter(state_dir / "records" / run_id, run_id, time.time()) as writer, _progress() as progress:
        return asyncio.run(probe(up, plan, run_id, writer, progress))


@contextmanager
def _progress() -> Iterator[OnProgress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        bar = bars.add_task("connecting", total=None)
        yield lambda what, done, total: bars.update(bar, description=what, completed=done, total=total)
