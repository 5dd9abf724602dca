"""`migrate cutover`: users from WebSocket to SSE, by percentage, behind gates. until phase 3 (MG9)"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

from migrate.cli.options import JsonOption, StateDirOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.cli.shared import said
from migrate.config import Config, ConfigOption, resolve_config
from migrate.control.flags import EVERY_TENANT, CutoverFlag, Flags
from migrate.control.locks import Locks
from migrate.control.table import ControlTable
from migrate.cutover.gates import GATES, Gate, State, demand
from migrate.cutover.run import Cutover, lock_name
from migrate.cutover.users import Affected, count_affected
from migrate.errors import GateClosedError, InconclusiveError, UsageError
from migrate.up.state import DEFAULT_STATE_DIR

__all__ = ["cutover"]

STATUS = "status"


@reports_errors
def cutover(
    feature: Annotated[str, typer.Argument(help="A feature of the configuration; or `status`.", metavar="FEATURE")],
    percent: Annotated[
        float | None, typer.Option(min=0, max=100, help="How many of the users; below the present one is a way back.")
    ] = None,
    steps: Annotated[
        bool,
        typer.Option("--steps", help="All of cutover.steps, each held for cutover.hold_s with every gate watched."),
    ] = False,
    hold: Annotated[float | None, typer.Option(min=0, help="Seconds, instead of cutover.hold_s.")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay, and bring everybody back when a gate breaks, until Ctrl-C.")
    ] = False,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant, which gets a flag of its own.")] = None,
    execute: Annotated[bool, typer.Option("--execute", help="Do it; without, say what would be done.")] = False,
    without_gate: Annotated[
        list[str] | None,
        typer.Option(help=f"Do without this gate: {', '.join(GATES)}; repeatable, needs --note."),
    ] = None,
    note: Annotated[str, typer.Option(help="Why; kept in the journal and the flag.")] = "",
    config: ConfigOption = None,
    json_: JsonOption = False,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:
    """Move users of a feature from WebSocket to SSE in percent, sticky by user, or show where they are (`status`).

    Nothing is done without --execute. Exit code 3: a gate is shut, or a broken one has brought everybody back; 4: not
    enough evidence; 5: somebody else is at it. Without --execute 3 and 4 say that it would be refused.

    Example: migrate cutover chat --steps --execute
    """
    settings = resolve_config(config, state_dir)
    table = ControlTable.of(settings)
    if feature == STATUS:
        _status(settings, table, json_)
        return
    settings.feature(feature)
    _check(percent, steps, watch, hold, tenant, without_gate or [], note)
    if execute or (watch and percent is None and not steps):
        table.ensure()
    run = Cutover(settings, table, feature, tenant, without=without_gate or (), note=note, say=_say)
    if percent is not None or steps:
        wanted = settings.cutover.steps if percent is None else (percent,)
        hold_s = settings.cutover.hold_s if hold is None else hold
        if not execute:
            _preview(
                settings, table, run, feature, tenant or EVERY_TENANT, wanted, hold_s, json_, tuple(without_gate or ())
            )
            return
        if percent is not None:
            run.to(percent)
        else:
            run.steps(wanted, hold_s)
        if json_:
            print_json(_view(run.now))
    if watch:
        _watch(run, feature)


def _check(
    percent: float | None,
    steps: bool,
    watch: bool,
    hold: float | None,
    tenant: str | None,
    without: list[str],
    note: str,
) -> None:
    if percent is None and not steps and not watch:
        raise UsageError("say what is to be done", "--percent N, --steps or --watch; `migrate cutover status` shows")
    if percent is not None and steps:
        raise UsageError("--percent and --steps contradict each other", "leave one of them out")
    if hold is not None and not steps:
        raise UsageError("--hold goes with --steps", "leave it out")
    if tenant is not None and (not tenant.strip() or tenant == EVERY_TENANT):
        raise UsageError(f"{tenant!r} is no tenant", "leave --tenant out for all of them")
    if unknown := sorted(set(without) - set(GATES)):
        raise UsageError(f"there is no gate {', '.join(unknown)}", f"the gates: {', '.join(GATES)}")
    if without and not note.strip():
        raise UsageError('--without-gate needs --note "…"', "say why; the journal keeps it")
    if note.strip():
        said("--note", note)


def _say(text: str) -> None:
    err.print(f"{time.strftime('%H:%M:%S')} {text}")


def _preview(
    config: Config,
    table: ControlTable,
    run: Cutover,
    feature: str,
    tenant: str,
    wanted: tuple[float, ...],
    hold_s: float,
    json_: bool,
    without: tuple[str, ...],
) -> None:
    """Raises: GateClosedError, InconclusiveError: what --execute would end with."""
    flags: dict[str, CutoverFlag] = {}
    problem = ""
    try:
        flags = Flags(table).of(feature)
        gates = run.evidence.before(wanted[0])
        before = run.percent
    except UsageError as error:
        # No table yet: the first change makes it.
        problem, gates, before = error.message, run.evidence.before(wanted[0], stored=False), 0.0
    rows: list[tuple[float, Affected]] = []
    with _counting() as progress:
        rows = [(one, count_affected(config, flags, feature, tenant, one, progress)) for one in wanted if one != before]
    if json_:
        print_json(
            {
                "feature": feature,
                "tenant": tenant,
                "executed": False,
                "percent": before,
                "steps": [
                    {
                        "percent": one,
                        "connected_users": users.connected,
                        "to_sse": users.to_sse,
                        "to_websocket": users.to_websocket,
                        "on_sse": users.on_sse,
                        "problem": users.problem or None,
                    }
                    for one, users in rows
                ],
                "hold_s": hold_s if len(wanted) > 1 else None,
                "gates": [_gate(gate) for gate in gates],
            }
        )
    else:
        out.print(f"{feature} ({'every tenant' if tenant == EVERY_TENANT else tenant}) stands at {before:g} %")
        for one, users in rows:
            if users.problem and not users.connected:
                out.print(f"  -> {one:g} %: {users.problem}")
                continue
            moves = f"{users.to_sse} to SSE" if users.to_sse or not users.to_websocket else ""
            back = f"{users.to_websocket} back to WebSocket" if users.to_websocket else ""
            out.print(
                f"  -> {one:g} %: of {users.connected} connected users {' and '.join(filter(None, (moves, back)))}, "
                f"{users.on_sse} are there then"
            )
        if len(wanted) > 1:
            out.print(f"  each held for {hold_s:g} s")
        _show_gates(gates)
    if problem:
        err.print(problem)
    # Nobody is kept from coming back.
    if any(one > before for one in wanted):
        try:
            demand(gates, without)
        except (GateClosedError, InconclusiveError) as error:
            code = int(error.exit_code)
            error.message = f"nothing was done, and --execute would be refused (exit code {code}): {error.message}"
            raise
    err.print("nothing was done: --execute does it")


@contextmanager
def _counting() -> Iterator[Any]:
    columns = (SpinnerColumn(), TextColumn("counting users: {task.completed:.0f}"))
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        bar = bars.add_task("counting", total=None)
        yield lambda done: bars.update(bar, completed=done)


def _watch(run: Cutover, feature: str) -> None:
    err.print(f"watching the gates of {feature}; Ctrl-C ends it, and leaves everybody where they are")
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        bar = bars.add_task("watching", total=None)

        def tick(streams: int) -> None:
            bars.update(bar, description=f"{feature} at {run.percent:g} %, {streams} streams open")

        try:
            run.watch(tick=tick)
        except KeyboardInterrupt:
            err.print("not watched any more")


def _status(config: Config, table: ControlTable, json_: bool) -> None:
    flags = Flags(table).all()
    known = [one.name for one in config.features]
    for name in known:
        Flags(table).of(name)  # another project's flag is the service's as well: not to be passed over
    names = [*known, *sorted({flag.feature for flag in flags} - set(known))]
    locks = Locks(table)
    features: list[dict[str, Any]] = []
    for name in names:
        mine = [flag for flag in flags if flag.feature == name]
        gates = Cutover(config, table, name, None).evidence.known()
        features.append(
            {
                "feature": name,
                "flags": [_view(flag) for flag in mine],
                "gates": [_gate(gate) for gate in gates],
                "running": locks.holder(lock_name(name)),
            }
        )
    if json_:
        print_json({"features": features})
        return
    shown = Table(box=None, pad_edge=False)
    for column in ("feature", "tenant", "percent", "state", "changed", "by", "note"):
        shown.add_column(column)
    for one in features:
        for flag in one["flags"] or [None]:
            row = flag or {"tenant": "*", "percent": 0.0, "state": "off", "updated_at": 0, "updated_by": "", "note": ""}
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["updated_at"])) if row["updated_at"] else "-"
            cells = (row["tenant"], f"{row['percent']:g} %", row["state"], when, row["updated_by"], row["note"])
            shown.add_row(str(one["feature"]), *map(str, cells))
    out.print(shown)
    for one in features:
        running = f", a run of {one['running']} is under way" if one["running"] else ""
        out.print(f"{one['feature']}{running}:")
        for gate in one["gates"]:
            out.print(f"  {gate['state']:<6} {gate['name']}: {gate['reason']}")


def _view(flag: CutoverFlag | None) -> dict[str, Any]:
    if flag is None:
        return {}
    return {
        "feature": flag.feature,
        "tenant": flag.tenant,
        "percent": flag.percent,
        "epoch": flag.epoch,
        "state": flag.state,
        "updated_at": flag.updated_at,
        "updated_by": flag.updated_by,
        "note": flag.note,
        "steps": list(flag.steps),
        "hold_s": flag.hold_s,
    }


def _gate(gate: Gate) -> dict[str, str]:
    return {"name": gate.name, "state": gate.state.value, "reason": gate.reason}


def _show_gates(gates: list[Gate]) -> None:
    for gate in gates:
        mark = "open " if gate.state is State.OPEN else gate.state.value
        out.print(f"  gate {mark} {gate.name}: {gate.reason}")
