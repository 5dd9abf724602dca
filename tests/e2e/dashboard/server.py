"""A small server that speaks the dashboard's contract, for its page: what it says and when is the test's to choose.
until phase 3 (MG18)
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from aiohttp import web

from migrate.dashboard.action_table import told

from .samples import sample

POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def frame(event: str, data: Any, number: int) -> bytes:
    return f"id: e-{number}\r\nevent: {event}\r\ndata: {json.dumps(data, ensure_ascii=False)}\r\n\r\n".encode()


class Dashboard:
    """The server, and what it is told to say.

    Attributes:
        sections, actions, options: what a snapshot has.
        token: of the operator; empty: read-only.
        answers: of actions, by (name, execute); else a plain one.
        asked: bodies of the actions that were let in.
        resumed: the Last-Event-ID of each connection.
        refuse: a status instead of the stream.
        unwell: says of no token whether it is right.
        silent: answers the stream, and says nothing.
    """

    def __init__(self, sections: dict[str, Any] | None = None, token: str = "") -> None:
        self.sections = sample() if sections is None else sections
        self.token = token
        self.project = "harbour-chat"
        self.answers: dict[tuple[str, bool], dict[str, Any]] = {}
        self.asked: list[dict[str, Any]] = []
        self.resumed: list[str] = []
        self.addresses: list[str] = []
        self.actions = told()
        self.options = ""
        self.refuse = 0
        self.silent = False
        self.unwell = False
        self.number = 0
        self.url = ""
        self._streams: dict[web.StreamResponse, asyncio.Event] = {}
        self._silent: set[asyncio.Event] = set()

    async def send(self, event: str, data: Any) -> None:
        """One event to everybody."""
        self.number += 1
        await self.write(frame(event, data, self.number))

    async def write(self, raw: bytes) -> None:
        for stream in list(self._streams):
            await stream.write(raw)

    async def update(self, section: str, value: Any) -> None:
        await self.send("update", {"section": section, "value": value})

    async def append(self, section: str, *items: dict[str, Any]) -> None:
        await self.send("append", {"section": section, "items": list(items)})

    async def cut(self) -> None:
        """Every connection is gone, without a word."""
        for ended in [*self._streams.values(), *self._silent]:
            ended.set()
        self._streams.clear()
        # Until the answers have ended.
        await asyncio.sleep(0)

    @property
    def readers(self) -> int:
        return len(self._streams)

    async def _page(self, _: web.Request) -> web.Response:
        return _asset("index.html")

    async def _static(self, request: web.Request) -> web.Response:
        return _asset(request.match_info["name"])

    async def _events(self, request: web.Request) -> web.StreamResponse:
        self.resumed.append(request.headers.get("Last-Event-ID", ""))
        if self.refuse:
            return web.Response(status=self.refuse, text="not now")
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await stream.prepare(request)
        await stream.write(b"retry: 50\r\n\r\n")
        ended = asyncio.Event()
        if self.silent:
            self._silent.add(ended)
        else:
            told = {
                "sections": self.sections, "read_only": not self.token, "project": self.project, "version": "0.1.0",
                "actions": self.actions, "options": self.options,
            }  # fmt: skip
            self.number += 1
            await stream.write(frame("snapshot", told, self.number))
            self._streams[stream] = ended
        try:
            await ended.wait()
        finally:
            self._streams.pop(stream, None)
            self._silent.discard(ended)
        if request.transport is not None:
            request.transport.abort()
        return stream

    async def _check(self, request: web.Request) -> web.Response:
        if self.unwell:
            return _problem(503, "not now")
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _problem(401, "the operator token is another one")
        return web.Response(status=204)

    async def _actions(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _problem(401, "the operator token is another one")
        if request.content_type != "application/json":
            return _problem(415, "JSON is wanted")
        if request.headers.get("Origin") != self.url:
            return _problem(403, "not from this page")
        said = await request.json()
        self.asked.append(said)
        plain = {"exit_code": 0, "stdout": {"executed": said["execute"], **said["arguments"]}, "stderr": ""}
        return web.json_response(self.answers.get((said["action"], said["execute"]), plain))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Dashboard]:
        """On a port of the kernel's choice."""

        @web.middleware
        async def headers(request: web.Request, handler: Any) -> web.StreamResponse:
            self.addresses.append(str(request.rel_url))
            return await handler(request)

        app = web.Application(middlewares=[headers])
        app.router.add_get("/", self._page)
        app.router.add_get("/static/{name}", self._static)
        app.router.add_get("/events", self._events)
        app.router.add_post("/actions", self._actions)
        app.router.add_post("/actions/check", self._check)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await self.cut()
            await runner.cleanup()


def _asset(name: str) -> web.Response:
    content = (files("migrate") / "dashboard" / "static" / name).read_bytes()
    kind = KINDS[name[name.rindex(".") :]]
    headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
    return web.Response(body=content, content_type=kind, charset="utf-8", headers=headers)


def _problem(status: int, detail: str) -> web.Response:
    return web.json_response(
        {"type": "about:blank", "status": status, "detail": detail},
        status=status,
        content_type="application/problem+json",
    )
