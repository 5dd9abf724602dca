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
        self._units = 0.0
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
            self._units += units
            if throttled:
                self._throttled = throttled
            else:
                self._now = latency_s if self._now is None else 0.8 * self._now + 0.2 * latency_s
                # The usual latency falls at once and rises slowly: a service that grows slow is not soon "usual".
                if self._usual is None or self._now < self._usual:
                    self._usual = self._now
                else:
                    self._usual += 0.001 * (self._now - self._usual)
            passed = self._clock() - self._adjusted
            if passed >= _ADJUST_S:
                self._adjust(passed)

    def _adjust(self, passed: float) -> None:
        self._adjusted = self._clock()
        units, self._units = self._units / passed, 0.0
        throttled, self._throttled = self._throttled, ""
        usual, now = self._usual or 0.0, self._now or 0.0
        if throttled:
            self._to(self.rate / 2, f"throttled ({throttled})")
        elif self.capacity and units > self.capacity:
            self._to(self.rate * self.capacity / units, f"{units:.0f} of {self.capacity:.0f} capacity units a second")
        elif now > max(_SLOW_TIMES * usual, usual + _SLOW_MORE_S):
            self._to(self.rate * 0.8, f"latency {now * 1000:.0f} ms, usually {usual * 1000:.0f} ms")
        elif self.rate < self.limit:
            self.rate = min(self.limit, self.rate + self.limit / 10)
            if self.rate == self.limit:
                self.reason = "the limit that is set"

    def _to(self, rate: float, reason: str) -> None:
        self.rate = max(min(_MIN_PER_S, self.limit), rate)
        self.reason = reason
