"""The wire protocol of virtual connections as a client sees it. Pure; docs/guides/drop-in-client.md, "On the wire"."""

from __future__ import annotations

import base64
import binascii
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit, urlunsplit

__all__ = [
    "BACKOFF_CAP_S",
    "Address",
    "Frames",
    "Offer",
    "check_close",
    "decode",
    "encode",
    "is_gone",
    "is_passing",
    "pause_s",
]

SDK = "ws2sse/1"
BACKOFF_CAP_S = 8.0
MAX_REASON_BYTES = 123
MAX_EVENT_BYTES = 8 << 20
LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True)
class Address:
    """Where to open, and the query that goes up in the body: it often carries a token, and addresses are logged."""

    url: str
    query: str

    @classmethod
    def parse(cls, url: str, base_url: str = "") -> Address:
        """ws and http, wss and https are the same. base_url takes the place of scheme and host. Raises ValueError."""
        parts = urlsplit(url)
        scheme = {"ws": "http", "wss": "https", "http": "http", "https": "https"}.get(parts.scheme)
        if scheme is None or not parts.netloc:
            raise ValueError("the URL must begin with ws://, wss://, http:// or https:// and name a host")
        if "#" in url:
            raise ValueError("a WebSocket URL has no fragment")
        plain = urlunsplit((scheme, parts.netloc, parts.path or "/", "", ""))
        return cls(base_url.rstrip("/") + (parts.path or "/") if base_url else plain, parts.query)


@dataclass(frozen=True)
class Offer:
    """The answer to the handshake. Times in seconds, sizes in bytes."""

    connection_id: str
    secret: str
    protocol: str
    stream_url: str
    send_url: str
    window_s: float
    silence_s: float
    message_bytes: int
    batch_bytes: int

    @property
    def url(self) -> str:
        return self.send_url.rpartition("/")[0]

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Connection {self.secret}"}

    @classmethod
    def parse(cls, body: bytes, opened_at: str) -> Offer:
        """Raises ValueError for what is no offer, and for addresses of another origin: they would get the secret."""
        try:
            raw = json.loads(body)
            stream_url, send_url = urljoin(opened_at, raw["streamPath"]), urljoin(opened_at, raw["sendPath"])
            offer = cls(
                str(raw["connectionId"]),
                str(raw["secret"]),
                str(raw.get("protocol") or ""),
                stream_url,
                send_url,
                window_s=raw.get("resumeWindowMs", 60_000) / 1000,
                silence_s=3 * raw.get("heartbeatMs", 15_000) / 1000,
                message_bytes=int(raw.get("maxMessageBytes", 131_072)),
                batch_bytes=int(raw.get("maxBatchBytes", 400_000)),
            )
        except (KeyError, TypeError, ValueError):
            raise ValueError("the handshake's answer is no offer") from None
        if any(urlsplit(url)[:2] != urlsplit(opened_at)[:2] for url in (stream_url, send_url)):
            raise ValueError("the service named an address of another origin")
        return offer


def check_close(code: int | None, reason: str) -> None:
    """Raises ValueError. Source: WebSockets Standard, 3.1, close(); RFC 6455, 5.5."""
    if code is not None and code != 1000 and not 3000 <= code <= 4999:
        raise ValueError(f"the close code must be 1000 or between 3000 and 4999, not {code}")
    if len(reason.encode("utf-8", "replace")) > MAX_REASON_BYTES:
        raise ValueError(f"the close reason is longer than {MAX_REASON_BYTES} bytes")


def encode(seq: int, message: str | bytes) -> str:
    """One message of a POST as JSON."""
    if isinstance(message, str):
        return json.dumps({"seq": seq, "text": message}, ensure_ascii=False)
    return json.dumps({"seq": seq, "binary": base64.b64encode(message).decode()})


def decode(event: str, data: str) -> str | bytes:
    """A message event's payload. Raises ValueError."""
    try:
        return str(json.loads(data)) if event == "text" else base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def is_gone(status: int) -> bool:
    return status in {401, 403, 404, 410}


def is_passing(status: int) -> bool:
    return status in {0, 408, 425, 429} or status >= 500


def pause_s(failures: int) -> float:
    """Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter")."""
    return random.uniform(0, min(BACKOFF_CAP_S, 0.25 * 2 ** min(failures, 10)))  # noqa: S311 - no secret


class Frames:
    """Bytes of `text/event-stream` to events (HTML standard, 9.2.6): type, number or None, data.

    Lines are cut from bytes: what `str.splitlines` takes for line ends (U+2028, U+0085) is part of a text here.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._event = ""
        self._id: int | None = None
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[tuple[str, int | None, str]]:
        """Raises ValueError for an event that is beyond all limits, and for what is no UTF-8."""
        rest = self._rest + chunk
        # A CR at the end may be the first half of CR LF.
        held = rest.endswith(b"\r")
        *lines, self._rest = LINE_END.split(rest[:-1] if held else rest)
        if held:
            self._rest += b"\r"
        if len(self._rest) > MAX_EVENT_BYTES:
            raise ValueError("an event is too long")
        for raw in lines:
            if raw:
                self._field(raw.decode())
                continue
            if self._data:
                yield self._event, self._id, "\n".join(self._data)
            self._event, self._id, self._data = "", None, []

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and value.isascii() and value.isdigit():
            self._id = int(value)
