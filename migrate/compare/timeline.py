"""The time that a comparison of records judges, in stretches of equal length. Pure. until phase 3"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BUCKETS", "Timeline"]

BUCKETS = 60


@dataclass(frozen=True, slots=True)
class Timeline:
    """From start to stop, epoch seconds; `t` in SQL is when a delivery happened."""

    start: float
    stop: float

    @property
    def width(self) -> float:
        """Of a bucket, seconds."""
        return max((self.stop - self.start) / BUCKETS, 1e-3)

    @property
    def inside(self) -> str:
        """The condition that `t` is within it, as SQL."""
        return f"t between {self.start} and {self.stop}"

    @property
    def bucket(self) -> str:
        """The bucket of `t`, as SQL."""
        return f"least(cast(floor((t - {self.start}) / {self.width}) as bigint), {BUCKETS - 1})"

    def bucket_of(self, t: float) -> int:
        """The same here."""
        return min(int((t - self.start) / self.width), BUCKETS - 1)
