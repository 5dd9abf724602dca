"""What pairs of measurements tell: the difference, how sure it is, and how small a one would have been told. Pure.

No distribution is assumed but that the differences of a pair lie evenly around what is looked for: the estimate of
Hodges and Lehmann with the interval of Wilcoxon's signed ranks, exact (Hollander, Wolfe, Chicken: Nonparametric
Statistical Methods, 3rd edition, 3.2 and 3.3).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["CONFIDENCE", "LEAST_PAIRS", "Difference", "difference"]

CONFIDENCE = 0.95
# With fewer, not even differences that all have one sign are unlikely enough: 2 / 2**6 > 0.05 > 2 / 2**6 / 2.
LEAST_PAIRS = 6
# A difference that is so many half widths large is told in four of five such measurements: (1.960 + 0.842) / 1.960,
# the two-sided 95 % and the 80 % point of the normal distribution.
POWER_80 = 1.43


@dataclass(frozen=True, slots=True)
class Difference:
    """middle: the estimate; low, high: where it lies with 95 % confidence; pairs: of how many."""

    middle: float
    low: float
    high: float
    pairs: int

    @property
    def is_told(self) -> bool:
        """Whether it is told from no difference at all."""
        return self.low > 0 or self.high < 0

    @property
    def least_told(self) -> float:
        """The smallest difference that such a measurement tells, four times of five."""
        return POWER_80 * (self.high - self.low) / 2


def difference(before: Sequence[float], after: Sequence[float]) -> Difference:
    """`after` - `before`, pair by pair. Raises ValueError: fewer than LEAST_PAIRS of them."""
    each = [two - one for one, two in zip(before, after, strict=True)]
    if len(each) < LEAST_PAIRS:
        raise ValueError(f"{len(each)} pairs tell nothing: {LEAST_PAIRS} at least")
    # Walsh's averages: of every two, each with itself as well.
    walsh = sorted((one + two) / 2 for index, one in enumerate(each) for two in each[index:])
    left = _left_out(len(each))
    return Difference(statistics.median(walsh), walsh[left], walsh[-1 - left], len(each))


def _left_out(pairs: int) -> int:
    """How many averages lie outside the interval on either side: the greatest c with P(T <= c) <= 2.5 %, where T is
    the sum of the ranks of the positive ones (there are 2**pairs ways to give them signs)."""
    ways = [1]
    for rank in range(1, pairs + 1):
        longer = ways + [0] * rank
        for total, count in enumerate(ways):
            longer[total + rank] += count
        ways = longer
    allowed, so_far = (1 - CONFIDENCE) / 2 * 2**pairs, 0
    for total, count in enumerate(ways):
        so_far += count
        if so_far > allowed:
            return total - 1
    return len(ways) - 1
