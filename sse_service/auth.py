"""Who is calling, and what they may read and publish. Pure: the time comes in as an argument.

A token is a JWT (HS256) in the Authorization header, never in a URL: addresses end up in logs, in browser
histories and in Referer headers. Claims: `sub` (or `user_id`) the user, `tenant_id`, `exp`; optional `nbf`,
`iss`, `aud` and `scope` (words separated by spaces). Source: RFC 7519, 4.1; RFC 8725, 3.1 (the algorithm is
ours to choose, never the token's), RFC 6750, 3.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import jwt

from sse_service.errors import ForbiddenError, InvalidInputError, UnauthorizedError
from sse_service.events import Topic, check_name, room_topic, tenant_topic, user_topic

__all__ = [
    "SCOPE_PUBLISH",
    "SCOPE_TENANT_STREAM",
    "Principal",
    "TokenVerifier",
    "bearer_token",
    "own_topics",
    "require_publishable",
    "require_readable",
]

SCOPE_PUBLISH = "events:publish"
SCOPE_TENANT_STREAM = "streams:tenant"
ALGORITHM = "HS256"
MAX_TOKEN = 8192


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


class TokenVerifier:
    """Checks signature, issuer, audience and times of a token."""

    def __init__(self, secret: str, issuer: str = "", audience: str = "", leeway_s: float = 0.0) -> None:
        self._secret = secret
        self._issuer = issuer
        self._audience = audience
        self._leeway_s = leeway_s

    def verify(self, token: str, now: float) -> Principal:
        """The caller behind `token` at `now` (UNIX seconds). Raises UnauthorizedError.

        The answer never says which check failed beyond "expired": that helps nobody honest.
        """
        if len(token) > MAX_TOKEN:
            raise UnauthorizedError("the token is not valid")
        try:
            claims: Mapping[str, object] = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=self._audience or None,
                issuer=self._issuer or None,
                options={
                    "require": ["exp"],
                    # Times are checked below against the caller's clock.
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_aud": bool(self._audience),
                    "verify_iss": bool(self._issuer),
                },
            )
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise UnauthorizedError("the token is not valid") from None
        expires_at = _seconds(claims.get("exp"))
        if now >= expires_at + self._leeway_s:
            raise UnauthorizedError("the token has expired")
        if claims.get("nbf") is not None and now < _seconds(claims.get("nbf")) - self._leeway_s:
            raise UnauthorizedError("the token is not valid yet")
        scope = claims.get("scope", "")
        if not isinstance(scope, str):
            raise UnauthorizedError("the token is not valid")
        return Principal(
            user=_name(claims.get("sub", claims.get("user_id"))),
            tenant=_name(claims.get("tenant_id")),
            scopes=frozenset(scope.split()),
            expires_at=expires_at,
        )


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e15:
        raise UnauthorizedError("the token is not valid")
    return float(value)


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise UnauthorizedError("the token names no user or no tenant")
    try:
        return check_name("claim", value)
    except InvalidInputError:
        raise UnauthorizedError("the token names no user or no tenant") from None


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
