"""Tickets and sessions of one process, for the embedded default."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

from sse_service.tickets import SessionRecord

__all__ = ["MemorySessions"]

MAX_RECORDS = 100_000


@dataclass(slots=True)
class _Record:
    facts: Mapping[str, str]
    expires_at: float
    taker: str | None = None


class MemorySessions:
    """Bounded: what has expired goes first, then what would expire next."""

    def __init__(self, max_records: int = MAX_RECORDS) -> None:
        self._max_records = max_records
        self._records: dict[str, _Record] = {}
        self._ends: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._records)

    async def put(self, key: str, facts: Mapping[str, str], *, expires_at: float) -> None:
        self._records[key] = _Record(dict(facts), expires_at)
        self._note_end(key, expires_at)

    async def get(self, key: str, *, now: float) -> SessionRecord | None:
        self._drop_expired(now)
        record = self._records.get(key)
        return None if record is None else SessionRecord(record.facts, record.taker)

    async def take(self, key: str, taker: str, *, now: float, expires_at: float) -> bool:
        self._drop_expired(now)
        record = self._records.get(key)
        if record is None or record.taker not in {None, taker}:
            return False
        record.taker, record.expires_at = taker, expires_at
        self._note_end(key, expires_at)
        return True

    def _note_end(self, key: str, expires_at: float) -> None:
        heapq.heappush(self._ends, (expires_at, key))
        while len(self._records) > self._max_records or len(self._ends) > 4 * self._max_records:
            self._drop_first()

    def _drop_expired(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            self._drop_first()

    def _drop_first(self) -> None:
        end, key = heapq.heappop(self._ends)
        record = self._records.get(key)
        if record is not None and record.expires_at == end:  # otherwise it was given another end
            del self._records[key]
