"""Streams: who may open which, and where they begin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from sse_service.api.routes import authenticate, services_of
from sse_service.auth import SCOPE_TENANT_STREAM, Principal, own_topics, require_readable
from sse_service.errors import ForbiddenError, InvalidInputError
from sse_service.events import EVERY_TOPIC, Topic, check_conversation_id, parse_topic, room_topic
from sse_service.logs import note
from sse_service.response import EventStreamResponse
from sse_service.services import Services
from sse_service.wire import MEDIA_TYPE

__all__ = ["stream_router"]

MAX_TOPICS = 100

stream_router = APIRouter()


class _EventStreamDocs(Response):
    media_type = MEDIA_TYPE


_EXAMPLE = (
    'id: mb1x9c2k-41\nevent: ready\nretry: 1400\ndata: {"recovered":false,"position":"mb1x9c2k-41",'
    '"reason":"fresh"}\n\nid: mb1x9c2k-42\nevent: message\ndata: {"type":"message","roomId":"main",'
    '"messageId":"...","userName":"alice","message":"hi","timestamp":1718700020.123456}\n\n'
)
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events until the client leaves or the stream is rotated. The first is `ready`.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": _EXAMPLE}},
    }
}


def _parameter(name: str, where: str, description: str, *, many: bool = False) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if many:
        schema = {"type": "array", "items": schema}
    return {"name": name, "in": where, "required": False, "description": description, "schema": schema}


_CURSOR = [
    _parameter("Last-Event-ID", "header", "id of the last event received: what followed it is replayed"),
    _parameter("lastEventId", "query", "the same, for clients that cannot set headers"),
]


@stream_router.get(
    "/api/chat/stream",
    summary="Everything that is for the caller: own, tenant's and conversations' events",
    response_class=_EventStreamDocs,
    responses=_RESPONSES,
    openapi_extra={
        "parameters": [
            _parameter("conversationId", "query", "only these of the caller's conversations", many=True),
            *_CURSOR,
        ]
    },
)
async def chat_stream(request: Request) -> Response:
    principal = authenticate(request)
    wanted = request.query_params.getlist("conversationId")
    if len(wanted) > MAX_TOPICS:
        raise InvalidInputError("conversationId", f"no more than {MAX_TOPICS}")
    for conversation_id in wanted:
        check_conversation_id(conversation_id)
    if len(wanted) == 1:
        note(conversationId=wanted[0])

    def choose(rooms: frozenset[str]) -> set[Topic]:
        if not rooms.issuperset(wanted):
            raise ForbiddenError("not a participant of this conversation")
        return {*own_topics(principal), *map(room_topic, wanted or rooms)}

    return await _open(request, principal, choose, envelope=False, joins=not wanted)


@stream_router.get(
    "/api/streams",
    summary="Chosen topics, each event with all its stored fields (`topic=*` needs the scope streams:tenant)",
    response_class=_EventStreamDocs,
    responses=_RESPONSES,
    openapi_extra={"parameters": [_parameter("topic", "query", "kind:ID, or * for all", many=True), *_CURSOR]},
)
async def topic_stream(request: Request) -> Response:
    principal = authenticate(request)
    asked = request.query_params.getlist("topic")
    if not 1 <= len(asked) <= MAX_TOPICS:
        raise InvalidInputError("topic", f"name 1 to {MAX_TOPICS} topics")
    if EVERY_TOPIC in asked:
        principal.require(SCOPE_TENANT_STREAM)
        return await _open(request, principal, lambda _: None, envelope=True, joins=False)
    topics = {parse_topic(topic) for topic in asked}

    def choose(rooms: frozenset[str]) -> set[Topic]:
        for topic in topics:
            require_readable(principal, topic, rooms)
        return topics

    return await _open(request, principal, choose, envelope=True, joins=False)


async def _open(
    request: Request,
    principal: Principal,
    choose: Callable[[frozenset[str]], set[Topic] | None],
    *,
    envelope: bool,
    joins: bool,
) -> Response:
    services: Services = services_of(request)
    hub = services.hub
    address = request.client.host if request.client else ""
    caller = (principal.tenant, principal.user, address)
    hub.limits.enter(*caller)
    try:
        feed = await hub.feed(principal.tenant)
        # The position first, the conversations second: one that is made in between is either found in the
        # store or announced by an event after the position.
        located = await feed.locate(_cursor(request))
        topics = choose(await services.chat.rooms_of(principal))
        writer = hub.writer_for(principal, topics, envelope=envelope, joins=joins)
    except BaseException:
        hub.limits.leave(*caller)
        raise
    return EventStreamResponse(hub, feed, located, writer, services.metrics, on_close=lambda: hub.limits.leave(*caller))


def _cursor(request: Request) -> str | None:
    """The id of the last event the client has seen; the header is the fresher one on a reconnect."""
    header = request.headers.get("last-event-id")
    if header:
        return header
    return request.query_params.get("lastEventId") or None
