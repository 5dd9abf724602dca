"""Bounds, percentiles, means. until phase 3"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.compare.stats import binomial_lower, binomial_upper, mean, percentile


@pytest.mark.parametrize(
    ("events", "trials", "confidence", "lower", "upper"),
    [
        # 1 - 0.05**(1/n)
        (0, 10, 0.95, 0.0, 0.2588656),
        (0, 1000, 0.95, 0.0, 0.0029912),
        # A two-sided 95 % interval of 4 in 20 is 0.0573 to 0.4366: the textbook example.
        (4, 20, 0.975, 0.0573340, 0.4366140),
        (10, 10, 0.95, 0.7411344, 1.0),
        (0, 0, 0.95, 0.0, 1.0),
    ],
)
def test_clopper_pearson(events: int, trials: int, confidence: float, lower: float, upper: float) -> None:
    """Known values."""
    assert binomial_lower(events, trials, confidence) == pytest.approx(lower, abs=1e-6)
    assert binomial_upper(events, trials, confidence) == pytest.approx(upper, abs=1e-6)


@given(st.integers(1, 300), st.data())
def test_bound_is_exact(trials: int, data: st.DataObject) -> None:
    """At the upper bound exactly 5 % of runs show so few events: by summing the distribution."""
    events = data.draw(st.integers(0, trials - 1))
    p = binomial_upper(events, trials)
    chance = math.fsum(math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(events + 1))
    assert chance == pytest.approx(0.05, abs=1e-6)


@given(st.integers(0, 10**9))
def test_large_numbers(trials: int) -> None:
    """No overflow with as many deliveries as a year has."""
    events = trials // 1000
    assert 0 <= binomial_lower(events, trials) <= binomial_upper(events, trials) <= 1


def test_impossible() -> None:
    with pytest.raises(ValueError):
        binomial_upper(3, 2)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(0, 100))
def test_percentile_is_one_of_them(values: list[float], percent: float) -> None:
    """Nearest rank: a value that occurred, with at least so many at or below it."""
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) >= percent / 100 * len(values) - 1e-9


def test_small_ones() -> None:
    """Nothing and one value have no interval."""
    assert percentile([], 50) is None
    assert mean([]) is None
    assert mean([2.0]) == pytest.approx(mean([2.0]))
    one, two = mean([2.0]), mean([1.0, 3.0])
    assert one is not None and one.low is None
    assert two is not None and two.low is not None and two.high is not None and two.low < two.value < two.high
