"""How long to wait before the next attempt: exponential, with full jitter, bounded. Pure."""

from __future__ import annotations

import random

__all__ = ["Backoff"]


class Backoff:
    """Instances that lost the same server at the same moment do not come back at the same moment.

    Source: AWS Architecture Blog, "Exponential Backoff And Jitter".
    """

    def __init__(self, rng: random.Random, *, base_s: float = 0.1, cap_s: float = 5.0) -> None:
        self._rng = rng
        self._base_s = base_s
        self._cap_s = cap_s
        self.attempt = 0

    def next_s(self) -> float:
        limit = min(self._cap_s, self._base_s * float(2 ** min(self.attempt, 16)))
        self.attempt += 1
        return limit * (0.1 + 0.9 * self._rng.random())

    def reset(self) -> None:
        self.attempt = 0
