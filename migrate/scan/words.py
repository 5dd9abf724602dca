"""The words without which a file needs no parser. Pure. until phase 3"""

from __future__ import annotations

__all__ = ["CODE", "JSON", "TERRAFORM", "YAML", "has_any"]

# Lower case. Plain substrings: looking for each in turn is several times faster than one pattern of alternatives.
CODE = (
    b"websocket", b"web_socket", b"web-socket", b"sockjs", b"socket.io", b"socketio", b"sockette", b"partysocket",
    b"'ws'", b'"ws"', b"-ws'", b'-ws"', b"graphql-ws", b"wss://", b"ws://", b"execute-api", b"connectionid",
    b"$connect", b"$disconnect", b"posttoconnection", b"post_to_connection", b"ws_connect", b"httpx_ws",
    b"flask_sock", b"picows", b"wsproto", b"on_ws_", b"stompjs", b"pusher-js", b"grantmanage", b"grant_manage",
)  # fmt: skip
YAML = (b"execute-api", b"apigatewayv2", b"websocket")
JSON = YAML
TERRAFORM = YAML


def has_any(lowered: bytes, words: tuple[bytes, ...]) -> bool:
    """Whether a lower-case text holds one of the words."""
    return any(word in lowered for word in words)
