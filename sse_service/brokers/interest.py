"""Who follows what on this instance, and for how long after the last stream of it has closed. Pure.

A client that reconnects (a rotation, a page reload) finds what it followed still being listened to.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

__all__ = ["Interest"]

K = TypeVar("K", bound=Hashable)


class Interest(Generic[K]):
    """linger_s: how long something is kept after nobody follows it any more."""

    def __init__(self, linger_s: float) -> None:
        self._linger_s = linger_s
        self._counts: dict[K, int] = {}
        self._idle_since: dict[K, float] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._counts

    def __iter__(self) -> Iterator[K]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)

    def follow(self, key: K) -> bool:
        """True: nobody did, and it was not kept either."""
        is_new = key not in self._counts
        self._counts[key] = self._counts.get(key, 0) + 1
        self._idle_since.pop(key, None)
        return is_new

    def unfollow(self, key: K, now: float) -> None:
        """now: seconds of the clock that `drop_idle` is given."""
        left = self._counts[key] = max(0, self._counts.get(key, 0) - 1)
        if not left:
            self._idle_since[key] = now

    def drop_idle(self, now: float) -> list[K]:
        """What nobody has followed for `linger_s`; it is not kept any longer."""
        idle = [key for key, since in self._idle_since.items() if now - since >= self._linger_s]
        for key in idle:
            del self._idle_since[key]
            del self._counts[key]
        return idle
