"""Small parts of the hub: deadlines in one table, counters without locks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from sse_service.counters import QuickCounter, QuickCounters, QuickHistogram
from sse_service.deadlines import Deadlines

TIMES = st.floats(0, 1000, allow_nan=False)


@given(st.lists(TIMES, max_size=30), st.lists(TIMES, max_size=10), st.floats(0.05, 2))
def test_nothing_is_due_early_or_too_late(deadlines: list[float], looks: list[float], width_s: float) -> None:
    table: Deadlines[int] = Deadlines(width_s)
    for number, at in enumerate(deadlines):
        table.add(number, at)
    for number in range(0, len(deadlines), 3):
        table.discard(number, deadlines[number])
    left = {number for number in range(len(deadlines)) if number % 3}
    for now in sorted(looks):
        due = table.due(now)
        assert all(deadlines[number] <= now + 1e-6 for number in due) and left.issuperset(due)
        left -= set(due)
        assert all(deadlines[number] + width_s > now - 1e-6 for number in left)
        assert len(table) == len(left)
        assert (table.next is None) is not bool(left)


def test_what_is_forgotten_twice_or_never_was_there_is_no_matter() -> None:
    table: Deadlines[str] = Deadlines(1.0)
    table.discard("a", 5.0)
    table.add("a", 5.0)
    table.discard("a", 5.0)
    table.add("b", 5.0)
    assert table.next == 5.0 and table.due(5.0) == ["b"] and table.next is None


@pytest.mark.parametrize("amounts", [[], [0.004, 0.005, 2.0, 99.0]])
def test_the_exposition_is_the_one_of_the_usual_counters(amounts: list[float]) -> None:
    def lines(registry: CollectorRegistry) -> list[str]:
        text = generate_latest(registry).decode()
        return [line for line in text.splitlines() if "_created" not in line]

    quick, usual = CollectorRegistry(), CollectorRegistry()
    bounds = (0.005, 1, 2.5)
    made = (
        QuickCounter("a", "A", registry=quick),
        QuickCounters("b", "B", ["x", "y"], registry=quick),
        QuickHistogram("c", "C", registry=quick, buckets=bounds),
    )
    theirs = (
        Counter("a", "A", registry=usual),
        Counter("b", "B", ["x", "y"], registry=usual),
        Histogram("c", "C", registry=usual, buckets=bounds),
    )
    for amount in amounts:
        for plain, labelled, histogram in (made, theirs):
            plain.inc(amount)
            labelled.labels("p", "q").inc()
            histogram.observe(amount)
    assert lines(quick) == lines(usual)
