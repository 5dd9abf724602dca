"""Starts both stacks in order, keeps them up, and ends them in order. until phase 3

    local AWS -> legacy stack (`legacy-ws deploy rooms`) -> tee
              -> SSE service's tables                    -> SSE service -> rooms -> bridge -> page, traffic

`migrate shadow start` asks for more by a file (shadow/NAME.wanted): a second SSE service with tables of its own, and
the worker of that application; without the file both are ended again.

Whatever way the supervisor ends, its children end with it: by SIGTERM in order on a clean stop, by the leash of
`migrate.local.children` when it is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from legacy_ws.deploy.apps import APPS
from migrate import live, traffic
from migrate.control.table import ControlTable
from migrate.errors import MigrateError
from migrate.local.children import Supervised, kill, last_words, spawn
from migrate.local.errors import ChildFailedError
from migrate.tee.consumers import TeeState
from migrate.tee.install import functions_of_api, install_tee
from migrate.tokens import mint
from migrate.up.aws import REGION, clients, environment, without_proxy
from migrate.up.configs import state_table, write_configs
from migrate.up.people import NOBODY, chat_unless_held
from migrate.up.shadow import ShadowParts
from migrate.up.state import STACK, StateDir
from migrate.up.uploads import BUCKET, make_bucket

__all__ = ["HOST", "ROOMS", "STACK", "TENANT", "Supervisor", "UpOptions"]

HOST = "127.0.0.1"
TENANT = "demo"
ROOMS = ("main", "random")
SSE_TABLE_PREFIX = "sse"
SHADOW_TABLE_PREFIX = "shadow"
# How long one part may take to start, seconds: generous, since a laptop may be busy.
START_TIMEOUT_S = 60.0
MAX_LOG_BYTES = 5_000_000


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
        self._children: dict[str, Supervised] = {}
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
            self._run_once(
                "sse-service-tables",
                [sys.executable, "-m", "sse_service", "create-tables"],
                self._sse_environment(env, secret),
            ),
        )
        tee, _, *others = await asyncio.gather(
            asyncio.to_thread(self._install_tee, env, stack["api_id"]),
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
            dashboard_url=f"http://{HOST}:{ports['dashboard']}/",
            env=env,
            jwt={"secret_file": str(state.jwt_secret_file)},
            tenant=TENANT,
            rooms=list(ROOMS),
            stacks=stacks,
            tee_queue_url=tee,
            ca_bundle=aws["ca_bundle"],
        )
        write_configs(state, self._up)
        self._write()
        await self._make_rooms(secret)
        state.bridge_status.unlink(missing_ok=True)
        await self._child(
            "bridge",
            ["-m", "migrate.bridge", "--config", str(state.configs / f"{STACK}.toml"), "--state-dir", str(state.path)],
            {**env, "SSE_JWT_SECRET": secret},
            lambda: _until(lambda: bool(_json(state.bridge_status).get("live"))),
            held=state.bridge_held.exists,
        )
        self._say("bridge is up")
        parts = ShadowParts(
            state,
            self._shadow_ports,
            lambda name: self._shadow_environment(name, env, secret),
            env,
            self._child,
            self._run_once,
            self._end_child,
        )
        self._start_in_process("shadow", parts.run(self._end))
        self._start_in_process("page", self._serve_page(secret))
        if self._options.traffic:
            people = {**self._up, "jwt_secret": secret}
            self._start_in_process(
                "traffic",
                chat_unless_held(
                    lambda enough: traffic.run(people, enough), state.people_hold, self._end, self._note_people
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
            await _until_http(f"{url}/_ministack/health")
            await _until_http(gateway_health)

        await self._child(
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

    def _sse_environment(self, env: dict[str, str], secret: str) -> dict[str, str]:
        return {
            **env,
            "SSE_LOG": "dynamodb",
            "SSE_TABLE_PREFIX": SSE_TABLE_PREFIX,
            # One history for both stacks: the service reads and writes the legacy stack's messages.
            "SSE_MESSAGES_TABLE": f"{STACK}-ChatMessages",
            "SSE_MESSAGES_PARTITION_KEY": "roomId",
            "SSE_MESSAGES_TENANT": TENANT,
            "SSE_JWT_SECRET": secret,
            "SSE_CORS_ORIGINS": f"http://{HOST}:{self._options.ports['dashboard']}",
        }

    def _shadow_environment(self, name: str, env: dict[str, str], secret: str) -> dict[str, str]:
        """Of an application's second instance: it shares no table, and so no event, with the first one, with the
        application, or with what is replayed of another application.
        """
        shared = {"SSE_TABLE_PREFIX", "SSE_MESSAGES_TABLE", "SSE_MESSAGES_PARTITION_KEY", "SSE_MESSAGES_TENANT"}
        own = {name: value for name, value in self._sse_environment(env, secret).items() if name not in shared}
        return {**own, "SSE_TABLE_PREFIX": f"{SHADOW_TABLE_PREFIX}-{name}", "SSE_PAGES": "0"}

    async def _start_sse(self, env: dict[str, str], secret: str, stack: Mapping[str, Any]) -> None:
        port = self._options.ports["sse"]
        # The chat page shows, and switches between, both stacks.
        pages = {
            "SSE_PAGES_WEBSOCKET_URL": str(stack["websocket_url"]),
            "SSE_PAGES_WEBSOCKET_ROOMS": ",".join(ROOMS),
            "SSE_UPLOADS_BUCKET": BUCKET,
        }
        # `migrate cutover`: its flags, and virtual connections in front of the same functions. Functions sign with
        # the first of these keys; those whose client is still a WebSocket are posted to by the gateway, as ever.
        cutover = {
            "SSE_TRANSPORT_TABLE": state_table(STACK),
            "SSE_TRANSPORT_POLL_S": "2",
            "SSE_VIRTUAL_API_ID": str(stack["api_id"]),
            "SSE_VIRTUAL_STAGE": str(stack.get("stage", "prod")),
            "SSE_VIRTUAL_MANAGEMENT_ACCESS_KEY_ID": "000000000000,local,test",
            "SSE_VIRTUAL_MANAGEMENT_SECRET_ACCESS_KEY": "local,local,test",
            "SSE_VIRTUAL_MANAGEMENT_FORWARD_URL": str(stack["management_url"]),
        }
        await self._child(
            "sse-service",
            ["-m", "sse_service", "serve", "--host", HOST, "--port", str(port)],
            {**self._sse_environment(env, secret), **pages, **cutover},
            lambda: _until_http(f"http://{HOST}:{port}/readyz"),
        )

    async def _deploy(self, name: str, env: dict[str, str], secret: str) -> dict[str, Any]:
        """Deploy the application `name` as the stack of that name; what `legacy-ws deploy` says of it."""
        output = await self._run_once(
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

    def _install_tee(self, env: dict[str, str], api_id: str) -> str:
        client = clients(env)
        table = ControlTable(client("dynamodb"), state_table(STACK))
        table.ensure()
        functions = functions_of_api(client("apigatewayv2"), api_id)
        return install_tee(client, functions, api_id, None, TeeState(table, api_id)).queue_url

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

    async def _child(
        self,
        name: str,
        arguments: Sequence[str],
        env: Mapping[str, str],
        ready: Callable[[], Awaitable[None]],
        *,
        held: Callable[[], bool] = lambda: False,
        grace_s: float = 10.0,
    ) -> None:
        """Start one of the parts and keep it running. Raises ChildFailedError."""
        log_file = self._state.logs / f"{name}.log"
        if log_file.exists() and log_file.stat().st_size > MAX_LOG_BYTES:
            log_file.replace(log_file.with_suffix(".log.1"))
        self._children[name] = child = Supervised(
            name,
            lambda: ([sys.executable, *arguments], {**_base_environment(), **env}),
            ready,
            log_file=log_file,
            ready_s=START_TIMEOUT_S,
            grace_s=grace_s,
            held=held,
            changed=self._write,
        )
        await child.start()

    async def _end_child(self, name: str) -> None:
        """End a part that is no longer wanted."""
        child = self._children.pop(name, None)
        if child is not None:
            await child.stop()
            self._write()

    async def _run_once(self, name: str, argv: list[str], env: dict[str, str]) -> bytes:
        """Run a command to its end; its stdout is the result. Raises ChildFailedError with its last words."""
        log_file = self._state.logs / f"{name}.log"
        with log_file.open("wb") as messages:
            process = await spawn(
                argv,
                env={**_base_environment(), **env},
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

    def _note_people(self, what: str) -> None:
        self._up["people"] = what
        self._write()

    def _write(self) -> None:
        pids = {name: child.pid for name, child in self._children.items() if child.pid is not None}
        self._up["pids"] = {"up": os.getpid(), **pids}
        self._up["restarts"] = {name: child.restarts for name, child in self._children.items() if child.restarts}
        self._state.write_up(self._up)

    async def _stop(self) -> None:
        self._up["status"] = "stopping"
        self._end.set()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError, TimeoutError, Exception):
                await asyncio.wait_for(task, 5.0)
        # The last started goes first; the local AWS, which all the others use, goes last and saves its state.
        for child in reversed(self._children.values()):
            try:
                await child.stop()
            except Exception as error:
                # The others are still to be ended; this one ends with us, by its leash.
                self._say(f"{child.name} could not be ended in order: {error!r}")
        self._state.remove_up()


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.05)


async def _until_http(url: str) -> None:
    """Return once the address answers 200; whoever waits sets the limit."""
    async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(url)).status_code == 200:
                    return
            await asyncio.sleep(0.03)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _base_environment() -> dict[str, str]:
    """Our own environment without anything of AWS: a real account must not be reached from here."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SSE_", "LEGACY_WS_"))}
    # Unset files would be looked for in the home directory, where real credentials may lie.
    nowhere = str(Path(os.devnull))
    return {
        **kept,
        **without_proxy(kept),
        "AWS_CONFIG_FILE": nowhere,
        "AWS_SHARED_CREDENTIALS_FILE": nowhere,
        "PYTHONUNBUFFERED": "1",
    }
