"""Chat and publishing: requests that are answered at once."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import JSONResponse

from sse_service.api.identity import authenticate, services_of
from sse_service.api.models import (
    ChatResponseOut,
    ConversationIn,
    ConversationOut,
    DirectHistoryOut,
    EventsIn,
    EventsOut,
    HistoryOut,
    MessageIn,
    ParticipantsIn,
    SendIn,
    SendOut,
    event_in,
)
from sse_service.api.problems import problem_docs
from sse_service.api.select import conversation_of, message_key, micros
from sse_service.auth import Principal
from sse_service.chat import MICRO
from sse_service.chat.addresses import direct_room, is_direct, support_id
from sse_service.chat.frames import iso, without_type
from sse_service.errors import InvalidInputError
from sse_service.logs import note
from sse_service.metrics import CONTENT_TYPE
from sse_service.ports import Conversation

__all__ = ["MAX_LIMIT", "authenticate", "chat_router", "health_router", "services_of"]

MAX_LIMIT = 200

_NOT_UPLOADED = problem_docs("attachment.uploadId: nothing of the caller's was uploaded under it")


chat_router = APIRouter()
health_router = APIRouter()


@chat_router.post(
    "/api/chat/send",
    status_code=201,
    response_model=SendOut,
    responses={
        200: {"model": SendOut, "description": "sent before with this idempotencyKey"},
        409: _NOT_UPLOADED,
    },
    summary="Send a message to a conversation, or to a user",
)
async def send(request: Request, body: SendIn) -> Response:
    principal = authenticate(request)
    return await _send(request, principal, body, None)


@chat_router.post(
    "/api/chat/message",
    status_code=201,
    response_model=SendOut | ChatResponseOut,
    responses={
        200: {"model": SendOut | ChatResponseOut, "description": "sent before with this key"},
        202: {"model": ChatResponseOut, "description": "with chat_id: accepted, the answer comes as events"},
        409: _NOT_UPLOADED,
    },
    summary="The short form of send; with chat_id, the responder answers on the caller's streams",
)
async def message(request: Request, body: MessageIn) -> Response:
    principal = authenticate(request)
    services = services_of(request)
    if body.chat_id is None:
        if body.message_id is not None:
            raise InvalidInputError("message_id", "goes with chat_id; elsewhere idempotencyKey does this")
        return await _send(request, principal, body, support_id(principal.user))
    if body.conversationId or body.partner or body.attachment or body.userName:
        raise InvalidInputError("chat_id", "goes with message, message_id and idempotencyKey only")
    chat = services.chat
    chat.sending.check(body.message, key=message_key(body.message_id, body.idempotencyKey))
    conversation = await conversation_of(chat, principal, body.chat_id, None, field="chat_id")
    sent = await chat.answers.publish(
        principal, conversation, body.message, message_id=body.message_id or "", key=body.idempotencyKey or ""
    )
    answer = {
        "type": "chat_response",
        "chat_id": sent.conversation_id,
        "message_id": sent.message_id,
        "status": "accepted",
        "timestamp": iso(sent.timestamp_us),
    }
    return JSONResponse(answer, status_code=200 if sent.is_duplicate else 202)


async def _send(request: Request, principal: Principal, body: SendIn, default: str | None) -> Response:
    chat = services_of(request).chat
    chat.sending.check(
        body.message,
        user_name=body.userName or "",
        key=body.idempotencyKey or "",
        has_attachment=body.attachment is not None,
    )
    conversation = await conversation_of(chat, principal, body.conversationId, body.partner, make=True, default=default)
    attachment = None
    if body.attachment is not None:
        attachment = await chat.uploads.attach(principal, body.attachment.uploadId, body.attachment.name or "")
    sent = await chat.sending.send(
        principal,
        conversation,
        body.message,
        user_name=body.userName or "",
        key=body.idempotencyKey or "",
        attachment=attachment,
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
    before: str | None = Query(None, description="UNIX seconds or ISO 8601: only messages before it"),
    after: str | None = Query(None, description="UNIX seconds or ISO 8601: only messages after it"),
    order: Literal["asc", "desc"] = Query("asc", description="within the page: oldest or newest first"),
) -> Response:
    principal = authenticate(request)
    chat = services_of(request).chat
    conversation = await conversation_of(chat, principal, conversation_id, None)
    page = await chat.history.page(
        principal,
        conversation,
        limit=limit,
        before_us=micros("before", before),
        after_us=micros("after", after),
        newest_first=order == "desc",
    )
    is_iso = is_direct(conversation.conversation_id)
    older: object = page.before_us
    if page.before_us is not None:
        older = iso(page.before_us) if is_iso else page.before_us / MICRO
    return JSONResponse(
        {
            "conversationId": conversation.conversation_id,
            # Rooms' rows have never had a type here; direct ones are the frames.
            "messages": page.frames if is_iso else [without_type(frame) for frame in page.frames],
            "before": older,
        }
    )


@chat_router.get("/api/chat/history/direct", response_model=DirectHistoryOut, summary="The same as /chat/history")
@chat_router.get(
    "/chat/history",
    response_model=DirectHistoryOut,
    summary="Messages with one other user, newest first",
)
async def direct_history(
    request: Request,
    partner: str = Query(alias="with", min_length=1, max_length=200),
    limit: int = Query(50, ge=1, le=MAX_LIMIT),
    before: str | None = Query(None, description="ISO 8601 or UNIX seconds: only messages before it"),
) -> Response:
    principal = authenticate(request)
    chat = services_of(request).chat
    conversation = await conversation_of(chat, principal, None, partner)
    page = await chat.history.page(
        principal, conversation, limit=limit, before_us=micros("before", before), newest_first=True
    )
    return JSONResponse(
        {
            "type": "history",
            "roomId": direct_room(principal.user, partner),
            "conversationId": conversation.conversation_id,
            "messages": page.frames,
            "before": iso(page.before_us) if page.before_us is not None else None,
        }
    )


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
    saved, is_new = await services_of(request).chat.conversations.save(
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
    return JSONResponse(_shown(await services_of(request).chat.conversations.show(principal, conversation_id)))


@chat_router.post(
    "/api/conversations/participants",
    response_model=ConversationOut,
    summary="Add participants: its creator, and back ends (scope events:publish)",
    responses={404: problem_docs("there is no such conversation")},
)
async def add_participants(request: Request, body: ParticipantsIn) -> Response:
    principal = authenticate(request)
    note(conversationId=body.conversationId)
    services = services_of(request)
    known = await services.chat.conversations.show(principal, body.conversationId)
    saved, _ = await services.chat.conversations.save(
        principal, known.conversation_id, body.participants, is_open=False
    )
    return JSONResponse(_shown(saved))


@chat_router.delete(
    "/api/conversations/participants",
    response_model=ConversationOut,
    summary="Leave a conversation, or take somebody out of one's own; their streams stop getting it at once",
    responses={404: problem_docs("there is no such participant")},
)
async def remove_participant(
    request: Request,
    conversation_id: str = Query(alias="conversationId", min_length=1, max_length=200),
    user: str = Query(min_length=1, max_length=200),
) -> Response:
    principal = authenticate(request)
    note(conversationId=conversation_id)
    services = services_of(request)
    return JSONResponse(_shown(await services.chat.conversations.remove(principal, conversation_id, user)))


@chat_router.post(
    "/api/chat/support",
    response_model=ConversationOut,
    summary="The caller's conversation with the support, made at the first request for it",
)
async def support(request: Request) -> Response:
    principal = authenticate(request)
    services = services_of(request)
    found = await services.chat.conversations.support(principal)
    note(conversationId=found.conversation_id)
    return JSONResponse(_shown(found))


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
    published = await services_of(request).chat.publish_events(principal, [event_in(item) for item in body.events])
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
