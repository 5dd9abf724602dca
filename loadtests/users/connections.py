"""The three ways to a stack, each with the same four verbs: open, send, receive, cut.

`receive` yields what the application said: JSON objects, the same whether they came in a WebSocket frame, an event or
over a virtual connection.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import gevent
from gevent.lock import RLock

from loadtests.users.wire import ClosedError, Posts, Reader, RefusedError, connect, cut, event_stream, read_head

__all__ = ["Connection", "DropIn", "EventStream", "WebSocket"]

# Names that speak about the stream and not about the application.
CONTROL = frozenset({"ready", "reset", "rotate", "farewell", "transport", "conversation", "left"})
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
BACKOFF_BASE_S, BACKOFF_CAP_S = 0.25, 8.0
CLOSE, PING, PONG = 8, 9, 10


class Connection(ABC):
    """Counts: `resumed` reconnects that lost nothing, `resets` the other side said that something is missing,
    `dropped` repeats that the protocol's own ids revealed."""

    def __init__(self, pace: Callable[[], None] | None = None, receive_buffer: int = 0) -> None:
        self.pace = pace
        self.receive_buffer = receive_buffer
        self.resumed = self.resets = self.dropped = 0
        self._sock: Any = None

    @abstractmethod
    def open(self) -> None:
        """Connect, for the first time or again. Raises RefusedError, OSError."""

    @abstractmethod
    def receive(self) -> Iterator[dict[str, Any]]:
        """Until the connection ends. Raises ClosedError, OSError."""

    def cut(self) -> None:
        """The network goes away."""
        if self._sock is not None:
            cut(self._sock)

    def close(self) -> None:
        """The user goes."""
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.close()


