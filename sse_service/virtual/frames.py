"""What goes down a virtual connection's stream. Pure.

`text` (data: a JSON string), `binary` (data: base64) and `close` (data: {"code", "reason"}) are numbered; `ready`,
`ack` and `rotate` are about the stream itself and have no id, so that a client's last event id stays where it is.
JSON keeps text on one line whatever is in it: CR, LF and NUL are escaped.
"""

from __future__ import annotations

import base64
import json

from sse_service.wire import frame

__all__ = ["ack_frame", "binary_frame", "close_frame", "ready_frame", "rotate_frame", "text_frame"]


def text_frame(number: int, text: str) -> bytes:
    return frame(str(number), "text", json.dumps(text, ensure_ascii=False))


def binary_frame(number: int, data: bytes) -> bytes:
    if not data:
        # Dispatched with empty data: the line is there (HTML standard, 9.2.6).
        return b"id: %d\nevent: binary\ndata:\n\n" % number
    return frame(str(number), "binary", base64.b64encode(data).decode())


def close_frame(number: int, code: int, reason: str) -> bytes:
    return frame(str(number), "close", _json({"code": code, "reason": reason}))


def ready_frame(acked: int, retry_ms: int) -> bytes:
    """The first event of a stream. What cannot be resumed gets no stream, so `resumed` is always true."""
    return frame("", "ready", _json({"resumed": True, "acked": acked}), retry_ms)


def ack_frame(acked: int) -> bytes:
    """Messages up to `acked` have come, whatever became of the POST's answer."""
    return frame("", "ack", _json({"seq": acked}))


def rotate_frame(reason: str) -> bytes:
    """Reconnect now; nothing is lost."""
    return frame("", "rotate", _json({"reason": reason}))


def _json(value: dict[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"))
