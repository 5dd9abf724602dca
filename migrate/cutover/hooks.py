"""Runs a hook that may veto, in a process group of its own, which ends with it when it takes too long. until phase 3"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from migrate.cutover.gates import HOOK, Gate, State

__all__ = ["run_hook"]

ENDED_S = 1.0


def run_hook(command: str, about: Mapping[str, str], folder: Path, timeout_s: float) -> Gate:
    """Open when it ends with 0.

    Args:
        about: told to it by its environment.
        folder: it is run there.
    """
    name = _name(command)
    try:
        process = subprocess.Popen(
            shlex.split(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            errors="replace", env={**os.environ, **about}, cwd=folder, start_new_session=True,
        )  # fmt: skip
    except (OSError, ValueError, IndexError) as error:
        return Gate(HOOK, State.SHUT, f"{name} did not start: {error}", breaks=True)
    try:
        told, complained = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        _end(process)
        return Gate(HOOK, State.SHUT, f"{name} took too long", breaks=True)
    except BaseException:
        _end(process)  # Ctrl-C does not reach another group
        raise
    if process.returncode == 0:
        return Gate(HOOK, State.OPEN, name)
    said = (complained.strip() or told.strip()).splitlines()
    why = f": {said[-1][:200]}" if said else ""
    return Gate(HOOK, State.SHUT, f"{name} vetoes (exit code {process.returncode}){why}", breaks=True)


def _end(process: subprocess.Popen[str]) -> None:
    """With all that it has started: a curl of it that hangs would be joined by another one each second."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        # Somebody who has left the group may hold the pipes: not waited for.
        process.communicate(timeout=ENDED_S)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _name(command: str) -> str:
    """Its first word: arguments may hold what is nobody's business."""
    return command.split(maxsplit=1)[0] if command.strip() else "an empty hook"
