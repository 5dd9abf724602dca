"""Child processes that never outlive us, even when we are killed with SIGKILL. until phase 3

`spawn` starts one (see _launch.py), `stop` ends one, `Supervised` keeps one running. On Linux the kernel ends the
children of a dead parent; elsewhere a small guard process does, that notices the end of a pipe (_guard.py).

Children must be spawned from the main thread: PR_SET_PDEATHSIG follows the thread that made the child, not the
process (man 2 prctl).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from migrate.local.errors import ChildFailedError

__all__ = ["Supervised", "kill", "last_words", "spawn", "stop"]

log = logging.getLogger(__name__)

HOLD_CHECK_S = 0.1
# Lines of its log that an error about a child shows.
LAST_WORDS = 8
LAST_BYTES = 8192
_HERE = Path(__file__).parent
_KERNEL_ENDS_CHILDREN = sys.platform == "linux"


class _Guard:
    """The pipe to the guard process, which is started with the first child that needs it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def _write(self, line: str) -> None:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_HERE / "_guard.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        assert self._process.stdin is not None  # noqa: S101 - it was opened as a pipe above
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()

    def add(self, pid: int, death_signal: int) -> None:
        self._write(f"+{pid} {death_signal}\n")

    def remove(self, pid: int) -> None:
        self._write(f"-{pid}\n")


_guard = _Guard()


async def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
    pass_fds: Sequence[int] = (),
    death_signal: signal.Signals = signal.SIGKILL,
) -> asyncio.subprocess.Process:
    """Start a program in a session of its own that gets `death_signal` when this process dies, however it dies.

    Args:
        argv: program and arguments; the program is looked up on the PATH of `env`.
        env: the whole environment; nothing of ours is added.
        stdin, stdout, stderr: file descriptors or the constants of subprocess; None inherits ours.
    Raises: RuntimeError: not called from the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("children are spawned from the main thread (PR_SET_PDEATHSIG is per thread)")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(_HERE / "_launch.py"), str(int(death_signal)), str(os.getpid())),
        *argv,
        env=dict(env),
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=tuple(pass_fds),
    )
    if not _KERNEL_ENDS_CHILDREN:
        _guard.add(process.pid, int(death_signal))
    return process


def kill(process: asyncio.subprocess.Process, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to the child and to everything it started (its process group)."""
    if process.returncode is not None:
        return
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        # Between fork and setsid the child has no group of its own yet.
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)


