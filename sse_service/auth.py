"""Who is calling, and what they may read and publish. Pure.

A token comes in the Authorization header, never in a URL: addresses end up in logs, in browser histories and in
Referer headers (RFC 6750, 5.3). How it is checked: tokens.py; what a browser's EventSource uses: tickets.py.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sse_service.errors import ForbiddenError, InvalidInputError, UnauthorizedError
from sse_service.events import Topic, room_topic, tenant_topic, user_topic

__all__ = [
    "SCOPE_PUBLISH",
    "SCOPE_TENANT_STREAM",
    "Principal",
    "bearer_token",
    "own_topics",
    "refuse_token_in_url",
    "require_publishable",
    "require_readable",
]

SCOPE_PUBLISH = "events:publish"
SCOPE_TENANT_STREAM = "streams:tenant"

TOKEN_PARAMETERS = ("token", "access_token", "id_token", "jwt", "authorization", "bearer")


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller. expires_at: UNIX seconds."""

    user: str
    tenant: str
    scopes: frozenset[str]
    expires_at: float

    def require(self, scope: str) -> None:
        if scope not in self.scopes:
            raise ForbiddenError(f"the token lacks the scope {scope}")


def bearer_token(authorization: str | None) -> str:
    """The token of an Authorization header. Raises UnauthorizedError(missing=True) when there is none."""
    if not authorization:
        raise UnauthorizedError("send the token as `Authorization: Bearer ...`", missing=True)
    scheme, _, token = authorization.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise UnauthorizedError("the Authorization header must be `Bearer <token>`", missing=True)
    return token


def refuse_token_in_url(names: Collection[str]) -> None:
    """Refuse a request whose query carries a token under one of its usual names. Raises InvalidInputError.

    Ignoring it would let a client run for months that writes its users' tokens into every access log on the way.
    """
    for name in TOKEN_PARAMETERS:
        if name in names:
            raise InvalidInputError(
                name,
                "a token does not belong into a URL, which is written to logs; send it as `Authorization: Bearer ...`, "
                "or exchange it for a stream ticket (POST /api/streams/tickets)",
            )


def own_topics(principal: Principal) -> frozenset[Topic]:
    """What everybody may read: what is addressed to them and to their tenant."""
    return frozenset({user_topic(principal.user), tenant_topic(principal.tenant)})


def require_readable(principal: Principal, topic: Topic, rooms: Collection[str]) -> None:
    """May `principal`, participant of `rooms`, read `topic`? Raises ForbiddenError.

    The answer for a conversation that does not exist is the same as for one that is somebody else's.
    """
    if SCOPE_TENANT_STREAM in principal.scopes:
        if topic.startswith("tenant:") and topic != tenant_topic(principal.tenant):
            raise ForbiddenError("the topic belongs to another tenant")
        return
    if topic in own_topics(principal):
        return
    if any(topic == room_topic(room) for room in rooms):
        return
    raise ForbiddenError("the token does not permit this topic")


def require_publishable(principal: Principal, topic: Topic) -> None:
    """May `principal` publish to `topic` as a back end? Raises ForbiddenError."""
    principal.require(SCOPE_PUBLISH)
    if topic.startswith("tenant:") and topic != tenant_topic(principal.tenant):
        raise ForbiddenError("the topic belongs to another tenant")
