"""The processes of a running `migrate up`: parts that are kept up, commands that are run to their end. until phase 3

Whatever way their parent ends, they end with it: in order by `stop`, by the leash of `migrate.local.children` when it
is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import httpx

from migrate.local.children import Supervised, kill, last_words, spawn
from migrate.local.errors import ChildFailedError
from migrate.up.environments import base_environment

__all__ = ["Processes", "until", "until_http"]

# How long one part may take to start, seconds: generous, since a laptop may be busy.
START_TIMEOUT_S = 60.0
MAX_LOG_BYTES = 5_000_000


class Processes:
    """Those of one parent.

    Args:
        logs: directory of their logs.
        changed: is called when one of them has been started, restarted or ended.
        say: told in a few words what could not be ended in order.
    """

    def __init__(self, logs: Path, changed: Callable[[], None], say: Callable[[str], None]) -> None:
        self._logs = logs
        self._changed = changed
        self._say = say
        self._children: dict[str, Supervised] = {}

    @property
    def pids(self) -> dict[str, int]:
        """Of those that run now, by name."""
        return {name: child.pid for name, child in self._children.items() if child.pid is not None}

    @property
    def restarts(self) -> dict[str, int]:
        """How often each had to be started again; only those that had."""
        return {name: child.restarts for name, child in self._children.items() if child.restarts}

    async def start(
        self,
        name: str,
        arguments: Sequence[str],
        env: Mapping[str, str],
        ready: Callable[[], Awaitable[None]],
        *,
        held: Callable[[], bool] = lambda: False,
        grace_s: float = 10.0,
    ) -> None:
        """Start a part, as Python with these arguments, and keep it running. Raises: ChildFailedError.

        Args:
            env: variables besides our own.
            ready: returns once it does its work.
            held: whether it has ended on purpose, and is not to be started again.
            grace_s: how long it has to end in order.
        """
        log_file = self._logs / f"{name}.log"
        if log_file.exists() and log_file.stat().st_size > MAX_LOG_BYTES:
            log_file.replace(log_file.with_suffix(".log.1"))
        self._children[name] = child = Supervised(
            name,
            lambda: ([sys.executable, *arguments], {**base_environment(os.environ), **env}),
            ready,
            log_file=log_file,
            ready_s=START_TIMEOUT_S,
            grace_s=grace_s,
            held=held,
            changed=self._changed,
        )
        await child.start()

    async def end(self, name: str) -> None:
        """End a part that is no longer wanted."""
        child = self._children.pop(name, None)
        if child is not None:
            await child.stop()
            self._changed()

    async def run_once(self, name: str, argv: list[str], env: Mapping[str, str]) -> bytes:
        """Run a command to its end; its stdout is the result. Raises: ChildFailedError with its last words."""
        log_file = self._logs / f"{name}.log"
        with log_file.open("wb") as messages:
            process = await spawn(
                argv,
                env={**base_environment(os.environ), **env},
                stdout=asyncio.subprocess.PIPE,
                stderr=messages.fileno(),
            )
        reason = None
        try:
            output, _ = await asyncio.wait_for(process.communicate(), START_TIMEOUT_S)
        except TimeoutError:
            reason = f"took longer than {START_TIMEOUT_S:g} s"
        else:
            if process.returncode != 0:
                reason = f"ended with exit code {process.returncode}"
        finally:
            kill(process)
            await process.wait()
        if reason is not None:
            raise ChildFailedError(f"`{' '.join(argv[2:5])}`", reason, str(log_file), last_words(log_file))
        return output

    async def stop(self) -> None:
        """End all of them. The last started goes first; the first one, which all the others use, goes last."""
        for child in reversed(self._children.values()):
            try:
                await child.stop()
            except Exception as error:
                # The others are still to be ended; this one ends with us, by its leash.
                self._say(f"{child.name} could not be ended in order: {error!r}")


async def until(condition: Callable[[], bool]) -> None:
    """Return once it holds; whoever waits sets the limit."""
    while not condition():
        await asyncio.sleep(0.05)


async def until_http(url: str) -> None:
    """Return once the address answers 200; whoever waits sets the limit."""
    async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(url)).status_code == 200:
                    return
            await asyncio.sleep(0.03)
