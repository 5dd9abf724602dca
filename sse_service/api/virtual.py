"""Routes of virtual connections: open, stream, send, close, and the `@connections` API.

POST {path}                          open: authorizer and `$connect` run before the answer
GET  {path}/{id}/stream              what is sent to the connection, resumed by Last-Event-ID
POST {path}/{id}/messages            what it sends
DELETE {path}/{id}, POST {path}/{id}/close    its end; the second for navigator.sendBeacon
POST, GET, DELETE /{stage}/@connections/{id}  for its handlers
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from sse_service.api.problems import problem, problem_docs
from sse_service.auth import refuse_token_in_url
from sse_service.connections.events import Handshake
from sse_service.connections.frames import Refusal
from sse_service.errors import RequestError
from sse_service.logs import note, request_fields
from sse_service.problem import PROBLEM_TYPE
from sse_service.virtual.errors import GapError, GoneError
from sse_service.virtual.http import send_answer, signed_request
from sse_service.virtual.management import COLLECTION
from sse_service.virtual.part import VirtualPart
from sse_service.virtual.requests import (
    read_close,
    read_messages,
    read_open,
    websocket_headers,
)
from sse_service.virtual.service import Connected, VirtualConnections
from sse_service.virtual.store import Entry
from sse_service.wire import MEDIA_TYPE

__all__ = ["virtual_router"]

_SCHEME = "connection"


def virtual_router(virtual: VirtualPart) -> APIRouter:
    router = APIRouter(tags=["virtual connections"])
    routes = _Routes(virtual)
    one = f"{virtual.path}/{{connectionId}}"
    add = router.add_api_route
    add(virtual.path, routes.open, methods=["POST"], summary="Open a virtual connection", **_docs(201, _OPENED, _OPEN))
    add(f"{one}/stream", routes.stream, methods=["GET"], summary="What is sent to a connection", **_docs(200, _EVENTS))
    add(f"{one}/messages", routes.send, methods=["POST"], summary="Send messages", **_docs(200, _ACKED, _SEND))
    add(f"{one}/close", routes.beacon, methods=["POST"], summary="Send the last messages and close", **_docs(204))
    add(one, routes.close, methods=["DELETE"], summary="Close a connection", **_docs(204))
    # As it is on the wire, not as FastAPI would read it: the signature is over that.
    router.add_route(
        f"/{virtual.settings.virtual_stage}/{COLLECTION}/{{connectionId:path}}",
        _Management(virtual),  # type: ignore[arg-type] # an ASGI application; Starlette calls it as one
        methods=["POST", "GET", "DELETE"],
        include_in_schema=False,
    )
    return router


class _Routes:
    def __init__(self, virtual: VirtualPart) -> None:
        self._virtual = virtual
        self._connections: VirtualConnections = virtual.connections

    async def open(self, request: Request) -> Response:
        refuse_token_in_url(request.query_params.keys())
        # JSON, so that another site's page cannot open one with this site's cookies without asking (CORS).
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return problem(415, "unsupported_media_type", "Unsupported Media Type", "send application/json")
        wanted = read_open(await _body(request))
        handshake = Handshake(websocket_headers(request.headers.raw, wanted.protocols), wanted.query)
        address = request.client.host if request.client else ""
        outcome = await self._connections.open(handshake, address)
        if isinstance(outcome, Refusal):
            return _refusal(outcome)
        note(connectionId=outcome.connection_id)
        return JSONResponse(self._opened(outcome), 201, headers={"cache-control": "no-store"})

    def _opened(self, made: Connected) -> dict[str, Any]:
        settings = self._virtual.settings
        path = f"{self._virtual.path}/{made.connection_id}"
        return {
            "connectionId": made.connection_id,
            "protocol": made.subprotocol,
            "secret": made.secret,
            "streamPath": f"{path}/stream",
            "sendPath": f"{path}/messages",
            "resumeWindowMs": int(settings.virtual_resume_s * 1000),
            "maxMessageBytes": settings.virtual_message_bytes,
            "maxBatchBytes": settings.max_body_bytes,
            "idleMs": int(settings.virtual_idle_s * 1000),
            "heartbeatMs": int(settings.effective_heartbeat_s * 1000),
        }

    async def stream(self, connectionId: str, request: Request) -> Response:  # noqa: N803 - the path's name for it
        entry = await self._entry(connectionId, request)
        if isinstance(entry, Response):
            return entry
        cursor = request.headers.get("last-event-id") or "0"
        if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 16):
            return _gone()
        try:
            return await self._connections.streams.open(connectionId, int(cursor))
        except GoneError:
            return _gone()

    async def send(self, connectionId: str, request: Request) -> Response:  # noqa: N803
        entry = await self._entry(connectionId, request)
        if isinstance(entry, Response):
            return entry
        messages, received = read_messages(await _body(request))
        try:
            acked = await self._connections.send(entry, messages, received)
        except GoneError:
            return _gone()
        except GapError as gap:
            return _gap(gap)
        return JSONResponse({"acked": acked})

    async def close(self, connectionId: str, request: Request) -> Response:  # noqa: N803
        entry = await self._entry(connectionId, request)
        if isinstance(entry, Response):
            return entry
        wanted = read_close(await _body(request))
        try:
            acked = (await self._connections.store.session(connectionId)).acked
            if wanted.last > acked:
                return _gap(GapError(acked))
            await self._connections.leave(entry, wanted.status, wanted.reason)
        except GoneError:
            return _gone()
        return Response(status_code=204)

    async def beacon(self, connectionId: str, request: Request) -> Response:  # noqa: N803
        body = await _body(request)
        wanted = read_close(body)
        entry = await self._check(connectionId, wanted.secret)
        if isinstance(entry, Response):
            return entry
        messages, received = read_messages(body)
        try:
            # Nobody will read the answer: what cannot be taken is lost with the page.
            await self._connections.send(entry, messages, received)
        except (GapError, RequestError):
            pass
        except GoneError:
            return _gone()
        try:
            await self._connections.leave(entry, wanted.status, wanted.reason)
        except GoneError:
            return _gone()
        return Response(status_code=204)

    async def _entry(self, connection_id: str, request: Request) -> Entry | Response:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != _SCHEME:
            return problem(401, "unauthorized", "Unauthorized", "send `Authorization: Connection <secret>`")
        return await self._check(connection_id, secret.strip())

    async def _check(self, connection_id: str, secret: str) -> Entry | Response:
        note(connectionId=connection_id[:64])
        try:
            entry = await self._connections.entry(connection_id, secret)
        except GoneError:
            return _gone()
        return entry or problem(403, "forbidden", "Forbidden", "the secret is not this connection's")


class _Management:
    def __init__(self, virtual: VirtualPart) -> None:
        self._virtual = virtual

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await signed_request(scope, receive)
        connection_id: str = scope["path_params"]["connectionId"]
        await send_answer(await self._virtual.management.answer(request, connection_id, is_trusted=False), send)


async def _body(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect:
        return b""


def _gone() -> Response:
    return problem(410, "gone", "Gone", "the connection is gone, or cannot be resumed from there")


def _gap(gap: GapError) -> Response:
    fields = {
        "type": "urn:sse-service:gap",
        "title": "Conflict",
        "status": 409,
        "detail": str(gap),
        "requestId": (request_fields.get() or {}).get("requestId", ""),
        "acked": gap.acked,
    }
    return Response(json.dumps(fields), 409, media_type=PROBLEM_TYPE)


def _refusal(refusal: Refusal) -> Response:
    """A refused handshake. The text is the core's own; what a handler wrote never gets here."""
    code = refusal.error_type.removesuffix("Exception") or "Refused"
    answer = problem(refusal.status, _snake(code), refusal.message, refusal.message)
    if refusal.status in {429, 503}:
        answer.headers["retry-after"] = "1"
    return answer


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).strip("_")


