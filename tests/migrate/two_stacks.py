"""Two small stacks in one process for tests of the probes, the sample traffic and the page: same wire, no
AWS. until phase 3

They keep the contracts of the real ones as far as clients see them, deliver to everybody, and do wrong what a
test asks for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import WSMsgType, web

SECRET = "a secret that only tests know, 32 bytes long"
Message = dict[str, Any]
# (stack, recipient, message) -> the messages that this recipient gets instead
Fault = Callable[[str, str, Message], list[Message]]


@dataclass
class TwoStacks:
    """State of both stacks. Set `fault`, `to_sse`, `to_websocket`, `refuse_*` at any time."""

    port: int = 0
    fault: Fault = lambda stack, recipient, message: [message]
    to_sse: bool = True
    to_websocket: bool = True
    refuse_websocket: int = 0
    refuse_stream: int = 0
    refuse_send: int = 0
    recovered: bool = True
    sockets: dict[web.WebSocketResponse, str] = field(default_factory=dict)
    streams: dict[web.StreamResponse, str] = field(default_factory=dict)
    log: list[Message] = field(default_factory=list)
    sent: list[tuple[str, Message]] = field(default_factory=list)
    last_timestamp: float = 0.0

    @property
    def up(self) -> dict[str, Any]:
        """What up.json would hold."""
        return {
            "legacy_ws_url": {"rooms": f"ws://127.0.0.1:{self.port}/ws/prod"},
            "sse_url": f"http://127.0.0.1:{self.port}",
            "tenant": "demo",
            "rooms": ["main", "random"],
            "jwt_secret": SECRET,
        }

    def message(self, room: str, user: str, text: str) -> Message:
        self.last_timestamp = max(round(time.time(), 6), round(self.last_timestamp + 0.000001, 6))
        return {
            "type": "message",
            "roomId": room,
            "messageId": str(uuid.uuid4()),
            "userName": user,
            "message": text,
            "timestamp": self.last_timestamp,
        }

    async def publish(self, path: str, message: Message) -> None:
        self.sent.append((path, message))
        if path == "websocket" or self.to_websocket:
            for socket, user in list(self.sockets.items()):
                for each in self.fault("websocket", user, message):
                    with contextlib.suppress(ConnectionResetError):
                        await socket.send_json(each)
        if path == "rest" or self.to_sse:
            self.log.append(message)
            for stream, user in list(self.streams.items()):
                for each in self.fault("sse", user, message):
                    await self.write(stream, len(self.log), each)

    async def write(self, stream: web.StreamResponse, number: int, message: Message, event: str = "message") -> None:
        text = f"id: e-{number}\nevent: {event}\ndata: {json.dumps(message, ensure_ascii=False)}\n\n"
        try:
            await stream.write(text.encode())
        except ConnectionResetError:
            self.streams.pop(stream, None)

    async def cut(self) -> None:
        """End every connection of both stacks."""
        for socket in list(self.sockets):
            await socket.close(code=1012)
        for stream in list(self.streams):
            self.streams.pop(stream, None)
            stream.test_end.set()  # type: ignore[attr-defined]

    async def on_websocket(self, request: web.Request) -> web.StreamResponse:
        if self.refuse_websocket:
            return web.Response(status=self.refuse_websocket)
        user = _user(request.headers.get("Authorization", "Bearer " + request.query.get("token", "")))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets[socket] = user
        try:
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    body = json.loads(frame.data)
                    name = body.get("userName") or user
                    message = self.message(body.get("roomId", "main"), name, body["message"])
                    await self.publish("websocket", message)
        finally:
            self.sockets.pop(socket, None)
        return socket

    async def on_stream(self, request: web.Request) -> web.StreamResponse:
        if self.refuse_stream:
            return web.Response(status=self.refuse_stream, headers=CORS)
        user = _user(request.headers.get("Authorization", ""))
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", **CORS})
        await stream.prepare(request)
        last = request.headers.get("Last-Event-ID", "")
        start = int(last.partition("-")[2] or 0) if last and self.recovered else len(self.log)
        ready = {"recovered": self.recovered, "position": f"e-{start}"}
        await self.write(stream, start, ready, "ready")
        for number, message in enumerate(self.log[start:], start + 1):
            await self.write(stream, number, message)
        end = asyncio.Event()
        stream.test_end = end  # type: ignore[attr-defined]
        self.streams[stream] = user
        try:
            await end.wait()
        finally:
            self.streams.pop(stream, None)
        return stream

    async def on_send(self, request: web.Request) -> web.Response:
        if self.refuse_send:
            return web.Response(status=self.refuse_send, headers=CORS)
        user = _user(request.headers.get("Authorization", ""))
        body = await request.json()
        message = self.message(body["conversationId"], body.get("userName") or user, body["message"])
        await self.publish("rest", message)
        answer = {"messageId": message["messageId"], "timestamp": message["timestamp"], "duplicate": False}
        return web.json_response(answer, status=201, headers=CORS)


CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "Authorization, Last-Event-ID, Content-Type, Cache-Control",
}


def _user(authorization: str) -> str:
    try:
        claims = jwt.decode(authorization.removeprefix("Bearer "), SECRET, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        raise web.HTTPUnauthorized from None
    return str(claims["sub"])


async def _preflight(request: web.Request) -> web.Response:
    return web.Response(status=204, headers=CORS)


@asynccontextmanager
async def two_stacks(port: int = 0) -> AsyncIterator[TwoStacks]:
    """Both stacks on one free port of the loopback interface."""
    stacks = TwoStacks()
    app = web.Application()
    app.router.add_get("/ws/prod", stacks.on_websocket)
    app.router.add_get("/api/chat/stream", stacks.on_stream)
    app.router.add_post("/api/chat/send", stacks.on_send)
    app.router.add_route("OPTIONS", "/{tail:.*}", _preflight)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    stacks.port = runner.addresses[0][1]
    try:
        yield stacks
    finally:
        await stacks.cut()
        await runner.cleanup()
