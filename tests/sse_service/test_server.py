"""The life of the process: start, signals, crash, and the parts of the server it stands on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sse_service.server import StreamServer
from sse_service.settings import Settings
from sse_service.testing import Frame, SseReader

pytestmark = pytest.mark.integration

WAIT_S = 60.0  # a process takes a while to start beside many others


@pytest.fixture(params=["auto", "portable"])
def transport(request: pytest.FixtureRequest) -> str:
    """Everything here holds on both ways to the client (SSE_TRANSPORT)."""
    found: str = request.param
    return found


@pytest.fixture
def settings(settings: Settings, transport: str) -> Settings:
    return settings.replace(transport=transport)


class Process:
    """`python -m sse_service serve` on a free port."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, started_in_s: float, lines: list[Any]) -> None:
        self.process = process
        self.url = url
        self.port = int(url.rpartition(":")[2])
        self.started_in_s = started_in_s
        self.lines = lines

    async def wait(self) -> int:
        async with asyncio.timeout(WAIT_S):
            return await self.process.wait()


@asynccontextmanager
async def serve(**environ: str) -> AsyncIterator[Process]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SSE_", "AWS_"))}
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sse_service", "serve", "--port", "0"),
        env={**clean, **environ},
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert process.stderr is not None
    lines: list[Any] = []
    async with asyncio.timeout(WAIT_S):
        first = await process.stderr.readline()
    started_in_s = time.monotonic() - began
    lines.append(json.loads(first))

    async def collect() -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            lines.append(json.loads(line) if line.startswith(b"{") else line.decode())

    reading = asyncio.create_task(collect())
    try:
        yield Process(process, lines[0]["url"], started_in_s, lines)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await reading


def env_of(settings: Settings, secret: str, **more: str) -> dict[str, str]:
    return {
        "SSE_JWT_SECRET": secret,
        "SSE_LOG": settings.log,
        "SSE_TABLE_PREFIX": settings.table_prefix,
        "SSE_TRANSPORT": settings.transport,
        "AWS_ENDPOINT_URL": settings.aws_endpoint_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        **more,
    }


