"""Structured logs: one JSON object a line on stderr, with the request they belong to and without secrets."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from contextvars import ContextVar

__all__ = ["JsonFormatter", "configure", "note", "redact", "request_fields"]

request_fields: ContextVar[dict[str, str] | None] = ContextVar("request_fields", default=None)
"""requestId, userId, conversationId of the request being served; a fresh dict for each."""

_TOKEN = re.compile(r"eyJ[\w-]{5,}\.[\w-]+\.[\w-]*", re.ASCII)
_BEARER = re.compile(r"(?i)\b(bearer)\s+[\w.~+/=-]+", re.ASCII)
_PARAMETER = re.compile(r"(?i)\b(token|access_token|ticket|secret|password)=[^&\s\"']+")
_STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "message",
    "asctime",
    "color_message",
    "taskName",
}


def redact(text: str) -> str:
    """`text` without anything that looks like a token."""
    text = _TOKEN.sub("[redacted]", text)
    text = _BEARER.sub(r"\1 [redacted]", text)
    return _PARAMETER.sub(r"\1=[redacted]", text)


def note(**fields: str) -> None:
    """Add fields to every further log line of this request."""
    current = request_fields.get()
    if current is not None:
        current.update(fields)


class JsonFormatter(logging.Formatter):
    """{"time","level","logger","message", requestId, userId, conversationId, extras..., "exception"}"""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        fields.update(request_fields.get() or {})
        for name, value in record.__dict__.items():
            if name not in _STANDARD:
                fields[name] = redact(value) if isinstance(value, str) else value
        if record.exc_info:
            fields["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(fields, ensure_ascii=False, default=str)


def configure(level: str) -> None:
    """Send the process's logs to stderr as JSON lines; libraries only from warning on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("sse_service").setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(logging.WARNING)
