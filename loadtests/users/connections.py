"""The ways to a stack, each with the same four verbs: open, send, receive, cut; the third is in `dropin`.

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
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import gevent
from gevent.lock import RLock

from loadtests.users.wire import (
    READ_BYTES,
    ClosedError,
    Reader,
    RefusedError,
    connect,
    cut,
    event_stream,
    read_head,
)

__all__ = ["Connection", "EventStream", "WebSocket", "backoff_s", "patiently"]

T = TypeVar("T")

# Names that speak about the stream and not about the application.
CONTROL = frozenset({"ready", "reset", "rotate", "farewell", "transport", "conversation", "left"})
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
BACKOFF_BASE_S, BACKOFF_CAP_S = 0.25, 8.0
SEND_ATTEMPTS = 6
CLOSE, PING, PONG = 8, 9, 10


class Connection(ABC):
    """One user's.

    Args:
        counts: gets `resumed` reconnects that lost nothing, `resets` the other side said that something is missing,
            `dropped` repeats that the protocol's own ids revealed.
    """

    def __init__(
        self,
        pace: Callable[[], None] | None = None,
        receive_buffer: int = 0,
        counts: Counter[str] | None = None,
    ) -> None:
        self.pace = pace
        self.receive_buffer = receive_buffer
        self.counts: Counter[str] = Counter() if counts is None else counts
        self._sock: Any = None
        self._reader: Reader

    @property
    def read_ns(self) -> int:
        """When the socket was last read (monotonic ns)."""
        return self._reader.read_ns

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
            reader = Reader(sock, read_bytes=self.receive_buffer or READ_BYTES)
            status, _ = read_head(reader)
            if status != 101:
                raise RefusedError(status)  # noqa: TRY301 - the socket is closed below
            reader.pace = self.pace
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
        sock, self._reader, self._events = event_stream(
            self._url, {**self._headers, **more}, self.pace, self.receive_buffer
        )
        try:
            # `ready` is the first event: from its position on nothing is missed.
            identity, kind, data = next(self._events, ("", "", ""))
            if kind == "reset" or (kind == "ready" and more and not json.loads(data).get("recovered")):
                self.counts["resets"] += 1
            elif kind == "ready" and more:
                self.counts["resumed"] += 1
            elif kind != "ready":
                raise ClosedError(f"the first event is {kind or 'none'}")  # noqa: TRY301 - the socket is closed below
        except BaseException:
            sock.close()
            raise
        self._sock = sock
        self._last = identity or self._last

    def receive(self) -> Iterator[dict[str, Any]]:
        for identity, kind, data in self._events:
            if identity:
                if identity in self._seen:
                    self.counts["dropped"] += 1
                    continue
                self._seen[identity] = None
                if len(self._seen) > 2_000:
                    del self._seen[next(iter(self._seen))]
                self._last = identity
            if kind == "reset":
                self.counts["resets"] += 1
            if kind not in CONTROL:
                yield json.loads(data)
        raise ClosedError("the stream has ended")


def patiently(request: Callable[[], T]) -> T:
    """Repeat what may be repeated while the other side is busy or away. Raises RefusedError, OSError: not even so."""
    for attempt in range(SEND_ATTEMPTS):
        try:
            return request()
        except OSError as error:
            final = isinstance(error, RefusedError) and error.status not in TRANSIENT
            if final or attempt == SEND_ATTEMPTS - 1:
                raise
        gevent.sleep(backoff_s(attempt))
    raise AssertionError("the last attempt returns or raises")


def backoff_s(attempt: int) -> float:
    """Full jitter, growing."""
    return random.uniform(0, min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2**attempt))  # noqa: S311 - spreads load, no secret
