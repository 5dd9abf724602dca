"""`migrate bridge`: the bridge between the two running stacks. until phase 3"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import typer
from botocore.exceptions import BotoCoreError, ClientError

from migrate.cli.options import JsonOption, StateDirOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.cli.shared import state_table
from migrate.config import Config, ConfigOption, load_config, resolve_config
from migrate.control.journal import Journal
from migrate.errors import ExitCode, MigrateError, UsageError
from migrate.tee.setup import BRIDGE, TeeView
from migrate.up.bridge_state import bridge_view
from migrate.up.state import DEFAULT_STATE_DIR, STACK, StateDir

__all__ = ["app"]

CHANGE_TIMEOUT_S = 30.0

app = typer.Typer(help="The bridge between both stacks: status, run, stop, start.", no_args_is_help=True)


@app.command()
@reports_errors
def status(state_dir: StateDirOption = DEFAULT_STATE_DIR, json_: JsonOption = False) -> None:
    """Show whether the bridge runs, whether it gets anything, and what has crossed it.

    Exit code 3: the tee is not on every function, or the bridge does not read it.

    Example: migrate bridge status
    """
    state = StateDir(state_dir)
    state.running()
    tee = _tee(_config(state))
    lacks = tee.lacks(BRIDGE) if tee is not None else ""
    view = bridge_view(state)
    if tee is not None:
        on = len(tee.functions) - len(tee.missing)
        view["tee"] = {"functions": len(tee.functions), "installed": on, "lacks": lacks or None}
    if json_:
        print_json(view)
    else:
        _show(view)
    if lacks:
        err.print(f"{lacks}: WebSocket messages do not all reach the SSE service", style="bold red")
        err.print("hint: `migrate bridge start` puts it right")
        raise typer.Exit(int(ExitCode.FAILED))


def _show(view: dict[str, Any]) -> None:
    since = "since its start" if view.get("pid") else "of the one that has ended"
    out.print(f"bridge: {view['state']}" + (f" (pid {view['pid']})" if view.get("pid") else "") + f", {since}:")
    if tee := view.get("tee"):
        out.print(f"  tee: on {tee['installed']} of {tee['functions']} functions")
    else:
        err.print("the tee could not be looked at: the local AWS does not answer")
    for key, text in (
        ("to_sse", "WebSocket to SSE"),
        ("to_legacy", "SSE to WebSocket"),
        ("undelivered", "posts that failed"),
        ("malformed", "records that could not be read"),
        ("refused", "messages the SSE service refused"),
        ("not_captured", "records the tee could not send"),
        ("nobodys", "recipients nobody knows any more"),
        ("resets", "gaps in the event log"),
    ):
        out.print(f"  {text:32} {view.get(key, 0)}", highlight=False)
    for reader, count in (view.get("skipped") or {}).items():
        out.print(f"  {f'records that {reader} refused':32} {count}", highlight=False)
    if view["state"] == "held":
        err.print("hint: messages wait; `migrate bridge start` delivers them")
    for key, text in (("problem_to_sse", "WebSocket to SSE"), ("problem_to_legacy", "SSE to WebSocket")):
        if view.get(key):
            err.print(f"problem, {text}: {view[key]}", markup=False)


@app.command()
@reports_errors
def run(config: ConfigOption = None, state_dir: StateDirOption = DEFAULT_STATE_DIR) -> None:
    """Run the bridge of a stack here, until Ctrl-C: what `migrate up` does for its rooms application.

    Puts the tee onto the stack's functions first (`migrate shadow stop --all-readers` takes it off). Let your own
    supervisor keep it up on a server; a second one on another machine waits, and takes over when this one is gone.

    Example: migrate bridge run --config direct
    """
    from migrate.bridge.process import run_bridge
    from migrate.tee.setup import install_for_bridge

    settings = resolve_config(config, state_dir)
    if not any(feature.deliver or feature.collect for feature in settings.features):
        raise UsageError(
            f"{settings.path} says nothing about what crosses the bridge",
            "write [[features.deliver]] and [[features.collect]]: docs/guides/bridge.md",
        )
    table = state_table(settings)
    with Journal(table).record("bridge run", {"config": str(settings.path), "api": settings.api.id}) as entry:
        entry.note(functions=list(install_for_bridge(settings, table).functions))
    folder = StateDir(state_dir).path
    folder.mkdir(parents=True, exist_ok=True)
    err.print(f"the bridge of {settings.project.name} runs; Ctrl-C ends it")
    run_bridge(settings, folder, folder / f"bridge-{settings.project.name}.json")


@app.command()
@reports_errors
def stop(state_dir: StateDirOption = DEFAULT_STATE_DIR) -> None:
    """Stop the bridge and keep it down. Messages wait in its queue and in the event log; `start` delivers them.

    Example: migrate bridge stop
    """
    state = StateDir(state_dir)
    state.running()
    with _journaled(state, "bridge stop"):
        state.bridge_held.touch()
        _wait(state, lambda view: view["pid"] is None, "still running")
    err.print("the bridge is down; messages wait for `migrate bridge start`")


@app.command()
@reports_errors
def start(state_dir: StateDirOption = DEFAULT_STATE_DIR) -> None:
    """Start the bridge again after `stop`; put the tee onto the functions that lack it, as `run` does.

    Example: migrate bridge start
    """
    from migrate.tee.setup import install_for_bridge

    state = StateDir(state_dir)
    state.running()
    settings = _config(state)
    table = state_table(settings)
    with Journal(table).record("bridge start", {"api": settings.api.id}) as entry:
        installed = install_for_bridge(settings, table)
        entry.note(functions=list(installed.functions), changed=list(installed.changed))
    if installed.changed:
        err.print(f"the tee was missing on {len(installed.changed)} of {len(installed.functions)} functions: it is on")
    state.bridge_held.unlink(missing_ok=True)
    _wait(state, lambda view: view["state"] == "running", "not live yet")
    err.print("the bridge is up")


@contextmanager
def _journaled(state: StateDir, action: str) -> Iterator[None]:
    """Record it; a journal that cannot be reached keeps nobody from it."""
    with ExitStack() as entry:
        try:
            settings = _config(state)
            entry.enter_context(Journal(state_table(settings)).record(action, {"api": settings.api.id}))
        except MigrateError as error:
            err.print(f"note: not in the journal: {error.message}", style="yellow", markup=False)
        yield


def _config(state: StateDir) -> Config:
    """Of the application that the bridge of `migrate up` serves."""
    return load_config(state.configs / f"{STACK}.toml", state.path)


def _tee(config: Config) -> TeeView | None:
    """None: the local AWS could not be asked."""
    from migrate.tee.setup import look_at_tee

    try:
        return look_at_tee(config, state_table(config))
    except (BotoCoreError, ClientError, MigrateError):
        return None


def _wait(state: StateDir, reached: Callable[[dict[str, Any]], bool], otherwise: str) -> None:
    deadline = time.monotonic() + CHANGE_TIMEOUT_S
    while not reached(bridge_view(state)):
        if time.monotonic() > deadline:
            raise MigrateError(
                f"the bridge is {otherwise} after {CHANGE_TIMEOUT_S:g} s", f"look at {state.logs / 'bridge.log'}"
            )
        time.sleep(0.05)
