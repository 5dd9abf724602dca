"""Clients that send a request byte by byte, or none at all, and clients of HTTP/1.0. As bytes, under uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sse_service.settings import Settings
from sse_service.testing import SseReader

pytestmark = pytest.mark.integration

WAIT_S = 15.0
LIMIT_S = 0.4


@pytest.fixture(params=["auto", "portable"])
async def impatient(request: pytest.FixtureRequest, start_service: Any, settings: Settings) -> Any:
    """A service that waits LIMIT_S for a head, and as long for a body."""
    return await start_service(
        settings.replace(transport=request.param, head_timeout_s=LIMIT_S, body_timeout_s=LIMIT_S)
    )


@asynccontextmanager
async def connection(service: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    try:
        async with asyncio.timeout(WAIT_S):
            yield reader, writer
    finally:
        writer.close()


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, part: bytes) -> bytes:
    """Send a byte now and then for as long as the service lets it; what it answered."""

    async def send() -> None:
        while True:
            for byte in part:
                writer.write(bytes([byte]))
                await asyncio.sleep(LIMIT_S / 10)

    sending = asyncio.create_task(send())
    answer = b""
    try:
        # A byte that was on its way when the connection was closed makes its end a reset, after the answer.
        with contextlib.suppress(ConnectionResetError):
            while part_of_it := await reader.read(1 << 16):
                answer += part_of_it
        return answer
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


def head(path: str, headers: dict[str, str], *, method: str = "POST", length: int = 100, version: str = "1.1") -> bytes:
    fields = {"host": "x", "content-type": "application/json", "content-length": str(length), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/{version}\r\n{lines}\r\n".encode()


def assert_timed_out(answer: bytes, part: str) -> None:
    status, _, body = answer.partition(b"\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 408 Request Timeout\r\n"), answer
    assert b"connection: close" in status.lower() and b"application/problem+json" in status
    found = json.loads(body)
    assert found["type"] == "urn:sse-service:request_timeout" and part in found["detail"]
    assert f"x-request-id: {found['requestId']}".encode() in status


async def test_a_head_that_trickles_is_408_and_the_end(impatient: Any) -> None:
    async with connection(impatient) as (reader, writer):
        writer.write(b"GET /api/chat/stream HTTP/1.1\r\nhost: x\r\n")
        assert_timed_out(await trickle(reader, writer, b"x-more: y\r\n"), "head")


@pytest.mark.parametrize("path", ["/api/chat/send", "/api/events", "/chat/main/stream", "/api/streams/tickets"])
async def test_a_body_that_trickles_is_408_and_the_end(
    impatient: Any, bearer: Callable[..., dict[str, str]], path: str
) -> None:
    """Also where the application knows nothing of the request before its body is there (POST /api/events)."""
    async with connection(impatient) as (reader, writer):
        writer.write(head(path, bearer("ann", scope="events:publish"), length=100_000) + b'{"message": "')
        assert_timed_out(await trickle(reader, writer, b"x"), "body")


async def test_a_body_in_chunks_without_an_end_is_408(impatient: Any, bearer: Callable[..., dict[str, str]]) -> None:
    async with connection(impatient) as (reader, writer):
        lines = head("/api/chat/send", bearer("ann")).replace(b"content-length: 100", b"transfer-encoding: chunked")
        writer.write(lines)
        assert_timed_out(await trickle(reader, writer, b"1\r\nx\r\n"), "body")


async def test_an_answered_request_whose_body_never_ends_is_the_end(impatient: Any) -> None:
    """The answer did not need the body; the connection is not kept for the rest of it."""
    async with connection(impatient) as (reader, writer):
        writer.write(head("/healthz", {}, method="GET", length=100_000))
        answer = await trickle(reader, writer, b"x")
        assert answer.startswith(b"HTTP/1.1 200 OK") and b" 408 " not in answer


@pytest.mark.parametrize("first", [b"", b"\r\n"])
async def test_a_connection_without_a_request_is_closed(impatient: Any, first: bytes) -> None:
    impatient.server.config.timeout_keep_alive = LIMIT_S
    async with connection(impatient) as (reader, writer):
        writer.write(first)
        assert await reader.read() == b""


async def test_what_comes_in_time_is_served_and_streams_stay(
    impatient: Any, bearer: Callable[..., dict[str, str]]
) -> None:
    """The limits are for requests: a stream opened in pieces, with another request's beginning behind it, goes on."""
    await impatient.room()
    async with connection(impatient) as (reader, writer):
        lines = head("/api/chat/stream", bearer("ann"), method="GET", length=0)
        writer.write(lines[:20])
        await asyncio.sleep(LIMIT_S / 4)
        writer.write(lines[20:] + b"GET /healthz HT")
        await reader.readuntil(b"event: ready")
        async with connection(impatient) as (other, sender):
            body = json.dumps({"conversationId": "main", "message": "in pieces"}).encode()
            for _ in range(3):  # more than the limit together: each request has its own
                sender.write(head("/api/chat/send", bearer("bob"), length=len(body)) + body[:9])
                await asyncio.sleep(LIMIT_S / 2)
                sender.write(body[9:])
                assert (await other.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 201")
                await other.readuntil(b"}")
        for _ in range(3):
            await reader.readuntil(b"in pieces")


# HTTP/1.0 -------------------------------------------------------------------------------------------------


@pytest.fixture(params=["auto", "portable"])
async def either(request: pytest.FixtureRequest, start_service: Any, settings: Settings) -> Any:
    return await start_service(settings.replace(transport=request.param))


async def test_a_stream_over_http_1_0_is_plain_bytes_until_the_end(
    either: Any, bearer: Callable[..., dict[str, str]]
) -> None:
    """RFC 9112, 6.1: no Transfer-Encoding to a client of HTTP/1.0; the body ends with the connection."""
    await either.room()
    async with connection(either) as (reader, writer):
        writer.write(head("/api/chat/stream", bearer("ann"), method="GET", length=0, version="1.0"))
        lines = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert lines.startswith(b"http/1.1 200") and b"connection: close" in lines
        assert b"transfer-encoding" not in lines and b"content-length" not in lines
        got = await reader.readuntil(b"event: ready")
        await either.say("bob", "hi")
        got += await reader.readuntil(b'"hi"')
        stopping = asyncio.create_task(either.stop())
        got += await reader.read()
        await stopping
    # Chunk sizes would be lines that are no field of an event.
    fields = {line.partition(b":")[0] for line in got.splitlines() if line}
    assert fields <= {b"", b"id", b"event", b"data", b"retry"}, got
    assert [frame.type for frame in SseReader().feed(got)] == ["ready", "message", "farewell"]


async def test_an_answer_over_http_1_0_is_plain_bytes_until_the_end(
    either: Any, bearer: Callable[..., dict[str, str]]
) -> None:
    await either.room()
    body = b'{"message": "hello"}'
    async with connection(either) as (reader, writer):
        writer.write(head("/chat/main/stream", bearer("ann"), length=len(body), version="1.0") + body)
        lines, _, got = (await reader.read()).partition(b"\r\n\r\n")
    assert lines.startswith(b"HTTP/1.1 200") and b"connection: close" in lines.lower()
    assert b"transfer-encoding" not in lines.lower()
    kinds = [frame.type for frame in SseReader().feed(got)]
    assert (kinds[0], kinds[-1]) == ("chat_stream_start", "chat_stream_end")


async def test_other_answers_over_http_1_0_have_a_length(either: Any) -> None:
    async with connection(either) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        lines, _, got = (await reader.read()).partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(got) in lines.lower() and json.loads(got)
