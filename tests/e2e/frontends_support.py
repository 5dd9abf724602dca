"""The front ends of docs/examples/frontends in real Chromium and Node.js, and a network that fails. until phase 3"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

ROOT = Path(__file__).parents[2]
FRONTENDS = ROOT / "docs" / "examples" / "frontends"
CLIENT = ROOT / "sse_service" / "client"
REACT = Path(__file__).parent / "frontends" / "react"
SOCKET = "wss://chat.example.com/prod"
"""The address that the pages have; the server puts another in its place, as whoever deploys them would."""
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "date", "server"}

RECORD = """
window.trace = []
window.arrivals = []
window.recorded = Base => class extends Base {
  constructor(...given) {
    super(...given)
    this.addEventListener("open", () => trace.push("open"))
    this.addEventListener("close", ({ code }) => trace.push(`close ${code}`))
    this.addEventListener("message", ({ data }) => {
      const frame = JSON.parse(data)
      if (frame.type === "message") arrivals.push([frame.userName, frame.message])
    })
  }
}
window.WebSocket = recorded(WebSocket)
"""
DROP_IN = 'import { SseWebSocket as Real } from "/dist"\nexport const SseWebSocket = recorded(Real)\n'
REACT_MODULE = """
import "/react.production.min.js"
export const { createElement, useCallback, useEffect, useRef, useState } = globalThis.React
"""
REACT_DOM_MODULE = """
import "/react-module"
import "/react-dom.production.min.js"
export const { createRoot } = globalThis.ReactDOM
"""


class Way:
    """A listener that passes requests on to whatever instance is the target; waits while there is none."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self.url = ""
        self._turn = 0
        self._client: aiohttp.ClientSession | None = None

    def routes(self) -> web.Application:
        app = web.Application(client_max_size=1 << 24)
        self.add_pages(app.router)
        app.router.add_route("*", "/{tail:.*}", self.pass_on)
        return app

    def add_pages(self, router: web.UrlDispatcher) -> None:
        """What is answered here."""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        # Hosts and paths as they came: what is signed stays true.
        runner = web.AppRunner(self.routes(), handle_signals=False, access_log=None, shutdown_timeout=0.1)
        async with aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(None)) as self._client:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            assert site._server is not None
            self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
            try:
                yield
            finally:
                await runner.cleanup()

    async def target(self) -> str:
        async with asyncio.timeout(20):
            while not self.targets:
                await asyncio.sleep(0.02)
        self._turn += 1
        return self.targets[self._turn % len(self.targets)]

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        assert self._client is not None
        body = await request.read()
        try:
            async with self._client.request(
                request.method,
                URL((await self.target()) + request.raw_path, encoded=True),  # a signature is over it as it is
                headers={name: value for name, value in request.headers.items() if name.lower() not in HOP},
                data=body,
            ) as answer:
                return await self.answer(request, answer)
        except (aiohttp.ClientError, TimeoutError):
            return self.abort(request)

    async def answer(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
        if answer.content_type != "text/event-stream":
            return web.Response(status=answer.status, headers=headers, body=await answer.read())
        response = web.StreamResponse(status=answer.status, headers=headers)
        try:
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
        except (OSError, aiohttp.ClientError):
            self.abort(request)
        return response

    def abort(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=502)


class BadNetwork(Way):
    """Between the clients and the service: it serves the pages, and it can be cut."""

    def __init__(self, form: str, socket: str = "") -> None:
        super().__init__()
        self.form = form
        self.socket = socket
        self.drops = False
        self.posts = self.dropped = 0
        self._cut = False
        self._open: set[asyncio.Transport] = set()

    def add_pages(self, router: web.UrlDispatcher) -> None:
        router.add_static("/files", FRONTENDS)
        for path, text in {
            "/drop-in": DROP_IN,
            "/react-module": REACT_MODULE,
            "/react-dom-module": REACT_DOM_MODULE,
            "/dist": (CLIENT / "dist" / "sse-websocket.js").read_text(),
            **{f"/{file.name}": file.read_text() for file in REACT.glob("*.js")},
        }.items():
            router.add_get(path, _module(text))
        router.add_get("/vanilla", self._vanilla)
        router.add_get("/react", self._react)

    async def _vanilla(self, request: web.Request) -> web.Response:
        text = (FRONTENDS / "vanilla" / "index.html").read_text()
        text = text.replace('src="chat.js"', f'src="/files/vanilla/{self.form}/chat.js"')
        return self._page(text.replace("/client/sse-websocket.js", "/drop-in"))

    async def _react(self, request: web.Request) -> web.Response:
        imports = {
            "@ws2sse/client": "/drop-in",
            "hook": f"/files/react/{self.form}/useChat.js",
            "react": "/react-module",
            "react-dom/client": "/react-dom-module",
        }
        text = (FRONTENDS / "react" / "index.html").read_text()
        start = '<script type="module" src="'
        mapped = f'<script type="importmap">{json.dumps({"imports": imports})}</script>{start}/files/react/main.js'
        return self._page(text.replace(f"{start}chat.js", mapped))

    def _page(self, text: str) -> web.Response:
        assert SOCKET in text
        return web.Response(text=text.replace(SOCKET, self.address), content_type="text/html")

    @property
    def address(self) -> str:
        return self.socket or f"{self.url.replace('http', 'ws')}/prod"

    async def cut(self) -> None:
        """Everything that is open is gone, and nobody gets through."""
        self._cut = True
        for transport in list(self._open):
            transport.abort()

    def mend(self) -> None:
        self._cut = False

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        if self._cut or transport is None:
            return self.abort(request)
        self._open.add(transport)
        try:
            return await super().pass_on(request)
        finally:
            self._open.discard(transport)

    async def answer(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        if request.method == "POST" and self.drops:
            self.posts += 1
            if self.posts % 5 == 0:
                await answer.read()
                self.dropped += 1
                return self.abort(request)
        return await super().answer(request, answer)


def _module(text: str) -> Any:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/javascript")

    return handler


@asynccontextmanager
async def bot(folder: Path, form: str, address: str, token: str, **more: str) -> AsyncIterator[None]:
    """The Node.js bot, with the packages beside it that `npm install` would bring."""
    home = folder / "bot"
    shutil.copytree(FRONTENDS / "node-bot", home / "node-bot")
    shutil.copy(FRONTENDS / "messages.js", home)
    (home / "package.json").write_text('{"type": "module"}')
    (home / "node_modules" / "@ws2sse").mkdir(parents=True)
    (home / "node_modules" / "@ws2sse" / "client").symlink_to(CLIENT)
    # The interface of the package `ws` that the bot uses is that of the WebSocket Node.js has itself.
    stand_in = home / "node_modules" / "ws"
    stand_in.mkdir()
    (stand_in / "package.json").write_text('{"type": "module", "exports": "./index.js"}')
    (stand_in / "index.js").write_text("export default globalThis.WebSocket\n")
    node = shutil.which("node")
    assert node, "no Node.js on PATH"
    flags = ["--experimental-websocket"] if form == "before" else []
    process = await asyncio.create_subprocess_exec(
        *(node, "--no-warnings", *flags, str(home / "node-bot" / form / "bot.mjs")),
        env={**os.environ, "CHAT_SOCKET": address, "CHAT_TOKEN": token, **more},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield
        assert process.returncode is None, "the bot has ended"
    finally:
        if process.returncode is None:
            process.terminate()
        _, errors = await process.communicate()
    assert errors == b"", errors.decode()
