"""What the responder does: answers as a stream, agent runs, library jobs."""

from __future__ import annotations

from fastapi import APIRouter, Path, Request, Response
from starlette.responses import JSONResponse

from sse_service.api.identity import authenticate, services_of
from sse_service.api.models import (
    AgentRunAccepted,
    AgentRunIn,
    AgentRunOut,
    LibraryJobAccepted,
    LibraryJobIn,
    LibraryJobOut,
    StreamIn,
)
from sse_service.api.problems import problem_docs
from sse_service.api.select import conversation_of, message_key
from sse_service.chat.jobs import AGENT_RUN, LIBRARY, JobKind, shown
from sse_service.errors import InvalidInputError, TooLargeError
from sse_service.reply import AnswerResponse
from sse_service.wire import MEDIA_TYPE, compact_json

__all__ = ["work_router"]

work_router = APIRouter()

_STREAM_EXAMPLE = (
    'id: 019...:start\nevent: chat_stream_start\ndata: {"type":"chat_stream_start","chat_id":"c1",'
    '"message_id":"019...","timestamp":"2026-11-22T03:15:52.123456Z"}\n\n'
    'id: 019...:0\nevent: chat_stream_chunk\ndata: {"type":"chat_stream_chunk","chat_id":"c1","message_id":"019...",'
    '"index":0,"text":"You "}\n\n'
    'id: 019...:end\nevent: chat_stream_end\ndata: {"type":"chat_stream_end","chat_id":"c1","message_id":"019...",'
    '"chunks":1,"status":"completed"}\n\n'
)


class _StreamDocs(Response):
    media_type = MEDIA_TYPE


@work_router.post(
    "/chat/{chat_id}/stream",
    summary="Say something to the responder and read its answer, chunk by chunk",
    response_class=_StreamDocs,
    responses={
        200: {
            "description": "chat_stream_start, chat_stream_chunk ..., chat_stream_end (status: completed or failed). "
            "Closing the connection cancels the answer.",
            "content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": _STREAM_EXAMPLE}},
        },
        409: problem_docs("this message is being answered at this moment; see Retry-After"),
        500: problem_docs("the responder failed before it said anything"),
    },
)
async def chat_stream(request: Request, body: StreamIn, chat_id: str = Path(min_length=1, max_length=200)) -> Response:
    principal = authenticate(request)
    services = services_of(request)
    services.chat.sending.check(body.message, key=message_key(body.message_id, body.idempotencyKey))
    conversation = await conversation_of(services.chat, principal, chat_id, None, field="chat_id")
    answer = await services.chat.answers.stream(
        principal, conversation, body.message, message_id=body.message_id or "", key=body.idempotencyKey or ""
    )
    return AnswerResponse(answer, services.settings)


@work_router.post(
    "/api/agent-runs",
    status_code=202,
    response_model=AgentRunAccepted,
    responses={
        200: {"model": AgentRunAccepted, "description": "accepted before with this run_id"},
        409: problem_docs("somebody else has used this run_id"),
    },
    summary="Start an agent run; its progress comes to the caller's streams",
)
async def agent_run(request: Request, body: AgentRunIn) -> Response:
    fields: dict[str, object] = {"agent_id": body.agent_id, "input": body.input}
    return await _begin(request, AGENT_RUN, "agent_run_response", body.agent_id, fields, body.run_id)


@work_router.get(
    "/api/agent-runs/{run_id}",
    response_model=AgentRunOut,
    response_model_exclude_unset=True,
    summary="How far an agent run of the caller is, as its latest notification says",
    responses={404: problem_docs("there is no such run of the caller")},
)
async def agent_run_state(request: Request, run_id: str = Path(min_length=1, max_length=200)) -> Response:
    return await _state(request, AGENT_RUN, run_id)


@work_router.post(
    "/api/library-jobs",
    status_code=202,
    response_model=LibraryJobAccepted,
    responses={
        200: {"model": LibraryJobAccepted, "description": "accepted before with this job_id"},
        409: problem_docs("somebody else has used this job_id"),
    },
    summary="Have documents of a library processed; progress comes to the tenant's streams",
)
async def library_job(request: Request, body: LibraryJobIn) -> Response:
    fields: dict[str, object] = {"library_id": body.library_id, "documents": body.documents}
    return await _begin(request, LIBRARY, "library_process_response", body.library_id, fields, body.job_id)


@work_router.get(
    "/api/library-jobs/{job_id}",
    response_model=LibraryJobOut,
    response_model_exclude_unset=True,
    summary="How far a library job of the tenant is, as its latest notification says",
    responses={404: problem_docs("there is no such job in the tenant")},
)
async def library_job_state(request: Request, job_id: str = Path(min_length=1, max_length=200)) -> Response:
    return await _state(request, LIBRARY, job_id)


async def _begin(
    request: Request, kind: JobKind, answer: str, subject: str, fields: dict[str, object], job_id: str | None
) -> Response:
    principal = authenticate(request)
    services = services_of(request)
    try:
        size = len(compact_json(fields).encode())
    except (ValueError, RecursionError):
        raise InvalidInputError("body", "is not valid JSON in valid Unicode") from None
    if size > services.settings.max_event_bytes:
        raise TooLargeError("the input", services.settings.max_event_bytes)
    job, was_there = await services.chat.jobs.begin(principal, kind, subject, fields, job_id or "")
    accepted = {"type": answer, kind.id_field: job.id, "status": "accepted"}
    return JSONResponse(accepted, status_code=200 if was_there else 202)


async def _state(request: Request, kind: JobKind, job_id: str) -> Response:
    principal = authenticate(request)
    return JSONResponse(shown(kind, await services_of(request).chat.jobs.state(principal, kind, job_id)))
