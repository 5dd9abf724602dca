"""Both stacks as a user starts them, and real clients to talk to them. until phase 3"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import websockets

MIGRATE = str(Path(sys.executable).parent / "migrate")
LEGACY_WS = str(Path(sys.executable).parent / "legacy-ws")


def run(*argv: str, env: dict[str, str] | None = None, timeout: float = 90) -> subprocess.CompletedProcess[str]:
    """A command line as a user calls it."""
    return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, env={**os.environ, **(env or {})})


@dataclass
class Event:
    """One event as it came over the wire."""

    type: str
    data: Any
    id: str


class Sse:
    """A stream read with nothing but httpx: what `curl -N` sees."""

    def __init__(self, response: httpx.Response) -> None:
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()
        self.last_id = ""
        self._task = asyncio.create_task(self._read(response))

    async def _read(self, response: httpx.Response) -> None:
        fields: dict[str, str] = {}
        with contextlib.suppress(httpx.TransportError):
            async for line in response.aiter_lines():
                if not line:
                    if "data" in fields:
                        self.last_id = fields.get("id", self.last_id)
                        data = json.loads(fields["data"])
                        await self.events.put(Event(fields.get("event", "message"), data, self.last_id))
                    fields = {}
                elif not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    fields[name] = value
        await self.events.put(None)

    async def next(self, kind: str | None = "message", within: float = 15) -> Event:
        """The next event of a type (or any)."""
        async with asyncio.timeout(within):
            while True:
                event = await self.events.get()
                assert event is not None, "the stream ended"
                if kind is None or event.type == kind:
                    return event

    def stop(self) -> None:
        self._task.cancel()


class Stacks:
    """The running pair.

    Args:
        info: what `migrate up --detach --json` printed.
        state_dir: its state directory.
    """

    def __init__(self, info: dict[str, Any], state_dir: Path) -> None:
        self.info = info
        self.state_dir = state_dir

    @property
    def websocket_url(self) -> str:
        return str(self.info["legacy_ws_url"]["rooms"])

    @property
    def sse_url(self) -> str:
        return str(self.info["sse_url"])

    def migrate(self, *arguments: str, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        return run(MIGRATE, *arguments, "--state-dir", str(self.state_dir), timeout=timeout)

    def legacy_ws(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(LEGACY_WS, *arguments, env=self.info["env"])

    def token(self, user: str, tenant: str = "demo", *more: str) -> str:
        done = self.migrate("token", "--user", user, "--tenant", tenant, *more)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def client(self, service: str, **options: Any) -> Any:
        env = self.info["env"]
        return boto3.client(
            service,
            endpoint_url=options.pop("endpoint_url", env["AWS_ENDPOINT_URL"]),
            region_name=env["AWS_DEFAULT_REGION"],
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
            **options,
        )

    @contextlib.asynccontextmanager
    async def websocket(self, user: str) -> AsyncIterator[websockets.ClientConnection]:
        """A WebSocket client of the legacy stack."""
        token = await asyncio.to_thread(self.token, user)
        async with websockets.connect(f"{self.websocket_url}?token={token}", proxy=None, max_size=None) as socket:
            yield socket

    @contextlib.asynccontextmanager
    async def stream(self, user: str, query: str = "", **headers: str) -> AsyncIterator[Sse]:
        """An SSE client of the service, live."""
        token = await asyncio.to_thread(self.token, user)
        async with (
            httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(10, read=None)) as http,
            http.stream(
                "GET",
                f"{self.sse_url}/api/chat/stream{query}",
                headers={"Authorization": f"Bearer {token}", **headers},
            ) as response,
        ):
            assert response.status_code == 200, await response.aread()
            stream = Sse(response)
            try:
                yield stream
            finally:
                stream.stop()

    def send(self, user: str, message: str, **more: Any) -> dict[str, Any]:
        """One message over REST."""
        answer = httpx.post(
            f"{self.sse_url}/api/chat/send",
            json={"conversationId": "main", "message": message, **more},
            headers={"Authorization": f"Bearer {self.token(user)}"},
            trust_env=False,
        )
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
        return body


@contextlib.contextmanager
def start(state_dir: Path, *options: str) -> Iterator[Stacks]:
    """`migrate up --detach --json`, and `migrate down` at the end."""
    done = run(MIGRATE, "up", "--detach", "--json", "--state-dir", str(state_dir), *options, timeout=150)
    assert done.returncode == 0, done.stderr + done.stdout
    try:
        yield Stacks(json.loads(done.stdout), state_dir)
    finally:
        run(MIGRATE, "down", "--state-dir", str(state_dir))


async def frame(socket: websockets.ClientConnection, kind: str = "message", within: float = 15) -> dict[str, Any]:
    """The next frame of a type."""
    async with asyncio.timeout(within):
        while True:
            value: dict[str, Any] = json.loads(await socket.recv())
            if value.get("type") == kind:
                return value


async def quiet(stacks_socket: websockets.ClientConnection, seconds: float = 1.0) -> list[dict[str, Any]]:
    """Every message frame that still comes within a while."""
    rest = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                value = json.loads(await stacks_socket.recv())
                if value.get("type") == "message":
                    rest.append(value)
    return rest
