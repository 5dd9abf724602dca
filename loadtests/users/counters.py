"""What a process has measured: counts and latencies, mergeable over processes. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from loadtests.users.histogram import Histogram

__all__ = ["Counters"]


class Counters:
    """counts: sent, delivered, loss, duplicate, out_of_order, late, recovered, resumed, ... `latency` by name."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.latency: defaultdict[str, Histogram] = defaultdict(Histogram)

    def to_json(self) -> dict[str, Any]:
        return {
            "counts": dict(self.counts),
            "latency": {name: histogram.to_json() for name, histogram in self.latency.items()},
        }

    def add(self, other: Mapping[str, Any]) -> None:
        """What `to_json` of another process gave."""
        self.counts.update(other["counts"])
        for name, buckets in other["latency"].items():
            self.latency[name].buckets.update(Histogram(buckets).buckets)
