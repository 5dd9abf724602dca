"""Bytes that many streams are given, in each of the shapes a way to the client wants them. Pure."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

__all__ = ["LAST_CHUNK", "BodyMessage", "SharedBytes", "body_message", "chunk"]

BodyMessage = MutableMapping[str, Any]

LAST_CHUNK = b"0\r\n\r\n"


def body_message(data: bytes) -> BodyMessage:
    """A part of a response's body. Source: ASGI specification, "HTTP & WebSocket", "Response Body"."""
    return {"type": "http.response.body", "body": data, "more_body": True}


def chunk(data: bytes) -> bytes:
    """A chunk of a chunked body; nothing for b"", whose chunk would end it. Source: RFC 9112, 7.1."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


class SharedBytes:
    """Ready-made frames; each shape is made at its first use, once for all streams."""

    __slots__ = ("_chunk", "_message", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._chunk: bytes | None = None
        self._message: BodyMessage | None = None

    @property
    def chunk(self) -> bytes:
        made = self._chunk
        if made is None:
            made = self._chunk = chunk(self.data)
        return made

    @property
    def message(self) -> BodyMessage:
        made = self._message
        if made is None:
            made = self._message = body_message(self.data)
        return made
