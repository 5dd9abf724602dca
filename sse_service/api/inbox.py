"""Around messages: typing, read receipts, unread counts, recent conversations, single messages, files."""

from __future__ import annotations

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.responses import JSONResponse

from sse_service.api.identity import authenticate, services_of
from sse_service.api.models import (
    AddressOut,
    DirectMessageOut,
    MessageOut,
    ReadIn,
    ReadOut,
    RecentOut,
    TypingIn,
    TypingOut,
    UnreadOut,
    UploadIn,
    UploadOut,
)
from sse_service.api.problems import problem_docs
from sse_service.api.select import conversation_of, micros, micros_of_number
from sse_service.auth import Principal
from sse_service.chat import MICRO
from sse_service.chat.addresses import is_direct
from sse_service.chat.frames import other_party, without_type
from sse_service.chat.receipts import Entry

__all__ = ["inbox_router"]

inbox_router = APIRouter()

_NAME = Query(alias="conversationId", min_length=1, max_length=200)
_MESSAGE_ID = Path(alias="messageId", min_length=1, max_length=256)


@inbox_router.post(
    "/api/chat/typing",
    response_model=TypingOut,
    responses={202: {"model": TypingOut, "description": "nobody is told: there is no such direct conversation yet"}},
    summary="Tell the others in a conversation that one is typing, or no longer",
)
async def typing(request: Request, body: TypingIn) -> Response:
    principal = authenticate(request)
    services = services_of(request)
    conversation = await conversation_of(services.chat, principal, body.conversationId, body.partner)
    if body.partner and await services.chat.conversations.get(principal, conversation.conversation_id) is None:
        # Its first message makes it; whoever deletes the text again has told the other nothing.
        return JSONResponse({"told": False}, status_code=202)
    return JSONResponse({"told": await services.chat.typing.say(principal, conversation, body.typing)})


@inbox_router.post(
    "/api/chat/read",
    response_model=ReadOut,
    response_model_exclude_none=True,
    summary="Mark what others have said as read, up to a message, and tell them",
)
async def read(request: Request, body: ReadIn) -> Response:
    principal = authenticate(request)
    services = services_of(request)
    conversation = await conversation_of(services.chat, principal, body.conversationId, body.partner)
    given = body.upTo
    up_to = micros_of_number("upTo", given) if isinstance(given, (int, float)) else micros("upTo", given)
    frame = await services.chat.receipts.read(principal, conversation, up_to)
    return JSONResponse({**frame, "type": "readDone"})


@inbox_router.get(
    "/api/chat/unread", response_model=UnreadOut, summary="How many messages of others the caller has not read"
)
async def unread(request: Request) -> Response:
    principal = authenticate(request)
    counts = await services_of(request).chat.receipts.unread(principal)
    return JSONResponse(
        {
            "unread": sum(count for _, count in counts),
            "conversations": [{"conversationId": name, "unread": count} for name, count in counts],
        }
    )


@inbox_router.get(
    "/api/chat/conversations",
    response_model=RecentOut,
    summary="The caller's conversations, newest message first, with unread counts",
)
async def recent(
    request: Request,
    limit: int = Query(20, ge=1, le=100),
    before: str | None = Query(None, description="UNIX seconds: only those whose latest message is older"),
) -> Response:
    principal = authenticate(request)
    entries, older = await services_of(request).chat.receipts.recent(
        principal, limit=limit, before_us=micros("before", before)
    )
    return JSONResponse(
        {
            "conversations": [_entry(principal, entry) for entry in entries],
            "before": older / MICRO if older else None,
        }
    )


def _entry(principal: Principal, entry: Entry) -> dict[str, object]:
    conversation, last = entry.conversation, entry.last
    is_theirs = is_direct(conversation.conversation_id)
    return {
        "conversationId": conversation.conversation_id,
        **({"with": other_party(conversation, principal.user)} if is_theirs else {}),
        "open": conversation.is_open,
        "unread": entry.unread,
        "lastMessage": last if last is None or is_theirs else without_type(last),
        "readUpTo": entry.read_up_to_us / MICRO if entry.read_up_to_us is not None else None,
    }


@inbox_router.get(
    "/api/chat/messages/{messageId}",
    response_model=MessageOut | DirectMessageOut,
    summary="One message, for whom SSE_NOTIFY=id has told its id",
    responses={404: problem_docs("there is no such message in this conversation")},
)
async def one_message(request: Request, message_id: str = _MESSAGE_ID, conversation_id: str = _NAME) -> Response:
    principal = authenticate(request)
    chat = services_of(request).chat
    conversation = await conversation_of(chat, principal, conversation_id, None)
    return JSONResponse(await chat.history.message(principal, conversation, message_id))


@inbox_router.get(
    "/api/chat/messages/{messageId}/attachment",
    response_model=AddressOut,
    summary="Where a participant gets the file of a message, for a short time",
    responses={404: problem_docs("no such message, it has no file, or uploads are not set up")},
)
async def attachment(request: Request, message_id: str = _MESSAGE_ID, conversation_id: str = _NAME) -> Response:
    principal = authenticate(request)
    chat = services_of(request).chat
    conversation = await conversation_of(chat, principal, conversation_id, None)
    found = await chat.history.find(principal, conversation, message_id)
    url, expires_s = await chat.uploads.address(principal, found)
    return JSONResponse({"url": url, "expiresIn": expires_s}, headers={"cache-control": "no-store"})


@inbox_router.post(
    "/api/chat/uploads",
    status_code=201,
    response_model=UploadOut,
    summary="Permission to put one file into S3, of that type and no larger",
    responses={404: problem_docs("uploads are not set up (SSE_UPLOADS_BUCKET)")},
)
async def upload(request: Request, body: UploadIn) -> Response:
    principal = authenticate(request)
    services = services_of(request)
    given = await services.chat.uploads.permit(principal, body.contentType, body.size or 0)
    answer = {
        "uploadId": given.upload_id,
        "url": given.post.url,
        "fields": dict(given.post.fields),
        "maxBytes": given.max_bytes,
        "expiresIn": given.expires_s,
    }
    return JSONResponse(answer, status_code=201, headers={"cache-control": "no-store"})
