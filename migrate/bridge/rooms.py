"""Which rooms both stacks share. until phase 3

On the legacy stack a room is a name that everybody may use; on the SSE service a conversation may be private. Only open
ones cross: what is private there must neither be shown to WebSocket clients nor written into by them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum

import httpx

__all__ = ["Rooms", "Sharing"]

# What is not open may be opened by its owner; what is open stays so.
FORGET_S = 5.0


class Sharing(Enum):
    """What the SSE service knows of a room."""

    OPEN = "open"
    PRIVATE = "private"
    ABSENT = "absent"


class Rooms:
    """Asks the service, and remembers.

    Args:
        http: a client with the SSE service as its base URL.
        token: makes a token of a tenant with the scope events:publish.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        token: Callable[[str], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._token = token
        self._clock = clock
        self._open: set[tuple[str, str]] = set()
        self._other: dict[tuple[str, str], tuple[float, Sharing]] = {}

    async def sharing(self, tenant: str, room: str) -> Sharing:
        """What the service knows of a room. Raises: httpx.HTTPError: it could not be asked."""
        key = (tenant, room)
        if key in self._open:
            return Sharing.OPEN
        asked_at, known = self._other.get(key, (0.0, None))
        if known is Sharing.PRIVATE and self._clock() - asked_at < FORGET_S:
            return known
        answer = await self._http.get(
            "/api/conversations",
            params={"conversationId": room},
            headers={"Authorization": f"Bearer {self._token(tenant)}"},
        )
        if answer.status_code == 404:
            return Sharing.ABSENT
        answer.raise_for_status()
        if answer.json()["open"]:
            self._open.add(key)
            return Sharing.OPEN
        self._other[key] = (self._clock(), Sharing.PRIVATE)
        return Sharing.PRIVATE
