"""Calls of the shadow instance: no faster than allowed, and no faster than it takes them. until phase 3"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from migrate.clients import Backoff
from migrate.shadow.translate import Call, Cause

__all__ = ["Outcome", "Replayer"]

TOKEN_TTL_S = 3600
PUBLISH = ("events:publish",)
# What the service says when it cannot take more now.
BUSY = frozenset({429, 503})
FAILURES = 5
LONGEST_WAIT_S = 30.0


@dataclass(frozen=True)
class Outcome:
    """What became of a call: HTTP status (None without an answer), why it failed (""), and the answer's JSON."""

    status: int | None
    reason: str
    answer: Any = None

    @property
    def is_ok(self) -> bool:
        return self.reason == ""


class Replayer:
    """Sends calls as the users who sent the frames.

    Args:
        http: a client with the shadow instance as its base URL.
        token: makes a token (user, tenant, scopes, seconds).
        limit: the most calls a second now; 0: none.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        token: Callable[[str, str, tuple[str, ...], int], str],
        limit: Callable[[], float],
    ) -> None:
        self._http = http
        self._make_token = token
        self._limit = limit
        self._tokens: dict[tuple[str, str, tuple[str, ...]], tuple[float, str]] = {}
        self._rooms: set[tuple[str, str]] = set()
        self._backoff = Backoff(base_s=0.2, max_s=10.0)
        self._next = 0.0
        self._not_before = 0.0
        self._waiting: dict[str, int] = {}

    @property
    def reason(self) -> str:
        """Why calls wait now; "" when they do not."""
        return "; ".join(sorted(self._waiting))

    async def __call__(self, call: Call, cause: Cause) -> Outcome:
        """Send one call; returns when the service has taken or refused it. Waits as long as it is away or busy."""
        try:
            await self._ensure_room(cause.tenant, call.room)
            return await self._send(call.method, call.path, dict(call.body), cause.user, cause.tenant, call.scopes)
        except _RefusedError as error:
            return Outcome(error.status, error.reason)

    async def _ensure_room(self, tenant: str, room: str) -> None:
        if not room or (tenant, room) in self._rooms:
            return
        body = {"conversationId": room, "open": True}
        await self._send("POST", "/api/conversations", body, "shadow", tenant, PUBLISH)
        self._rooms.add((tenant, room))

    async def _send(
        self, method: str, path: str, body: dict[str, Any], user: str, tenant: str, scopes: tuple[str, ...] = ()
    ) -> Outcome:
        failures = away = 0
        while True:
            await self._turn()
            headers = {"Authorization": f"Bearer {self._token(user, tenant, scopes)}"}
            try:
                answer = await self._http.request(method, path, json=body, headers=headers)
            except httpx.ConnectError:
                away += 1
                await self._wait("the shadow instance does not answer", self._backoff.delay_s(away))
                continue
            except httpx.TransportError as error:
                failures += 1
                if failures >= FAILURES:
                    raise _RefusedError(None, f"no answer: {type(error).__name__}") from None
                await self._wait("the shadow instance does not answer in time", self._backoff.delay_s(failures))
                continue
            if answer.status_code in BUSY:
                away += 1
                asked = _seconds(answer.headers.get("retry-after"))
                pause = min(LONGEST_WAIT_S, max(asked, self._backoff.delay_s(away)))
                self._not_before = max(self._not_before, time.monotonic() + pause)
                await self._wait(f"the shadow instance is busy (HTTP {answer.status_code})", pause)
                continue
            if answer.status_code >= 500:
                failures += 1
                if failures < FAILURES:
                    await self._wait(f"the shadow instance fails (HTTP {answer.status_code})", self._backoff.delay_s(1))
                    continue
            if answer.is_error:
                raise _RefusedError(answer.status_code, _problem(answer))
            return Outcome(answer.status_code, "", _json(answer))

    async def _turn(self) -> None:
        """Wait for this call's turn under the limit, and while the service wants to be left alone."""
        pause = self._not_before - time.monotonic()
        if pause > 0:
            await self._wait("the shadow instance is busy", pause)
        limit = self._limit()
        if limit <= 0:
            return
        now = time.monotonic()
        self._next = max(self._next, now) + 1 / limit
        pause = self._next - 1 / limit - now
        if pause > 0:
            await self._wait(f"limited to {limit:g} a second", pause)

    async def _wait(self, reason: str, seconds: float) -> None:
        self._waiting[reason] = self._waiting.get(reason, 0) + 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._waiting[reason] -= 1
            if not self._waiting[reason]:
                del self._waiting[reason]

    def _token(self, user: str, tenant: str, scopes: tuple[str, ...]) -> str:
        key = (user, tenant, scopes)
        made_at, token = self._tokens.get(key, (0.0, ""))
        if not token or time.monotonic() - made_at > TOKEN_TTL_S / 2:
            token = self._make_token(user, tenant, scopes, TOKEN_TTL_S)
            self._tokens[key] = (time.monotonic(), token)
        return token


class _RefusedError(Exception):
    def __init__(self, status: int | None, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def _seconds(value: str | None) -> float:
    return float(value) if value and value.isascii() and value.isdigit() else 0.0


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _problem(answer: httpx.Response) -> str:
    """The status and the title of a problem document; what was sent is not repeated."""
    body = _json(answer)
    title = str(body.get("title", ""))[:100] if isinstance(body, dict) else ""
    return f"HTTP {answer.status_code}" + (f": {title}" if title else "")
