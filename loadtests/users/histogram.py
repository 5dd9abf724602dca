"""Latencies in buckets that grow by 5 %: small, mergeable, exact enough for any percentile. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

__all__ = ["Histogram"]

FLOOR_MS = 0.01
_LOG_STEP = math.log(1.05)


class Histogram:
    """Counts by bucket; `buckets` is what is stored."""

    def __init__(self, buckets: Mapping[str, int] | None = None) -> None:
        self.buckets: Counter[int] = Counter({int(key): count for key, count in (buckets or {}).items()})

    def add(self, ms: float) -> None:
        self.buckets[int(math.log(ms / FLOOR_MS) / _LOG_STEP) if ms > FLOOR_MS else 0] += 1

    @property
    def count(self) -> int:
        return sum(self.buckets.values())

    def percentile(self, share: float) -> float:
        """Milliseconds below which `share` of the values lie (middle of the bucket); 0.0 for none."""
        left = share * self.count
        for bucket in sorted(self.buckets):
            left -= self.buckets[bucket]
            if left <= 0:
                return value_of(bucket)
        return 0.0

    def points(self) -> list[tuple[float, float]]:
        """(milliseconds, share of values up to there), for a curve."""
        total, so_far, found = self.count, 0, []
        for bucket in sorted(self.buckets):
            so_far += self.buckets[bucket]
            found.append((value_of(bucket), so_far / total))
        return found

    def to_json(self) -> dict[str, int]:
        return {str(bucket): count for bucket, count in sorted(self.buckets.items())}

    @staticmethod
    def merged(parts: Iterable[Histogram]) -> Histogram:
        whole = Histogram()
        for part in parts:
            whole.buckets.update(part.buckets)
        return whole


def value_of(bucket: int) -> float:
    """Milliseconds in the middle of a bucket."""
    return FLOOR_MS * math.exp((bucket + 0.5) * _LOG_STEP)
