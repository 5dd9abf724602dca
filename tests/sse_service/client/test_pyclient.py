"""The Python client, sync and asyncio, against the server with faults and `sse-service serve` (issue 5, item 3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from fake_server import FakeServer
from service_support import serve as serve_service

from sse_service.pyclient import ConnectionClosedError, ConnectionClosedOK, HandshakeError, connect, wire
from sse_service.pyclient import sync as blocking

pytestmark = pytest.mark.integration

WAIT_S = 20.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "BACKOFF_CAP_S", 0.02)


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Any]]:
    servers: list[FakeServer] = []

    async def start(**faults: Any) -> FakeServer:
        server = FakeServer(**faults)
        await server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        await server.stop()


TEXTS = [f"{n} \r\n\0\u2028\x85 日本" for n in range(60)]


@pytest.mark.parametrize(
    "faults",
    [
        {},
        {"drop_every": 5},
        {"cut_every": 3},
        {"rotate_every": 7, "dribble": True},
        {"refuse_sends": 3, "max_batch_bytes": 400},
        {"drop_every": 2, "cut_every": 5, "drop_deletes": 1},
    ],
)
async def test_everything_arrives_once_and_in_order(serve: Any, faults: dict[str, Any]) -> None:
    server = await serve(**faults)
    async with asyncio.timeout(WAIT_S), connect(f"{server.url}/ws/echo?token=secret") as connection:
        for text in TEXTS:
            await connection.send(text)
        await connection.send(b"\x00\xff")
        seen = [await connection.recv() for _ in range(61)]
        await connection.flush()
    assert seen == [*TEXTS, b"\x00\xff"]
    assert server.all[0].query == "token=secret" and not any("secret" in url for url in server.urls)
    assert [(end["code"], end["by"]) for end in server.closes] == [(1000, "client")]
    assert server.counts["at_once"] == 1


async def test_a_restart_that_keeps_and_one_that_loses(serve: Any) -> None:
    server = await serve()
    async with asyncio.timeout(WAIT_S), connect(f"{server.url}/ws/echo") as connection:
        await server.restart(down_s=0.1)
        await connection.send("kept")
        assert await connection.recv() == "kept"
        await server.restart(lose=True)
        with pytest.raises(ConnectionClosedError) as lost:
            await connection.recv()
        with pytest.raises(ConnectionClosedError):
            await connection.send("too late")
    assert lost.value.code == 1006


async def test_async_for_ends_with_the_servers_close(serve: Any) -> None:
    server = await serve()
    connection = await connect(f"{server.url}/ws/quiet")
    server.push("a", "b")
    server.close_all(1001, "Going away")
    async with asyncio.timeout(WAIT_S):
        assert [message async for message in connection] == ["a", "b"]
        with pytest.raises(ConnectionClosedOK) as end:
            await connection.recv()
        await connection.close()
    assert (end.value.code, end.value.reason) == (1001, "Going away")


async def test_missing_events_are_an_error(serve: Any) -> None:
    server = await serve()
    async with asyncio.timeout(WAIT_S), connect(f"{server.url}/ws/quiet") as connection:
        server.faults.skip_event = True
        server.push("lost", "seen")
        with pytest.raises(ConnectionClosedError, match="missing"):
            await connection.recv()


async def test_refused(serve: Any) -> None:
    server = await serve(token="good")
    with pytest.raises(HandshakeError) as refused:
        await connect(f"{server.url}/ws/echo", token=lambda: "bad")
    assert refused.value.status == 401
    given = iter(["stale", "good"])
    async with connect(f"{server.url}/ws/echo", token=lambda: next(given)) as connection:
        assert connection.subprotocol is None
    with pytest.raises(HandshakeError, match="subprotocol"):
        await connect(f"{server.url}/ws/echo", ["chat"], token=lambda: "good")
    await server.stop()
    with pytest.raises(HandshakeError, match="no answer"):
        await connect(f"{server.url}/ws/echo")
    for wrong in ("ftp://host/", "nothing", "ws://host/#x"):
        with pytest.raises(ValueError):
            connect(wrong)


async def test_close_codes(serve: Any) -> None:
    server = await serve()
    async with connect(f"{server.url}/ws/echo") as connection:
        for code, reason in ((1001, ""), (2999, ""), (5000, ""), (1000, "é" * 62)):
            with pytest.raises(ValueError):
                await connection.close(code, reason)
        await connection.close(4000, "done")
    assert server.closes[0]["code"] == 4000 and server.closes[0]["reason"] == "done"


async def test_without_asyncio(serve: Any) -> None:
    server = await serve(drop_every=5, cut_every=4)

    def talk() -> list[str | bytes]:
        with blocking.connect(f"{server.url}/ws/echo") as connection:
            for text in TEXTS:
                connection.send(text)
            seen = [connection.recv(WAIT_S) for _ in TEXTS]
            with pytest.raises(TimeoutError):
                connection.recv(timeout=0.01)
            connection.send("last")
            for message in connection:
                seen.append(message)
                break
            return seen

    assert await asyncio.to_thread(talk) == [*TEXTS, "last"]
    assert server.closes[0]["code"] == 1000


async def test_against_the_service(tmp_path: Path) -> None:
    async with serve_service(tmp_path) as service, asyncio.timeout(WAIT_S):
        async with connect(f"{service.ws}?token=good") as connection:
            for text in TEXTS:
                await connection.send(text)
            assert [await connection.recv() for _ in TEXTS] == TEXTS
            await connection.send("kick me")
            assert [message async for message in connection] == []
        with pytest.raises(HandshakeError) as refused:
            await connect(f"{service.ws}?token=bad")
    assert refused.value.status == 403


async def test_whoever_waits_hears_of_the_end(serve: Any) -> None:
    """Several tasks wait for messages, one for room to send."""
    server = await serve()
    async with asyncio.timeout(WAIT_S), connect(f"{server.url}/ws/quiet") as connection:
        waiting = [asyncio.create_task(connection.recv()) for _ in range(3)]
        server.close_all(4001, "kicked")
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert [getattr(end, "code", end) for end in ends] == [4001] * 3


async def test_a_stream_that_never_opens_leaves_nothing_behind(serve: Any) -> None:
    server = await serve(no_streams=True)
    with pytest.raises(HandshakeError, match="time to open"):
        await connect(f"{server.url}/ws/echo", open_timeout_s=0.3)
    assert server.counts["streams"] > 1
    left = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]  # type: ignore[union-attr]  # coroutines
    assert not [name for name in left if name.startswith("Connection.")]


def test_lines_are_cut_where_the_standard_says() -> None:
    text = 'id: 1\r\nevent: text\rdata: "\u2028"\n\nid: 2\nevent: text\ndata: ""\r\n\r\n'.encode()
    for size in (1, 2, 3, 1000):
        frames = wire.Frames()
        seen = [event for at in range(0, len(text), size) for event in frames.feed(text[at : at + size])]
        assert seen == [("text", 1, '"\u2028"'), ("text", 2, '""')]
