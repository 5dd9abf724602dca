"""Stands between programs and the local AWS: sees every call and its outcome. until phase 3

What the server has done is known here, also of a program that was killed before it heard of it.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web
from yarl import URL

__all__ = ["Asked", "Between"]

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}


@dataclass(frozen=True)
class Asked:
    """One call.

    Args:
        operation: its name; METHOD and path where the service goes by them (Lambda, API Gateway, S3).
        body: as it was sent.
    """

    operation: str
    body: bytes

    @cached_property
    def said(self) -> dict[str, Any]:
        """What it says: of a body of JSON, or of a form."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return dict(parse_qsl(self.body.decode("utf-8", "replace")))
        return value if isinstance(value, dict) else {}


class Between:
    """An HTTP server on 127.0.0.1, from `with` to its end; every call goes on to `target`.

    Args:
        before: told of a call; False: it goes no further, and is never answered.
        after: told of a call and its status before it is answered; False: it is never answered.
    """

    def __init__(self, target: str, before: Callable[[Asked], bool], after: Callable[[Asked, int], bool]) -> None:
        self._target, self._before, self._after = target, before, after
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="between", daemon=True)
        self.url = ""

    def __enter__(self) -> Between:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        server = web.Server(self._handle, access_log=None, auto_decompress=False)
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            body = await request.content.read()
        except ConnectionResetError:
            return _cut(request)  # it died while it said it
        asked = Asked(_operation(request, body), body)
        if not self._before(asked):
            return _cut(request)
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP]
        async with self._session.request(
            request.method,
            URL(self._target + request.raw_path, encoded=True),
            headers=headers,
            data=body,
            allow_redirects=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
        ) as upstream:
            answer = web.Response(status=upstream.status, reason=upstream.reason, body=await upstream.read())
            answer.headers.clear()
            for name, value in upstream.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    answer.headers.add(name, value)
        return answer if self._after(asked, answer.status) else _cut(request)


def _cut(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _operation(request: web.BaseRequest, body: bytes) -> str:
    target = request.headers.get("X-Amz-Target")
    if target:
        return target.rpartition(".")[2]
    before, found, name = request.path.partition("/operation/")  # smithy-rpc-v2-cbor
    if found and before.startswith("/service/"):
        return name
    if "x-www-form-urlencoded" in request.headers.get("Content-Type", ""):
        return dict(parse_qsl(body.decode("utf-8", "replace"))).get("Action", "")
    return f"{request.method} {request.raw_path}"
