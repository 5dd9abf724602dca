"""`python -m migrate.rehearse.ready`: an interpreter that has imported the commands, and becomes one for each request.
until phase 3

A rehearsal runs some fifty commands, and on a busy machine most of their time is that of importing. Each is a process
of its own still, forked from here, with its own arguments, environment, directory and streams, as in a shell.

    -> {"id": 1, "argv": ["status"], "env": {...}, "cwd": "...", "out": "FILE", "err": "FILE"}
    <- {"id": 1, "pid": 4711}, and at its end {"id": 1, "code": 0}

It ends when there are no more requests (end of its input): the rehearsal is over, or was killed, and nobody waits for
what still runs, which is told to end.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import sys
from typing import Any, NoReturn

__all__ = ["PRELOADED", "READY", "serve"]

PRELOADED = (
    "boto3", "migrate.cli", "migrate.control.journal", "migrate.cutover.run", "migrate.init.aws", "migrate.init.check",
    "migrate.phases.collect", "migrate.report.final", "migrate.resources.apply", "migrate.resources.planning",
    "migrate.resources.restore", "migrate.scan.run", "migrate.shadow.run", "migrate.sweep.job", "migrate.sweep.restore",
)  # fmt: skip

READY = 0
"""The id of what is said first, with its own pid: requests are answered from now on."""


def serve() -> None:
    """Answer requests until there are no more, and nothing runs any more. Returns in each command's process as well."""
    for name in PRELOADED:
        importlib.import_module(name)
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(ended, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # A Ctrl-C is the rehearsal's, which ends the commands itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A Ctrl-C's brother: the commands under way are told, and ended before this is.
    signal.signal(signal.SIGTERM, lambda *_: _tell(running))
    running: dict[int, int] = {}
    waiting, open_ = b"", True
    _say(id=READY, pid=os.getpid())
    while open_ or running:
        readable, _, _ = select.select([0, ended] if open_ else [ended], [], [], 1.0)
        with contextlib.suppress(BlockingIOError):
            os.read(ended, 4096)
        if 0 in readable:
            read = os.read(0, 1 << 20)
            open_ = bool(read)
            if not open_:
                _tell(running)
            *lines, waiting = (waiting + read).split(b"\n")
            for line in lines:
                request = json.loads(line)
                pid = os.fork()
                if not pid:
                    signal.set_wakeup_fd(-1)
                    os.close(ended)
                    os.close(wake)
                    _become(request)
                running[pid] = request["id"]
                _say(id=request["id"], pid=pid)
        for pid in list(running):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                _say(id=running.pop(pid), code=os.waitstatus_to_exitcode(status))


def _tell(running: dict[int, int]) -> None:
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _say(**said: int) -> None:
    # Nobody hears it when the rehearsal was killed.
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(said).encode() + b"\n")


def _become(request: dict[str, Any]) -> NoReturn:
    """Be that command."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for file, target, mode in ((os.devnull, 0, os.O_RDONLY), (request["out"], 1, flags), (request["err"], 2, flags)):
        descriptor = os.open(file, mode, 0o600)
        os.dup2(descriptor, target)
        os.close(descriptor)
    sys.argv = ["migrate", *request["argv"]]
    from migrate.cli import main

    main()
    raise SystemExit(0)


if __name__ == "__main__":
    serve()
