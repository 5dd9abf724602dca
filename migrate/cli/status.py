"""`migrate status`: what runs, where, and how it does. until phase 3"""

from __future__ import annotations

import time
from typing import Any

import httpx
import psutil
import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table

from migrate.cli.options import JsonOption, StateDirOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.errors import ExitCode
from migrate.up.bridge_state import bridge_view
from migrate.up.state import DEFAULT_STATE_DIR, STACK, StateDir

__all__ = ["status"]


@reports_errors
def status(state_dir: StateDirOption = DEFAULT_STATE_DIR, json_: JsonOption = False) -> None:
    """Show both stacks: addresses, processes, memory, bridge. Exit code 0 when they are ready, 3 when they are not.

    Example: migrate status --json
    """
    state = StateDir(state_dir)
    holder = state.holder()
    up = state.read_up() if holder is not None else None
    stale = holder is None and state.read_up() is not None
    view: dict[str, Any] = {"status": "down", **(up or {})}
    if holder is None:
        view = {"status": "down", "unclean": stale}
    elif up is None:
        view = {"status": "starting", "pids": {"up": holder}}
    if view["status"] == "ready":
        view["health"] = {
            "sse_service": _healthy(view["sse_url"] + "/readyz"),
            "local_aws": _healthy(view["aws_endpoint_url"] + "/_ministack/health"),
        }
        view["bridge"] = bridge_view(state)
        view["tee"] = _tee_view(view) if view["health"]["local_aws"] else None
        view["memory_mb"] = _memory_mb(view["pids"])
    if json_:
        print_json(view)
    else:
        _show(view)
    if view["status"] != "ready" or not all(view["health"].values()) or not _tee_complete(view):
        raise typer.Exit(int(ExitCode.FAILED))


def _tee_view(view: dict[str, Any]) -> dict[str, int] | None:
    """On how many of the legacy stack's functions the tee is installed; without it nothing crosses to SSE.

    None: the local AWS could not be asked.
    """
    from migrate.tee.install import functions_of_api, is_installed
    from migrate.up.aws import clients

    client = clients(view["env"])
    try:
        functions = functions_of_api(client("apigatewayv2"), view["stacks"][STACK]["api_id"])
        installed = sum(is_installed(client("lambda"), name) for name in functions)
    except (BotoCoreError, ClientError):
        return None
    return {"functions": len(functions), "installed": installed}


def _healthy(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _memory_mb(pids: dict[str, int]) -> dict[str, float]:
    """Proportional set size of each process with its descendants, megabytes (RSS where PSS is not to be had)."""
    own = set(pids.values())
    usage: dict[str, float] = {}
    for name, pid in pids.items():
        try:
            process = psutil.Process(pid)
            family = [process, *(child for child in process.children(recursive=True))]
        except psutil.Error:
            continue
        if name == "up":
            family = [process]
        total = 0.0
        for member in family:
            if member.pid in own and member.pid != pid:
                continue
            try:
                info = member.memory_full_info()
            except psutil.Error:
                continue
            total += getattr(info, "pss", info.rss)
        usage[name] = round(total / 1e6, 1)
    usage["total"] = round(sum(usage.values()), 1)
    return usage


def _tee_complete(view: dict[str, Any]) -> bool:
    tee = view["tee"]
    return tee is None or bool(tee["installed"] == tee["functions"])


def _show(view: dict[str, Any]) -> None:
    if view["status"] == "down":
        err.print("both stacks are down" + (" (they did not end cleanly the last time)" if view["unclean"] else ""))
        err.print("hint: start them with `migrate up`")
        return
    if view["status"] != "ready":
        err.print(f"both stacks are {view['status']} (pid {view['pids']['up']})")
        return
    since = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(view["started_at"]))
    out.print(f"both stacks are up since {since}", highlight=False)
    addresses = Table(show_header=False, box=None)
    for name, url in (
        *((f"WebSocket ({stack})", url) for stack, url in view["legacy_ws_url"].items()),
        ("SSE + REST", view["sse_url"]),
        ("live page", view["dashboard_url"]),
        ("local AWS", view["aws_endpoint_url"]),
        ("@connections", view["management_url"]),
    ):
        addresses.add_row(name, url)
    out.print(addresses)
    processes = Table("process", "pid", "memory MB", "restarts", box=None)
    for name, pid in view["pids"].items():
        processes.add_row(
            name,
            str(pid),
            f"{view['memory_mb'].get(name, 0):.0f}",
            str(view.get("restarts", {}).get(name, 0)),
        )
    processes.add_row("all", "", f"{view['memory_mb']['total']:.0f}", "")
    out.print(processes)
    bridge = view["bridge"]
    out.print(
        f"bridge: {bridge['state']}, "
        f"WebSocket to SSE {bridge.get('to_sse', 0)}, SSE to WebSocket {bridge.get('to_legacy', 0)}"
    )
    if not _tee_complete(view):
        err.print(
            f"the tee is installed on {view['tee']['installed']} of {view['tee']['functions']} functions: "
            "WebSocket messages do not all reach the SSE service",
            style="bold red",
        )
        err.print("hint: `migrate bridge start` puts it on where it is missing")
    for name, well in view["health"].items():
        if not well:
            err.print(f"{name} does not answer", style="bold red")
