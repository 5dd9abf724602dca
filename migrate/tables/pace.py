"""How fast something may be done, and why: a limit that gives way to latency, throttling and capacity. until phase 3

Additive increase, multiplicative decrease. The reason is what `status` shows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Pace"]

_MIN_PER_S = 0.5
# What counts as slow: this many times the usual, and at least this much more.
_SLOW_TIMES = 3.0
_SLOW_MORE_S = 0.05
_ADJUST_S = 1.0
_BURST_S = 0.1


class Pace:
    """A limit of calls a second, shared by threads.

    Args:
        limit: calls a second at most.
        capacity: units of capacity a second at most; 0: no limit of that kind.
        clock: seconds; sleep: waits.
    """

    def __init__(
        self,
        limit: float,
        *,
        capacity: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self.limit = limit
        self.capacity = capacity
        self.rate = limit
        self.reason = "the limit that is set"
        self._next = clock()
        self._usual: float | None = None
        self._now: float | None = None
        self._adjusted = clock()
        self._each: float | None = None
        self._throttled = ""

    def take(self) -> None:
        """Wait for one's turn."""
        with self._lock:
            now = self._clock()
            self._next = max(self._next, now - _BURST_S) + 1 / self.rate
            wait = self._next - now
        if wait > 0:
            self._sleep(wait)

    def set_limit(self, limit: float) -> None:
        """Another limit, from now on."""
        with self._lock:
            if limit != self.limit:
                self.limit = limit
                self.rate = limit
                self.reason = "the limit that is set"

    def observe(self, latency_s: float, *, units: float = 0.0, throttled: str = "") -> None:
        """Tell what a call took, in seconds and capacity units, and by what it was throttled, if it was."""
        with self._lock:
            if units:
                self._each = units if self._each is None else 0.9 * self._each + 0.1 * units
                if self.rate > self._ceiling():
                    self._capped()
            if throttled:
                self._throttled = throttled
            else:
                self._now = latency_s if self._now is None else 0.8 * self._now + 0.2 * latency_s
                # The usual latency falls at once and rises slowly: a service that grows slow is not soon "usual".
                if self._usual is None or self._now < self._usual:
                    self._usual = self._now
                else:
                    self._usual += 0.001 * (self._now - self._usual)
            if self._clock() - self._adjusted >= _ADJUST_S:
                self._adjust()

    def _ceiling(self) -> float:
        """The limit, or what the capacity has room for."""
        return min(self.limit, self.capacity / self._each) if self.capacity and self._each else self.limit

    def _capped(self) -> None:
        self.rate = self._ceiling()
        self.reason = (
            "the limit that is set"
            if self.rate == self.limit
            else f"{self._each or 0:.1f} capacity units a call, {self.capacity:.1f} a second may be used"
        )

    def _adjust(self) -> None:
        self._adjusted = self._clock()
        throttled, self._throttled = self._throttled, ""
        usual, now = self._usual or 0.0, self._now or 0.0
        if throttled:
            self._to(self.rate / 2, f"throttled ({throttled})")
        elif now > max(_SLOW_TIMES * usual, usual + _SLOW_MORE_S):
            self._to(self.rate * 0.8, f"latency {now * 1000:.0f} ms, usually {usual * 1000:.0f} ms")
        elif self.rate < self._ceiling():
            self.rate = min(self._ceiling(), self.rate + self._ceiling() / 10)
            if self.rate == self._ceiling():
                self._capped()

    def _to(self, rate: float, reason: str) -> None:
        self.rate = max(min(_MIN_PER_S, self.rate), rate)
        self.reason = reason
