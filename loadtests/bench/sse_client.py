"""The C programs of the event-stream benchmark: compiled at run time, one run of the load client as a dict."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["MissingError", "Programs", "compile_programs", "pinned", "run_client"]

SERVER_CORE, CLIENT_CORE = 0, 1
# What sse_load.c allows itself where it is told nothing else, seconds.
LIMIT_S = 60.0
# A run that takes longer than its own limit by this is ended, seconds.
OVERTIME_S = 30.0


class MissingError(RuntimeError):
    """Something the benchmark needs is not on this machine; the message says what and how to get it."""


@dataclass(frozen=True)
class Programs:
    """load: the client. floor: the server that shows what the kernel alone costs."""

    load: Path
    floor: Path


def compile_programs(folder: Path) -> Programs:
    """Raises MissingError without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise MissingError("the load client is C and there is no compiler: install gcc (Debian: apt install gcc)")
    made = []
    for name in ("sse_load", "sse_floor"):
        source, target = Path(__file__).with_name(f"{name}.c"), folder / name
        done = subprocess.run(
            [compiler, "-O2", "-o", str(target), str(source)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise MissingError(f"{source.name} does not compile here: {done.stderr.strip()[-500:]}")
        made.append(target)
    return Programs(*made)


def pinned(core: int, argv: list[str]) -> list[str]:
    """The command on one core, where that can be had."""
    if (os.cpu_count() or 1) < 2 or shutil.which("taskset") is None:
        return argv
    return ["taskset", "-c", str(core), *argv]


def run_client(programs: Programs, **options: object) -> dict[str, Any]:
    """One run; options as in sse_load.c with `_` for `-`. Raises RuntimeError when it could not be measured."""
    argv = [str(programs.load)]
    for name, value in options.items():
        if value is not None:
            argv += [f"--{name.replace('_', '-')}", str(value)]
    done = subprocess.run(
        pinned(CLIENT_CORE, argv), capture_output=True, text=True, timeout=LIMIT_S + OVERTIME_S, check=False
    )
    if done.returncode or not done.stdout.startswith("{"):
        raise RuntimeError(f"the load client failed: {done.stderr.strip()[-300:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
