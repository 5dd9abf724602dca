"""`migrate compare`: did both stacks deliver the same? until phase 3 (MG7)"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from migrate.cli.options import JsonOption, StateDirOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.clients import UpInfo
from migrate.compare.core import compare as compare_capture
from migrate.compare.model import Capture
from migrate.compare.probe import OnProgress, Plan, new_run_id, probe
from migrate.compare.records import RecordWriter, read_capture
from migrate.compare.render import as_json, print_report
from migrate.compare.verdict import Thresholds
from migrate.errors import UsageError
from migrate.up.state import DEFAULT_STATE_DIR

__all__ = ["compare"]

DEFAULT_MESSAGES = 200
DEFAULT_RATE = 20.0


@reports_errors
def compare(
    duration: Annotated[
        float | None, typer.Option(min=0.1, max=86_400, help="Seconds to send for, instead of --messages.")
    ] = None,
    users: Annotated[int, typer.Option(min=1, max=500, help="Probe users, each on both stacks.")] = 4,
    messages: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            help=f"Messages to send, half over each way. [default: {DEFAULT_MESSAGES}]",
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=0.1, max=2000, help=f"Messages a second. [default: {DEFAULT_RATE:g}]"),
    ] = None,
    settle: Annotated[float, typer.Option(min=0, max=3600, help="Seconds to wait at most for late messages.")] = 10.0,
    room: Annotated[list[str] | None, typer.Option(help="Room to use; repeatable. [default: the demo's rooms]")] = None,
    own_only: Annotated[
        bool, typer.Option("--own-only", help="Judge only the probes' messages, not other people's.")
    ] = False,
    records: Annotated[Path | None, typer.Option(help="Compare this recorded run instead of probing.")] = None,
    min_samples: Annotated[int, typer.Option(min=1, help="Messages needed for a pass; fewer are inconclusive.")] = 50,
    limit: Annotated[int, typer.Option(min=1, help="How many offending messages to name.")] = 6,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json: JsonOption = False,
) -> None:
    """Connect as the same users to both stacks, send, and say whether both delivered the same.

    Exit code 0: pass. 3: fail. 4: inconclusive. 2: no stack is running, or wrong usage.

    Example: migrate compare --users 4 --messages 200 --rate 20
    """
    if records is not None:
        capture = read_capture(records)
    else:
        up = UpInfo.load(state_dir)
        plan = _plan(up, users, messages, rate, duration, settle, room)
        capture = _probe(up, plan, state_dir)
    report = compare_capture(capture, Thresholds(min_samples=min_samples), own_only=own_only, limit=limit)
    if json:
        print_json(as_json(report))
    else:
        print_report(report, out)
    raise typer.Exit(int(report.verdict.exit_code))


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
