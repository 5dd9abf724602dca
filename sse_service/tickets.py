"""What lets a browser's EventSource in, which can send no Authorization header: tickets and sessions.

    POST /api/streams/tickets (with the token)  ->  a ticket: used once, within seconds
    GET  ...stream?ticket=T                     ->  the stream, and a cookie that names a session
    GET  ...stream?ticket=T  with the cookie    ->  EventSource's own reconnect, which repeats its URL

A ticket is taken by one session, and by that session again: the reconnect works, and T found in a log or a
history opens nothing. A ticket of the same user that comes with the cookie joins the session (several tabs of a
browser share one cookie); a ticket of another user begins a new session, whose cookie replaces the old one.
Both are 256 random bits; what is stored under their SHA-256 is user, tenant, scopes, topics and the end of the
token they came from, which ends everything. The store decides races between instances.
Source: OWASP, "Session Management Cheat Sheet" (entropy, binding, expiry).
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from sse_service.auth import Principal
from sse_service.errors import UnauthorizedError
from sse_service.events import Topic
from sse_service.ports import Clock

__all__ = ["Grant", "SessionRecord", "SessionStore", "Ticket", "Tickets"]

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """taker: who took it, or None."""

    facts: Mapping[str, str]
    taker: str | None


class SessionStore(Protocol):
    """Stream tickets and sessions, under hashes of their secrets; all values are text. Times are UNIX seconds.

    Reads are consistent. Every method raises UnavailableError.
    """

    async def put(self, key: str, facts: Mapping[str, str], *, expires_at: float) -> None:
        """Make or replace a record that nobody has taken."""

    async def get(self, key: str, *, now: float) -> SessionRecord | None:
        """None: never there, or expired."""

    async def take(self, key: str, taker: str, *, now: float, expires_at: float) -> bool:
        """Take a record and keep it until `expires_at`. True for one taker only, of however many at once on
        however many instances, and for that one again. False: somebody else's, expired or not there."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """expires_in_s: from now."""

    ticket: str
    expires_in_s: float


@dataclass(frozen=True, slots=True)
class Grant:
    """Who may stream what. topics: None for everything the principal may read.

    session: the value of the cookie to set, or None when the client has it. It ends with the principal's token.
    """

    principal: Principal
    topics: frozenset[Topic] | None
    session: str | None = None


class Tickets:
    def __init__(self, store: SessionStore, clock: Clock, ttl_s: float) -> None:
        self._store = store
        self._clock = clock
        self._ttl_s = ttl_s

    async def issue(self, principal: Principal, topics: Collection[Topic] | None = None) -> Ticket:
        """topics: what the stream may read at most; None: whatever the principal may. Raises UnavailableError."""
        now = self._clock()
        expires_at = min(now + self._ttl_s, principal.expires_at)
        ticket = secrets.token_urlsafe(32)
        await self._store.put(_ticket_key(ticket), _facts(principal, topics), expires_at=expires_at)
        return Ticket(ticket, expires_at - now)

    async def redeem(self, ticket: str, cookie: str) -> Grant:
        """The grant behind a ticket, for its first use and for its session. Raises UnauthorizedError,
        UnavailableError. cookie: the session that came with the request, or ""."""
        if not _SECRET.fullmatch(ticket):
            raise _refused()
        key, now = _ticket_key(ticket), self._clock()
        record = await self._store.get(key, now=now)
        if record is None:
            raise _refused()
        grant = self._valid(_grant(record.facts), now)
        ends_at = grant.principal.expires_at
        if record.taker is not None:
            # Taken before: EventSource's reconnect, when it was by the session of this cookie.
            if not cookie or record.taker != _session_key(cookie):
                raise _refused()
            return grant
        known = await self._session_of(grant.principal, cookie, now)
        session = cookie if known else secrets.token_urlsafe(32)
        is_longer = known is None or known.principal.expires_at < ends_at
        if is_longer:
            # Before the ticket is taken: a ticket that was taken for nothing could not be used again.
            await self._store.put(_session_key(session), record.facts, expires_at=ends_at)
        if not await self._store.take(key, _session_key(session), now=now, expires_at=ends_at):
            raise _refused()
        return Grant(grant.principal, grant.topics, session if is_longer else None)

    async def resume(self, cookie: str) -> Grant:
        """The grant of a session alone: that of its ticket that lasts longest.

        Raises UnauthorizedError, UnavailableError.
        """
        if not _SECRET.fullmatch(cookie):
            raise _refused()
        now = self._clock()
        record = await self._store.get(_session_key(cookie), now=now)
        if record is None:
            raise _refused()
        return self._valid(_grant(record.facts), now)

    async def _session_of(self, principal: Principal, cookie: str, now: float) -> Grant | None:
        """What the session of the cookie grants, when it is this very user's."""
        record = await self._store.get(_session_key(cookie), now=now) if _SECRET.fullmatch(cookie) else None
        if record is None:
            return None
        grant = _grant(record.facts)
        is_same = (grant.principal.tenant, grant.principal.user) == (principal.tenant, principal.user)
        return grant if is_same else None

    @staticmethod
    def _valid(grant: Grant, now: float) -> Grant:
        if now >= grant.principal.expires_at:
            raise UnauthorizedError("the token behind the session has expired")
        return grant


def _refused() -> UnauthorizedError:
    """One answer for never issued, expired, used by somebody else, and no session: guessing learns nothing."""
    return UnauthorizedError("the ticket is used up, expired or unknown; get a new one (POST /api/streams/tickets)")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _ticket_key(ticket: str) -> str:
    return f"TICKET#{_hash(ticket)}"


def _session_key(session: str) -> str:
    return f"SESSION#{_hash(session)}"


def _facts(principal: Principal, topics: Collection[Topic] | None) -> dict[str, str]:
    return {
        "user": principal.user,
        "tenant": principal.tenant,
        "scopes": " ".join(sorted(principal.scopes)),
        "expires": repr(principal.expires_at),
        "topics": "" if topics is None else json.dumps(sorted(topics)),
    }


def _grant(facts: Mapping[str, str]) -> Grant:
    principal = Principal(facts["user"], facts["tenant"], frozenset(facts["scopes"].split()), float(facts["expires"]))
    topics = frozenset(map(Topic, json.loads(facts["topics"]))) if facts["topics"] else None
    return Grant(principal, topics)
