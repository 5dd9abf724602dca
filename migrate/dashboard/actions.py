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
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from migrate.control.journal import actor
from migrate.scan.redact import redact
from sse_service.flags import is_feature

__all__ = ["ACTIONS", "TOKEN_VARIABLE", "Action", "Answer", "BusyError", "Operator", "WrongActionError", "planned"]

TOKEN_VARIABLE = "MIGRATE_OPERATOR_TOKEN"  # noqa: S105 - the name of a variable
LOOK_S = 180.0
# A drain takes hours: what still runs after this is answered as running, and shown among the jobs.
DO_S = 20.0
LOOK_AGAIN_S = 0.2
AT_ONCE = 4
# Beyond these, so that what hangs (AWS is away, a drain that takes hours) holds up no way back.
URGENT = 2
SAID_BYTES = 256 << 10
# Control characters, and halves of surrogate pairs, which no command line can hold.
_UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
# Of numbers: more than anybody means, and less than what no float can hold.
_MOST_PER_S = 1e6


class WrongActionError(Exception):
    """There is no such action, or an argument is not what it must be; the text says which, for the caller."""


class BusyError(Exception):
    """Enough is under way."""


def _feature(value: Any) -> list[str]:
    if not isinstance(value, str) or not is_feature(value) or value == "status":
        raise WrongActionError("feature must be the name of a feature")
    return [value]


def _percent(value: Any) -> list[str]:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise WrongActionError("percent must be a number from 0 to 100")
    return [f"--percent={float(value)!r}"]


def _text(option: str) -> Callable[[Any], list[str]]:
    def check(value: Any) -> list[str]:
        if not isinstance(value, str) or not value.strip() or len(value) > 256 or _UNFIT.search(value):
            raise WrongActionError(f"{option} must be a text of 1 to 256 characters on one line")
        # One word: a value that begins with a hyphen is no option.
        return [f"--{option}={value}"]

    return check


def _rate(value: Any) -> list[str]:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.01 <= value <= _MOST_PER_S:
        raise WrongActionError(f"delete_per_s must be a number from 0.01 to {_MOST_PER_S:,.0f}")
    return [f"--delete-per-s={float(value)!r}"]


def _paused(value: Any) -> list[str]:
    if not isinstance(value, bool):
        raise WrongActionError("paused must be true or false")
    return ["--pause" if value else "--resume"]


@dataclass(frozen=True)
class Action:
    """An action and its two commands.

    Attributes:
        does, shows: words of the command that does it, and of the one that only shows.
        needs, takes: arguments that must, and that may, be given: name -> what makes words of it.
        any_of: whether one of those that may be given must be.
        positional: whose words stand behind the options.
        has_json: whether the command that does it knows --json.
        shown: the arguments that the showing command takes.
        urgent: a way back, or out.
    """

    does: tuple[str, ...]
    shows: tuple[str, ...]
    needs: Mapping[str, Callable[[Any], list[str]]] = field(default_factory=dict)
    takes: Mapping[str, Callable[[Any], list[str]]] = field(default_factory=dict)
    any_of: bool = False
    has_json: bool = True
    shown: tuple[str, ...] = ()
    urgent: bool = False


_POSITIONAL = ("feature",)
_TENANT, _TABLE = {"tenant": _text("tenant")}, {"table": _text("table")}
_SWEEP = ("cleanup", "connections", "status")

ACTIONS: dict[str, Action] = {
    "cutover": Action(
        ("cutover", "--execute"), ("cutover",), {"feature": _feature, "percent": _percent}, _TENANT,
        shown=("feature", "percent", "tenant"),
    ),
    # It has no dry run, and what is shown instead must neither take long (counting users, hooks) nor fail.
    "rollback": Action(("rollback",), ("cutover", "status"), {"feature": _feature}, _TENANT, urgent=True),
    "drain-start": Action(("drain", "start", "--execute"), ("drain", "start")),
    "drain-resume": Action(("drain", "start", "--execute"), ("drain", "start")),
    "drain-pause": Action(("drain", "stop"), ("drain", "status"), has_json=False, urgent=True),
    "drain-undo": Action(("drain", "undo", "--execute"), ("drain", "undo")),
    "sweep-throttle": Action(
        _SWEEP, _SWEEP, takes={"delete_per_s": _rate, "paused": _paused, **_TABLE}, any_of=True, shown=("table",)
    ),
    "sweep-stop": Action((*_SWEEP, "--stop"), _SWEEP, takes=_TABLE, shown=("table",), urgent=True),
    "shadow-pause": Action(("shadow", "pause"), ("shadow", "status"), has_json=False),
    "shadow-resume": Action(("shadow", "resume"), ("shadow", "status"), has_json=False),
    "shadow-kill": Action(("shadow", "stop", "--now"), ("shadow", "status"), urgent=True),
}  # fmt: skip
"""What there is."""


def planned(name: Any, arguments: Any, *, execute: bool) -> list[str]:
    """The words of the command, without those that every command gets.

    Raises: WrongActionError.
    """
    action = ACTIONS.get(name) if isinstance(name, str) else None
    if action is None:
        raise WrongActionError(f"there is no such action; there are {', '.join(ACTIONS)}")
    if not isinstance(arguments, Mapping):
        raise WrongActionError("arguments must be an object")
    known = {**action.needs, **action.takes}
    # What is not asked for may be left empty.
    given = {key: value for key, value in arguments.items() if value is not None and value != ""}
    if unknown := sorted(set(given) - set(known)):
        raise WrongActionError(f"{name} takes no {unknown[0]}; it takes {', '.join(known) or 'nothing'}")
    if missing := [key for key in action.needs if key not in given]:
        raise WrongActionError(f"{name} needs {missing[0]}")
    if execute and action.any_of and not set(given) - set(_TABLE):
        raise WrongActionError(f"{name} needs {' or '.join(key for key in action.takes if key not in _TABLE)}")
    words = {key: known[key](value) for key, value in given.items()}
    if not execute:
        words = {key: value for key, value in words.items() if key in action.shown}
    options = [word for key, value in words.items() if key not in _POSITIONAL for word in value]
    behind = [word for key in _POSITIONAL for word in words.get(key, ())]
    json_ = ["--json"] if action.has_json or not execute else []
    return [*(action.does if execute else action.shows), *options, *json_, *(["--", *behind] if behind else [])]


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
