"""The names of what clients are rewritten to: the one place. until phase 3"""

from __future__ import annotations

__all__ = [
    "JS_CLASS",
    "JS_PACKAGE",
    "MARKER",
    "PY_EXCEPTIONS",
    "PY_FUNCTIONS",
    "PY_KEYWORDS",
    "PY_MODULE",
    "SEND_URL",
    "STREAM_URL",
]

JS_PACKAGE = "@ws2sse/client"
JS_CLASS = "SseWebSocket"

PY_MODULE = "sse_service.pyclient"
_ASYNC, _SYNC = f"{PY_MODULE}.connect", f"{PY_MODULE}.sync.connect"
# Name of a client library -> name of ours.
PY_FUNCTIONS = {
    "websockets.connect": _ASYNC,
    "websockets.client.connect": _ASYNC,
    "websockets.asyncio.client.connect": _ASYNC,
    "websockets.sync.client.connect": _SYNC,
    "websocket.create_connection": _SYNC,
}
PY_EXCEPTIONS = {
    **{
        f"websockets.{name}": f"{PY_MODULE}.{name}"
        for name in ("ConnectionClosed", "ConnectionClosedOK", "ConnectionClosedError")
    },
    **{
        f"websockets.exceptions.{name}": f"{PY_MODULE}.{name}"
        for name in ("ConnectionClosed", "ConnectionClosedOK", "ConnectionClosedError")
    },
    "websocket.WebSocketConnectionClosedException": f"{PY_MODULE}.ConnectionClosed",
}
# Keyword arguments that mean the same on both sides; a value is our name for it.
PY_KEYWORDS = {
    "uri": "url",
    "url": "url",
    "additional_headers": "headers",
    "extra_headers": "headers",
    "subprotocols": "subprotocols",
    "open_timeout": "open_timeout_s",
}

STREAM_URL = "/api/chat/stream"
SEND_URL = "/api/chat/send"

# Begins every comment that is written; a place that has one is not commented again.
MARKER = "ws2sse:"
