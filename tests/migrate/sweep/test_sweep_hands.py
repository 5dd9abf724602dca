"""A page's questions and deletions: in order, by several hands, and none goes on when one has failed. until phase 3"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from migrate.config.model import Table
from migrate.sweep.segment import Paces, Segment, Stopped
from migrate.tables.rows import Rows

HANDS = 4
Each = Callable[[Callable[[int], Any], Sequence[int]], list[Any]]


@pytest.fixture
def each() -> Iterator[Each]:
    nothing: Any = None
    with ThreadPoolExecutor(HANDS) as pool:
        segment = Segment(
            nothing, Rows(Table(name="t", role="connections", key="id"), ["id"]), nothing,
            Paces(nothing, nothing, nothing), pool, 0, 1, deleter=None, check=lambda: None, hands=HANDS,
        )  # fmt: skip
        yield segment._each


def test_answers_are_in_order_and_come_together(each: Each) -> None:
    together = Barrier(HANDS)

    def call(number: int) -> int:
        if number < HANDS:
            together.wait(10)  # all hands are at it at once
        return number * number

    assert each(call, range(100)) == [number * number for number in range(100)]
    assert each(call, []) == []


def test_when_one_fails_the_rest_is_left(each: Each) -> None:
    """A lock that was lost: what is under way ends, and nothing more is deleted."""
    begun: list[int] = []
    ended: list[int] = []
    all_at_it = Barrier(HANDS)

    def call(number: int) -> None:
        begun.append(number)
        all_at_it.wait(10)  # nobody takes another one before one has failed
        if number:
            raise Stopped
        ended.append(number)

    with pytest.raises(Stopped):
        each(call, range(HANDS))
    assert (sorted(begun), ended) == (list(range(HANDS)), [0])


def test_one_hand_stops_at_once(each: Each) -> None:
    begun: list[int] = []

    def call(number: int) -> None:
        begun.append(number)
        if number == 1:
            raise Stopped

    each.__self__._hands = 1  # type: ignore[attr-defined]  # the segment's
    with pytest.raises(Stopped):
        each(call, range(1000))
    assert begun == [0, 1]


def test_an_index_error_of_a_call_is_not_the_end_of_the_list(each: Each) -> None:
    def call(number: int) -> None:
        raise IndexError(number)

    with pytest.raises(IndexError):
        each(call, [1])
