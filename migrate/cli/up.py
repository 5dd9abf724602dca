"""`migrate up`: both stacks side by side. until phase 3"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from migrate.cli.options import JsonOption, StateDirOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.errors import MigrateError, RefusedError
from migrate.up.state import DEFAULT_STATE_DIR, STACK, StateDir

__all__ = ["public_view", "show_up", "up"]

DETACHED_START_S = 120.0
STOP_TIMEOUT_S = 60.0
OWNER_CHECK_S = 1.0
Port = Annotated[int | None, typer.Option(help="A fixed port; a free one when not given.", show_default=False)]


@reports_errors
def up(
    detach: Annotated[bool, typer.Option("--detach", help="Return once both stacks are ready.")] = False,
    json_: JsonOption = False,
    no_traffic: Annotated[bool, typer.Option("--no-traffic", help="No simulated people.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget what the local AWS kept at the last clean stop.")
    ] = False,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
    aws_port: Port = None,
    gateway_port: Port = None,
    gateway_tls_port: Port = None,
    sse_port: Port = None,
    dashboard_port: Port = None,
    only: Annotated[
        str, typer.Option("--only", hidden=True, help="Of the applications beside rooms this one, or the word none.")
    ] = "",
    shadow_for: Annotated[
        str, typer.Option("--shadow-for", hidden=True, help="Another application that config/NAME.toml will describe.")
    ] = "",
    while_pid: Annotated[
        int, typer.Option("--while-pid", hidden=True, help="End when this process does; 0: on a signal only.")
    ] = 0,
) -> None:
    """Start the legacy WebSocket stack and the SSE service next to each other, on this machine alone.

    Example: migrate up --detach --json
    """
    state = StateDir(state_dir)
    state.make()
    if detach:
        _detach(state, json_)
        return
    with state.hold():
        from legacy_ws.deploy.apps import APPS
        from migrate.up.ports import choose_ports
        from migrate.up.supervisor import UpOptions

        ports = choose_ports(
            {
                "aws-port": aws_port,
                "gateway-port": gateway_port,
                "gateway-tls-port": gateway_tls_port,
                "sse-port": sse_port,
                "dashboard-port": dashboard_port,
                "ministack-port": None,
                **{f"shadow-{name}-port": None for name in (*APPS, *filter(None, [shadow_for]))},
            },
            state.last_ports(),
        )
        state.save_ports(ports)
        options = UpOptions(
            ports={name.removesuffix("-port"): port for name, port in ports.items()},
            traffic=not no_traffic,
            apps=tuple(name for name in APPS if not only or name in {STACK, only}),
            fresh=fresh,
        )
        asyncio.run(_run(state, options, json_, while_pid))


async def _gone(pid: int) -> None:
    """Returns when the process has ended."""
    try:
        process = psutil.Process(pid)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(OWNER_CHECK_S)
    except psutil.NoSuchProcess:
        pass


async def _run(state: StateDir, options: Any, json_: bool, while_pid: int) -> None:
    from migrate.up.supervisor import Supervisor

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    main_task = asyncio.current_task()
    signals = 0

    def on_signal() -> None:
        nonlocal signals
        signals += 1
        stop.set()
        if signals == 1 and main_task is not None and not ready:
            main_task.cancel()
        if signals == 1:
            err.print("stopping (the local AWS saves its state; again to end at once)")
        else:
            # The leash ends the children with us.
            os._exit(130)

    ready = False
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    owner = asyncio.create_task(_gone(while_pid)) if while_pid else None
    if owner is not None:
        owner.add_done_callback(lambda task: None if task.cancelled() else on_signal())
    began = time.monotonic()
    supervisor = Supervisor(
        state,
        options,
        lambda what: err.print(f"  {time.monotonic() - began:5.1f} s  {what}", highlight=False),
    )
    try:
        async with supervisor.stacks() as info:
            ready = True
            if json_:
                print_json(public_view(info))
                sys.stdout.flush()
            else:
                show_up(info)
            await supervisor.run_until(stop)
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    finally:
        if owner is not None:
            owner.cancel()
    err.print("both stacks are down")


def _detach(state: StateDir, json_: bool) -> None:
    holder = state.holder()
    if holder is not None:
        raise RefusedError(
            f"the stacks in {state.path} are already up (pid {holder})",
            "see them with `migrate status`, stop them with `migrate down`",
        )
    state.remove_up()
    arguments = [argument for argument in sys.argv[1:] if argument not in ("--detach", "--json")]
    log = state.logs / "up.log"
    for number in (signal.SIGTERM, signal.SIGHUP):
        # As Ctrl-C: what has been started goes down with us.
        signal.signal(number, signal.default_int_handler)
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "migrate", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_ready(state, child, log, json_)
    except BaseException:
        _end(child)
        raise


def _wait_ready(state: StateDir, child: subprocess.Popen[bytes], log: Path, json_: bool) -> None:
    """Raises: typer.Exit: the child ended; MigrateError: it takes too long."""
    deadline = time.monotonic() + DETACHED_START_S
    with err.status("starting both stacks"):
        while time.monotonic() < deadline:
            info = state.read_up()
            if info is not None and info.get("status") == "ready" and info["pids"].get("up") == child.pid:
                if json_:
                    print_json(public_view(info))
                else:
                    show_up(info)
                return
            if child.poll() is not None:
                sys.stderr.write(log.read_text(encoding="utf-8", errors="replace"))
                raise typer.Exit(child.returncode or 1)
            time.sleep(0.05)
    raise MigrateError(f"the stacks were not ready after {DETACHED_START_S:g} s", f"look at {log}")


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a start that was given up; its parts end with it."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()


def public_view(info: dict[str, Any]) -> dict[str, Any]:
    """What `--json` prints: up.json as it is; it holds addresses and no secret."""
    return info


def show_up(info: dict[str, Any]) -> None:
    """Addresses, and commands to paste."""
    me = _command()
    websocket = info["legacy_ws_url"][STACK]
    others = "".join(f"\n{'':16}{url}   ({name})" for name, url in info["legacy_ws_url"].items() if name != STACK)
    state_option = (
        ""
        if Path(info["jwt"]["secret_file"]).parent == DEFAULT_STATE_DIR.resolve()
        else (f" --state-dir {shlex.quote(str(Path(info['jwt']['secret_file']).parent))}")
    )
    lines = f"""
