"""The statistics of a comparison, exact where it is cheap. Pure. until phase 3"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

__all__ = ["Mean", "binomial_lower", "binomial_upper", "mean", "order_statistics", "percentile"]


def binomial_upper(events: int, trials: int, confidence: float = 0.95) -> float:
    """Upper confidence bound of a rate: one-sided Clopper-Pearson, which holds at every sample size.

    With 0 events in n trials it is 1 - (1 - confidence)**(1/n), about 3/n at 95 % (the rule of three).
    1.0 when there were no trials: nothing is known.
    Raises: ValueError: events outside 0..trials.
    Source: Clopper and Pearson, Biometrika 26 (1934), 404-413.
    """
    _check(events, trials)
    if trials == 0 or events == trials:
        return 1.0
    # P(X <= events) at rate p is the regularised incomplete beta function I(1-p; n-x, x+1).
    return _bisect(lambda p: _beta_i(1 - p, trials - events, events + 1) - (1 - confidence))


def binomial_lower(events: int, trials: int, confidence: float = 0.95) -> float:
    """Lower confidence bound of a rate, one-sided Clopper-Pearson. 0.0 when there were no events."""
    _check(events, trials)
    if events == 0:
        return 0.0
    return 1.0 - binomial_upper(trials - events, trials, confidence)


def _check(events: int, trials: int) -> None:
    if not 0 <= events <= trials:
        raise ValueError(f"{events} events in {trials} trials")


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with its two-sided confidence interval; `low` and `high` are None below two values."""

    value: float
    low: float | None
    high: float | None


def mean(values: Sequence[float]) -> Mean | None:
    """Mean with a 95 % interval by the normal approximation (fair from about 30 values on); None without
    values.
    """
    count = len(values)
    if count == 0:
        return None
    centre = math.fsum(values) / count
    if count < 2:
        return Mean(centre, None, None)
    variance = math.fsum((value - centre) ** 2 for value in values) / (count - 1)
    half = 1.959964 * math.sqrt(variance / count)
    return Mean(centre, centre - half, centre + half)


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The nearest-rank percentile: always a value that occurred. None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def order_statistics(count: int, share: float, confidence: float = 0.95) -> tuple[int, int | None, int | None]:
    """Ranks (from 1) of a quantile and of the ends of its two-sided confidence interval among `count` ordered values.

    Free of any distribution: the number of values below the quantile is binomial. An end is None when there are too
    few values for one. Exact up to 1,000 values, by the normal approximation beyond.
    Source: David and Nagaraja, Order Statistics, 3rd ed., 7.1.
    """
    rank = max(1, math.ceil(share * count - 1e-9))
    tail = (1 - confidence) / 2
    if count <= 1000:
        low = high = None
        below = 0.0
        for number in range(count + 1):
            # `below` is P(fewer than `number` values lie below the quantile).
            if below <= tail and number >= 1:
                low = number
            if high is None and below >= 1 - tail and number >= 1:
                high = number
            below += math.exp(
                math.lgamma(count + 1)
                - math.lgamma(number + 1)
                - math.lgamma(count - number + 1)
                + number * math.log(share)
                + (count - number) * math.log1p(-share)
            )
        return rank, low, high
    half = NormalDist().inv_cdf(1 - tail) * math.sqrt(count * share * (1 - share))
    low, high = math.floor(share * count - half), math.ceil(share * count + half) + 1
    return rank, low if low >= 1 else None, high if high <= count else None


def _bisect(falls: Callable[[float], float]) -> float:
    """The zero of a falling function on 0..1, from above."""
    low, high = 0.0, 1.0
    for _ in range(80):
        middle = (low + high) / 2
        if falls(middle) > 0:
            low = middle
        else:
            high = middle
    return high


def _beta_i(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function I(x; a, b), continued fraction after Lentz.

    Source: NIST Digital Library of Mathematical Functions, 8.17(v), https://dlmf.nist.gov/8.17.v
    """
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    # The fraction converges fast only on this side of the mean.
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(1 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    tiny = 1e-300
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    result = d
    for m in range(1, 10_000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 + numerator * d
            d = 1 / (d if abs(d) > tiny else tiny)
            c = 1 + numerator / c
            c = c if abs(c) > tiny else tiny
            step = c * d
            result *= step
        if abs(step - 1) < 1e-14:
            break
    return result
