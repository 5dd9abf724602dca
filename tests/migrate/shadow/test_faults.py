"""Faults on purpose do what they say, and only when asked. until phase 3 (MG6)"""

from __future__ import annotations

import json

import pytest

from migrate.errors import UsageError
from migrate.shadow.faults import Faults, Received
from migrate.shadow.people import Person

ANN = Person("demo", "ann")


def run(text: str, count: int = 6) -> list[tuple[int, str]]:
    """(number, message) of what is recorded of so many events."""
    faults = Faults.parse(text)
    found = []
    for number in range(1, count + 1):
        frame = json.dumps({"type": "message", "message": f"m{number}"})
        for received in faults.event(Received(ANN, f"e-{number}", number, frame, 1.0)):
            found.append((received.seq, json.loads(received.text)["message"]))
    return found


def test_nothing_without_being_asked() -> None:
    assert [message for _, message in run("")] == [f"m{number}" for number in range(1, 7)]
    assert not Faults.parse("").loses_record()


def test_one_in_three_is_dropped_doubled_changed() -> None:
    assert [message for _, message in run("sse-drop=3")] == ["m1", "m2", "m4", "m5"]
    doubled = run("sse-double=3", 3)
    assert [message for _, message in doubled] == ["m1", "m2", "m3", "m3"]
    assert len({seq for seq, _ in doubled}) == 4
    assert [message for _, message in run("sse-change=3", 3)] == ["m1", "m2", "m3 (changed)"]


def test_two_change_places() -> None:
    assert [message for _, message in sorted(run("sse-swap=3", 4))] == ["m1", "m2", "m4", "m3"]


def test_places_are_changed_within_a_room_only() -> None:
    """An order that nobody counts is not disturbed."""
    faults = Faults.parse("sse-swap=3")
    found = [
        one.event_id
        for number, room in enumerate(("a", "a", "b", "a", "b"), 1)
        for one in faults.event(Received(ANN, f"e-{number}", number, "{}", 1.0, room))
    ]
    assert found == ["e-1", "e-2", "e-4", "e-5", "e-5"]


def test_records_are_lost() -> None:
    faults = Faults.parse("tee-lose=2, sse-drop=9")
    assert [faults.loses_record() for _ in range(4)] == [False, True, False, True]


@pytest.mark.parametrize("text", ["sse-drop", "sse-drop=0", "nonsense=3", "sse-drop=x"])
def test_a_wrong_value_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="is no fault"):
        Faults.parse(text)