class WebSocket(Connection):
    """RFC 6455, the client's side, text only."""

    def __init__(self, url: str, query: Mapping[str, str], **options: Any) -> None:
        super().__init__(**options)
        self._url = url
        self._query = query
        self._lock = RLock()

    def open(self) -> None:
        parts = urlsplit(self._url)
        sock = connect(self._url, self.receive_buffer)
        try:
            key = base64.b64encode(os.urandom(16)).decode()
            sock.sendall(
                f"GET {parts.path or '/'}?{urlencode(self._query)} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
            )
            reader = Reader(sock, self.pace, self.receive_buffer or 65_536)
            status, _ = read_head(reader)
            if status != 101:
                raise RefusedError(status)  # noqa: TRY301 - the socket is closed below
            # A WebSocket may be silent for long: API Gateway's own limit is 10 minutes.
            sock.settimeout(None)
        except BaseException:
            sock.close()
            raise
        self._sock, self._reader = sock, reader

    def send(self, frame: Mapping[str, Any]) -> None:
        """Raises OSError."""
        self._write(1, json.dumps(frame).encode())

    def _write(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
        elif size < 65_536:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
        mask = os.urandom(4)
        repeated = (mask * (size // 4 + 1))[:size]
        masked = (int.from_bytes(payload) ^ int.from_bytes(repeated)).to_bytes(size)
        with self._lock:
            self._sock.sendall(head + mask + masked)

    def receive(self) -> Iterator[dict[str, Any]]:
        reader, message = self._reader, b""
        while True:
            first, second = reader.take(2)
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack("!H", reader.take(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", reader.take(8))
            payload, opcode = reader.take(size), first & 0x0F
            if opcode == PING:
                self._write(PONG, payload)
            elif opcode == CLOSE:
                code = struct.unpack("!H", payload[:2])[0] if len(payload) >= 2 else 1005
                raise ClosedError(f"closed with {code}")
            elif opcode < 3:
                message += payload
                if first & 0x80:
                    whole, message = message, b""
                    yield json.loads(whole)

    def close(self) -> None:
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._write(CLOSE, struct.pack("!H", 1000))
        super().close()


class EventStream(Connection):
    """`GET /api/chat/stream`, resumed with Last-Event-ID until `close`.

    Args:
        url: of the stream, with its query.
        headers: Authorization.
    """

    def __init__(self, url: str, headers: Mapping[str, str], **options: Any) -> None:
        super().__init__(**options)
        self._url = url
        self._headers = headers
        self._last = ""
        # At least once on the wire: what a resume brings again is known by its id.
        self._seen: dict[str, None] = {}
        self._events: Iterator[tuple[str, str, str]] = iter(())

    def open(self) -> None:
        more = {"Last-Event-ID": self._last} if self._last else {}
        self._sock, self._events = event_stream(self._url, {**self._headers, **more}, self.pace, self.receive_buffer)
        # `ready` is the first event: from its position on nothing is missed.
        identity, kind, data = next(self._events, ("", "", ""))
        if kind == "reset" or (kind == "ready" and more and not json.loads(data).get("recovered")):
            self.resets += 1
        elif kind == "ready" and more:
            self.resumed += 1
        elif kind != "ready":
            raise ClosedError(f"the first event is {kind or 'none'}")
        self._last = identity or self._last

    def receive(self) -> Iterator[dict[str, Any]]:
        for identity, kind, data in self._events:
            if identity:
                if identity in self._seen:
                    self.dropped += 1
                    continue
                self._seen[identity] = None
                if len(self._seen) > 2_000:
                    del self._seen[next(iter(self._seen))]
                self._last = identity
            if kind == "reset":
                self.resets += 1
            if kind not in CONTROL:
                yield json.loads(data)
        raise ClosedError("the stream has ended")


class DropIn(Connection):
    """The drop-in client's protocol: docs/guides/drop-in-client.md, "On the wire".

    Args:
        url: of the API, such as https://host/prod.
    """

    def __init__(self, url: str, query: Mapping[str, str], posts: Posts, **options: Any) -> None:
        super().__init__(**options)
        self._url = url
        self._query = query
        self._posts = posts
        self._opened: dict[str, Any] = {}
        self._last = self._seq = 0
        self._lock = RLock()

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Connection {self._opened['secret']}"}

    def open(self) -> None:
        if not self._opened:
            body = {"query": urlencode(self._query), "protocols": []}
            self._opened = self._posts.post(urlsplit(self._url).path or "/", body, {})
            self._last = self._seq = 0
        parts = urlsplit(self._url)
        stream = f"{parts.scheme}://{parts.netloc}{self._opened['streamPath']}"
        again = self._sock is not None
        try:
            self._sock, self._events = event_stream(
                stream, {**self._headers, "Last-Event-ID": str(self._last)}, self.pace, self.receive_buffer
            )
        except RefusedError as error:
            if error.status in (401, 403, 404, 410):
                self._opened = {}  # gone: the next attempt is a new connection
                self.resets += 1
            raise
        self.resumed += again

    def send(self, frame: Mapping[str, Any]) -> None:
        """One POST in flight; repeated until it is acknowledged. Raises RefusedError, OSError."""
        with self._lock:
            self._seq += 1
            message = {"seq": self._seq, "text": json.dumps(frame)}
            for attempt in range(6):
                try:
                    self._posts.post(
                        self._opened["sendPath"], {"messages": [message], "received": self._last}, self._headers
                    )
                    return
                except RefusedError as error:
                    if error.status not in TRANSIENT or attempt == 5:
                        raise
                except OSError:
                    if attempt == 5:
                        raise
                gevent.sleep(backoff_s(attempt))

    def receive(self) -> Iterator[dict[str, Any]]:
        for identity, kind, data in self._events:
            if identity:
                number = int(identity)
                if number <= self._last:
                    self.dropped += 1
                    continue
                self._last = number
            if kind == "text":
                yield json.loads(json.loads(data))
            elif kind == "close":
                self._opened = {}
                raise ClosedError(f"closed with {json.loads(data).get('code')}")
        raise ClosedError("the stream has ended")

    def close(self) -> None:
        if self._opened:
            parts = self._opened["streamPath"].rpartition("/")[0]
            with contextlib.suppress(OSError):
                self._posts.delete(parts, {"code": 1000, "reason": "", "seq": self._seq}, self._headers)
        super().close()


def backoff_s(attempt: int) -> float:
    """Full jitter, growing."""
    return random.uniform(0, min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2**attempt))  # noqa: S311 - spreads load, no secret
