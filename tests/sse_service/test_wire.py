"""Bytes of text/event-stream."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_service.events import Event, EventId
from sse_service.testing import SseReader
from sse_service.wire import HEARTBEAT, compact_json, control_frame, envelope_frame, event_frame, frame

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(json_values, st.integers(min_value=1, max_value=7))
def test_any_json_arrives_as_it_was_whatever_the_pieces(value: object, size: int) -> None:
    event = Event(EventId("e", 7), "t", "room:r", "message", compact_json(value), 1.5, "rest", "k")
    data = event_frame(event) + HEARTBEAT + envelope_frame(event)
    reader = SseReader()
    frames = [f for at in range(0, len(data), size) for f in reader.feed(data[at : at + size])]
    assert [f.json for f in frames] == [
        value,
        {
            "id": "e-7",
            "topic": "room:r",
            "type": "message",
            "origin": "rest",
            "key": "k",
            "time": 1.5,
            "data": value,
        },
    ]
    assert {(f.id, f.type) for f in frames} == {("e-7", "message")}


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b", "\n", "a\r\n"])
@pytest.mark.parametrize("field", [0, 1, 2])
def test_no_field_can_begin_another_one(field: int, bad: str) -> None:
    fields = ["e-1", "message", "{}"]
    fields[field] = bad
    with pytest.raises(ValueError, match="contains CR, LF or NUL"):
        frame(*fields)


def test_what_a_browser_would_drop_is_refused() -> None:
    for kind, data in (("", "{}"), ("x", "")):
        with pytest.raises(ValueError, match="empty"):
            frame("e-1", kind, data)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", ["\udfff"]])
def test_what_is_no_json_or_no_unicode_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        compact_json(value)


def test_line_separators_of_unicode_do_not_split_a_frame() -> None:
    data = compact_json({"text": "a\u2028b\u2029c\x85d\x0be\x0cf"})
    (found,) = SseReader().feed(frame("e-1", "m", data))
    assert json.loads(found.data)["text"] == "a\u2028b\u2029c\x85d\x0be\x0cf"


def test_control_frames_carry_position_and_retry() -> None:
    reader = SseReader()
    (ready,) = reader.feed(control_frame("ready", EventId("e", 3), {"recovered": True}, 1500))
    assert (ready.id, ready.type, ready.json, reader.retry_ms) == ("e-3", "ready", {"recovered": True}, 1500)
    (bye,) = reader.feed(control_frame("farewell", None, {"reason": "x"}))
    assert bye.id == "e-3"  # no id of its own: the client keeps the one it has


@pytest.mark.parametrize("bad", ["\n", "\r", "\0", "a\nb", ""])
@pytest.mark.parametrize("field", ["type", "data"])
def test_no_event_brings_a_field_of_its_own(field: str, bad: str) -> None:
    """However an event came into the log, its frame has the four lines of a frame or is not made."""
    event = Event(EventId("e", 1), "t", "user:ann", "note", '"x"', 0.0)
    with pytest.raises(ValueError):
        event_frame(event._replace(**{field: bad}))