@asynccontextmanager
async def raw_stream(port: int, headers: dict[str, str], path: str = "/api/chat/stream") -> AsyncIterator[Any]:
    """A client that sees the bytes on the wire, chunk framing included."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n{head}\r\n".encode())
    assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
    await reader.readuntil(b"event: ready")
    try:
        yield reader
    finally:
        writer.close()


async def test_serve_alone_starts_quickly_in_memory_and_says_so_in_one_line(tmp_path: Any) -> None:
    """No AWS, no settings: one line on stderr, a key of its own that `token` uses as well."""
    async with serve(XDG_STATE_HOME=str(tmp_path), HOME=str(tmp_path)) as service:
        assert "memory only" in service.lines[0]["message"]
        assert service.process.returncode is None
        key = tmp_path / "sse-service" / "jwt-secret"
        assert key.stat().st_mode & 0o777 == 0o600
        made = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sse_service", "token", "--user", "ann"),
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await made.communicate()
        async with httpx.AsyncClient(base_url=service.url) as client:
            headers = {"authorization": f"Bearer {out.decode().strip()}"}
            body = {"conversationId": "main"}
            assert (await client.post("/api/conversations", json=body, headers=headers)).status_code == 201
        service.process.send_signal(signal.SIGINT)
        assert await service.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_sigterm_says_farewell_and_ends_every_stream_cleanly(
    jwt_secret: str, bearer: Callable[..., dict[str, str]], number: int, transport: str
) -> None:
    """A farewell event, then the chunk terminator: nothing is cut, and the exit code is 0."""
    async with (
        serve(SSE_JWT_SECRET=jwt_secret, SSE_TRANSPORT=transport) as service,
        raw_stream(service.port, bearer("ann")) as one,
    ):
        async with raw_stream(service.port, bearer("bob")) as two:
            service.process.send_signal(number)
            async with asyncio.timeout(WAIT_S):
                ends = [await stream.read() for stream in (one, two)]
            for end in ends:
                assert b"event: farewell\nretry: " in end
                assert b'"reason":"shutdown"' in end
                assert end.endswith(b"\n\n\r\n0\r\n\r\n")
            assert await service.wait() == 0
        assert not [line for line in service.lines if isinstance(line, str) or "exception" in line]


async def test_readiness_goes_down_before_the_streams_do(
    jwt_secret: str, bearer: Callable[..., dict[str, str]], transport: str
) -> None:
    """During the drain delay the load balancer hears 503 while streams still open and go on."""
    async with serve(SSE_JWT_SECRET=jwt_secret, SSE_TRANSPORT=transport, SSE_DRAIN_DELAY_S="1.5") as service:
        async with httpx.AsyncClient(base_url=service.url) as client:
            assert (await client.get("/readyz")).status_code == 200
            async with raw_stream(service.port, bearer("ann")) as stream:
                service.process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.3)
                down = await client.get("/readyz")
                assert (down.status_code, down.json()["status"]) == (503, "draining")
                assert (await client.get("/healthz")).status_code == 200
                async with raw_stream(service.port, bearer("bob")):
                    pass
                async with asyncio.timeout(WAIT_S):
                    assert (await stream.read()).endswith(b"0\r\n\r\n")
        assert await service.wait() == 0


async def test_a_second_signal_ends_at_once(
    jwt_secret: str, bearer: Callable[..., dict[str, str]], transport: str
) -> None:
    async with (
        serve(SSE_JWT_SECRET=jwt_secret, SSE_TRANSPORT=transport, SSE_DRAIN_DELAY_S="60") as service,
        raw_stream(service.port, bearer("ann")),
    ):
        service.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        service.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert await service.wait() == 1
        assert time.monotonic() - began < 10


async def test_kill_minus_9_and_a_new_process_lose_nothing(
    dynamo_tables: Settings, jwt_secret: str, bearer: Callable[..., dict[str, str]]
) -> None:
    """DC of the log: what was acknowledged before and after the crash arrives once, in order."""
    environ = env_of(dynamo_tables, jwt_secret)
    frames: list[Frame] = []
    sent: list[str] = []
    reader = SseReader()

    async def say(client: httpx.AsyncClient, text: str) -> None:
        body = {"conversationId": "main", "message": text, "idempotencyKey": text}
        answer = await client.post("/api/chat/send", json=body, headers=bearer("bob"))
        if answer.status_code in {200, 201}:
            sent.append(text)

    async def follow(url: str, until: int) -> None:
        headers = {**bearer("ann"), **({"last-event-id": reader.last_event_id} if frames else {})}
        async with (
            httpx.AsyncClient(base_url=url, timeout=WAIT_S) as client,
            client.stream("GET", "/api/chat/stream", headers=headers) as response,
        ):
            try:
                async for chunk in response.aiter_raw():
                    frames.extend(reader.feed(chunk))
                    if sum(f.type == "message" for f in frames) >= until:
                        return
            except httpx.HTTPError:
                return

    async with serve(**environ) as first, httpx.AsyncClient(base_url=first.url, timeout=WAIT_S) as client:
        body = {"conversationId": "main", "open": True}
        await client.post("/api/conversations", json=body, headers=bearer("bob"))
        following = asyncio.create_task(follow(first.url, 10**6))
        while not frames:
            await asyncio.sleep(0.01)
        for n in range(5):
            await say(client, f"a{n}")
        first.process.kill()
        await first.wait()
        await following
    async with serve(**environ) as second, httpx.AsyncClient(base_url=second.url, timeout=WAIT_S) as client:
        for n in range(5):
            await say(client, f"b{n}")
        async with asyncio.timeout(WAIT_S):
            await follow(second.url, len(sent))
    assert (
        [f.json["message"] for f in frames if f.type == "message"]
        == sent
        == [
            *(f"a{n}" for n in range(5)),
            *(f"b{n}" for n in range(5)),
        ]
    )
    assert [f.json["recovered"] for f in frames if f.type == "ready"] == [False, True]
    assert not [f for f in frames if f.type == "reset"]


async def test_a_port_in_use_is_a_sentence_and_exit_code_2(jwt_secret: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sse_service", "serve", "--port", str(taken.getsockname()[1])),
            env={**os.environ, "SSE_JWT_SECRET": jwt_secret},
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()
    assert process.returncode == 2
    assert b"cannot listen on 127.0.0.1" in err and b"\nhint: " in err and b"Traceback" not in err


async def test_missing_tables_are_named_at_start(dynamo_settings: Settings, jwt_secret: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sse_service", "serve", "--port", "0"),
        env={**os.environ, **env_of(dynamo_settings, jwt_secret)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert process.returncode == 2
    assert f"{dynamo_settings.table_prefix}-events".encode() in err
    assert b"hint: `sse-service create-tables`" in err and b"Traceback" not in err


def test_the_parts_of_uvicorn_that_are_touched_are_there() -> None:
    """A new uvicorn that renames them must fail here and not in production (docs/decisions/0002)."""
    for name in ("capture_signals", "startup", "shutdown", "handle_exit", "serve"):
        assert callable(getattr(StreamServer, name))
    for name in ("on_message_begin", "connection_made", "connection_lost", "shutdown", "_start_asgi_task"):
        assert callable(getattr(HttpToolsProtocol, name))