async def stop(process: asyncio.subprocess.Process, grace_s: float) -> int:
    """End a child: SIGTERM, then SIGKILL after `grace_s` seconds. Returns its exit status."""
    if process.returncode is None:
        kill(process, signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await process.wait()
        except TimeoutError:
            kill(process)
    status = await process.wait()
    if not _KERNEL_ENDS_CHILDREN:
        _guard.remove(process.pid)
    return status


def last_words(log_file: Path, start: int = 0) -> list[str]:
    """The last lines of a log, none from before the byte `start`; empty when it cannot be read."""
    text = ""
    with contextlib.suppress(OSError), log_file.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        # It may have been emptied since.
        file.seek(max(start if start <= size else 0, size - LAST_BYTES))
        text = file.read(LAST_BYTES).decode("utf-8", "replace")
    return [line for line in text.splitlines() if line.strip()][-LAST_WORDS:]


class Supervised:
    """A child that is started again when it ends by itself, with a growing pause.

    Args:
        name: how logs and errors call it.
        command: makes argv and environment for each start.
        ready: returns once the child answers; is cancelled when the child ends or `ready_s` seconds pass.
        log_file: gets its standard output and error (appended).
        restarted: is awaited after each restart that got ready.
        consequence: what a restart means for the user, for the log.
        held: while it says True the child is kept down; asked a few times a second, also while it is starting again.
        changed: called whenever the child has started or ended.

    What `restarted` and `changed` raise is logged: a full disk, say, must not end the watch over the child.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[], tuple[Sequence[str], Mapping[str, str]]],
        ready: Callable[[], Awaitable[None]],
        *,
        log_file: Path,
        cwd: Path | None = None,
        ready_s: float = 30.0,
        grace_s: float = 10.0,
        death_signal: signal.Signals = signal.SIGTERM,
        restarted: Callable[[], Awaitable[None]] | None = None,
        consequence: str = "",
        first_pause_s: float = 0.2,
        longest_pause_s: float = 10.0,
        held: Callable[[], bool] = lambda: False,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.log_file = log_file
        self.restarts = 0
        self._command = command
        self._ready = ready
        self._cwd = cwd
        self._ready_s = ready_s
        self._grace_s = grace_s
        self._death_signal = death_signal
        self._restarted = restarted
        self._consequence = consequence
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self._held = held
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._up = False
        # Where in its log the last start began: earlier words are not its own.
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def up(self) -> bool:
        """Whether it runs and has answered since its last start."""
        return self._up

    async def start(self) -> None:
        """Start it and wait until it is ready.

        Raises: ChildFailedError: it ended first, or was not ready in time.
        """
        await self._start_once()
        self._watch = asyncio.create_task(self._keep_running(), name=f"supervise {self.name}")

    async def stop(self) -> None:
        """End it: SIGTERM, time to save its state, SIGKILL."""
        self._up = False
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        if self._process is not None:
            await stop(self._process, self._grace_s)
            self._tell_changed()

    async def _start_once(self) -> None:
        argv, env = self._command()
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as output:
            self._log_start = output.tell()
            self._process = process = await spawn(
                argv,
                env=env,
                cwd=self._cwd,
                stdout=output.fileno(),
                stderr=output.fileno(),
                death_signal=self._death_signal,
            )
        self._tell_changed()
        ended = asyncio.create_task(process.wait())
        ready = asyncio.ensure_future(self._ready())
        try:
            await asyncio.wait({ended, ready}, timeout=self._ready_s, return_when=asyncio.FIRST_COMPLETED)
            self._judge(process, ready)
            await ready
        except BaseException:
            await stop(process, self._grace_s)
            raise
        finally:
            for task in (ended, ready):
                task.cancel()
            await asyncio.gather(ended, ready, return_exceptions=True)
        self._up = True

    def _judge(self, process: asyncio.subprocess.Process, ready: asyncio.Future[None]) -> None:
        """Raises: ChildFailedError: it ended, or did not get ready."""
        reason = None
        if process.returncode is not None:
            reason = f"ended with status {process.returncode} before it was ready"
        elif not ready.done():
            reason = f"was not ready within {self._ready_s:g} s"
        if reason is not None:
            raise self._failed(reason)

    def _failed(self, reason: str) -> ChildFailedError:
        """The error with the last words of its log since this start."""
        return ChildFailedError(self.name, reason, str(self.log_file), last_words(self.log_file, self._log_start))

    def _tell_changed(self) -> None:
        try:
            self._changed()
        except Exception:
            log.exception("what %s does now could not be noted", self.name)

    async def _keep_running(self) -> None:
        pause_s = self._first_pause_s
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            status = await self._until_ended_or_held()
            self._up = False
            if loop.time() - began > 60:
                pause_s = self._first_pause_s
            if status is None:
                await self._while_held()
            else:
                self._tell_changed()
                log.error("%s ended with status %s; starting it again. %s", self.name, status, self._consequence)
            while True:
                if status is not None:
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, self._longest_pause_s)
                try:
                    if await self._start_unless_held():
                        break
                except ChildFailedError as error:
                    status = -1
                    log.error("%s", error)  # noqa: TRY400 - the message says it all
                except Exception:  # no process, no disk, no memory just now
                    status = -1
                    log.exception("%s could not be started", self.name)
                else:
                    status = None
                    await self._while_held()
            if status is not None:
                self.restarts += 1
            log.warning("%s is running again (pid %s)", self.name, self.pid)
            self._tell_changed()
            if self._restarted is not None:
                try:
                    await self._restarted()
                except Exception:
                    log.exception("%s is running again, but what follows its restart failed", self.name)

    async def _start_unless_held(self) -> bool:
        """Start it; False when it shall be kept down. Raises: as `_start_once`."""
        starting = asyncio.create_task(self._start_once())
        try:
            while not starting.done():
                if self._held():
                    return False
                await asyncio.wait({starting}, timeout=HOLD_CHECK_S)
            await starting
            return True
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)

    async def _until_ended_or_held(self) -> int | None:
        """Its exit status, or None when it shall be kept down."""
        assert self._process is not None  # noqa: S101 - start() set it
        ended = asyncio.create_task(self._process.wait())
        try:
            while not ended.done():
                if self._held():
                    return None
                await asyncio.wait({ended}, timeout=HOLD_CHECK_S)
            return ended.result()
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)

    async def _while_held(self) -> None:
        assert self._process is not None  # noqa: S101 - start() set it
        await stop(self._process, self._grace_s)
        self._up = False
        self._tell_changed()
        log.warning("%s is held down", self.name)
        while self._held():
            await asyncio.sleep(HOLD_CHECK_S)
