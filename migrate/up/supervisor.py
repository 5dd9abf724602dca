"""Starts both stacks in order, keeps them up, and ends them in order. until phase 3

    local AWS -> legacy stack (`legacy-ws deploy rooms`)
              -> SSE service's tables                    -> SSE service -> tee, rooms -> bridge -> page, traffic

`migrate shadow start` asks for more by a file (shadow/NAME.wanted): a second SSE service with tables of its own, and
the worker of that application; without the file both are ended again.

Whatever way the supervisor ends, its children end with it (migrate.up.processes): by SIGTERM in order on a clean stop,
by their leash when it is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from legacy_ws.deploy.apps import APPS
from migrate import live
from migrate.config import Config, load_config
from migrate.control.table import ControlTable
from migrate.errors import MigrateError
from migrate.tee.setup import install_for
from migrate.tokens import mint
from migrate.up import sample_traffic
from migrate.up.aws import REGION, environment
from migrate.up.configs import write_configs
from migrate.up.environments import service_environment, shadow_environment, tables_environment
from migrate.up.people import NOBODY, chat_unless_held
from migrate.up.processes import Processes, until, until_http
from migrate.up.shadow import ShadowParts
from migrate.up.state import STACK, StateDir
from migrate.up.uploads import make_bucket

__all__ = ["HOST", "ROOMS", "STACK", "TENANT", "Supervisor", "UpOptions"]

HOST = "127.0.0.1"
TENANT = "demo"
ROOMS = ("main", "random")


@dataclass(frozen=True)
class UpOptions:
    """What `migrate up` was asked for.

    Attributes:
        ports: aws, gateway, gateway-tls, sse, dashboard, ministack, shadow-APPLICATION.
        apps: the applications that are deployed; STACK always is one of them.
        traffic: whether simulated people chat.
        fresh: whether to start from an empty local AWS instead of the state saved at the last clean stop.
    """

    ports: dict[str, int]
    apps: tuple[str, ...] = tuple(APPS)
    traffic: bool = True
    fresh: bool = False


class Supervisor:
    """The parent of both stacks.

    Args:
        state: the state directory; held by the caller.
        options: see UpOptions.
        say: told in a few words what has just been done, for a person.
    """

    def __init__(self, state: StateDir, options: UpOptions, say: Callable[[str], None]) -> None:
        self._state = state
        self._options = options
        self._say = say
        self._processes = Processes(state.logs, self._write, say)
        self._tasks: list[asyncio.Task[None]] = []
        self._end = asyncio.Event()
        self._failed: MigrateError | None = None
        self._up: dict[str, Any] = {
            "status": "starting",
            "started_at": time.time(),
            "pids": {"up": os.getpid()},
            "people": NOBODY,
        }

    @contextlib.asynccontextmanager
    async def stacks(self) -> AsyncIterator[dict[str, Any]]:
        """Both stacks, up inside the block, down after it. Yields what up.json holds.

        Raises: MigrateError: a part did not start; everything that had started is down again.
        """
        try:
            await self._start()
            yield self._up
        finally:
            await self._stop()

    async def _start(self) -> None:
        state = self._state
        if self._options.fresh:
            state.empty_aws()
        state.bridge_held.unlink(missing_ok=True)
        secret = state.jwt_secret()
        self._write()
        aws = await self._start_aws()
        self._say("local AWS is up")
        env = environment(aws["aws_endpoint_url"], aws["ca_bundle"])
        ports = self._options.ports
        stack, _, _ = await asyncio.gather(
            self._deploy(STACK, env, secret),
            asyncio.to_thread(make_bucket, env, [f"http://{host}:{ports['sse']}" for host in (HOST, "localhost")]),
            self._processes.run_once(
                "sse-service-tables",
                [sys.executable, "-m", "sse_service", "create-tables"],
                self._tables_environment(env, secret),
            ),
        )
        _, *others = await asyncio.gather(
            self._start_sse(env, secret, stack),
            *(self._deploy(name, env, secret) for name in self._options.apps if name != STACK),
        )
        self._say("SSE service is up")
        stacks = {one["stack"]: one for one in (stack, *others)}
        self._up.update(
            aws_endpoint_url=aws["aws_endpoint_url"],
            legacy_ws_url={name: one["websocket_url"] for name, one in stacks.items()},
            management_url=stack["management_url"],
            sse_url=f"http://{HOST}:{ports['sse']}",
            # There only while `migrate shadow` wants it.
            shadow_url={name: f"http://{HOST}:{port}" for name, port in self._shadow_ports.items()},
            dashboard_url=f"{self._page_url}/",
            env=env,
            jwt={"secret_file": str(state.jwt_secret_file)},
            tenant=TENANT,
            rooms=list(ROOMS),
            stacks=stacks,
            ca_bundle=aws["ca_bundle"],
        )
        write_configs(state, self._up)
        self._write()
        await asyncio.gather(asyncio.to_thread(self._install_tee, env), self._make_rooms(secret))
        state.bridge_status.unlink(missing_ok=True)
        await self._processes.start(
            "bridge",
            ["-m", "migrate.bridge", "--config", str(state.configs / f"{STACK}.toml"), "--state-dir", str(state.path)],
            {**env, "SSE_JWT_SECRET": secret},
            lambda: until(lambda: bool(_json(state.bridge_status).get("live"))),
            held=state.bridge_held.exists,
        )
        self._say("bridge is up")
        parts = ShadowParts(
            state,
            self._shadow_ports,
            lambda name: shadow_environment(name, env, secret, self._page_url),
            env,
            self._processes,
        )
        self._start_in_process("shadow", parts.run(self._end))
        self._start_in_process("page", self._serve_page(secret))
        if self._options.traffic:
            people = {**self._up, "jwt_secret": secret}
            self._start_in_process(
                "traffic",
                chat_unless_held(
                    lambda enough: sample_traffic.run(people, enough), state.people_hold, self._end, self._note_people
                ),
            )
        self._up.update(status="ready", ready_after_s=round(time.time() - self._up["started_at"], 2))
        self._write()

    @property
    def _shadow_ports(self) -> dict[str, int]:
        """By application."""
        return {
            name.removeprefix("shadow-"): port
            for name, port in self._options.ports.items()
            if name.startswith("shadow-")
        }

    async def _start_aws(self) -> dict[str, Any]:
        ports = self._options.ports
        url = f"http://{HOST}:{ports['aws']}"
        gateway_health = f"http://{HOST}:{ports['gateway']}/_gateway/health"

        async def ready() -> None:
            await until_http(f"{url}/_ministack/health")
            await until_http(gateway_health)

        await self._processes.start(
            "local-aws",
            [
                *("-m", "migrate.local", "--state-dir", str(self._state.aws), "--region", REGION),
                *("--port", str(ports["aws"]), "--gateway-port", str(ports["gateway"])),
                *("--gateway-tls-port", str(ports["gateway-tls"]), "--ministack-port", str(ports["ministack"])),
            ],
            {},
            ready,
            grace_s=20.0,
        )
        return {"aws_endpoint_url": url, "ca_bundle": str(self._state.aws / "tls" / "ca.pem")}

    @property
    def _page_url(self) -> str:
        return f"http://{HOST}:{self._options.ports['dashboard']}"

    def _tables_environment(self, env: dict[str, str], secret: str) -> dict[str, str]:
        return tables_environment(env, secret, self._page_url, TENANT)

    async def _start_sse(self, env: dict[str, str], secret: str, stack: Mapping[str, Any]) -> None:
        port = self._options.ports["sse"]
        await self._processes.start(
            "sse-service",
            ["-m", "sse_service", "serve", "--host", HOST, "--port", str(port)],
            service_environment(self._tables_environment(env, secret), stack, ROOMS),
            lambda: until_http(f"http://{HOST}:{port}/readyz"),
        )

    async def _deploy(self, name: str, env: dict[str, str], secret: str) -> dict[str, Any]:
        """Deploy the application `name` as the stack of that name; what `legacy-ws deploy` says of it."""
        output = await self._processes.run_once(
            f"legacy-ws-{name}",
            # Our own Python runs the functions: another one's packages would have to be installed first.
            [
                *(sys.executable, "-m", "legacy_ws", "deploy", name, "--json"),
                *("--runtime", f"python{sys.version_info.major}.{sys.version_info.minor}"),
            ],
            # One secret for every stack that has one, so that a token of `migrate token` opens them all.
            {**env, "LEGACY_WS_JWT_SECRET": secret},
        )
        stack: dict[str, Any] = json.loads(output)
        stack.pop("steps", None)
        self._say(f"legacy stack {name} is deployed ({len(stack['functions'])} Lambdas)")
        return stack

    def _install_tee(self, env: dict[str, str]) -> None:
        path = self._state.configs / f"{STACK}.toml"
        # Not by `resolve_config`, for which the stacks do not run before they are ready.
        config = Config(load_config(path).settings, path, _local=env)
        table = ControlTable.of(config)
        table.ensure()
        install_for(config, table)

    async def _make_rooms(self, secret: str) -> None:
        token = mint("bridge", TENANT, secret, scopes=("events:publish",))
        async with httpx.AsyncClient(
            base_url=self._up["sse_url"],
            timeout=10.0,
            trust_env=False,
            headers={"Authorization": f"Bearer {token}"},
        ) as client:
            for room in ROOMS:
                answer = await client.post("/api/conversations", json={"conversationId": room, "open": True})
                if answer.is_error:
                    raise MigrateError(f"room {room} could not be made: HTTP {answer.status_code} {answer.text[:200]}")

    async def _serve_page(self, secret: str) -> None:
        config = live.PageConfig.from_up(self._up, secret)
        await live.serve(HOST, self._options.ports["dashboard"], config, self._end)

    def _start_in_process(self, name: str, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)
        self._tasks.append(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._end.is_set():
            return
        error = task.exception()
        self._failed = MigrateError(f"{task.get_name()} ended: {error!r}" if error else f"{task.get_name()} ended")
        self._end.set()

    async def run_until(self, stop: asyncio.Event) -> None:
        """Wait until `stop` is set. Raises MigrateError when a part that cannot be restarted has ended."""
        waits = [asyncio.create_task(stop.wait()), asyncio.create_task(self._end.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self._failed is not None:
            raise self._failed

    def _note_people(self, what: str) -> None:
        self._up["people"] = what
        self._write()

    def _write(self) -> None:
        self._up["pids"] = {"up": os.getpid(), **self._processes.pids}
        self._up["restarts"] = self._processes.restarts
        self._state.write_up(self._up)

    async def _stop(self) -> None:
        self._up["status"] = "stopping"
        self._end.set()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError, TimeoutError, Exception):
                await asyncio.wait_for(task, 5.0)
        # The local AWS, which was started first, goes last and saves its state.
        await self._processes.stop()
        self._state.remove_up()


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
