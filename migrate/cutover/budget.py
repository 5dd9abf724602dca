"""The error budget from the service's own /metrics. Pure: text in, shares out. until phase 3

Behind a load balancer each answer may come from another instance; counters are told apart by the start time of their
process. What the load balancer answers itself (502, 503) is in no instance's counters: there the looks themselves are
the sample. Source: Prometheus documentation, "Exposition formats".
"""

from __future__ import annotations

import math
import re
from collections import deque
from dataclasses import dataclass

__all__ = ["Counts", "Looks", "Share", "Window", "read_counts"]

_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)")
_STATUS = re.compile(r'status="(\d{3})"')
_FAILURES = {"sse_virtual_failures_total", "sse_publish_failures_total"}
_READ = {
    "process_start_time_seconds", "sse_http_requests_total", "sse_open_streams", "sse_virtual_streams", *_FAILURES,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counts:
    """total, failed: requests since the instance began; streams: open now."""

    instance: str
    total: int
    failed: int
    streams: int


@dataclass(frozen=True, slots=True)
class Share:
    """over: the time it is about, in words."""

    total: int
    failed: int
    over: str


def read_counts(text: str) -> Counts | None:
    """What /metrics says; None: this is no page of the service's metrics, so nothing is known. Failed: answers with
    5xx, virtual connections refused with 5xx, and handlers that gave no usable answer."""
    instance = ""
    total = failed = streams = 0.0
    is_ours = False
    for line in text.splitlines():
        match = _LINE.fullmatch(line.strip())
        if match is None or match[1] not in _READ:
            continue
        name, labels = match[1], match[2] or ""
        try:
            value = float(match[3])
        except ValueError:
            return None
        if not math.isfinite(value):
            return None
        if name == "process_start_time_seconds":
            instance = match[3]
        elif name == "sse_http_requests_total":
            total += value
            status = _STATUS.search(labels)
            failed += value if status and status[1].startswith("5") else 0
        elif name in _FAILURES:
            failed += value
        else:
            streams += value
            # The one that is there from the beginning, before the first request.
            is_ours = is_ours or name == "sse_open_streams"
    return Counts(instance, int(total), int(failed), int(streams)) if is_ours else None


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
