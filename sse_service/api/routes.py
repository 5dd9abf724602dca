"""Chat and publishing: requests that are answered at once."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import JSONResponse

from sse_service.api.identity import authenticate, services_of
from sse_service.api.models import (
    ConversationIn,
    ConversationOut,
    EventsIn,
    EventsOut,
    HistoryOut,
    SendIn,
    SendOut,
)
from sse_service.chat import MICRO, EventIn, message_frame
from sse_service.errors import InvalidInputError
from sse_service.logs import note
from sse_service.metrics import CONTENT_TYPE
from sse_service.ports import Conversation

__all__ = ["MAX_LIMIT", "authenticate", "chat_router", "health_router", "services_of"]

MAX_LIMIT = 200


chat_router = APIRouter()
health_router = APIRouter()


@chat_router.post(
    "/api/chat/send",
    status_code=201,
    response_model=SendOut,
    responses={200: {"model": SendOut, "description": "sent before with this idempotencyKey"}},
    summary="Send a message to a conversation",
)
async def send(request: Request, body: SendIn) -> Response:
    principal = authenticate(request)
    note(conversationId=body.conversationId)
    sent = await services_of(request).chat.send(
        principal,
        body.conversationId,
        body.message,
        user_name=body.userName or "",
        key=body.idempotencyKey or "",
    )
    answer = {
        "messageId": sent.message_id,
        "conversationId": sent.conversation_id,
        "timestamp": sent.timestamp_us / MICRO,
        "duplicate": sent.is_duplicate,
    }
    return JSONResponse(answer, status_code=200 if sent.is_duplicate else 201)


@chat_router.get(
    "/api/chat/history", response_model=HistoryOut, summary="Messages of a conversation, latest page first"
)
async def history(
    request: Request,
    conversation_id: str = Query(alias="conversationId", min_length=1, max_length=200),
    limit: int = Query(50, ge=1, le=MAX_LIMIT),
    before: str | None = Query(None, description="UNIX seconds: only messages before it"),
    after: str | None = Query(None, description="UNIX seconds: only messages after it"),
) -> Response:
    principal = authenticate(request)
    note(conversationId=conversation_id)
    messages, older = await services_of(request).chat.history(
        principal,
        conversation_id,
        limit=limit,
        before_us=_micros("before", before),
        after_us=_micros("after", after),
    )
    rows = []
    for message in messages:
        row = message_frame(message)
        del row["type"]
        rows.append(row)
    return JSONResponse(
        {
            "conversationId": conversation_id,
            "messages": rows,
            "before": older / MICRO if older is not None else None,
        }
    )


def _micros(field: str, value: str | None) -> int | None:
    """UNIX seconds in decimal text as microseconds; a float would be off by some of them."""
    if value is None or value == "":
        return None
    try:
        seconds = Decimal(value)
    except InvalidOperation:
        raise InvalidInputError(field, "must be UNIX seconds") from None
    if not seconds.is_finite() or not 0 <= seconds < 10**11:
        raise InvalidInputError(field, "must be UNIX seconds")
    return round(seconds * MICRO)


@chat_router.post(
    "/api/conversations",
    status_code=201,
    response_model=ConversationOut,
    responses={200: {"model": ConversationOut, "description": "it existed"}},
    summary="Make a conversation, or add participants to one's own",
)
async def conversations(request: Request, body: ConversationIn) -> Response:
    principal = authenticate(request)
    note(conversationId=body.conversationId)
    saved, is_new = await services_of(request).chat.save_conversation(
        principal, body.conversationId, body.participants, body.open
    )
    return JSONResponse(_shown(saved), status_code=201 if is_new else 200)


@chat_router.get(
    "/api/conversations",
    response_model=ConversationOut,
    summary="A conversation: for its participants, and for back ends (scope events:publish)",
)
async def conversation(
    request: Request, conversation_id: str = Query(alias="conversationId", min_length=1, max_length=200)
) -> Response:
    principal = authenticate(request)
    note(conversationId=conversation_id)
    return JSONResponse(_shown(await services_of(request).chat.conversation(principal, conversation_id)))


def _shown(found: Conversation) -> dict[str, object]:
    return {
        "conversationId": found.conversation_id,
        "participants": sorted(found.participants),
        "open": found.is_open,
    }


@chat_router.post(
    "/api/events",
    status_code=201,
    response_model=EventsOut,
    summary="Publish events as a back end (scope events:publish)",
)
async def events(request: Request, body: EventsIn) -> Response:
    principal = authenticate(request)
    services_of(request).rates.publish(principal, len(body.events))
    published = await services_of(request).chat.publish_events(
        principal,
        [
            EventIn(
                item.topic,
                item.type,
                item.data,
                item.key or "",
                item.origin or "",
                (item.ensureConversation.conversationId, item.ensureConversation.open)
                if item.ensureConversation
                else None,
            )
            for item in body.events
        ],
    )
    answer = {
        "ids": [str(one.id) for one in published],
        "events": [{"id": str(one.id), "duplicate": one.was_there} for one in published],
    }
    return JSONResponse(answer, status_code=201)


@health_router.get("/healthz", summary="The process lives")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@health_router.get(
    "/readyz",
    summary="New streams are welcome",
    responses={503: {"description": "starting, or going down"}},
)
async def readyz(request: Request) -> Response:
    services = services_of(request)
    if services.is_ready:
        return JSONResponse({"status": "ready", "openStreams": services.hub.open_streams})
    status = "draining" if services.is_leaving or services.hub.is_draining else "starting"
    return JSONResponse({"status": status}, status_code=503, headers={"retry-after": "1"})


@health_router.get(
    "/metrics",
    summary="Counters in Prometheus' text format",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    return Response(services_of(request).metrics.exposition(), media_type=CONTENT_TYPE)
