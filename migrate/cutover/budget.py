"""The error budget from the service's own counters. Pure: counts in, shares out. until phase 3

Behind a load balancer each answer may come from another instance (migrate.service_metrics). What the load balancer
answers itself (502, 503) is in no instance's counters: there the looks themselves are the sample.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from migrate.service_metrics import Counts

__all__ = ["Looks", "Share", "Window"]


@dataclass(frozen=True, slots=True)
class Share:
    """over: the time it is about, in words."""

    total: int
    failed: int
    over: str


class Window:
    """The last `seconds` of samples."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._samples: deque[tuple[float, Counts]] = deque()

    def add(self, at: float, counts: Counts) -> Share:
        """What has failed within the window. at: epoch seconds.

        Of an instance that is seen for the first time nothing counts yet, unless it began within the window: one that
        dies every few seconds is never seen twice.
        """
        self._samples.append((at, counts))
        while self._samples[0][0] < at - self._seconds:
            self._samples.popleft()
        since = self._samples[0][0]
        first: dict[str, Counts] = {}
        last: dict[str, Counts] = {}
        for _, one in self._samples:
            is_new = since < _began(one.instance) <= at
            first.setdefault(one.instance, Counts(one.instance, 0, 0, 0) if is_new else one)
            last[one.instance] = one
        total = sum(last[name].total - first[name].total for name in first)
        failed = sum(last[name].failed - first[name].failed for name in first)
        return Share(total, failed, f"in the last {at - since:.0f} s")


class Looks:
    """Whether /metrics answered, look by look, within the last `seconds`: a service that answers every second time
    would pass for a healthy one if only misses in a row counted."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._looks: deque[tuple[float, bool]] = deque()
        self.in_a_row = 0
        """Misses since the last answer."""

    def add(self, at: float, answered: bool) -> Share:
        """at: epoch seconds."""
        self.in_a_row = 0 if answered else self.in_a_row + 1
        self._looks.append((at, answered))
        while self._looks[0][0] < at - self._seconds:
            self._looks.popleft()
        missed = sum(not one for _, one in self._looks)
        return Share(len(self._looks), missed, f"in the last {at - self._looks[0][0]:.0f} s")


def _began(instance: str) -> float:
    """Start of the process, epoch seconds; endlessly long ago where it is not known."""
    try:
        return float(instance)
    except ValueError:
        return -math.inf
