"""uvicorn's HTTP protocol class with an offer to streams: to cut their connection, and to hand it over.

Handing over is what uvicorn does itself for a WebSocket upgrade: the transport gets another protocol, and the one
here lets go of everything. What is touched of uvicorn 0.54 (docs/decisions/0002 names the versions; the tests of
this module notice a change):
`HttpToolsProtocol`: `connection_made`, `connection_lost`, `data_received`, `on_message_begin`, `on_header`,
`on_headers_complete`, `on_body`, `on_message_complete`, `_start_asgi_task`, `send_400_response`,
`_unset_keepalive_if_required`, and its attributes
`transport`, `flow`, `scope`, `headers`, `parser`, `cycle`, `pipeline`, `connections`, `server_state.total_requests`,
`loop`, `timeout_keep_alive`, `timeout_keep_alive_task`, `timeout_keep_alive_handler`;
`RequestResponseCycle`: `response_started`, `response_complete`, `chunked_encoding`, `expected_content_length`,
`disconnected`, `message_event`; `FlowControl`: `resume_reading`, `read_paused`.
Where one of them is missing nothing is handed over, and streams go on through `send()`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import uuid
from typing import ClassVar

from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from sse_service.problem import PROBLEM_TYPE, problem_body
from sse_service.response import CONNECTION_EXTENSION
from sse_service.transport import Make

__all__ = ["PortableProtocol", "StreamProtocol"]

logger = logging.getLogger("sse_service.server")

MAX_HEAD_BYTES = 128 << 10
"""More than the application takes (api/context.py), so that it usually is the one who refuses."""

UNSENT_BYTES = 128 << 10
"""The kernel takes up to 4 MB for a client that does not read before anybody notices; this much is enough."""


class PortableProtocol(HttpToolsProtocol):
    """Offers streams a way to cut their connection, notices slow clients early, and ends heads without an end.

    head_timeout_s, body_timeout_s: set in a subclass by server.make_server. in_message: a part of a request has come,
    and its end has not.
    """

    # Beyond thirty attributes Python gives each object a table of its own for them, 1.3 KB a connection.
    __slots__ = ("_head_bytes", "_running", "_too_late", "_trailer_bytes", "in_message")

    head_timeout_s: ClassVar[float] = 15.0
    body_timeout_s: ClassVar[float] = 60.0
    in_message: bool

    _too_late: asyncio.TimerHandle | None
    """When the rest of the head, or of the body, must have come. None: it came with its beginning, as nearly always."""

    _head_bytes: int
    """Bytes of the head that is being read; below 0 while none is."""

    _trailer_bytes: int
    """Bytes that came since the last ones of the body; below 0 while none is being read."""

    _running: RequestResponseCycle | None
    """The request that is being answered."""

    def data_received(self, data: bytes) -> None:
        if self._head_bytes >= 0:
            # The parser keeps what it is sent, however much that is.
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, "Request Header Fields Too Large", "headers_too_large", "the head is too large")
                return
        if self._trailer_bytes >= 0:
            self._trailer_bytes += len(data)
        super().data_received(data)
        if self.in_message:
            if self._too_late is None and not self.transport.is_closing():
                self._wait_for_rest()
        elif self.timeout_keep_alive_task is None and not self._is_answering() and not self.transport.is_closing():
            # An empty line before a request: uvicorn has stopped its timer, and would wait for ever.
            self._wait_for_request(self.timeout_keep_alive)
        # Only now it is known whether it was a part of the body: nobody reads trailers, or waits for their end.
        if self._trailer_bytes > MAX_HEAD_BYTES:
            self._trailer_bytes = -1
            if self.cycle is None or self.cycle.response_started:
                self.transport.abort()
            else:
                self._refuse(431, "Request Header Fields Too Large", "headers_too_large", "the trailers are too large")

    def on_header(self, name: bytes, value: bytes) -> None:
        # A trailer is no header (RFC 9110, 6.5.1): the server would append it to those of a request in progress.
        if self._head_bytes >= 0:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._trailer_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._trailer_bytes = -1
        self.in_message = False
        self._has_come()
        super().on_message_complete()

    # Requests that trickle -----------------------------------------------------------------------------------

    def _wait_for_request(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _wait_for_rest(self) -> None:
        seconds = self.head_timeout_s if self._head_bytes >= 0 else self.body_timeout_s
        self._too_late = self.loop.call_later(seconds, self._give_up)

    def _has_come(self) -> None:
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _is_unseen(self) -> bool:
        """Does the application know nothing of the request that is being received?"""
        return self._head_bytes >= 0

    def _give_up(self) -> None:
        self._too_late = None
        if self.transport.is_closing():
            return
        if self._is_answering() or self.flow.read_paused:
            # The application waits for the body itself (api/context.py), or it is we who do not read.
            self._wait_for_rest()
        elif self._is_unseen():
            part = "head" if self._head_bytes >= 0 else "body"
            seconds = self.head_timeout_s if self._head_bytes >= 0 else self.body_timeout_s
            self._refuse(408, "Request Timeout", "request_timeout", f"the {part} took longer than {seconds:g} s")
        else:
            self.transport.close()  # it was answered without its body

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "Bad Request", "invalid_request", msg)

    def _refuse(self, status: int, title: str, code: str, detail: str) -> None:
        """What no application has seen is a problem as well (RFC 9457), with an id that is in the log."""
        request_id = uuid.uuid4().hex
        logger.info("refused: %s", detail, extra={"requestId": request_id, "status": status})
        body = problem_body(status, code, title, detail, request_id)
        head = (
            f"HTTP/1.1 {status} {title}\r\ncontent-type: {PROBLEM_TYPE}\r\n"
            f"content-length: {len(body)}\r\nx-request-id: {request_id}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._head_bytes = self._trailer_bytes = -1
        self._running = self._too_late = None
        self.in_message = False
        super().connection_made(transport)
        self._wait_for_request(self.timeout_keep_alive)
        sock = transport.get_extra_info("socket")
        option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
        if sock is not None and option is not None:
            with contextlib.suppress(OSError):  # a hint only; some kernels do not know it
                sock.setsockopt(socket.IPPROTO_TCP, option, UNSENT_BYTES)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        if cycle.scope["http_version"] == "1.0":
            app = _Unchunked(app, cycle)
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_come()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        # uvicorn tells the request that came last, which waits behind the one that is being answered.
        running, self._running = self._running, None
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.in_message = True
        self._head_bytes = 0
        self.scope["extensions"] = {
            CONNECTION_EXTENSION: {"abort": self.transport.abort, "forget_headers": self.headers.clear}
        }

    def on_headers_complete(self) -> None:
        self._head_bytes = -1
        self._trailer_bytes = 0
        self._has_come()
        super().on_headers_complete()


class _Unchunked:
    """An answer to HTTP/1.0 ends with its connection. uvicorn would send it in chunks (RFC 9112, 6.1: it must not)."""

    def __init__(self, app: ASGI3Application, cycle: RequestResponseCycle) -> None:
        self._app = app
        self._cycle = cycle

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        cycle = self._cycle
        has_length = False

        async def plain(message: ASGISendEvent) -> None:
            nonlocal has_length
            if message["type"] == "http.response.start":
                has_length = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
                if not has_length:
                    cycle.chunked_encoding = False
            elif message["type"] == "http.response.body" and not has_length:
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, plain)


class StreamProtocol(PortableProtocol):
    """Also hands a stream's connection over once the head of its response is written."""

    __slots__ = ()

    def on_headers_complete(self) -> None:
        if self.parser.get_method() == b"GET" and self.parser.get_http_version() == "1.1":
            self.scope["extensions"][CONNECTION_EXTENSION]["hand_over"] = self.hand_over
        super().on_headers_complete()

    def hand_over(self, make: Make) -> bool:
        """Give the connection to the protocol that `make` makes.

        Called by the application in the middle of its response, with nothing awaited on the way from here to its
        return: no `send()` may follow.
        """
        transport = self.transport
        try:
            if not self._can_be_handed_over():
                return False
            connections = self.connections
            state = self.server_state
            self._unset_keepalive_if_required()
            self._has_come()
            self.flow.resume_reading()  # a pipelined request had paused it; from now on that notices the end
            self.pipeline.clear()
        except AttributeError as missing:
            logger.warning("this uvicorn is not the one that is known, streams take the slower way: %s", missing)
            return False
        made = make(transport, connections)
        transport.set_protocol(made)
        connections.discard(self)
        connections.add(made)  # type: ignore[arg-type]  # it has what uvicorn calls: shutdown(), transport
        state.total_requests += 1
        # The request's task finds its response complete, and nothing keeps this object any more.
        self.cycle.response_complete = True
        self.scope.pop("extensions", None)  # it has this method in it
        self.cycle = self._running = self.scope = self.headers = self.parser = None  # type: ignore[assignment]
        return True

    def _can_be_handed_over(self) -> bool:
        """Raises AttributeError on a uvicorn that keeps its state elsewhere."""
        cycle = self.cycle
        return (
            cycle.response_started
            and cycle.chunked_encoding is True
            and not cycle.response_complete
            and not cycle.disconnected
            and not self.transport.is_closing()
            and self.scope is cycle.scope  # otherwise the request in progress is a later one
        )
