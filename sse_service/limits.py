"""How many streams may be open: per user, per address, per node. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TypeVar

from sse_service.errors import TooManyStreamsError

__all__ = ["OpenStreams"]

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Caps:
    per_user: int
    per_address: int
    per_node: int


class OpenStreams:
    """Counts open streams; `enter` refuses the one that would be too many."""

    def __init__(self, per_user: int, per_address: int, per_node: int, retry_after_s: int = 5) -> None:
        self.caps = Caps(per_user, per_address, per_node)
        self.retry_after_s = retry_after_s
        self.total = 0
        self._users: Counter[tuple[str, str]] = Counter()
        self._addresses: Counter[str] = Counter()

    def enter(self, tenant: str, user: str, address: str) -> None:
        """Raises TooManyStreamsError; nothing is counted then."""
        if self.total >= self.caps.per_node:
            raise TooManyStreamsError("node", self.caps.per_node, self.retry_after_s)
        if self._users[tenant, user] >= self.caps.per_user:
            raise TooManyStreamsError("user", self.caps.per_user, self.retry_after_s)
        if self._addresses[address] >= self.caps.per_address:
            raise TooManyStreamsError("address", self.caps.per_address, self.retry_after_s)
        self.total += 1
        self._users[tenant, user] += 1
        self._addresses[address] += 1

    def leave(self, tenant: str, user: str, address: str) -> None:
        self.total -= 1
        _decrement(self._users, (tenant, user))
        _decrement(self._addresses, address)


def _decrement(counter: Counter[K], key: K) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
