"""The error budget from the service's own /metrics. Pure: text in, shares out. until phase 3

Behind a load balancer each answer may come from another instance; counters are told apart by the start time of their
process. Source: Prometheus documentation, "Exposition formats".
"""

from __future__ import annotations

import math
import re
from collections import deque
from dataclasses import dataclass

__all__ = ["Counts", "Share", "Window", "read_counts"]

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
        """What has failed within the window; of an instance that is seen for the first time nothing counts yet."""
        self._samples.append((at, counts))
        while self._samples[0][0] < at - self._seconds:
            self._samples.popleft()
        first: dict[str, Counts] = {}
        last: dict[str, Counts] = {}
        for _, one in self._samples:
            first.setdefault(one.instance, one)
            last[one.instance] = one
        total = sum(last[name].total - first[name].total for name in first)
        failed = sum(last[name].failed - first[name].failed for name in first)
        return Share(total, failed, f"in the last {at - self._samples[0][0]:.0f} s")
