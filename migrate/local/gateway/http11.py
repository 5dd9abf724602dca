"""The HTTP side of a socket: requests in, answers out, upgrades handed over. Until phase 3.

Written on httptools rather than on a server framework because the handshake must keep the client's own
spelling of header names (handlers look headers up as API Gateway passes them on) and because an @connections
request is answered without leaving the callback that read it.
"""

import asyncio
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol
from urllib.parse import unquote

import httptools

from migrate.local.gateway.connection import UNREAD, Connection

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 10 * 1024 * 1024
"""API Gateway's largest payload; what an operation allows is checked by the operation."""
EARLY_BYTES = 64 * 1024
"""What a client may send before its handshake is answered."""
REJECT_LINGER_S = 0.2
"""How long a refused client may go on sending before the socket is closed."""
IDLE_S = 75.0
"""Keep-alive: a socket without a request is closed after this time; a half-sent request, too."""


@dataclass
class Request:
    """One request; `headers` keep spelling and order, `path` is split and decoded, empty parts left out."""

    method: str = ""
    target: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    _last: dict[str, str] = field(default_factory=dict)

    def add_header(self, name: str, value: str) -> None:
        self.headers.append((name, value))
        self._last[name.lower()] = value

    @property
    def path(self) -> list[str]:
        parts = [part for part in self.target.partition("?")[0].split("/") if part]
        return [unquote(part) for part in parts] if "%" in self.target else parts

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        """The last value of a header, whatever its spelling."""
        return self._last.get(name.lower())


@dataclass(frozen=True)
class Response:
    """An answer; Content-Length is added."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def encode(self, *, keep_alive: bool) -> bytes:
        lines = [f"HTTP/1.1 {self.status} {_phrase(self.status)}"]
        lines.extend(f"{name}: {value}" for name, value in self.headers)
        if self.status != HTTPStatus.NO_CONTENT:
            lines.append(f"Content-Length: {len(self.body)}")
        if not keep_alive:
            lines.append("Connection: close")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + self.body


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"


class HttpOwner(Protocol):
    """What the gateway does for its sockets."""

    def on_socket(self, socket: "HttpSocket", opened: bool) -> None:
        """A socket came (True) or went (False)."""

    def on_request(self, request: Request) -> Response:
        """Answer a request at once."""

    def on_upgrade(self, socket: "HttpSocket", request: Request) -> None:
        """A WebSocket handshake; answered later through `socket.accept` or `socket.refuse`."""


class HttpSocket(asyncio.Protocol):
    """One TCP or TLS connection."""

    def __init__(self, owner: HttpOwner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._request = Request()
        self._head_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._early = bytearray()
        self._accepted = False
        self._rejected = False
        self._active_s = loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport | None = None
        self.connection: Connection | None = None
        """Set once the handshake is under way."""

    # --- asyncio -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream socket's is always a Transport
        self._timer = self._loop.call_later(IDLE_S, self._on_idle)
        self._owner.on_socket(self, True)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.transport = None
        self._cancel_timer()
        if self.connection is not None:
            self.connection.connection_lost()
        self._owner.on_socket(self, False)

    def eof_received(self) -> None:
        if self.connection is not None:
            self.connection.eof_received()

    def pause_writing(self) -> None:
        if self.connection is not None:
            self.connection.pause_reading(UNREAD)

    def resume_writing(self) -> None:
        if self.connection is not None:
            self.connection.resume_reading(UNREAD)

    def data_received(self, data: bytes) -> None:
        if self._rejected:
            return
        if self._parser is None:
            if self._accepted and self.connection is not None:
                self.connection.data_received(data)
            else:
                self._keep_early(data)
            return
        self._active_s = self._loop.time()
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
        except (httptools.HttpParserError, httptools.HttpParserCallbackError):
            self._reject(Response(HTTPStatus.BAD_REQUEST))
        else:
            if self._head_bytes > MAX_HEAD_BYTES:
                self._reject(Response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE))

    # --- httptools ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._request = Request()
        self._body.clear()
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._request.target += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._request.add_header(name.decode("latin-1"), _text(value))

    def on_headers_complete(self) -> None:
        if self._parser is not None:
            self._request.method = self._parser.get_method().decode("latin-1")
        expect = self._request.header("Expect")
        if expect and expect.lower() == "100-continue" and self.transport is not None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        self._body_bytes += len(body)
        if self._body_bytes <= MAX_BODY_BYTES:
            self._body.append(body)

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        if self._parser is None or self._is_websocket():
            return  # for an upgrade, HttpParserUpgrade follows
        request = self._request
        request.body = b"".join(self._body)
        keep_alive = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        if self._body_bytes > MAX_BODY_BYTES:
            answer, keep_alive = Response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE), False
        else:
            answer = self._owner.on_request(request)
        if self.transport is not None:
            self.transport.write(answer.encode(keep_alive=keep_alive))
            if not keep_alive:
                self.transport.close()

    # --- handshakes --------------------------------------------------------------------------------------

    def accept(self, head: bytes) -> None:
        """Answer the handshake with `head` (a complete 101 response) and start the connection."""
        if self.transport is None or self.connection is None:
            return
        self._cancel_timer()
        self._accepted = True
        self.transport.write(head)
        early, self._early = bytes(self._early), bytearray()
        self.connection.open(early)

    def refuse(self, response: Response) -> None:
        """Answer the handshake with an error and close."""
        self._reject(response)

    def _is_websocket(self) -> bool:
        upgrade = self._request.header("Upgrade")
        return upgrade is not None and upgrade.strip().lower() == "websocket"

    def _upgrade(self, rest: bytes) -> None:
        self._parser = None
        if not self._is_websocket():
            return  # answered already; the socket closes
        if rest:
            self._keep_early(rest)
        self._owner.on_upgrade(self, self._request)

    def _keep_early(self, data: bytes) -> None:
        self._early += data
        if len(self._early) > EARLY_BYTES and self.transport is not None:
            self.transport.abort()

    # --- the rest ----------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the socket; an open connection should have been closed before."""
        if self.transport is not None:
            self.transport.close()

    def _reject(self, response: Response) -> None:
        self._parser = None
        self._rejected = True
        self._cancel_timer()
        if self.transport is None:
            return
        self.transport.write(response.encode(keep_alive=False))
        # Closing with unread bytes in the kernel would reset the connection before the answer is read.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self._loop.call_later(REJECT_LINGER_S, self.close)

    def _on_idle(self) -> None:
        left = self._active_s + IDLE_S - self._loop.time()
        if self._parser is None:
            self._timer = self._loop.call_later(IDLE_S, self._on_idle)  # a handshake under way
        elif left > 0.01:
            self._timer = self._loop.call_later(left, self._on_idle)
        else:
            self.close()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
