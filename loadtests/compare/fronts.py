"""Virtual connections in front of the applications for which `migrate up` has none: it has them for rooms, as one
`sse-service` has one API (docs/guides/virtual-connections.md). For direct and layers one is started for as long as it
is needed, by the command line and its documented settings; the applications stay as they were deployed.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from loadtests.compare.errors import CompareError

__all__ = ["Front", "end_left_over", "environment_of", "front"]

START_TIMEOUT_S, END_TIMEOUT_S = 30.0, 20.0
# The functions of the local AWS sign with one of these: its account, or what their environment says.
ACCESS_KEYS, SECRETS = "000000000000,local,test", "local,local,test"


@dataclass(frozen=True)
class Front:
    """Where the drop-in's users of an application go (with the path), and the processes that are measured with it.

    Attributes:
        mark: [pid, time of its start]: what `end_left_over` knows it by; empty where no process was started.
    """

    url: str
    pids: Mapping[str, int] = field(default_factory=dict)
    mark: tuple[float, ...] = ()


def environment_of(app: str, up: Mapping[str, Any]) -> dict[str, str]:
    """The variables of the service in front of an application: nothing of AWS but what is in up.json.

    Raises: OSError: the file of the key is gone.
    """
    stack = up["stacks"][app]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SSE_", "LEGACY_WS_"))}
    here = ",".join(one for one in (kept.get("no_proxy") or kept.get("NO_PROXY"), "127.0.0.1", "localhost") if one)
    return {
        **kept,
        **up["env"],
        **dict.fromkeys(("NO_PROXY", "no_proxy"), here),
        # Unset, they would be looked for in the home directory, where real credentials may lie.
        **dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull),
        "SSE_JWT_SECRET": Path(up["jwt"]["secret_file"]).read_text(encoding="utf-8").strip(),
        "SSE_PAGES": "0",
        "SSE_VIRTUAL_API_ID": str(stack["api_id"]),
        "SSE_VIRTUAL_STAGE": _stage(stack),
        "SSE_VIRTUAL_MANAGEMENT_ACCESS_KEY_ID": ACCESS_KEYS,
        "SSE_VIRTUAL_MANAGEMENT_SECRET_ACCESS_KEY": SECRETS,
        # Who is still on a WebSocket is posted to by the gateway, as ever.
        "SSE_VIRTUAL_MANAGEMENT_FORWARD_URL": str(stack["management_url"]),
    }


@contextlib.contextmanager
def front(app: str, up: Mapping[str, Any], log: Path) -> Iterator[Front]:
    """A service in front of an application; it ends with the block. Raises CompareError: it does not start."""
    argv = [sys.executable, "-m", "sse_service", "serve", "--host", "127.0.0.1", "--port", "0"]
    with log.open("wb") as messages:
        # In a session of its own: the Ctrl-C that ends the comparison ends it last, in order.
        process = subprocess.Popen(
            argv,
            env=environment_of(app, up),
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=messages,
            start_new_session=True,
        )
    try:
        started = psutil.Process(process.pid).create_time()
        url = _ready(process, log)
        name = f"sse-service ({app})"
        yield Front(f"{url}/{_stage(up['stacks'][app])}", {name: process.pid}, (process.pid, started))
    finally:
        process.terminate()
        try:
            process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end_left_over(mark: tuple[float, ...] | list[float]) -> None:
    """End the service of a comparison that was killed; nobody else's process, even one that has its number now."""
    with contextlib.suppress(psutil.Error, ValueError):
        pid, started = mark
        process = psutil.Process(int(pid))
        if process.create_time() == started:
            process.terminate()


def _stage(stack: Mapping[str, Any]) -> str:
    return str(stack.get("stage", "prod"))


def _ready(process: subprocess.Popen[bytes], log: Path) -> str:
    """The address it announces in its log, one JSON object a line."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        for line in _lines(log):
            with contextlib.suppress(ValueError, TypeError, KeyError):
                return str(json.loads(line)["url"])
        time.sleep(0.05)
    said = _lines(log)
    errors = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    why = errors[0] if errors else said[-1] if said else "it said nothing"
    raise CompareError(f"the drop-in's service did not start: {why[:300]}", f"look into {log}")


def _lines(log: Path) -> list[str]:
    return [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
