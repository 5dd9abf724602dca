"""Runs the real commands, as an operator would, and keeps what they said. until phase 3"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from migrate.errors import GateClosedError, MigrateError
from migrate.rehearse.ready import READY

__all__ = ["ACTOR", "CommandFailedError", "Commands", "Done"]

ACTOR = "rehearsal"
LIMIT_S = 150.0
END_S = 20.0


class CommandFailedError(GateClosedError):
    """A command ended with a code that it must not end with: the real thing would have stopped here."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float

    @property
    def json(self) -> Any:
        """Its one JSON document."""
        try:
            return json.loads(self.out)
        except ValueError as error:
            raise CommandFailedError(
                f"`migrate {' '.join(self.argv)}` printed no JSON", f"it said: {_last(self.err)}"
            ) from error


class Commands:
    """`migrate …` in a directory of its own.

    Args:
        state_dir: of this rehearsal's `migrate up`.
        folder: where the commands run and their log is written.
    """

    def __init__(self, state_dir: Path, folder: Path) -> None:
        self._state_dir, self._folder = state_dir, folder
        self.env: dict[str, str] = {}
        self.config: Path | None = None
        self.done: list[Done] = []
        self._ready: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._pids: dict[int, int] = {}
        self._codes: dict[int, asyncio.Future[int]] = {}
        self._number = 0

    @contextlib.asynccontextmanager
    async def ready(self) -> AsyncIterator[None]:
        """Have an interpreter that has imported the commands (`migrate.rehearse.ready`)."""
        self._ready = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "migrate.rehearse.ready"),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=_environment({}),
        )  # fmt: skip
        started = self._codes[READY] = asyncio.get_running_loop().create_future()
        self._listening = asyncio.create_task(self._listen(self._ready))
        try:
            await started
            yield
        finally:
            # Without requests it ends by itself, when the last command has; told to, it tells them.
            if self._ready.stdin is not None:
                self._ready.stdin.close()
            await end(self._ready)
            await self._listening

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            raise RuntimeError("its answers are not read")
        async for line in process.stdout:
            said = json.loads(line)
            if said["id"] == READY:
                self._codes.pop(READY).set_result(0)
            elif "pid" in said:
                self._pids[said["id"]] = said["pid"]
            else:
                self._pids.pop(said["id"], None)
                found = self._codes.pop(said["id"])
                if not found.done():
                    found.set_result(said["code"])
        for found in self._codes.values():
            if not found.done():
                found.set_exception(MigrateError("the interpreter that runs the commands has ended"))

    async def run(
        self, *argv: str, codes: Sequence[int] = (0,), limit_s: float = LIMIT_S, config: bool = True,
        state: bool = True,
    ) -> Done:  # fmt: skip
        """Run one to its end. Raises: CommandFailedError: its exit code is none of `codes`."""
        more = []
        if config and self.config is not None:
            more += ["--config", str(self.config)]
        if state:
            more += ["--state-dir", str(self._state_dir)]
        began = time.monotonic()
        said = await self._run((*argv, *more), argv, limit_s)
        return self._judged(Done(argv, *said, time.monotonic() - began), codes)

    async def _run(self, given: Sequence[str], argv: Sequence[str], limit_s: float) -> tuple[int, str, str]:
        """Exit code, and what it said on both streams."""
        if self._ready is None or self._ready.stdin is None:
            raise RuntimeError("there is no interpreter yet")
        self._number += 1
        number = self._number
        code = self._codes[number] = asyncio.get_running_loop().create_future()
        files = [self._folder / f".{number}.{name}" for name in ("out", "err")]
        request = {
            "id": number, "argv": list(given), "env": _environment(self.env), "cwd": str(self._folder),
            "out": str(files[0]), "err": str(files[1]),
        }  # fmt: skip
        self._ready.stdin.write(json.dumps(request).encode() + b"\n")
        try:
            await asyncio.wait({code}, timeout=limit_s)
            if not code.done():
                raise CommandFailedError(f"`migrate {' '.join(argv)}` took longer than {limit_s:g} s")
            out, err = (file.read_text(encoding="utf-8", errors="replace") for file in files)
            return code.result(), out, err
        finally:
            for signal_ in (signal.SIGTERM, signal.SIGKILL):
                await self._tell(number, code, signal_)
            for file in files:
                file.unlink(missing_ok=True)

    async def _tell(self, number: int, code: asyncio.Future[int], what: signal.Signals) -> None:
        """Send a command a signal, unless it has ended, and wait for its end."""
        deadline = time.monotonic() + END_S
        # A moment ago it was asked for: its process may be about to be there.
        while not code.done() and number not in self._pids and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        if not code.done() and number in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pids[number], what)
            await asyncio.wait({code}, timeout=END_S)

    async def program(self, module: str, *argv: str) -> Done:
        """Run another program of this project to its end."""
        began = time.monotonic()
        process = await self._start(module, argv)
        try:
            out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
        except TimeoutError:
            raise CommandFailedError(f"`{module} {' '.join(argv)}` took longer than {LIMIT_S:g} s") from None
        finally:
            await end(process)
        done = Done(
            argv, process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"),
            time.monotonic() - began,
        )  # fmt: skip
        return self._judged(done, (0,), is_secret=True)

    def _judged(self, done: Done, codes: Sequence[int], *, is_secret: bool = False) -> Done:
        """Logged. Raises: CommandFailedError: its exit code is none of `codes`."""
        self.done.append(done)
        # What prints a token is not kept.
        self._log(replace(done, out="") if is_secret else done)
        if done.code not in codes:
            raise CommandFailedError(
                f"`migrate {' '.join(done.argv)}` ended with exit code {done.code}: {_last(done.err or done.out)}",
                f"all that was said is in {self.log}",
            )
        return done

    async def background(self, *argv: str) -> asyncio.subprocess.Process:
        """Start one that stays."""
        given = (*argv, "--config", str(self.config), "--state-dir", str(self._state_dir))
        return await self._start("migrate", given, quiet=True)

    @property
    def log(self) -> Path:
        return self._folder / "commands.log"

    async def _start(self, module: str, argv: Sequence[str], *, quiet: bool = False) -> asyncio.subprocess.Process:
        where = asyncio.subprocess.DEVNULL if quiet else asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *argv),
            stdin=asyncio.subprocess.DEVNULL, stdout=where, stderr=where, cwd=self._folder,
            env=_environment(self.env),
        )  # fmt: skip

    def _log(self, done: Done) -> None:
        self.log.touch(mode=0o600)
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"$ migrate {' '.join(done.argv)}\n{done.out}{done.err}exit code {done.code}, ")
            file.write(f"{done.seconds:.1f} s\n\n")


async def end(process: asyncio.subprocess.Process) -> None:
    """Ask it to end, then make it."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), END_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _environment(local: Mapping[str, str]) -> dict[str, str]:
    """Ours without anything that leads to a real account or another configuration."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AWS_") and name not in {"MIGRATE_CONFIG", "MIGRATE_STATE_DIR"}
    }
    nowhere = os.devnull
    return {
        **kept, "AWS_CONFIG_FILE": nowhere, "AWS_SHARED_CREDENTIALS_FILE": nowhere, "MIGRATE_ACTOR": ACTOR,
        "NO_COLOR": "1", **local,
    }  # fmt: skip


def _last(text: str) -> str:
    """The line that says what was wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("error:")]
    return (told or lines or ["nothing was said"])[-1][:300]
