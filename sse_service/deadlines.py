"""When many things are due, to a certain width: one table for all instead of a timer for each. Pure."""

from __future__ import annotations

import math
from collections.abc import Hashable
from heapq import heappop, heappush
from typing import Generic, TypeVar

__all__ = ["Deadlines"]

T = TypeVar("T", bound=Hashable)


class Deadlines(Generic[T]):
    """Nothing is due early, and nothing more than `width_s` late."""

    def __init__(self, width_s: float) -> None:
        self.width_s = width_s
        self._buckets: dict[int, dict[T, None]] = {}
        self._order: list[int] = []

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def _key(self, at: float) -> int:
        return math.ceil(at / self.width_s)

    def add(self, item: T, at: float) -> None:
        """`at`: seconds, finite."""
        key = self._key(at)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = {}
            heappush(self._order, key)
        bucket[item] = None

    def discard(self, item: T, at: float) -> None:
        """Forget an item that was added for `at`."""
        key = self._key(at)
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket.pop(item, None)
            if not bucket:
                del self._buckets[key]

    @property
    def next(self) -> float | None:
        """When `due` will have something to say."""
        self._skip_empty()
        return self._order[0] * self.width_s if self._order else None

    def due(self, now: float) -> list[T]:
        """What is due at `now`, and forget it."""
        found: list[T] = []
        while (at := self.next) is not None and at <= now:
            found.extend(self._buckets.pop(heappop(self._order)))
        return found

    def _skip_empty(self) -> None:
        while self._order and self._order[0] not in self._buckets:
            heappop(self._order)
