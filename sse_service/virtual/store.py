"""Where sessions are kept: what a store promises, and the one in this process's memory.

A store runs a pure step on a session and commits everything it has done, or nothing of it; steps on one connection
follow one another, whichever instances they come from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import islice
from typing import Protocol, TypeVar

from sse_service.connections.events import ConnectionFacts
from sse_service.virtual.errors import GoneError
from sse_service.virtual.session import Session, SessionLimits

__all__ = ["Entry", "MemoryConnections", "Page", "SessionStore"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """What stays the same about a connection. secret_hash: SHA-256 of what its client proves itself with."""

    facts: ConnectionFacts
    secret_hash: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """Events behind a number, as bytes for the stream, and the session as it was when they were read."""

    frames: list[bytes]
    session: Session


class SessionStore(Protocol):
    """Every call raises UnavailableError when the store is out of reach."""

    is_shared: bool
    """Whether connections outlive this process, and other instances see them."""

    def __len__(self) -> int:
        """How many connections this process keeps in its memory."""

    async def own(self) -> list[str]:
        """Connections that end with this process."""

    async def start(self, woken: Callable[[str | None], None]) -> None:
        """`woken(id)`: something happened to a connection with a stream here; None: to any, look at all."""

    async def close(self) -> None: ...

    async def create(self, entry: Entry, session: Session) -> None: ...

    async def entry(self, connection_id: str) -> Entry:
        """Raises GoneError."""

    async def session(self, connection_id: str) -> Session:
        """As it is now; not to be changed. Raises GoneError."""

    async def change(self, connection_id: str, step: Callable[[Session], T]) -> T:
        """Run `step` and commit what it did; it may be run again. What it raises changes nothing. Raises GoneError."""

    async def read(self, connection_id: str, after: int, count: int) -> Page:
        """At most `count` events behind `after`, which is in the window. Raises GoneError."""

    async def due(self, now_s: float, count: int) -> list[str]:
        """Connections whose deadline has passed."""

    async def forget(self, connection_id: str) -> None: ...


@dataclass(slots=True)
class _Kept:
    entry: Entry
    session: Session
    frames: deque[bytes] = field(default_factory=deque)
    listed_at: float = 0.0
    """The deadline under which it is in the heap."""


class MemoryConnections:
    """One process's connections, which end with it."""

    is_shared = False

    def __init__(self, limits: SessionLimits) -> None:
        self._limits = limits
        self._kept: dict[str, _Kept] = {}
        self._heap: list[tuple[float, str]] = []
        self._woken: Callable[[str | None], None] = lambda _: None

    def __len__(self) -> int:
        return len(self._kept)

    async def own(self) -> list[str]:
        return list(self._kept)

    async def start(self, woken: Callable[[str | None], None]) -> None:
        self._woken = woken

    async def close(self) -> None:
        self._kept.clear()
        self._heap.clear()

    async def create(self, entry: Entry, session: Session) -> None:
        kept = _Kept(entry, session)
        self._kept[entry.facts.connection_id] = kept
        self._list(entry.facts.connection_id, kept)

    async def entry(self, connection_id: str) -> Entry:
        return self._find(connection_id).entry

    async def session(self, connection_id: str) -> Session:
        return self._find(connection_id).session

    async def change(self, connection_id: str, step: Callable[[Session], T]) -> T:
        kept = self._find(connection_id)
        session = kept.session.copy()
        result = step(session)
        effects = session.effects
        kept.session = session
        for _ in range(effects.dropped):
            kept.frames.popleft()
        kept.frames.extend(effects.frames)
        self._list(connection_id, kept)
        if effects.wake is not None:
            self._woken(connection_id)
        return result

    async def read(self, connection_id: str, after: int, count: int) -> Page:
        kept = self._find(connection_id)
        begin = max(0, after + 1 - kept.session.first)
        return Page(list(islice(kept.frames, begin, begin + count)), kept.session)

    async def due(self, now_s: float, count: int) -> list[str]:
        found: list[str] = []
        while self._heap and self._heap[0][0] <= now_s and len(found) < count:
            at, connection_id = heappop(self._heap)
            kept = self._kept.get(connection_id)
            if kept is None or kept.listed_at != at:
                continue
            kept.listed_at = 0.0
            if kept.session.deadline(self._limits) <= now_s:
                found.append(connection_id)
            else:
                self._list(connection_id, kept)
        return found

    async def forget(self, connection_id: str) -> None:
        self._kept.pop(connection_id, None)

    def _find(self, connection_id: str) -> _Kept:
        kept = self._kept.get(connection_id)
        if kept is None:
            raise GoneError
        return kept

    def _list(self, connection_id: str, kept: _Kept) -> None:
        """Have `due` look at it in time; a deadline that moves away is noticed when the old one comes."""
        at = kept.session.deadline(self._limits)
        if not kept.listed_at or at < kept.listed_at:
            kept.listed_at = at
            heappush(self._heap, (at, connection_id))