# What OpenAPI says -----------------------------------------------------------------------------------------


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


_TEXT, _NUMBER = {"type": "string"}, {"type": "integer"}
_OPENED = _object(
    connectionId=_TEXT,
    protocol=_TEXT,
    secret=_TEXT,
    streamPath=_TEXT,
    sendPath=_TEXT,
    resumeWindowMs=_NUMBER,
    maxMessageBytes=_NUMBER,
    maxBatchBytes=_NUMBER,
    idleMs=_NUMBER,
    heartbeatMs=_NUMBER,
)
_ACKED = _object(acked=_NUMBER)
_OPEN = {
    "type": "object",
    "properties": {"protocols": {"type": "array", "items": _TEXT}, "query": _TEXT, "sdk": _TEXT},
}
_MESSAGE = {"type": "object", "required": ["seq"], "properties": {"seq": _NUMBER, "text": _TEXT, "binary": _TEXT}}
_SEND = {
    "type": "object",
    "required": ["messages"],
    "properties": {"messages": {"type": "array", "items": _MESSAGE}, "received": _NUMBER},
}
_EVENTS: dict[str, Any] = {}
_STATUS = {
    "400": "the body is not what it must be",
    "401": "no secret; opening: the authorizer found no identity",
    "403": "not this connection's secret; opening: refused by the authorizer",
    "409": "messages are missing before these; `acked` is the last one that came",
    "410": "the connection is gone",
    "429": "too often; see Retry-After",
    "503": "a store is away or the service goes down",
}


def _docs(status: int, schema: dict[str, Any] | None = None, body: dict[str, Any] | None = None) -> dict[str, Any]:
    responses: dict[int | str, dict[str, Any]] = {code: problem_docs(text) for code, text in _STATUS.items()}
    if schema is _EVENTS:
        responses[status] = {"description": "Events", "content": {MEDIA_TYPE: {"schema": _TEXT}}}
    elif schema is not None:
        responses[status] = {"description": "Done", "content": {"application/json": {"schema": schema}}}
    else:
        responses[status] = {"description": "Done"}
    extra: dict[str, Any] = {}
    if body is not None:
        extra["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return {
        "status_code": status,
        "responses": responses,
        "openapi_extra": extra,
        "response_class": Response,
        "response_model": None,
    }
