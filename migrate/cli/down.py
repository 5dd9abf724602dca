"""`migrate down`: stop what `migrate up` started. until phase 3"""

from __future__ import annotations

import contextlib
import os
import signal
import time

import psutil

from migrate.cli.options import JsonOption, StateDirOption
from migrate.cli.output import err, print_json, reports_errors
from migrate.errors import MigrateError, RefusedError
from migrate.up.state import DEFAULT_STATE_DIR, StateDir

__all__ = ["down"]

# The supervisor's own bounds for its parts add up to less.
STOP_TIMEOUT_S = 60.0


@reports_errors
def down(state_dir: StateDirOption = DEFAULT_STATE_DIR, json_: JsonOption = False) -> None:
    """Stop both stacks; the local AWS saves its state. Does nothing when they are down already.

    Example: migrate down
    """
    state = StateDir(state_dir)
    pid = state.holder()
    if pid is not None and state.is_held_by(pid):
        _end(state, pid)
    elif state.holder() is not None:
        raise RefusedError(
            f"{state.path} is held by a supervisor that cannot be seen from here (its pid there: {pid or 'unknown'})",
            "run `migrate down` as its user and, if it runs in a container, in there",
        )
    state.remove_up()
    if json_:
        print_json({"stopped": pid is not None, "pid": pid})
    else:
        err.print("both stacks are down" if pid is not None else f"no stacks were running in {state.path}")


def _end(state: StateDir, pid: int) -> None:
    """Ask the supervisor to end and wait for it. Raises: MigrateError: it does not."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    with err.status("stopping both stacks"):
        while state.holder() is not None or psutil.pid_exists(pid):
            if time.monotonic() > deadline:
                raise MigrateError(
                    f"the supervisor (pid {pid}) has not ended after {STOP_TIMEOUT_S:g} s",
                    f"look at {state.logs}; `kill -9 {pid}` ends it with everything it started",
                )
            time.sleep(0.05)
