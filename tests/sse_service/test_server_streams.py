"""The life of streams: rotation, expiry, heartbeats, slow clients, clients that leave."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from sse_service.feed import TenantFeed
from sse_service.settings import Settings
from sse_service.stream import EndReason
from sse_service.testing import SseReader

pytestmark = pytest.mark.integration

WAIT_S = 60.0


@pytest.fixture(params=["auto", "portable"])
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """Everything here holds on both ways to the client (SSE_TRANSPORT)."""
    return settings.replace(transport=request.param)


async def test_rotation_ends_cleanly_and_resumes_without_a_gap(start_service: Any, settings: Settings) -> None:
    service = await start_service(settings.replace(max_age_s=0.5, heartbeat_s=0.3))
    await service.room()
    cursor = None
    seen: list[str] = []
    sending = True

    async def talk() -> None:
        n = 0
        while sending:
            await service.say("bob", str(n))
            n += 1
            await asyncio.sleep(0.01)

    talking = asyncio.create_task(talk())
    for _ in range(4):
        async with service.stream("ann", cursor=cursor) as ann:
            await ann.end()
            assert ann.clean
            last = ann.frames[-1]
            assert (last.type, last.json["reason"]) == ("rotate", "max_age")
            assert ann.reader.retry_ms == last.json["retryMs"]
            seen += [f.json["message"] for f in ann.of_type("message")]
            cursor = ann.reader.last_event_id
            assert ann.frames[0].json["recovered"] is (len(seen) > 0 and ann.frames[0].json["reason"] == "resumed")
    sending = False
    await talking
    first = int(seen[0])
    assert seen == [str(n) for n in range(first, first + len(seen))]


async def test_an_expiring_token_ends_the_stream(service: Any) -> None:
    async with service.stream("ann", ttl_s=1.2) as ann:
        await ann.end()
        assert ann.clean
        assert (ann.frames[-1].type, ann.frames[-1].json["reason"]) == ("farewell", "token_expired")


async def test_heartbeats_are_comments(start_service: Any, settings: Settings) -> None:
    service = await start_service(settings.replace(heartbeat_s=0.2))
    async with service.stream("ann") as ann:
        await ann.until(lambda: ann.reader.comments >= 3, "three heartbeats")
        assert [f.type for f in ann.frames] == ["ready"]


async def slow_client(service: Any, headers: dict[str, str]) -> tuple[Any, Any]:
    """A client that has read the first event and then reads nothing more."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", service.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=2048)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"GET /api/chat/stream HTTP/1.1\r\nhost: x\r\n{head}\r\n".encode())
    await reader.readuntil(b"event: ready")
    return reader, writer


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


def counted(service: Any, name: str, **labels: str) -> float:
    value = service.app.state.services.metrics.registry.get_sample_value(name, labels)
    return float(value or 0)


async def test_a_client_that_reads_too_slowly_is_told_and_resumes(
    start_service: Any, settings: Settings, bearer: Callable[..., dict[str, str]]
) -> None:
    """What waits for it is bounded; it reads the reason when it gets there; others are not held up."""
    service = await start_service(settings.replace(stream_buffer_bytes=64 << 10, send_timeout_s=30))
    await service.room()
    reader, writer = await slow_client(service, {**bearer("slow"), "connection": "close"})  # read until its end
    async with service.stream("ann") as ann:
        blob = "x" * 60_000
        count = 0
        while not service.hub._writers or not any(
            w.user == "slow" and w.stream.is_ending for w in service.hub._writers
        ):
            await service.say("bob", blob)
            count += 1
            assert count < 500
        await ann.frame("message", count)
    parser, frames = SseReader(), []
    async with asyncio.timeout(WAIT_S):
        while chunk := await reader.read(1 << 16):
            frames += parser.feed(chunk.replace(b"\r\n", b"\n"))  # chunk sizes become unknown fields
    writer.close()
    await until(lambda: counted(service, "sse_evictions_total", how="told") == 1)
    assert (frames[-1].type, frames[-1].json["reason"]) == ("farewell", "slow_consumer")
    got = sum(f.type == "message" for f in frames)
    assert got < count
    async with service.stream("slow", cursor=parser.last_event_id) as again:
        await again.frame("message", count - got)
        assert again.frames[0].json["recovered"] is True


