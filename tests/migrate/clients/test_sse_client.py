"""The SSE client against small servers on the loopback interface. until phase 3"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from migrate.clients import Backoff, ConnectionState, RefusedByServerError, SseClient, StateChange

QUICK = Backoff(base_s=0.01, max_s=0.02)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/stream", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}/stream"
    finally:
        await runner.cleanup()


async def stream(request: web.Request, *chunks: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    for chunk in chunks:
        await response.write(chunk)
    return response


async def test_resumes_where_it_was() -> None:
    """After a cut the client sends the last id it handed over, and drops what it has seen."""
    asked: list[str | None] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Last-Event-ID"))
        if len(asked) == 1:
            return await stream(request, b"id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: unfinished\n")
        if len(asked) == 2:
            return await stream(request, b"id: 2\ndata: b\n\nid: 3\ndata: c\n\n")
        return web.Response(status=204)

    async with server(handler) as url, SseClient(url, backoff=QUICK) as client:
        got = [event.data async for event in client]
    assert got == ["a", "b", "c"]
    assert asked == [None, "2", "3"]
    assert client.duplicates_dropped == 1
    assert client.connections == 2


async def test_control_events_are_never_repeated_ones() -> None:
    """`ready` carries the position, which is the id of an event seen before: it must not be dropped."""
    states: list[StateChange] = []
    count = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal count
        count += 1
        if count == 3:
            return web.Response(status=204)
        recovered = "true" if count == 1 else "false"
        return await stream(
            request,
            f'id: 1\nevent: ready\ndata: {{"recovered":{recovered},"position":"1"}}\n\n'.encode(),
            b"id: 1\ndata: a\n\n" if count == 1 else b"id: 5\nevent: reset\ndata: {}\n\n",
        )

    async with server(handler) as url, SseClient(url, backoff=QUICK, on_state=states.append) as client:
        got = [(event.type, event.id) async for event in client]
    assert got == [("ready", "1"), ("message", "1"), ("ready", "1"), ("reset", "5")]
    live = [change.recovered for change in states if change.state is ConnectionState.LIVE]
    assert live == [True, False]
    assert states[-1].state is ConnectionState.CLOSED


@pytest.mark.parametrize(
    ("status", "kind"), [(401, "application/problem+json"), (404, "text/html"), (200, "text/html")]
)
async def test_refusal_ends_it(status: int, kind: str) -> None:
    """An answer that stays the same is an error, not a loop; its text holds no query."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response({"title": "no"}, status=status, content_type=kind)

    async with server(handler) as url, SseClient(url + "?token=geheim", backoff=QUICK) as client:
        with pytest.raises(RefusedByServerError) as caught:
            async for _ in client:
                pass
    assert caught.value.status == status
    assert "geheim" not in str(caught.value) + repr(client)


async def test_transient_answers_are_tried_again_with_fresh_headers() -> None:
    """503 with Retry-After is waited for; each attempt makes its headers anew."""
    seen: list[str] = []
    made = iter(["one", "two"])

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers["Authorization"])
        if len(seen) == 1:
            return web.Response(status=503, headers={"Retry-After": "0"})
        return await stream(request, b"data: a\n\n")

    async with (
        server(handler) as url,
        SseClient(url, headers=lambda: {"Authorization": next(made)}, backoff=QUICK) as client,
    ):
        async for event in client:
            assert event.data == "a"
            break
    assert seen == ["one", "two"]


async def test_nobody_there_then_somebody() -> None:
    """A refused connection is waited for, and the state says so in words."""
    states: list[StateChange] = []

    def close_after_two(change: StateChange) -> None:
        states.append(change)
        if sum(s.state is ConnectionState.WAITING for s in states) == 2:
            client._closing.set()

    client = SseClient("http://127.0.0.1:9/stream", backoff=QUICK, on_state=close_after_two)
    async with client:
        assert [event async for event in client] == []
    waits = [s for s in states if s.state is ConnectionState.WAITING]
    assert {s.reason for s in waits} == {"the connection was refused"}
    assert all(s.delay_s is not None for s in waits)


async def test_silence_is_a_dead_connection() -> None:
    """A connection that brings nothing, not even a comment, is given up."""
    count = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal count
        count += 1
        response = await stream(request, f"id: {count}\ndata: {count}\n\n".encode())
        if count == 1:
            await asyncio.sleep(30)
        return response

    async with server(handler) as url, SseClient(url, backoff=QUICK, silence_s=0.1) as client:
        got = []
        async for event in client:
            got.append(event.data)
            if len(got) == 2:
                break
    assert got == ["1", "2"]


async def test_close_from_another_task_and_break() -> None:
    """`close` ends a waiting iteration; leaving the loop early leaves nothing open."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = await stream(request, b"data: a\n\n")
        await asyncio.sleep(30)
        return response

    async with server(handler) as url:
        client = SseClient(url)
        first = asyncio.Event()

        async def consume() -> list[str]:
            got = []
            async for event in client:
                got.append(event.data)
                first.set()
            return got

        task = asyncio.create_task(consume())
        await first.wait()
        await asyncio.sleep(0.02)
        await client.close()
        assert await task == ["a"]
        assert client.state is ConnectionState.CLOSED

        async with SseClient(url) as other:
            async for _ in other:
                break
        assert other._http is None


async def test_no_stream_address() -> None:
    """An address that is none is said at once."""
    async with SseClient("ftp://127.0.0.1/x") as client:
        with pytest.raises(RefusedByServerError, match="no HTTP address"):
            async for _ in client:
                pass
