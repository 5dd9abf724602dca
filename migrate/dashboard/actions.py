"""What an operator may do from the page: the very commands, with their gates, locks and journal. until phase 3

A request names an action of a fixed table and gives its arguments, which are checked one by one; from both comes the
argument list of a child process, never a shell's line. Without `execute` it is the command's dry run, or, for commands
that have none, the one that shows what they would act upon.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from migrate.control.journal import actor
from migrate.dashboard.action_table import ACTIONS, planned
from migrate.redact import redact

__all__ = ["TOKEN_VARIABLE", "Answer", "BusyError", "Operator"]

TOKEN_VARIABLE = "MIGRATE_OPERATOR_TOKEN"  # noqa: S105 - the name of a variable
LOOK_S = 180.0
# A drain takes hours: what still runs after this is answered as running, and shown among the jobs.
DO_S = 20.0
LOOK_AGAIN_S = 0.2
AT_ONCE = 4
# Beyond these, so that what hangs (AWS is away, a drain that takes hours) holds up no way back.
URGENT = 2
SAID_BYTES = 256 << 10


class BusyError(Exception):
    """Enough is under way."""


@dataclass(frozen=True)
class Answer:
    """What a command said.

    Attributes:
        exit_code: None while it still runs.
        stdout: its JSON document, or its text.
    """

    command: Sequence[str]
    exit_code: int | None
    stdout: Any
    stderr: str

    def as_json(self) -> dict[str, Any]:
        return {
            "command": list(self.command),
            "running": self.exit_code is None,
            "exit_code": self.exit_code,
            "stdout": self.stdout,
            "stderr": self.stderr,
        }


class Operator:
    """Starts the commands.

    Args:
        program: the words before a command's own.
        options: what every command gets: configuration and state directory.
        look_s, do_s: how long a dry run may take (it is ended then), and how long is waited for what is done.
    """

    def __init__(
        self,
        options: Sequence[str],
        program: Sequence[str] = (sys.executable, "-m", "migrate"),
        *,
        look_s: float = LOOK_S,
        do_s: float = DO_S,
    ) -> None:
        self._program = list(program)
        self._options = list(options)
        self._look_s, self._do_s = look_s, do_s
        self._running = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def close(self) -> None:
        """Nobody waits any more: dry runs are ended, what is being done goes on."""
        self._closing.set()

    async def act(self, name: Any, arguments: Any, *, execute: bool) -> Answer:
        """Raises: WrongActionError; BusyError: enough is under way."""
        words = planned(name, arguments, execute=execute)
        limit = AT_ONCE + (URGENT if ACTIONS[name].urgent else 0)
        with self._lock:
            if self._running >= limit:
                raise BusyError
            self._running += 1
        return await asyncio.to_thread(self._run, words, execute)

    def _run(self, words: list[str], execute: bool) -> Answer:
        at = words.index("--") if "--" in words else len(words)
        command = [*self._program, *words[:at], *self._options, *words[at:]]
        with contextlib.ExitStack() as held:
            held.callback(self._ended)
            out, err = (held.enter_context(tempfile.TemporaryFile()) for _ in range(2))
            # A session of its own: what was begun goes on when the dashboard is stopped.
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=_environment(), start_new_session=True
            )
            code = self._wait(child, self._do_s if execute else self._look_s)
            if code is None and execute:
                said = _read(err)
                threading.Thread(target=_reap, args=(child, held.pop_all()), daemon=True).start()
                return Answer(["migrate", *words], None, None, said)
            if code is None:
                child.kill()
                code = child.wait()
            return Answer(["migrate", *words], code, _document(_read(out)), _read(err))

    def _wait(self, child: subprocess.Popen[bytes], seconds: float) -> int | None:
        """Its exit code; None: it takes longer, or nobody waits any more."""
        end = time.monotonic() + seconds
        while not self._closing.is_set() and (left := end - time.monotonic()) > 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(min(LOOK_AGAIN_S, left))
        return child.poll()

    def _ended(self) -> None:
        with self._lock:
            self._running -= 1


def _reap(child: subprocess.Popen[bytes], held: contextlib.ExitStack) -> None:
    with held:
        child.wait()


def _environment() -> dict[str, str]:
    """Ours, with who acts, and without what the child has no use for."""
    ours = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
    return {**ours, "MIGRATE_ACTOR": f"{actor()[:180]} (dashboard)", "NO_COLOR": "1", "TERM": "dumb"}


def _read(file: IO[bytes]) -> str:
    """The beginning of what was written; `pread` leaves the child's place in the file alone."""
    return redact(os.pread(file.fileno(), SAID_BYTES, 0).decode("utf-8", "replace"))


def _document(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text or None
