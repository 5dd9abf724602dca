"""Streams: who may open which, and where they begin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from sse_service.api.identity import services_of
from sse_service.api.tickets import StreamCaller, come_back_later, is_native, stream_caller
from sse_service.auth import SCOPE_TENANT_STREAM, own_topics, require_readable
from sse_service.chat.addresses import support_id
from sse_service.errors import ForbiddenError, InvalidInputError, RequestError
from sse_service.events import EVERY_TOPIC, Topic, check_conversation_id, parse_topic, room_topic
from sse_service.logs import note
from sse_service.response import EventStreamResponse
from sse_service.services import Services
from sse_service.wire import MEDIA_TYPE

__all__ = ["stream_router"]

KEEPALIVES = ("comment", "event")

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


def _parameter(
    name: str, where: str, description: str, *, many: bool = False, required: bool = False
) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if many:
        schema = {"type": "array", "items": schema, **({"minItems": 1} if required else {})}
    return {"name": name, "in": where, "required": required, "description": description, "schema": schema}


_COMMON = [
    {
        "name": "keepalive",
        "in": "query",
        "required": False,
        "description": "heartbeats as comments, or as events of type `keepalive` that scripts see",
        "schema": {"type": "string", "enum": list(KEEPALIVES), "default": "comment"},
    },
    _parameter("ticket", "query", "instead of a token: a ticket (POST /api/streams/tickets), for EventSource"),
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
            *_COMMON,
        ]
    },
)
async def chat_stream(request: Request) -> Response:
    caller = await _caller(request)
    if isinstance(caller, Response):
        return caller
    principal = caller.principal
    wanted = request.query_params.getlist("conversationId")
    most = services_of(request).settings.max_topics
    if len(wanted) > most:
        raise InvalidInputError("conversationId", f"no more than {most}")
    for conversation_id in wanted:
        check_conversation_id(conversation_id)
    if len(wanted) == 1:
        note(conversationId=wanted[0])
    if support_id(principal.user) in wanted:
        await services_of(request).chat.conversations.support(principal)  # made on demand

    def choose(rooms: frozenset[str]) -> set[Topic]:
        if not rooms.issuperset(wanted):
            raise ForbiddenError("not a participant of this conversation")
        return {*own_topics(principal), *map(room_topic, wanted or rooms)}

    # A ticket for certain topics does not follow its user into new conversations.
    joins = not wanted and caller.topics is None
    return await _open(request, caller, choose, envelope=False, joins=joins)


@stream_router.get(
    "/api/streams",
    summary="Chosen topics, each event with all its stored fields (`topic=*` needs the scope streams:tenant)",
    response_class=_EventStreamDocs,
    responses=_RESPONSES,
    openapi_extra={
        "parameters": [_parameter("topic", "query", "kind:ID, or * for all", many=True, required=True), *_COMMON]
    },
)
async def topic_stream(request: Request) -> Response:
    caller = await _caller(request)
    if isinstance(caller, Response):
        return caller
    principal = caller.principal
    asked = request.query_params.getlist("topic")
    settings = services_of(request).settings
    most = settings.max_topics
    if not 1 <= len(asked) <= most:
        raise InvalidInputError("topic", f"name 1 to {most} topics")
    if EVERY_TOPIC in asked:
        principal.require(SCOPE_TENANT_STREAM)
        return await _open(request, caller, lambda _: None, envelope=True, joins=False, needs_rooms=False)
    topics = {parse_topic(topic, settings.topic_kinds) for topic in asked}

    def choose(rooms: frozenset[str]) -> set[Topic]:
        for topic in topics:
            require_readable(principal, topic, rooms)
        return topics

    # One read of the store less for everybody who follows only what is their own.
    needs_rooms = not own_topics(principal).issuperset(topics)
    return await _open(request, caller, choose, envelope=True, joins=False, needs_rooms=needs_rooms)


async def _open(
    request: Request,
    caller: StreamCaller,
    choose: Callable[[frozenset[str]], set[Topic] | None],
    *,
    envelope: bool,
    joins: bool,
    needs_rooms: bool = True,
) -> Response:
    try:
        response = await _stream(request, caller, choose, envelope=envelope, joins=joins, needs_rooms=needs_rooms)
    except RequestError as error:
        response = _survivable(request, error)
    caller.give_cookie(request, response)
    return response


async def _caller(request: Request) -> StreamCaller | Response:
    """Who opens the stream, or the answer when that cannot be found out now."""
    try:
        return await stream_caller(request)
    except RequestError as error:
        return _survivable(request, error)


def _survivable(request: Request, error: RequestError) -> Response:
    """What passes must not end a browser's EventSource. Raises `error` for everything and everybody else."""
    if error.retry_after_s is None or not is_native(request):
        raise error
    services_of(request).metrics.refused.labels(error.code).inc()
    return come_back_later(error, request)


async def _stream(
    request: Request,
    caller: StreamCaller,
    choose: Callable[[frozenset[str]], set[Topic] | None],
    *,
    envelope: bool,
    joins: bool,
    needs_rooms: bool,
) -> Response:
    services: Services = services_of(request)
    hub, principal = services.hub, caller.principal
    services.rates.open(principal)
    address = request.client.host if request.client else ""
    counted = (principal.tenant, principal.user, address)
    hub.limits.enter(*counted)
    try:
        feed = await hub.feed(principal.tenant)
        # The position first, the conversations second: one that is made in between is either found in the
        # store or announced by an event after the position.
        located = await feed.locate(_cursor(request))
        topics = choose(await services.chat.rooms_of(principal) if needs_rooms else frozenset())
        caller.permit(topics)
        writer = hub.writer_for(
            principal,
            topics,
            envelope=envelope,
            joins=joins,
            address=address,
            named_keepalive=_wants_keepalive(request),
        )
    except BaseException:
        hub.limits.leave(*counted)
        raise
    return EventStreamResponse(hub, feed, located, writer, services.metrics)


def _wants_keepalive(request: Request) -> bool:
    wanted = request.query_params.get("keepalive", "comment")
    if wanted not in KEEPALIVES:
        raise InvalidInputError("keepalive", f"must be one of {', '.join(KEEPALIVES)}")
    return wanted == "event"


def _cursor(request: Request) -> str | None:
    """The id of the last event the client has seen; the header is the fresher one on a reconnect."""
    header = request.headers.get("last-event-id")
    if header:
        return header
    return request.query_params.get("lastEventId") or None
