"""How long to wait before the next attempt: exponential with jitter, pure. until phase 3"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["TRANSIENT", "Backoff"]

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses after which the same request may well succeed."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """A back-off policy.

    The n-th delay (n from 0) lies evenly between half of and the whole of `min(max_s, base_s * 2**n)`:
    everybody who was cut off at the same moment comes back at different moments, and nobody at once. What the
    server asked for (SSE `retry`, `Retry-After`) replaces `base_s` and is never undercut; a server cannot ask
    for more than `longest_asked_s`.

    Args:
        base_s: seconds before the first retry at most, when the server did not ask for anything.
        max_s: the longest delay, seconds.
        longest_asked_s: the longest wait a server can ask for, seconds.
        random: a function that returns a number in [0, 1).
    """

    base_s: float = 0.5
    max_s: float = 20.0
    longest_asked_s: float = 300.0
    random: Callable[[], float] = random.random

    def delay_s(self, attempt: int, asked_s: float | None = None) -> float:
        """Seconds to wait before attempt number `attempt` (0 = the first retry)."""
        asked = None if asked_s is None else min(max(asked_s, 0.0), self.longest_asked_s)
        base = self.base_s if asked is None else asked
        # 2**attempt overflows a float beyond 1,023 failures in a row, which is one night of retries.
        high = min(self.max_s, base * 2.0 ** min(attempt, 60))
        delay = high / 2 + self.random() * high / 2
        # A server that asked gets at least what it asked for, spread by half of it.
        return delay if asked is None else max(delay, asked * (1 + self.random() / 2))
