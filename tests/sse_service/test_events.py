"""Ids, topics and names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_service.errors import InvalidInputError
from sse_service.events import TOPIC_KINDS, EventId, base36, check_event_type, check_name, parse_topic


@given(st.integers(min_value=0, max_value=2**62), st.integers(min_value=0, max_value=10**14))
def test_an_id_survives_its_way_over_the_wire(epoch: int, seq: int) -> None:
    event_id = EventId(base36(epoch), seq)
    assert EventId.parse(str(event_id)) == event_id
    assert int(event_id.epoch, 36) == epoch


@given(st.text())
def test_any_text_is_an_id_of_ours_or_none(text: str) -> None:
    found = EventId.parse(text)
    assert found is None or str(found) == text


@pytest.mark.parametrize("text", ["", "-", "a-", "-1", "a-01", "A-1", "a-1 ", "a-1\n", "a--1", "a-\u0661", "a-1-2"])
def test_near_misses_are_none_of_ours(text: str) -> None:
    assert EventId.parse(text) is None


@pytest.mark.parametrize("topic", ["room:main", "user:a#b:c", "tenant:日本", "x.y-z_1:v", "room: "])
def test_good_topics(topic: str) -> None:
    assert parse_topic(topic, [*TOPIC_KINDS, "x.y-z_1"]) == topic


@pytest.mark.parametrize("topic", ["", ":", "room:", ":x", "Room:x", "1:x", "room:a\nb", "room:\x7f", "*", "a b:c"])
def test_bad_topics(topic: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_topic(topic, TOPIC_KINDS)


@given(st.text())
def test_what_passes_as_a_type_cannot_end_a_line(text: str) -> None:
    try:
        check_event_type(text)
    except InvalidInputError:
        return
    assert text.isprintable() and not set(text) & set("\r\n\0 ")


@given(st.text(max_size=210))
def test_what_passes_as_a_name_can_be_written_anywhere(text: str) -> None:
    try:
        check_name("name", text)
    except InvalidInputError:
        return
    assert text.encode() and not set(text) & set("\r\n\0")
