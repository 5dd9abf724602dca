"""What clients of virtual connections send, read and checked. Pure."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sse_service.connections.integration import is_token
from sse_service.connections.jsonpath import parse_json
from sse_service.connections.lifecycle import CloseStatus, client_close_status
from sse_service.errors import InvalidInputError
from sse_service.virtual.flows import Message

__all__ = ["Close", "Open", "read_close", "read_messages", "read_open", "websocket_headers"]

MAX_MESSAGES = 1000
"""In one POST."""
MAX_REASON_BYTES = 123
"""RFC 6455, 5.5: a close frame's body has 125 bytes, two of them for the code."""

# Of the POST that stands for the handshake, not of the handshake.
_NOT_OF_A_HANDSHAKE = frozenset({"content-type", "transfer-encoding", "accept", "sec-fetch-dest", "sec-fetch-mode"})


@dataclass(frozen=True, slots=True)
class Open:
    protocols: list[str]
    query: str


@dataclass(frozen=True, slots=True)
class Close:
    """last: number of the client's last message; secret: only a beacon's."""

    status: CloseStatus
    reason: str
    last: int
    secret: str


def read_open(body: bytes) -> Open:
    """{"protocols"?: [token], "query"?: raw query without "?"}. Raises InvalidInputError."""
    raw = _object(body)
    protocols = raw.get("protocols") or []
    if not isinstance(protocols, list) or not all(isinstance(one, str) and is_token(one) for one in protocols):
        raise InvalidInputError("protocols", "must be a list of tokens (RFC 9110, 5.6.2)")
    query = _text(raw, "query")
    return Open(protocols, query.removeprefix("?"))


def websocket_headers(raw: Sequence[tuple[bytes, bytes]], protocols: Sequence[str]) -> list[tuple[str, str]]:
    """The headers of a WebSocket handshake from those of the POST that takes its place.

    Names get the spelling that browsers use (`user-agent` -> `User-Agent`): HTTP/1.1 servers hand them on in lower
    case, and handlers that were written for API Gateway look for what it gave them.
    """
    headers = [
        ("-".join(part.capitalize() for part in name.decode("latin-1").split("-")), value.decode("latin-1"))
        for name, value in raw
        if name.lower() not in {other.encode() for other in _NOT_OF_A_HANDSHAKE}
    ]
    headers.append(("Sec-WebSocket-Version", "13"))
    headers.append(("Sec-WebSocket-Key", base64.b64encode(os.urandom(16)).decode()))
    if protocols:
        headers.append(("Sec-WebSocket-Protocol", ", ".join(protocols)))
    return headers


def read_messages(body: bytes) -> tuple[list[Message], int | None]:
    """{"messages": [{"seq": n, "text": … | "binary": base64}], "received"?: n}. Raises InvalidInputError."""
    raw = _object(body)
    received = _count(raw, "received")
    messages = raw.get("messages") or []
    if not isinstance(messages, list) or len(messages) > MAX_MESSAGES:
        raise InvalidInputError("messages", f"must be a list of at most {MAX_MESSAGES}")
    return [_message(one) for one in messages], received


def _message(raw: Any) -> Message:
    if not isinstance(raw, dict):
        raise InvalidInputError("messages", "must hold objects")
    number, text, binary = _count(raw, "seq"), raw.get("text"), raw.get("binary")
    if not number:
        raise InvalidInputError("seq", "must be a number from 1")
    if isinstance(text, str) and binary is None:
        return Message(number, text)
    if not isinstance(binary, str) or text is not None:
        raise InvalidInputError("messages", "each must have either text or binary")
    try:
        return Message(number, base64.b64decode(binary, validate=True))
    except (binascii.Error, ValueError):
        raise InvalidInputError("binary", "must be base64") from None


def read_close(body: bytes) -> Close:
    """{"code"?: n, "reason"?: text, "seq"?: n, "secret"?: text}, or nothing. Raises InvalidInputError."""
    raw = _object(body) if body else {}
    code, reason = _count(raw, "code"), _text(raw, "reason")
    # WebSocket.close() takes 1000 and 3000-4999; 1001 is a page that goes away, 1009 a message it did not send.
    if code is not None and code not in {1000, 1001, 1005, 1009} and not 3000 <= code <= 4999:
        raise InvalidInputError("code", "must be 1000, 1001, 1009 or 3000-4999")
    if len(reason.encode("utf-8", "replace")) > MAX_REASON_BYTES:
        raise InvalidInputError("reason", f"must not be longer than {MAX_REASON_BYTES} bytes")
    return Close(client_close_status(code, reason), reason, _count(raw, "seq") or 0, _text(raw, "secret"))


def _object(body: bytes) -> dict[str, Any]:
    try:
        raw = parse_json(body.decode())
    except ValueError:
        raise InvalidInputError("body", "must be JSON") from None
    if not isinstance(raw, dict):
        raise InvalidInputError("body", "must be an object")
    return raw


def _text(raw: dict[str, Any], name: str) -> str:
    value = raw.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidInputError(name, "must be text")
    # A half of a surrogate pair is no text that anybody could send on.
    return value.encode("utf-8", "replace").decode()


def _count(raw: dict[str, Any], name: str) -> int | None:
    value = raw.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise InvalidInputError(name, "must be a whole number")
    return value
