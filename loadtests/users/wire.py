"""Sockets, HTTP and event streams as a load generator needs them: gevent, few allocations, nothing per message."""

from __future__ import annotations

import functools
import json
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import gevent.socket
import gevent.ssl
from geventhttpclient import HTTPClient

__all__ = ["ClosedError", "Posts", "Reader", "RefusedError", "connect", "cut", "event_stream", "read_head"]

CONNECT_TIMEOUT_S = 30.0
READ_BYTES = 65_536
HEAD_BYTES = 65_536


class ClosedError(ConnectionError):
    """The other side has ended the connection; the message says how."""


class RefusedError(ConnectionError):
    """An answer other than the wanted one. `status` is HTTP's."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(f"HTTP {status} {text[:200]}".strip())
        self.status = status


@functools.cache
def tls() -> Any:
    """One for all connections: reading the certificates of the system takes tens of milliseconds, in which nobody else
    of the process gets on."""
    return gevent.ssl.create_default_context()


def connect(url: str, receive_buffer: int = 0) -> Any:
    """A connected socket (TLS for wss and https), to the first address of the host that answers. Raises OSError."""
    parts = urlsplit(url)
    secure = parts.scheme in ("wss", "https")
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    refused: OSError | None = None
    for family, kind, protocol, _, address in gevent.socket.getaddrinfo(host, port, type=gevent.socket.SOCK_STREAM):
        sock = gevent.socket.socket(family, kind, protocol)
        try:
            if receive_buffer:
                # Before connecting: the window is negotiated then.
                sock.setsockopt(gevent.socket.SOL_SOCKET, gevent.socket.SO_RCVBUF, receive_buffer)
            sock.settimeout(CONNECT_TIMEOUT_S)
            sock.connect(address)
            sock.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
            return tls().wrap_socket(sock, server_hostname=host) if secure else sock
        except OSError as error:
            sock.close()
            refused = error
        except BaseException:
            sock.close()
            raise
    raise refused or OSError(f"{host} has no address")


def cut(sock: Any) -> None:
    """Reset the connection, as a network that goes away: no close frame, no FIN."""
    sock.setsockopt(gevent.socket.SOL_SOCKET, gevent.socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Reader:
    """Buffered reading.

    Args:
        pace: called before each read from the socket; how a slow reader is slow.

    Attributes:
        read_ns: when the socket was last read (monotonic): what is in the buffer had come by then.
    """

    def __init__(self, sock: Any, pace: Callable[[], None] | None = None, read_bytes: int = READ_BYTES) -> None:
        self._sock = sock
        self.pace = pace
        self._read_bytes = read_bytes
        self.buffer = bytearray()
        self.read_ns = 0

    def more(self) -> None:
        """Read once. Raises ClosedError at the end."""
        if self.pace is not None:
            self.pace()
        data = self._sock.recv(self._read_bytes)
        self.read_ns = time.monotonic_ns()
        if not data:
            raise ClosedError("ended without a word")
        self.buffer += data

    def take(self, count: int) -> bytes:
        """Exactly so many bytes."""
        while len(self.buffer) < count:
            self.more()
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def until(self, end: bytes, limit: int = HEAD_BYTES) -> bytes:
        """Everything before `end`, which is dropped."""
        start = 0
        while (at := self.buffer.find(end, start)) < 0:
            if len(self.buffer) > limit:
                raise ClosedError("an endless line")
            start = max(0, len(self.buffer) - len(end))
            self.more()
        taken = bytes(self.buffer[:at])
        del self.buffer[: at + len(end)]
        return taken


def read_head(reader: Reader) -> tuple[int, dict[str, str]]:
    """Status and headers (names in lower case) of an answer."""
    lines = reader.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return int(lines[0].split(" ", 2)[1]), headers


def event_stream(
    url: str, headers: Mapping[str, str], pace: Callable[[], None] | None, receive_buffer: int
) -> tuple[Any, Reader, Iterator[tuple[str, str, str]]]:
    """Open a stream. Returns its socket, its reader and an iterator of (id, event, data); ids are "" where there was
    none.

    Raises: RefusedError, OSError. The iterator raises ClosedError or OSError on a cut; a clean end ends it.
    """
    parts = urlsplit(url)
    sock = connect(url, receive_buffer)
    try:
        wanted = {"Host": parts.netloc, "Accept": "text/event-stream", **headers}
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = "".join(f"{name}: {value}\r\n" for name, value in wanted.items())
        sock.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
        reader = Reader(sock, read_bytes=receive_buffer or READ_BYTES)
        status, answered = read_head(reader)
        if status != 200 or not answered.get("content-type", "").startswith("text/event-stream"):
            raise RefusedError(status)  # noqa: TRY301 - the socket is closed below
        reader.pace = pace
        # The heartbeat is below this; silence for so long is a cut.
        sock.settimeout(90.0)
    except BaseException:
        sock.close()
        raise
    body = _chunks(reader) if answered.get("transfer-encoding", "").lower() == "chunked" else _plain(reader)
    return sock, reader, _events(body)


def _plain(reader: Reader) -> Iterator[bytes]:
    while True:
        if reader.buffer:
            data = bytes(reader.buffer)
            reader.buffer.clear()
            yield data
        try:
            reader.more()
        except ClosedError:
            return


def _chunks(reader: Reader) -> Iterator[bytes]:
    while size := int(reader.until(b"\r\n").partition(b";")[0], 16):
        yield reader.take(size)
        reader.take(2)


def _events(body: Iterator[bytes]) -> Iterator[tuple[str, str, str]]:
    rest = b""
    for data in body:
        rest += data
        if b"\r" in rest:
            rest = rest.replace(b"\r\n", b"\n")
        *blocks, rest = rest.split(b"\n\n")
        for block in blocks:
            event = _event(block.decode("utf-8", "replace"))
            if event is not None:
                yield event


def _event(block: str) -> tuple[str, str, str] | None:
    identity, kind, data = "", "message", []
    for line in block.split("\n"):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "id":
            identity = value
        elif name == "event":
            kind = value
    return (identity, kind, "\n".join(data)) if data else None


class Posts:
    """Requests of all users of a process to one address, over a pool of connections."""

    def __init__(self, url: str, concurrency: int = 256) -> None:
        self._client = HTTPClient.from_url(
            url, concurrency=concurrency, connection_timeout=CONNECT_TIMEOUT_S, network_timeout=CONNECT_TIMEOUT_S
        )

    def post(self, path: str, body: object, headers: Mapping[str, str]) -> Any:
        """The answer's JSON. Raises RefusedError for a status other than 2xx, OSError."""
        return self._request("POST", path, json.dumps(body).encode(), headers)

    def delete(self, path: str, body: object, headers: Mapping[str, str]) -> Any:
        return self._request("DELETE", path, json.dumps(body).encode(), headers)

    def _request(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Any:
        answer = self._client.request(method, path, body, {"Content-Type": "application/json", **headers})
        text = answer.read()
        if not 200 <= answer.status_code < 300:
            raise RefusedError(answer.status_code, bytes(text).decode("utf-8", "replace"))
        return json.loads(text) if text else None
