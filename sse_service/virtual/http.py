"""`@connections` requests and answers as ASGI has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from sse_service.virtual.management import Answer
from sse_service.virtual.sigv4 import SignedRequest

if TYPE_CHECKING:
    from starlette.types import Message

__all__ = ["send_answer", "signed_request"]


async def signed_request(scope: Scope, receive: Receive) -> SignedRequest:
    """The request as it came, its body read (RequestContext bounds it)."""
    parts: list[bytes] = []
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            break
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    return SignedRequest(
        scope["method"],
        raw_path.decode("latin-1"),
        scope.get("query_string", b"").decode("latin-1"),
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
        b"".join(parts),
    )


async def send_answer(answer: Answer, send: Send) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers]
    headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
