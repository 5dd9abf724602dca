"""What stands behind the drop-in client on the page: the service's own stream and REST, spoken in frames.

    in   {"action": "subscribe"}                                    out  {"type": "subscribed", "user"}, then every
                                                                         event of GET /api/chat/stream as a frame
         {"action": "sendMessage", "roomId" | "with", "message",         {"type": "sent", "key", "messageId", ...} or
          "key", "attachment"?}                                          {"type": "refused", "key", "status", "detail"}

It holds no rights of its own: each connection asks the application with the headers of its own handshake, so the token
is checked, limits count, and a token that ends ends the connection.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp

from sse_service.errors import RequestError
from sse_service.pages.inward import Inward
from sse_service.pages.reading import FrameReader
from sse_service.virtual.calls import Invoked
from sse_service.virtual.errors import GoneError, WindowFullError
from sse_service.virtual.handlers import Connections

__all__ = ["Relay"]

logger = logging.getLogger("sse_service.pages")

FORWARDED = ("authorization", "x-user-id", "x-tenant-id", "host", "origin")
SENT = ("conversationId", "with", "message", "idempotencyKey", "attachment")
ONLY_OF_STREAMS = frozenset({"ready", "rotate", "farewell", "keepalive"})
LONGEST_PAUSE_S = 5.0


class Relay:
    """An Invoker (virtual/calls.py). connections: set once the virtual connections exist."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.connections: Connections | None = None
        self._callers: dict[str, tuple[Inward, str]] = {}
        self._streams: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None: ...

    async def close(self) -> None:
        tasks, self._streams = list(self._streams.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def invoke(self, target: str, payload: bytes, timeout_s: float) -> Invoked:  # noqa: ARG002 - the port's
        event = json.loads(payload)
        context = event["requestContext"]
        connection_id, kind = context["connectionId"], context["eventType"]
        status = 200
        if kind == "CONNECT":
            status = await self._connect(connection_id, event)
        elif kind == "DISCONNECT":
            self._callers.pop(connection_id, None)
            if task := self._streams.pop(connection_id, None):
                task.cancel()
        else:
            await self._message(connection_id, event.get("body") or "")
        return Invoked(json.dumps({"statusCode": status}).encode())

    async def _connect(self, connection_id: str, event: Mapping[str, Any]) -> int:
        headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
        kept = {name: headers[name] for name in FORWARDED if name in headers}
        caller = Inward(self._app, kept, event["requestContext"]["identity"]["sourceIp"])
        status, who = await caller.ask("GET", "/chat/me")
        if status == 200:
            self._callers[connection_id] = caller, who["user"]
        return status

    async def _message(self, connection_id: str, body: str) -> None:
        try:
            frame = json.loads(body)
        except ValueError:
            frame = None
        known = self._callers.get(connection_id)
        if known is None:
            return
        caller, user = known
        action = frame.get("action") if isinstance(frame, dict) else None
        if action == "subscribe":
            if connection_id not in self._streams:
                self._streams[connection_id] = asyncio.create_task(self._follow(connection_id, caller, user))
        elif action == "sendMessage":
            await self._send(connection_id, caller, frame)
        else:
            await self._post(connection_id, {"type": "error", "code": "unknown_action", "message": "unknown action"})

    async def _send(self, connection_id: str, caller: Inward, frame: Mapping[str, Any]) -> None:
        key = frame.get("key")
        named = {**frame, "conversationId": frame.get("roomId"), "idempotencyKey": key}
        body = {name: named[name] for name in SENT if named.get(name) is not None}
        status, answer = await caller.ask("POST", "/api/chat/send", body)
        if status in (200, 201):
            await self._post(connection_id, {"type": "sent", "key": key, **answer})
        else:
            detail = answer.get("detail", "") if isinstance(answer, dict) else ""
            await self._post(connection_id, {"type": "refused", "key": key, "status": status, "detail": detail})

    async def _follow(self, connection_id: str, caller: Inward, user: str) -> None:
        """Everything of the caller's stream, across its rotations, until the connection or the token ends."""
        position, failures, told = "", 0, False
        try:
            while True:
                reader = FrameReader()
                headers = {"last-event-id": position} if position else {}
                async with caller.stream("/api/chat/stream", headers) as (status, chunks):
                    if status in (400, 401, 403):
                        await self._end(connection_id)
                        return
                    async for chunk in chunks if status == 200 else _nothing():
                        for kind, data, event_id in reader.feed(chunk):
                            if kind == "ready":
                                failures = 0
                                if not told:
                                    told = True
                                    await self._post(connection_id, {"type": "subscribed", "user": user})
                            elif kind == "reset":
                                await self._post(connection_id, {"type": "reset"})
                            elif kind not in ONLY_OF_STREAMS:
                                await self._post(connection_id, data)
                            position = event_id or position
                failures += 1
                if failures > 1:
                    pause_s = min(LONGEST_PAUSE_S, 0.1 * 2**failures)
                    await asyncio.sleep(pause_s * random.random())  # noqa: S311 - jitter
        except (GoneError, WindowFullError):
            # A client that takes nothing gets the rest from the history when it is back.
            await self._end(connection_id)
        except RequestError as error:
            logger.info("a connection of the page ended: %s", error, extra={"connectionId": connection_id})
            await self._end(connection_id)

    async def _post(self, connection_id: str, frame: Mapping[str, Any] | str) -> None:
        """Raises GoneError, WindowFullError, RequestError."""
        if self.connections is not None:
            data = frame if isinstance(frame, str) else json.dumps(frame, ensure_ascii=False)
            await self.connections.post(connection_id, data)

    async def _end(self, connection_id: str) -> None:
        if self.connections is not None:
            try:
                await self.connections.delete(connection_id)
            except (GoneError, RequestError):
                return


async def _nothing() -> Any:
    return
    yield b""
