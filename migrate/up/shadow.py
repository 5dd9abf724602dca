"""The shadow's parts beside the running stacks: started and ended as files say. until phase 3

shadow/NAME.wanted {"faults": str, "config": its migrate.toml} is written by `migrate shadow start` for the
application NAME, and deleted by `migrate shadow stop`; what is wanted when the stacks come up again is started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from migrate.errors import MigrateError
from migrate.shadow.faults import VARIABLE
from migrate.up.processes import Processes, until_http
from migrate.up.state import StateDir

__all__ = ["ShadowParts"]

LOOK_S = 0.1
AGAIN_S = 5.0
log = logging.getLogger("migrate.up")


class ShadowParts:
    """A second SSE service and a worker for each application that is shadowed: what is replayed of one reaches nobody
    of another.

    Args:
        ports: of the services, by application.
        service_env: variables of an application's service. worker_env: of the workers.
        processes: the supervisor's own.
    """

    def __init__(
        self,
        state: StateDir,
        ports: Mapping[str, int],
        service_env: Callable[[str], dict[str, str]],
        worker_env: dict[str, str],
        processes: Processes,
    ) -> None:
        self._state = state
        self._ports = ports
        self._service_env = service_env
        self._worker_env = worker_env
        self._processes = processes
        self._running: set[str] = set()
        self._served: set[str] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the files until `stop` is set."""
        while not stop.is_set():
            pause_s = LOOK_S
            try:
                await self._follow()
            except MigrateError as error:
                # The command that asked for it says so when it has waited long enough; the stacks go on.
                log.error("the shadow could not be started: %s", error.message)  # noqa: TRY400
                pause_s = AGAIN_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)

    async def _follow(self) -> None:
        wanted = await asyncio.to_thread(self._wanted)
        for name in sorted(self._running - wanted.keys()):
            await self._processes.end(f"shadow-{name}")
            await self._processes.end(f"shadow-sse-{name}")
            self._running.discard(name)
            self._served.discard(name)
        for name in sorted(wanted.keys() & self._ports.keys() - self._running):
            if name not in self._served:
                await self._start_service(name)
                self._served.add(name)
            await self._start_worker(name, wanted[name])
            self._running.add(name)

    def _wanted(self) -> dict[str, dict[str, Any]]:
        found = {}
        for path in self._state.shadow.glob("*.wanted"):
            try:
                found[path.stem] = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
        return found

    async def _start_service(self, name: str) -> None:
        env = self._service_env(name)
        await self._processes.run_once(
            f"shadow-sse-{name}-tables", [sys.executable, "-m", "sse_service", "create-tables"], env
        )
        await self._processes.start(
            f"shadow-sse-{name}",
            ["-m", "sse_service", "serve", "--host", "127.0.0.1", "--port", str(self._ports[name])],
            env,
            lambda: until_http(f"http://127.0.0.1:{self._ports[name]}/readyz"),
        )

    async def _start_worker(self, name: str, wanted: dict[str, Any]) -> None:
        # A copy of the application's own description may have other rules.
        config = Path(wanted.get("config") or self._state.configs / f"{name}.toml")
        await self._processes.start(
            f"shadow-{name}",
            ["-m", "migrate.shadow", "--config", str(config), "--state-dir", str(self._state.path)],
            {**self._worker_env, VARIABLE: str(wanted.get("faults", ""))},
            # Its own word in the state table is waited for by whoever asked.
            _at_once,
            # A run that is over: its worker has ended by itself, and is not to be started again.
            held=lambda: not (self._state.shadow / f"{name}.wanted").exists(),
        )


async def _at_once() -> None:
    await asyncio.sleep(0)
