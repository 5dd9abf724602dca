"""Plain publishes answered in front of the framework, under any ASGI server (see quick.py).

The outermost layer of the application. A server that has looked at them already (publish_uvicorn.py) says so in the
request's scope.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sse_service.api.context import BODY_BEGAN
from sse_service.api.quick import LOOKED_AT, PATH, QuickPublish
from sse_service.response import CONNECTION_EXTENSION

__all__ = ["QuickPublishes"]

_PATH = PATH.decode()


class QuickPublishes:
    """Only a request whose body comes in one piece is answered here."""

    def __init__(self, app: ASGIApp, *, quick: QuickPublish, body_timeout_s: float) -> None:
        self._app = app
        self._quick = quick
        self._body_timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] != "http"
            or scope["path"] != _PATH
            or scope["method"] != "POST"
            or scope.get("query_string")  # it may hold a token
            or scope.get("root_path")
            or ((scope.get("extensions") or {}).get(CONNECTION_EXTENSION) or {}).get(LOOKED_AT)
            or (head := self._quick.head(scope["headers"])) is None
        ):
            await self._app(scope, receive, send)
            return
        began = asyncio.get_running_loop().time()
        # The application's own time for a body has begun, too.
        scope[BODY_BEGAN] = began
        try:
            async with asyncio.timeout_at(began + self._body_timeout_s):
                first = await receive()
        except TimeoutError:
            await self._app(scope, receive, send)
            return
        found = None
        if first["type"] == "http.request" and not first.get("more_body", False):
            body = first.get("body", b"")
            if len(body) == head.body_bytes:
                found = self._quick.publish(head, body)
        if found is None:
            await self._app(scope, _again(first, receive), send)
            return
        request_id, shown = found
        headers = [
            (b"content-length", b"%d" % len(shown)),
            (b"content-type", b"application/json"),
            (b"x-request-id", request_id),
        ]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": shown})


def _again(first: Message, receive: Receive) -> Receive:
    """`receive`, with what was received already before it."""
    waiting = [first]

    async def received() -> Message:
        return waiting.pop() if waiting else await receive()

    return received
