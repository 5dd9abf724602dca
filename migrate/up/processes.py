"""One supervised child process: its log, its restarts, its end. until phase 3"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrate.errors import MigrateError
from migrate.local import children

__all__ = ["ManagedProcess", "ProcessSpec"]

# Seconds before the first, second, ... restart of a process that keeps dying; the last one repeats.
RESTART_DELAYS_S = (0.5, 1.0, 2.0, 5.0, 10.0)
# A process that lived this long starts again without a delay from the table's beginning.
STEADY_S = 30.0
LOG_TAIL_LINES = 6
MAX_LOG_BYTES = 5_000_000


@dataclass(frozen=True)
class ProcessSpec:
    """How to start one process.

    Attributes:
        name: for status and the log file's name.
        argv: the command.
        env: its whole environment.
        announces: whether it prints one JSON object on stdout once it is ready.
        held: asked before each (re)start; while it says True the process stays down.
        stop_s: how long it may take to end after SIGTERM.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(repr=False)
    announces: bool = False
    held: Callable[[], bool] = lambda: False
    stop_s: float = 10.0


class ManagedProcess:
    """A child that is started again when it dies, until it is stopped.

    Args:
        spec: how to start it.
        log: the file its output goes to.
        changed: called after each start and end.
    """

    def __init__(self, spec: ProcessSpec, log: Path, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.log = log
        self.restarts = 0
        self.started_at = 0.0
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._watcher: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._announced: asyncio.Future[dict[str, Any]] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self, timeout_s: float) -> dict[str, Any]:
        """Start it and, if it announces itself, wait for that.

        Returns: what it announced, or {}.
        Raises: MigrateError: it ended or stayed silent; the message holds the end of its log.
        """
        if self.log.exists() and self.log.stat().st_size > MAX_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        await self._spawn()
        announcement: dict[str, Any] = {}
        if self._announced is not None:
            ended = asyncio.ensure_future(self._wait_exit())
            await asyncio.wait({self._announced, ended}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            if not self._announced.done():
                raise self.failure(f"was not ready after {timeout_s:g} s")
            if self._announced.exception() is not None:
                raise self.failure("ended before it was ready")
            announcement = self._announced.result()
        self._watcher = asyncio.create_task(self._watch())
        return announcement

    def failure(self, what: str) -> MigrateError:
        """An error that says what happened to this process and shows the end of its log."""
        message = f"{self.spec.name} {what}"
        tail = self._tail()
        if tail:
            message += ":\n" + "\n".join(f"  | {line}" for line in tail)
        return MigrateError(message, f"its whole log is {self.log}")

    async def stop(self) -> None:
        """End it: SIGTERM, then SIGKILL once `stop_s` has passed. Can be called in every state."""
        self._stopping = True
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        await self._terminate()

    async def _terminate(self) -> None:
        process = self._process
        if process is not None:
            await children.stop(process, self.spec.stop_s)
        if self._reader is not None:
            await self._reader
            self._reader = None
        self._changed()

    async def _spawn(self) -> None:
        with self.log.open("ab") as log:
            self._process = await children.spawn(
                self.spec.argv,
                env=self.spec.env,
                stdout=asyncio.subprocess.PIPE if self.spec.announces else log.fileno(),
                stderr=log.fileno(),
                # Killed or not, we leave nobody behind; SIGTERM so that MiniStack still saves its state.
                death_signal=signal.SIGTERM,
            )
        self.started_at = time.time()
        if self.spec.announces:
            self._announced = asyncio.get_running_loop().create_future()
            self._reader = asyncio.create_task(self._read_stdout(self._process, self._announced))
        self._changed()

    async def _read_stdout(
        self, process: asyncio.subprocess.Process, announced: asyncio.Future[dict[str, Any]]
    ) -> None:
        if process.stdout is None:
            raise RuntimeError("the process was started without a pipe")
        async for line in process.stdout:
            if not announced.done():
                with contextlib.suppress(ValueError):
                    announced.set_result(json.loads(line))
                    continue
            with self.log.open("ab") as log:
                log.write(line)
        if not announced.done():
            announced.set_exception(EOFError())
            announced.exception()  # seen: `start` may have given up on it

    async def _wait_exit(self) -> None:
        if self._process is not None:
            await self._process.wait()
        if self._reader is not None:
            await asyncio.shield(self._reader)

    async def _watch(self) -> None:
        attempt = 0
        while not self._stopping:
            await self._wait_exit_or_hold()
            if self._stopping:
                return
            self._changed()
            if self.spec.held():
                await self._terminate()
                while self.spec.held():
                    await asyncio.sleep(0.1)
                attempt = 0
            else:
                attempt = 0 if time.time() - self.started_at > STEADY_S else attempt
                await asyncio.sleep(RESTART_DELAYS_S[min(attempt, len(RESTART_DELAYS_S) - 1)])
                attempt += 1
            self.restarts += 1
            await self._spawn()

    async def _wait_exit_or_hold(self) -> None:
        exited = asyncio.ensure_future(self._wait_exit())
        try:
            while not exited.done() and not self.spec.held():
                await asyncio.wait({exited}, timeout=0.1)
        finally:
            exited.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await exited

    def _tail(self) -> list[str]:
        try:
            text = self.log.read_bytes()[-8192:].decode("utf-8", "replace")
        except FileNotFoundError:
            return []
        return [line for line in text.splitlines() if line.strip()][-LOG_TAIL_LINES:]
