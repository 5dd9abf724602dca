"""`migrate drain`: clients are told to go, then closed; nobody new comes in. until phase 3 (MG10)"""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from migrate.cli.options import JsonOption, StateDirOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.cli.shared import said
from migrate.config import Config, ConfigOption, resolve_config
from migrate.control.journal import Journal, actor
from migrate.control.locks import LEASE_S, Locks
from migrate.control.table import ControlTable
from migrate.drain.gate import GATE, Moved, moved_features
from migrate.drain.state import UNDER_WAY, lock_name, read_state, standing, tell
from migrate.errors import InconclusiveError, RefusedError, UsageError
from migrate.up.state import DEFAULT_STATE_DIR

__all__ = ["app"]

app = typer.Typer(help="Tell clients to go, close them, let nobody new in: start, stop, status, undo.",
                  no_args_is_help=True)  # fmt: skip


@app.command()
@reports_errors
def start(
    config: ConfigOption = None,
    execute: Annotated[bool, typer.Option("--execute", help="Do it; without it this shows the plan.")] = False,
    no_refuse: Annotated[bool, typer.Option("--no-refuse", help="Let new connections in.")] = False,
    lease_s: Annotated[
        float, typer.Option("--lease-s", min=1, help="Seconds after which a killed drain may be taken over.")
    ] = LEASE_S,
    without_gate: Annotated[
        list[str] | None,
        typer.Option(help=f"Do without this gate: {GATE} (everybody has moved); needs --note."),
    ] = None,
    note: Annotated[str, typer.Option(help="Why; kept in the journal and with the drain.")] = "",
    json_: JsonOption = False,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:
    """Refuse new connections, announce, wait, close; goes on where an earlier one stopped.

    Refused with exit code 5, also the dry run, while a feature of the configuration is below 100 % for any tenant.

    Example: migrate drain start --execute
    """
    from migrate.drain.run import Drain

    _check_gate(without_gate or [], note)
    without = note.strip() if without_gate else ""
    settings = resolve_config(config, state_dir)
    control = ControlTable.of(settings)
    if not execute:
        plan = Drain(settings, control, refuse=not no_refuse).plan()
        _preview(plan, moved_features(settings, control), without or _without(settings, control), json_)
        return
    control.ensure()
    waiting: AbstractContextManager[Any] = (
        nullcontext(None) if json_ or not sys.stderr.isatty() else err.status("drain")
    )
    with (
        waiting as shown,
        Locks(control).hold(lock_name(settings), actor(), lease_s) as lease,
        Journal(control).record("drain start", _arguments(settings, not no_refuse, without, note)) as entry,
    ):
        moved = moved_features(settings, control)
        # One that was begun with a reason goes on with it.
        reason = without or _without(settings, control)
        entry.note(features=dict(moved.percents), **({"without_gate_because": reason} if reason else {}))
        if moved.refusal and not reason:
            raise moved.refusal

        def show(phase: str, counts: Counter[str]) -> None:
            if shown is not None:
                shown.update(f"{phase}: {_counted(counts)}")

        drain = Drain(settings, control, refuse=not no_refuse, without=reason, check=lease.check, show=show)
        state = drain.run()
        entry.note(status=state["status"], **drain.counts)
    _print(_view(state), json_)
    if drain.counts["failed"]:
        raise InconclusiveError(
            f"{drain.counts['failed']} connections could not be told or closed",
            "`migrate drain status --who` shows who is left; start it again",
        )


@app.command()
@reports_errors
def stop(config: ConfigOption = None, state_dir: StateDirOption = DEFAULT_STATE_DIR) -> None:
    """Stop a running drain after what is under way; `start` goes on. New connections stay refused until `undo`.

    Example: migrate drain stop
    """
    settings = resolve_config(config, state_dir)
    control = ControlTable.of(settings)
    state = _state(settings, control)
    status, _ = standing(control, settings, state)
    if status == "interrupted":
        raise RefusedError(
            "the drain is interrupted: nobody is at work who could stop",
            "`migrate drain start --execute` goes on, `migrate drain undo --execute` lets people in again",
        )
    if status != "draining":
        raise RefusedError(f"the drain is {status}", "`migrate drain status` shows how it stands")
    with Journal(control).record("drain stop", {"api": settings.api.id}):
        tell(control, settings, stop=True)
    err.print("the drain stops; new connections stay refused until `migrate drain undo`")


@app.command()
@reports_errors
def status(
    config: ConfigOption = None,
    who: Annotated[bool, typer.Option("--who", help="Ask the gateway who is left.")] = False,
    rate_per_s: Annotated[float, typer.Option("--rate-per-s", help="Close at another rate from now on.")] = 0.0,
    json_: JsonOption = False,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:
    """Show how the drain stands, and who is left by user agent and user.

    Example: migrate drain status --who
    """
    from migrate.drain.who import who_is_left

    settings = resolve_config(config, state_dir)
    control = ControlTable.of(settings)
    if rate_per_s:
        _state(settings, control)
        with Journal(control).record("drain status", {"rate_per_s": rate_per_s}):
            tell(control, settings, rate_per_s=rate_per_s)
    state: dict[str, Any] | None
    try:
        state = read_state(control, settings.api.id, settings.api.stage)
    except UsageError:
        state = None  # no table of the shared state: nothing was ever done
    view: dict[str, Any] = {"status": "never drained"}
    if state:
        view = {**_view(state), "status": standing(control, settings, state)[0]}
    if who:
        left = who_is_left(settings)
        view["left"] = {
            "connections": left.alive,
            "rows_of_gone_ones": left.gone,
            "by_user_agent": dict(left.agents.most_common()),
            "by_user": dict(left.users.most_common()),
            "not_known": dict(left.unknown),
        }
    _print(view, json_)


@app.command()
@reports_errors
def undo(
    config: ConfigOption = None,
    execute: Annotated[bool, typer.Option("--execute", help="Do it; without it nothing is changed.")] = False,
    json_: JsonOption = False,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:
    """Let new connections in again: the stage's settings are put back as they were.

    Example: migrate drain undo --execute
    """
    from migrate.drain.run import undo as put_back

    settings = resolve_config(config, state_dir)
    control = ControlTable.of(settings)
    state = _state(settings, control)
    if not execute and not state.get("refused"):
        _print(_view(state), json_)
        err.print("there is nothing to undo")
        return
    if not execute:
        _print({**_view(state), "would_put_back": json.loads(state.get("snapshot") or "null")}, json_)
        err.print("hint: nothing was changed; --execute does it")
        return
    with (
        Locks(control).hold(lock_name(settings), actor()),
        Journal(control).record("drain undo", {"api": settings.api.id}),
    ):
        state = put_back(settings, control)
    _print(_view(state), json_)


def _check_gate(without: list[str], note: str) -> None:
    """Raises: UsageError: there is no such gate, or nothing is said about why."""
    unknown = sorted(set(without) - {GATE})
    if unknown:
        raise UsageError(f"there is no gate {', '.join(unknown)}", f"the gate: {GATE}")
    if without and not note.strip():
        raise UsageError('--without-gate needs --note "…"', "say why; the journal keeps it")
    if note.strip():
        said("--note", note)


def _arguments(settings: Config, refuse: bool, without: str, note: str) -> dict[str, Any]:
    said = {"without_gates": [GATE] if without else [], "note": note}
    return {
        "api": settings.api.id,
        "refuse": refuse,
        **{name: value for name, value in said.items() if value},
    }


def _without(settings: Config, control: ControlTable) -> str:
    """Why the drain that is under way does without the gate; empty: it does not, or there is none."""
    try:
        state = read_state(control, settings.api.id, settings.api.stage)
    except UsageError:
        return ""  # no table of the shared state: nothing was ever done
    return str(state.get("without_gate") or "") if state and state["status"] in UNDER_WAY else ""


def _preview(plan: dict[str, Any], moved: Moved, reason: str, json_: bool) -> None:
    """Raises: RefusedError: what --execute would end with."""
    refusal = None if reason else moved.refusal
    if json_:
        print_json({"execute": False, **plan, **moved.as_json(), "without_gate": reason or None})
    else:
        for key, value in plan.items():
            out.print(f"{key.replace('_', ' ')}: {value}")
        for line in moved.lines():
            out.print(line)
        if moved.refusal and reason:
            out.print(f"without the gate {GATE}: {reason}")
    if refusal is None:
        err.print("hint: nothing was changed; --execute does it")
        return
    raise RefusedError(
        f"nothing was changed, and --execute would be refused (exit code 5): {refusal.message}", refusal.hint
    )


def _state(settings: Config, control: ControlTable) -> dict[str, Any]:
    state = read_state(control, settings.api.id, settings.api.stage)
    if state is None:
        raise RefusedError(f"stage {settings.api.stage} was never drained", "begin with `migrate drain start`")
    return state


def _view(state: dict[str, Any]) -> dict[str, Any]:
    kept = ("drain", "status", "phase", "by", "refused", "counts")
    times = ("started_at", "refused_at", "announced_at", "ended_at", "undone_at")
    return {
        **{key: state[key] for key in kept if key in state},
        **({"snapshot": json.loads(state["snapshot"])} if state.get("snapshot") else {}),
        **{key: datetime.fromtimestamp(state[key], UTC).isoformat() for key in times if key in state},
    }


def _print(view: dict[str, Any], json_: bool) -> None:
    if json_:
        print_json(view)
        return
    refused = "new connections are refused" if view.get("refused") else "new connections are let in"
    out.print(f"{view['status']}: {_counted(Counter(view.get('counts', {})))}; {refused}")
    left = view.get("left")
    if left:
        out.print(f"{left['connections']} still connected, {left['rows_of_gone_ones']} rows of gone connections")
        for title, key in (("user agent", "by_user_agent"), ("user", "by_user")):
            for name, number in list(left[key].items())[:20]:
                out.print(f"  {number:6}  {title} {name}")
        for reason, number in left["not_known"].items():
            out.print(f"  {number:6}  not known: {reason}")


def _counted(counts: Counter[str]) -> str:
    return f"{counts['told']} told, {counts['closed']} closed, {counts['gone']} gone before, {counts['failed']} failed"
