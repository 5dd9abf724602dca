"""SIGTERM with a thousand open streams: each is told, ended cleanly, and goes on elsewhere without a loss."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from sse_service.settings import Settings
from sse_service.testing import Frame, SseReader

pytestmark = pytest.mark.integration

STREAMS = 1000
USERS = 100
AT_ONCE = 100
GRACE_S = 10.0
WAIT_S = 60.0


@dataclass
class Node:
    process: asyncio.subprocess.Process
    port: int


@asynccontextmanager
async def node(settings: Settings, secret: str) -> AsyncIterator[Node]:
    """`sse-service serve` as a process of its own; its log is read and dropped."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SSE_", "AWS_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sse_service", "serve", "--port", "0"),
        env={
            **clean,
            "SSE_JWT_SECRET": secret,
            "SSE_LOG": "dynamodb",
            "SSE_TABLE_PREFIX": settings.table_prefix,
            "SSE_LOG_CHECK_S": "0.2",
            "SSE_GRACE_S": str(GRACE_S),
            "AWS_ENDPOINT_URL": settings.aws_endpoint_url,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
        },
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    log = process.stderr
    async with asyncio.timeout(WAIT_S):
        url = json.loads(await log.readline())["url"]

    async def drop() -> None:
        while await log.read(1 << 16):
            pass

    dropping = asyncio.create_task(drop())
    try:
        yield Node(process, int(url.rpartition(":")[2]))
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
        await dropping


@dataclass
class Client:
    """One subscriber over plain sockets: the bytes on the wire, chunk framing included."""

    headers: dict[str, str]
    path: str
    reader: SseReader = field(default_factory=SseReader)
    frames: list[Frame] = field(default_factory=list)
    tail: bytes = b""
    more: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    _writer: asyncio.StreamWriter | None = None
    _task: asyncio.Task[None] | None = None

    async def open(self, port: int) -> None:
        await self.close()
        reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        cursor = {"last-event-id": self.reader.last_event_id} if self.reader.last_event_id else {}
        head = "".join(f"{name}: {value}\r\n" for name, value in {**self.headers, **cursor}.items())
        self._writer.write(f"GET {self.path} HTTP/1.1\r\nhost: x\r\n{head}\r\n".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        self.ended, self.tail = False, b""
        self._task = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while chunk := await reader.read(1 << 16):
            self.tail = (self.tail + chunk)[-8:]
            self.frames += self.reader.feed(chunk.replace(b"\r\n", b"\n"))  # chunk sizes become unknown fields
            self.more.set()
        self.ended = True
        self.more.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.more.clear()
            await self.more.wait()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    @property
    def numbers(self) -> list[int]:
        return [frame.json["data"] for frame in self.frames if frame.type == "number"]


async def for_each(clients: list[Client], work: Callable[[Client], Awaitable[None]]) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(client: Client) -> None:
        async with gate:
            await work(client)

    await asyncio.gather(*map(one, clients))


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3 * STREAMS
    assert hard == resource.RLIM_INFINITY or hard >= wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_thousand_streams_are_told_and_go_on_at_the_next_instance(
    dynamo_tables: Settings, jwt_secret: str, bearer: Callable[..., dict[str, str]], many_files: None
) -> None:
    """Events are published all the while; every stream sees each of them once and in order."""
    async with AsyncExitStack() as stack:
        first, second = await asyncio.gather(
            *(stack.enter_async_context(node(dynamo_tables, jwt_secret)) for _ in range(2))
        )
        clients = [
            Client(bearer(f"u{n % USERS}"), f"/api/streams?topic=tenant:demo&topic=user:u{n % USERS}")
            for n in range(STREAMS)
        ]
        for client in clients:
            stack.push_async_callback(client.close)
        keeper = Client(bearer("keeper"), "/api/streams?topic=tenant:demo")
        stack.push_async_callback(keeper.close)
        await keeper.open(second.port)

        published = 0
        target = first
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=WAIT_S))
        headers = bearer("worker", scope="events:publish")

        async def publish() -> None:
            """The next number; again, with the same key, at the other instance when this one is gone."""
            nonlocal published, target
            event = {"topic": "tenant:demo", "type": "number", "data": published + 1, "key": f"n{published + 1}"}
            while True:
                try:
                    url = f"http://127.0.0.1:{target.port}/api/events"
                    answer = await http.post(url, json={"events": [event]}, headers=headers)
                except httpx.HTTPError:
                    target = second
                    continue
                assert answer.status_code == 201, answer.text
                published += 1
                return

        async with asyncio.timeout(WAIT_S):
            await for_each(clients, lambda client: client.open(first.port))
            await for_each(clients, lambda client: client.until(lambda: bool(client.frames)))
            for _ in range(5):
                await publish()

            first.process.send_signal(signal.SIGTERM)
            for _ in range(5):
                await publish()
            await for_each(clients, lambda client: client.until(lambda: client.ended))
            assert await first.process.wait() == 0

            # What is not ended within SSE_GRACE_S is cut, and has neither.
            for client in clients:
                last = client.frames[-1]
                assert (last.type, last.json["reason"]) == ("farewell", "shutdown")
                assert client.tail.endswith(b"\r\n0\r\n\r\n")
            await publish()
            await for_each(clients, lambda client: client.open(second.port))
            await publish()
            expected = list(range(1, published + 1))
            await for_each(clients, lambda client: client.until(lambda: len(client.numbers) >= published))
    for client in clients:
        assert client.numbers == expected
        readies = [frame.json for frame in client.frames if frame.type == "ready"]
        assert [ready["recovered"] for ready in readies] == [False, True]
        assert not [frame for frame in client.frames if frame.type == "reset"]