Both stacks are up after {info["ready_after_s"]:.1f} s.

  live page     {info["dashboard_url"]}
  chat page     {info["sse_url"]}/chat   (sign in with a token, see below)
  WebSocket     {websocket}{others}
  SSE + REST    {info["sse_url"]}   (API: {info["sse_url"]}/openapi.json)
  local AWS     {info["aws_endpoint_url"]}

Type in one, see it in the other, from other terminals:

  TOKEN=$({me} token --user you --tenant {info["tenant"]}{state_option})
  npx wscat -c "{websocket}?token=$TOKEN"
  > {{"action":"sendMessage","message":"hello from WebSocket"}}

  curl -N -H "Authorization: Bearer $TOKEN" {info["sse_url"]}/api/chat/stream
  curl -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" {info["sse_url"]}/api/chat/send \\
       -d '{{"conversationId":"main","message":"hello from REST"}}'

  {me} compare{state_option}      did both deliver the same?
  {me} status{state_option}       what runs
  {me} down{state_option}         stop"""
    out.print(lines, markup=False, highlight=False)


def _command() -> str:
    """How the user can call this program: `migrate` when that is on PATH, else its path."""
    if shutil.which("migrate"):
        return "migrate"
    here = Path(sys.executable).parent / "migrate"
    return os.path.relpath(here) if here.is_relative_to(Path.cwd()) else str(here)
