"""The WebSocket client against small servers on the loopback interface. until phase 3"""

from __future__ import annotations

import asyncio
import http
import json
import logging

import pytest
from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.datastructures import Headers

from migrate.clients import (
    Backoff,
    ConnectionState,
    NotConnectedError,
    RefusedByServerError,
    StateChange,
    WsClient,
)

QUICK = Backoff(base_s=0.01, max_s=0.02)


def port_of(server: object) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])  # type: ignore[attr-defined]


async def test_frames_over_reconnects() -> None:
    """The iteration goes on over a reconnect; the states say what happened."""
    states: list[StateChange] = []
    count = 0

    async def handler(socket: ServerConnection) -> None:
        nonlocal count
        count += 1
        await socket.send(json.dumps({"n": count}))
        await socket.send("no json")
        await socket.close(1012 if count == 1 else 1000, "bye")

    async with serve(handler, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{port_of(server)}/a/prod"
        got = []
        async with WsClient(url, backoff=QUICK, on_state=states.append) as client:
            async for frame in client:
                got.append(frame.json if frame.json is not None else frame.text)
                if len(got) == 4:
                    break
    assert got == [{"n": 1}, "no json", {"n": 2}, "no json"]
    waiting = next(s for s in states if s.state is ConnectionState.WAITING)
    assert waiting.reason == "the connection was closed with code 1012"
    assert states[-1].state is ConnectionState.CLOSED


async def test_send_and_close(caplog: pytest.LogCaptureFixture) -> None:
    """Frames reach the server; closing from another task ends the iteration; no token in any log line."""
    caplog.set_level(logging.DEBUG, logger="migrate")
    received: list[object] = []

    async def handler(socket: ServerConnection) -> None:
        assert socket.request is not None
        received.append(socket.request.headers["Authorization"])
        async for message in socket:
            received.append(json.loads(message))

    async with serve(handler, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{port_of(server)}/prod?token=geheim"
        live = asyncio.Event()
        client = WsClient(
            url,
            headers=lambda: {"Authorization": "Bearer geheim"},
            on_state=lambda change: live.set() if change.state is ConnectionState.LIVE else None,
        )
        with pytest.raises(NotConnectedError):
            await client.send_json({})

        async def consume() -> None:
            async for _ in client:
                pass

        task = asyncio.create_task(consume())
        await live.wait()
        await client.send_json({"action": "sendMessage", "message": "안녕"})
        for _ in range(100):
            if len(received) == 2:
                break
            await asyncio.sleep(0.01)
        await client.close()
        await task
    assert received == ["Bearer geheim", {"action": "sendMessage", "message": "안녕"}]
    assert "geheim" not in caplog.text + repr(client)


@pytest.mark.parametrize(("status", "fatal"), [(401, True), (403, True), (503, False), (429, False)])
async def test_handshake_refused(status: int, fatal: bool) -> None:
    """What trying again cannot change is an error, the rest is tried again."""
    count = 0

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        nonlocal count
        count += 1
        if fatal or count == 1:
            return Response(status, http.HTTPStatus(status).phrase, Headers([("Content-Length", "0")]))
        return None

    async def handler(socket: ServerConnection) -> None:
        await socket.send("{}")

    async with serve(handler, "127.0.0.1", 0, process_request=answer) as server:
        client = WsClient(f"ws://127.0.0.1:{port_of(server)}/", backoff=QUICK)
        async with client:
            if fatal:
                with pytest.raises(RefusedByServerError) as caught:
                    async for _ in client:
                        pass
                assert caught.value.status == status
            else:
                async for frame in client:
                    assert frame.json == {}
                    break


async def test_no_websocket_there() -> None:
    """A server that speaks something else is an error at once, a port where nobody listens is waited for."""

    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    async with server, WsClient(f"ws://127.0.0.1:{port_of(server)}/") as client:
        with pytest.raises(RefusedByServerError):
            async for _ in client:
                pass

    states: list[StateChange] = []
    async with WsClient("ws://127.0.0.1:9/", backoff=QUICK, on_state=states.append) as client:
        task = asyncio.ensure_future(anext(aiter(client), None))
        while not any(s.state is ConnectionState.WAITING for s in states):
            await asyncio.sleep(0.01)
        await client.close()
        assert await task is None
    assert next(s for s in states if s.reason).reason == "the connection was refused"
