"""Requests to the application itself, without a socket: what the page's relay asks is checked like anybody's request.

Source: ASGI specification 3.0, "HTTP Connection Scope".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.types import ASGIApp, Message

__all__ = ["Inward"]

MOST_CHUNKS = 256


class Inward:
    """Requests of one caller. headers: names in lower case; client: the address that asks."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str], client: str) -> None:
        self._app = app
        self._headers = dict(headers)
        self._client = client

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and what the answer says (None: no JSON)."""
        status, content = 0, b""

        async def send(message: Message) -> None:
            nonlocal status, content
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                content += message.get("body", b"")

        given = [{"type": "http.request", "body": b"" if body is None else json.dumps(body).encode()}]

        async def receive() -> Message:
            return given.pop() if given else {"type": "http.disconnect"}

        await self._app(self._scope(method, path, {}), receive, send)
        try:
            return status, json.loads(content)
        except ValueError:
            return status, None

    @contextlib.asynccontextmanager
    async def stream(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """Status and chunks of an answer that goes on; leaving the block is what a client that leaves is."""
        chunks: asyncio.Queue[bytes | None] = asyncio.Queue(MOST_CHUNKS)
        started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        gone = asyncio.Event()

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                if not started.done():
                    started.set_result(message["status"])
            elif content := message.get("body", b""):
                await chunks.put(content)

        async def receive() -> Message:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def run() -> None:
            try:
                await self._app(self._scope("GET", path, headers), receive, send)
            finally:
                if not started.done():
                    started.set_result(500)
                # Whoever reads no more has left; nothing waits for them.
                with contextlib.suppress(asyncio.QueueFull):
                    chunks.put_nowait(None)

        async def read() -> AsyncIterator[bytes]:
            while not (task.done() and chunks.empty()):
                if (chunk := await chunks.get()) is None:
                    return
                yield chunk

        task = asyncio.create_task(run())
        try:
            yield await started, read()
        finally:
            gone.set()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _scope(self, method: str, path: str, more: Mapping[str, str]) -> dict[str, Any]:
        headers = {"content-type": "application/json", **self._headers, **more}
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()],
            "client": (self._client, 0),
            "server": ("127.0.0.1", 0),
        }
