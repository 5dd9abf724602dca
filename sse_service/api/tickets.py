"""Stream tickets over HTTP: issuing them, and who opens a stream by token, by ticket or by cookie.

The cookie is read by GET streams only, from this service's own pages and those of SSE_CORS_ORIGINS: nothing that
changes anything can be done with it (CSRF). It is HttpOnly, for the stream's path, Secure unless both ends are
this machine and speak http, and ends with the token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from sse_service.addresses import is_loopback
from sse_service.api.identity import authenticate, services_of
from sse_service.auth import SCOPE_TENANT_STREAM, Principal, own_topics, refuse_token_in_url, require_readable
from sse_service.errors import ForbiddenError, InvalidInputError, RequestError
from sse_service.events import EVERY_TOPIC, EventId, Topic, parse_topic
from sse_service.logs import note
from sse_service.services import Services
from sse_service.tickets import Grant
from sse_service.wire import MEDIA_TYPE, control_frame

__all__ = ["COOKIE", "StreamCaller", "come_back_later", "is_native", "stream_caller", "ticket_router"]

COOKIE = "sse_session"
TICKET = "ticket"

ticket_router = APIRouter()


class TicketIn(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    topics: list[str] | None = Field(
        None,
        min_length=1,
        description="what the stream may read at most; left out: all the caller may",
    )


class TicketOut(BaseModel):
    ticket: str = Field(description="for `?ticket=` of one stream, once")
    expiresIn: float = Field(description="seconds within which it must be used", gt=0)  # noqa: N815 - name of the wire


@ticket_router.post(
    "/api/streams/tickets",
    status_code=201,
    response_model=TicketOut,
    summary="A single-use ticket for a browser's EventSource, which can send no Authorization header",
)
async def issue_ticket(request: Request, body: TicketIn | None = None) -> Response:
    principal = authenticate(request)
    services = services_of(request)
    topics = None
    if body is not None and body.topics is not None:
        if len(body.topics) > services.settings.max_topics:
            raise InvalidInputError("topics", f"no more than {services.settings.max_topics}")
        kinds = services.settings.topic_kinds
        topics = {
            Topic(EVERY_TOPIC) if topic == EVERY_TOPIC else parse_topic(topic, kinds, "topics") for topic in body.topics
        }
        await _check_readable(services, principal, topics)
    ticket = await services.tickets.issue(principal, topics)
    answer = {"ticket": ticket.ticket, "expiresIn": round(ticket.expires_in_s, 3)}
    return JSONResponse(answer, status_code=201, headers={"cache-control": "no-store"})


async def _check_readable(services: Services, principal: Principal, topics: set[Topic]) -> None:
    """A refusal here is one that a page can read; its EventSource would only fail. Raises ForbiddenError.

    The stream checks again: what its owner may read can change until then.
    """
    if EVERY_TOPIC in topics:
        principal.require(SCOPE_TENANT_STREAM)
    others = topics - own_topics(principal) - {Topic(EVERY_TOPIC)}
    rooms = await services.chat.rooms_of(principal) if others else frozenset()
    for topic in others:
        require_readable(principal, topic, rooms)


@dataclass(frozen=True, slots=True)
class StreamCaller:
    """Who opens a stream. topics: what it may read at most; None: whatever the principal may.
    session: the cookie to set, when the client does not have it."""

    principal: Principal
    topics: frozenset[Topic] | None
    session: str | None = None

    def permit(self, chosen: set[Topic] | None) -> None:
        """chosen: None for every topic of the tenant. Raises ForbiddenError."""
        if self.topics is None or EVERY_TOPIC in self.topics:
            return
        if chosen is None or not self.topics.issuperset(chosen):
            raise ForbiddenError("the ticket was issued for other topics")

    def give_cookie(self, request: Request, response: Response) -> None:
        """Set the session cookie, where the client does not have it yet."""
        if self.session is None:
            return
        services = services_of(request)
        settings = services.settings
        response.set_cookie(
            COOKIE,
            self.session,
            max_age=max(0, int(self.principal.expires_at - services.clock())),
            path=settings.cookie_path or request.url.path,
            secure=not _is_local_http(request) or settings.cookie_samesite == "none",
            httponly=True,
            samesite=cast("Literal['strict', 'lax', 'none']", settings.cookie_samesite),
        )


def is_native(request: Request) -> bool:
    """A browser's EventSource by what it shows: it cannot send a token, and gives up on every status but 200."""
    shows = TICKET in request.query_params or COOKIE in request.cookies
    return shows and not request.headers.get("authorization")


async def stream_caller(request: Request) -> StreamCaller:
    """A token in the header wins; then the ticket with or without its cookie; then the cookie alone.

    Raises UnauthorizedError, ForbiddenError, RateLimitedError, UnavailableError.
    """
    refuse_token_in_url(request.query_params.keys())
    if not is_native(request):
        return StreamCaller(authenticate(request), None)
    _check_origin(request)
    tickets = services_of(request).tickets
    ticket, cookie = request.query_params.get(TICKET, ""), request.cookies.get(COOKIE, "")
    grant: Grant = await (tickets.redeem(ticket, cookie) if ticket else tickets.resume(cookie))
    note(userId=grant.principal.user)
    return StreamCaller(grant.principal, grant.topics, grant.session)


def come_back_later(error: RequestError, request: Request) -> Response:
    """A refusal that an EventSource survives: 200, a farewell with the reason, and when to come back.

    Source: HTML standard, "Server-sent events", 9.2.3: any other status makes it fail the connection for good,
    the end of a 200 makes it reconnect after the time in `retry`.
    """
    retry_ms = 1000 * (error.retry_after_s or 1)
    # Whoever blanks its last event id on an event without one must not lose its place.
    position = EventId.parse(request.headers.get("last-event-id", ""))
    frame = control_frame("farewell", position, {"reason": error.code, "retryMs": retry_ms}, retry_ms)
    return Response(frame, media_type=MEDIA_TYPE, headers={"cache-control": "no-store, no-transform"})


def _is_local_http(request: Request) -> bool:
    peer = request.client.host if request.client else ""
    return request.url.scheme == "http" and is_loopback(peer) and is_loopback(request.url.hostname or "")


def _check_origin(request: Request) -> None:
    """Only pages that may read the answer may use the cookie. Raises ForbiddenError."""
    origin = request.headers.get("origin")
    allowed = services_of(request).settings.cors_origins
    if origin is None or origin in allowed:
        return
    if urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower():
        raise ForbiddenError("pages of this origin may not use the session; SSE_CORS_ORIGINS names those that may")