async def test_a_client_that_reads_nothing_is_cut_off(
    start_service: Any, settings: Settings, bearer: Callable[..., dict[str, str]]
) -> None:
    service = await start_service(settings.replace(stream_buffer_bytes=64 << 10, send_timeout_s=0.5))
    await service.room()
    _, writer = await slow_client(service, bearer("slow"))
    blob = "x" * 60_000
    for _ in range(500):
        await service.say("bob", blob)
        if counted(service, "sse_evictions_total", how="cut"):
            break
    await until(lambda: service.hub.open_streams == 0)
    assert counted(service, "sse_evictions_total", how="cut") == 1
    assert counted(service, "sse_open_streams") == 0
    writer.close()


async def test_a_stalled_replay_is_cut_off(
    start_service: Any, settings: Settings, bearer: Callable[..., dict[str, str]]
) -> None:
    """A client that asks for megabytes of history and reads none of it."""
    service = await start_service(settings.replace(send_timeout_s=0.4, ring_bytes=1 << 10))
    await service.room()
    async with service.stream("ann") as ann:
        start = ann.frames[0].id
    for _ in range(200):
        await service.say("bob", "x" * 60_000)
    _, writer = await slow_client(service, {**bearer("slow"), "last-event-id": start})
    await until(lambda: counted(service, "sse_evictions_total", how="cut") == 1)
    assert service.hub.open_streams == 0
    writer.close()


async def test_a_stream_that_ends_while_its_replay_reads_says_so_last(
    start_service: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM in the middle of a read of the log: what comes behind the farewell, a client need not look at."""
    service = await start_service(settings.replace(ring_bytes=1 << 16))
    await service.room()
    async with service.stream("ann") as ann:
        start = ann.frames[0].id
    for n in range(4):
        await service.say("bob", f"{n}" + "x" * 30_000)
    hub, read = service.hub, TenantFeed.read

    async def end_now(self: TenantFeed, after: Any) -> Any:
        page = await read(self, after)
        for writer in list(hub._writers):
            hub.end(writer, EndReason.SHUTDOWN)
        return page

    monkeypatch.setattr(TenantFeed, "read", end_now)
    monkeypatch.setattr("sse_service.feed.PAGE_BYTES", 40_000)  # the first page is read before it is a stream
    async with service.stream("ann", cursor=start) as ann:
        await ann.end()
        assert ann.clean
        assert [frame.type for frame in ann.frames] == ["ready", "message", "farewell"]


async def test_a_client_that_leaves_is_forgotten(service: Any) -> None:
    async with service.stream("ann"):
        assert service.hub.open_streams == 1
    await until(lambda: service.hub.open_streams == 0)
    assert service.hub.limits.total == 0
    assert counted(service, "sse_streams_ended_total", reason="disconnect") == 1


async def test_a_client_that_leaves_is_forgotten_with_a_request_waiting_behind_its_stream(
    service: Any, bearer: Callable[..., dict[str, str]]
) -> None:
    """Pipelining (RFC 9112, 9.3.2): the connection is not handed over then, and its loss concerns the stream too."""
    head = f"GET /api/chat/stream HTTP/1.1\r\nhost: x\r\nauthorization: {bearer('ann')['authorization']}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(head.encode() + b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
    async with asyncio.timeout(WAIT_S):
        await reader.readuntil(b"event: ready")
    assert service.hub.open_streams == 1
    writer.close()
    await writer.wait_closed()
    await until(lambda: service.hub.open_streams == 0)
    assert service.hub.limits.total == 0
