"""What surrounds every request: its id, its log line, its size limit, its count. Plain ASGI.

A middleware on tasks or streams of its own would hold events back and cost a delivery its speed; this one
passes `receive` and `send` through.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sse_service.addresses import TrustedProxies
from sse_service.logs import redact, request_fields
from sse_service.metrics import Metrics
from sse_service.problem import PROBLEM_TYPE, problem_body

__all__ = ["REQUEST_ID", "RequestContext"]

logger = logging.getLogger("sse_service.access")

REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
"""Of a caller's own that is kept; any other is replaced."""
MAX_TARGET_BYTES = 48 << 10
MAX_HEADER_BYTES = 64 << 10
BODY_BEGAN = "sse_service.body_began"
"""In a request's scope: since when, by the loop's clock, somebody before this has waited for its body."""
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})


class RequestContext:
    def __init__(
        self, app: ASGIApp, metrics: Metrics, max_body_bytes: int, proxies: TrustedProxies, body_timeout_s: float
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if self._proxies and scope.get("client"):
            forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
            scope["client"] = (self._proxies.client_of(scope["client"][0], forwarded), scope["client"][1])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        fields = {"requestId": request_id}
        token = request_fields.set(fields)
        began = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._metrics.response_seconds.labels(_method(scope), _route(scope)).observe(
                    time.perf_counter() - began
                )
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            refusal = self._refusal(scope, headers)
            if refusal is not None:
                # The rest is not read, so the connection cannot be used again.
                await _problem(send_with_id, request_id, *refusal, close=True)
            else:
                await self._app(scope, self._limited(scope, receive), send_with_id)
        except HTTPException as refused:
            # Of our own `receive`, where no framework is between (trusted_listener.py).
            if status:
                raise
            title = HTTPStatus(refused.status_code).phrase
            code = title.lower().replace(" ", "_")
            await _problem(send_with_id, request_id, refused.status_code, code, title, refused.detail, close=True)
        except Exception:
            # Text of exceptions is for the log only. A response that has begun can only be cut off.
            logger.exception("request failed")
            if status:
                raise
            await self._fail(send_with_id, request_id)
        finally:
            request_fields.reset(token)
            path = scope["path"]
            self._metrics.requests.labels(_method(scope), str(status)).inc()
            if path not in _QUIET:
                logger.info(
                    "%s %s %s",
                    scope["method"],
                    redact(path[:512]),
                    status,
                    # Never the query: it may hold what must not be logged.
                    extra={"ms": round((time.perf_counter() - began) * 1000, 1), "status": status, **fields},
                )

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, str, str, str] | None:
        """What is too large to be looked at: status, code, title, detail."""
        if len(scope.get("query_string", b"")) + len(scope.get("raw_path") or b"") > MAX_TARGET_BYTES:
            return 414, "uri_too_long", "URI Too Long", f"path and query are longer than {MAX_TARGET_BYTES} bytes"
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            detail = f"all headers together are larger than {MAX_HEADER_BYTES} bytes"
            return 431, "headers_too_large", "Request Header Fields Too Large", detail
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._max_body_bytes:
            return 413, "too_large", "Content Too Large", f"the body is larger than {self._max_body_bytes} bytes"
        return None

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        seen = 0
        began: float = scope.get(BODY_BEGAN) or asyncio.get_running_loop().time()
        # None: the body is whole, and what comes next is the end of the connection, however late.
        deadline: float | None = began + self._body_timeout_s

        async def limited() -> Message:
            nonlocal seen, deadline
            if deadline is None:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                # RFC 9110, 15.5.9: the connection is not to be used again.
                detail = f"the body took longer than {self._body_timeout_s:g} s"
                raise HTTPException(408, detail, {"connection": "close"}) from None
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > self._max_body_bytes:
                    raise HTTPException(413, f"the body is larger than {self._max_body_bytes} bytes")
                if not message.get("more_body", False):
                    deadline = None
            else:
                deadline = None
            return message

        return limited

    async def _fail(self, send: Send, request_id: str) -> None:
        detail = "the service failed; its log has the reason under this request id"
        await _problem(send, request_id, 500, "internal", "Internal Server Error", detail, close=False)


async def _problem(
    send: Send, request_id: str, status: int, code: str, title: str, detail: str, *, close: bool
) -> None:
    body = problem_body(status, code, title, detail, request_id)
    headers = [(b"content-type", PROBLEM_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _route(scope: Scope) -> str:
    # The template, never the path: a label for each conversation would grow without bound.
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else "none"


def _method(scope: dict[str, Any] | Scope) -> str:
    # A label for each invented method would grow without bound.
    method: str = scope["method"]
    return method if method in {"GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"} else "other"
