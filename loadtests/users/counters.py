"""What a process has measured: counts and latencies, mergeable over processes. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from loadtests.users.histogram import Histogram

__all__ = ["Counters"]


class Counters:
    """counts: sent, delivered, loss, duplicate, out_of_order, late, recovered, resumed, ... `latency` by name (ms).
    `timeline`: of sent and delivered, how many in which second since the beginning."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.latency: defaultdict[str, Histogram] = defaultdict(Histogram)
        self.timeline: defaultdict[str, Counter[int]] = defaultdict(Counter)

    def to_json(self) -> dict[str, Any]:
        return {
            "counts": dict(self.counts),
            "latency": {name: histogram.to_json() for name, histogram in self.latency.items()},
            "timeline": {
                name: {str(at): count for at, count in sorted(found.items())} for name, found in self.timeline.items()
            },
        }

    def add(self, other: Mapping[str, Any]) -> None:
        """What `to_json` of another process gave."""
        self.counts.update(other["counts"])
        for name, buckets in other["latency"].items():
            self.latency[name].buckets.update(Histogram(buckets).buckets)
        for name, found in other["timeline"].items():
            self.timeline[name].update({int(at): count for at, count in found.items()})
