"""`migrate shadow`: legacy traffic, done again on a second SSE service that nobody sees. until phase 3 (MG6)"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from migrate.cli.options import JsonOption, StateDirOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.config import Config, ConfigOption, resolve_config
from migrate.control.table import ControlTable
from migrate.errors import MigrateError, UsageError
from migrate.up.state import DEFAULT_STATE_DIR, STACK, StateDir

__all__ = ["app"]

READY_S = 60.0
# A run that ends waits for what is under way; one that is cut off does not.
END_S = 90.0
PARTS_S = 20.0

app = typer.Typer(
    help="Shadow traffic: start, stop, pause, resume, status. No user sees it, no table of the application is written.",
    no_args_is_help=True,
)


@app.command()
@reports_errors
def start(
    config: ConfigOption = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Be the worker: for a supervisor of your own (systemd, ECS).")
    ] = False,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Put the tee on and begin the run; the worker is started elsewhere.")
    ] = False,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json_: JsonOption = False,
) -> None:
    """Copy what passes the legacy functions, and replay it; goes on with a run that is on.

    Example: migrate shadow start --config direct
    """
    from migrate.shadow.run import begin

    found, state = resolve_config(config, state_dir), StateDir(state_dir)
    if not found.sse.shadow_url:
        raise UsageError(f"{found.path} names no sse.shadow_url", "the address of a second SSE service, tables apart")
    found.jwt_secret()
    with _journal(found, "shadow start", {"foreground": foreground, "no_worker": no_worker}) as entry:
        control, facts = begin(found)
        entry.note(**facts)
    changed = len(facts["changed"])
    err.print(
        f"run {control.run_id}: the tee is on {len(facts['functions'])} functions"
        + (f" ({changed} changed now)" if changed else " (as before)")
    )
    if foreground:
        _be_worker(found, state)
        return
    if not no_worker:
        _start_worker(found, state)
        _wait(found, lambda status: bool(status.get("alive")) and status["run_id"] == control.run_id, READY_S, state)
        # What enters before is not counted: not every copy of it may have come this way.
        from migrate.shadow.settings import BEGIN_S

        time.sleep(max(0.0, control.started_at + BEGIN_S - time.time()))
    if json_:
        print_json(_view(found))
    else:
        err.print("it replays; look at it with `migrate shadow status`, compare with `migrate compare`")


@app.command()
@reports_errors
def stop(
    config: ConfigOption = None,
    now: Annotated[
        bool, typer.Option("--now", help="The kill switch: replay nothing more, not even what is under way.")
    ] = False,
    all_readers: Annotated[
        bool, typer.Option("--all-readers", help="Take the tee off even if the bridge reads it: nothing crosses then.")
    ] = False,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    json_: JsonOption = False,
) -> None:
    """End the run, and take the tee off the functions: their configuration is as it was before.

    While the bridge reads the tee as well it stays, which is said: --all-readers takes it off then, also from under a
    bridge that runs: what WebSocket users say does not reach those on SSE any more.

    Example: migrate shadow stop
    """
    from dataclasses import replace

    from migrate.shadow.run import unhook
    from migrate.shadow.state import ShadowState
    from migrate.tee.consumers import TeeState

    found, state = resolve_config(config, state_dir), StateDir(state_dir)
    told = ShadowState(ControlTable.of(found), found.project.name)
    with _journal(found, "shadow stop", {"now": now, "all_readers": all_readers}) as entry:
        control = told.control()
        running = control is not None and control.state != "stopped"
        if control is not None and running:
            # First nobody copies any more, then what was copied is worked on to its end.
            told.tell(replace(control, state="stopped" if now else "stopping"))
        taken_from = _others(found) if all_readers else []
        removed = unhook(found, everybody=all_readers)
        if control is not None and running:
            _wait(found, lambda status: not status.get("alive"), END_S, state)
            told.tell(replace(control, state="stopped"))
        _end_worker(found, state)
        different = {name: list(fields) for name, fields in removed.different.items()} if removed else {}
        changed = list(removed.changed) if removed else []
        entry.note(
            changed=changed,
            different=different,
            run_id=control.run_id if control else "",
            **({"taken_from": taken_from} if taken_from else {}),
        )
    view = {"run_id": control.run_id if control else None, "functions_changed": changed, "different": different}
    readers = [] if removed else [one.name for one in TeeState(ControlTable.of(found), found.api.id).consumers()]
    take_off = f"migrate shadow stop --all-readers --config {found.path}"
    if json_:
        stays = {"tee": "stays for the bridge", "readers": readers, "take_off": take_off}
        print_json({**view, **({"tee": "off", "taken_from": taken_from} if removed else stays)})
        _warn_of(found, taken_from)
        return
    if removed is None:
        who = " and ".join(f"the {one}" for one in readers) or "another reader"
        err.print(f"the run is over; the tee stays on the functions, since {who} reads it as well")
        err.print(f"hint: when no bridge is used any more, `{take_off}` takes it off")
    else:
        err.print(f"the run is over; the tee is off {len(changed)} functions")
    _warn_of(found, taken_from)
    for name, fields in different.items():
        err.print(
            f"{name} was changed by somebody while the tee was on, and was left so: {', '.join(fields)}",
            style="bold yellow",
        )


@app.command()
@reports_errors
def pause(config: ConfigOption = None, state_dir: StateDirOption = DEFAULT_STATE_DIR) -> None:
    """Replay nothing until `resume`; what is copied meanwhile waits in its queue (at most 14 days).

    Example: migrate shadow pause
    """
    _change(config, state_dir, "paused")
    err.print("paused; `migrate shadow resume` goes on where it was")


@app.command()
@reports_errors
def resume(
    config: ConfigOption = None,
    max_per_s: Annotated[
        float | None, typer.Option("--max-per-s", min=0, help="Replay no more a second; 0: no limit.")
    ] = None,
    sample_percent: Annotated[
        float | None, typer.Option("--sample-percent", min=0, max=100, help="Shadow so many of the users.")
    ] = None,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:
    """Go on after `pause`, or change the limits of a run that is on.

    Example: migrate shadow resume --max-per-s 20
    """
    settings = {"max_per_s": max_per_s, "sample_percent": sample_percent}
    _change(config, state_dir, "running", **{name: value for name, value in settings.items() if value is not None})
    err.print("it replays")


@app.command()
@reports_errors
def status(
    config: ConfigOption = None, state_dir: StateDirOption = DEFAULT_STATE_DIR, json_: JsonOption = False
) -> None:
    """Show what the run does: how far it is behind, what holds it back, what was lost.

    Example: migrate shadow status --json
    """
    found = resolve_config(config, state_dir)
    view = _view(found)
    if json_:
        print_json(view)
        return
    worker = view["worker"]
    out.print(f"run {view['run_id'] or 'none'}: {view['state']}, tee on {view['tee']} functions")
    if not worker:
        return
    out.print(f"worker {worker['pid']} on {worker['host']}: {'alive' if worker['alive'] else 'not running'}")
    for key, text in (
        ("received", "records of the tee"),
        ("waiting", "of them in hand"),
        ("queued", "more in the queue"),
        ("lag_s", "seconds behind"),
        ("replayed", "frames replayed"),
        ("failed", "frames refused"),
        ("skipped", "frames left out"),
        ("subscribers", "virtual subscribers"),
        ("legacy_deliveries", "legacy deliveries recorded"),
        ("sse_deliveries", "SSE deliveries recorded"),
        ("lost", "records lost before they came"),
    ):
        out.print(f"  {text:32} {worker.get(key, view.get(key, 0))}")
    for key, text in (
        ("throttled", "held back"),
        ("untapped", "functions without the tee"),
        ("problem", "problem"),
        ("faults", "faults on purpose"),
    ):
        if worker.get(key):
            err.print(f"{text}: {worker[key]}")
    if view["state"] in ("running", "paused") and not worker["alive"]:
        err.print("hint: `migrate shadow start` starts a worker, which goes on where this one was")


def _others(config: Config) -> list[str]:
    """Who reads the tee besides the shadow."""
    from migrate.shadow.service import CONSUMER
    from migrate.tee.consumers import TeeState

    names = [one.name for one in TeeState(ControlTable.of(config), config.api.id).consumers()]
    return [name for name in names if name != CONSUMER]


def _warn_of(config: Config, taken_from: list[str]) -> None:
    from migrate.control.locks import Locks
    from migrate.tee.setup import BRIDGE, bridge_job

    if BRIDGE not in taken_from:
        return
    owner = Locks(ControlTable.of(config)).holder(bridge_job(config.api.id))
    runs = f"which runs ({owner})" if owner else "which does not run now"
    err.print(
        f"WARNING: the tee was taken from under the bridge, {runs}: what WebSocket users say does not reach SSE users",
        style="bold red",
    )
    is_ours = config.is_local and config.path.stem == STACK
    cure = "migrate bridge start" if is_ours else f"migrate bridge run --config {config.path}"
    err.print(f"hint: if the bridge is still needed: `{cure}`, which puts the tee on again")


def _journal(config: Config, action: str, arguments: dict[str, Any]) -> Any:
    from migrate.control.journal import Journal

    table = ControlTable.of(config)
    table.ensure()
    return Journal(table).record(action, {"project": config.project.name, **arguments})


def _change(config: str | None, state_dir: Path, to: Any, **settings: float) -> None:
    from migrate.shadow.run import change

    found = resolve_config(config, state_dir)
    with _journal(found, f"shadow {'pause' if to == 'paused' else 'resume'}", dict(settings)):
        change(found, to, **settings)


def _view(config: Config) -> dict[str, Any]:
    from migrate.shadow.service import CONSUMER
    from migrate.shadow.state import ShadowState
    from migrate.tee.consumers import TeeState
    from migrate.tee.setup import look_at_tee

    table = ControlTable.of(config)
    told = ShadowState(table, config.project.name)
    control = told.control()
    tee = look_at_tee(config, table)
    queued = 0
    for consumer in TeeState(table, config.api.id).consumers():
        if consumer.name == CONSUMER:
            answer = config.client("sqs").get_queue_attributes(
                QueueUrl=consumer.queue_url, AttributeNames=["ApproximateNumberOfMessages"]
            )
            queued = int(answer["Attributes"]["ApproximateNumberOfMessages"])
    return {
        "project": config.project.name,
        "run_id": control.run_id if control else None,
        "state": control.state if control else "stopped",
        "started_at": control.started_at if control else None,
        "records": str(config.records),
        "tee": len(tee.functions) - len(tee.missing),
        "functions": len(tee.functions),
        "queued": queued,
        "worker": told.worker(),
    }


def _wait(config: Config, reached: Callable[[dict[str, Any]], bool], seconds: float, state: StateDir) -> None:
    from migrate.shadow.state import ShadowState

    told = ShadowState(ControlTable.of(config), config.project.name)
    deadline = time.monotonic() + seconds
    while not reached(worker := told.worker()):
        if time.monotonic() > deadline:
            raise MigrateError(
                f"the worker is {'still running' if worker.get('alive') else 'not running yet'} after {seconds:g} s",
                f"look at `migrate shadow status` and {_log(config, state)}",
            )
        time.sleep(0.1)


def _be_worker(config: Config, state: StateDir) -> None:
    import asyncio
    import logging

    from migrate.shadow.service import serve

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asyncio.run(serve(config, state.shadow))


def _is_beside(config: Config, state: StateDir) -> bool:
    """Whether `migrate up` runs the worker and its service: of its own applications only, not of everything that is
    on the local AWS."""
    return config.is_local and config.project.name in (state.read_up() or {}).get("shadow_url", {})


def _start_worker(config: Config, state: StateDir) -> None:
    """Have one running: beside the stacks of `migrate up`, else as a process of its own."""
    from migrate.shadow.faults import VARIABLE, Faults

    faults = os.environ.get(VARIABLE, "")
    Faults.parse(faults)
    state.shadow.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = config.project.name
    if _is_beside(config, state):
        wanted = {"faults": faults, "config": str(config.path.resolve())}
        (state.shadow / f"{name}.wanted").write_text(json.dumps(wanted), encoding="utf-8")
        return
    if _pid(config, state) is not None:
        return
    with _log(config, state).open("ab") as log:
        child = subprocess.Popen(
            [
                *(sys.executable, "-m", "migrate.shadow"),
                *("--config", str(config.path.resolve()), "--state-dir", str(state.path)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (state.shadow / f"{name}.pid").write_text(f"{child.pid}\n", encoding="ascii")


def _end_worker(config: Config, state: StateDir) -> None:
    (state.shadow / f"{config.project.name}.wanted").unlink(missing_ok=True)
    (state.shadow / f"{config.project.name}.pid").unlink(missing_ok=True)
    if not _is_beside(config, state):
        return
    # Beside the stacks of `migrate up` its parts are ended by their parent: nothing of it runs when this returns.
    parts = {f"shadow-{config.project.name}", f"shadow-sse-{config.project.name}"}
    deadline = time.monotonic() + PARTS_S
    while parts & set((state.read_up() or {}).get("pids", {})) and time.monotonic() < deadline:
        time.sleep(0.05)


def _pid(config: Config, state: StateDir) -> int | None:
    """Of a worker that this command started here and that still runs."""
    try:
        pid = int((state.shadow / f"{config.project.name}.pid").read_text(encoding="ascii"))
        command = psutil.Process(pid).cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    return pid if "migrate.shadow" in command else None


def _log(config: Config, state: StateDir) -> Path:
    if _is_beside(config, state):
        return state.logs / f"shadow-{config.project.name}.log"
    return state.shadow / f"{config.project.name}.log"
