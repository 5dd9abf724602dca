"""The recent events of a tenant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_service.events import Event, EventId
from sse_service.ring import EncodedEvent, RecentEvents


def events(first: int, count: int, size: int = 2) -> list[EncodedEvent]:
    return [
        EncodedEvent(Event(EventId("e", n), "t", "room:r", "m", f'"{"x" * size}"', 1.0))
        for n in range(first, first + count)
    ]


@given(
    st.integers(min_value=0, max_value=1000),
    st.lists(st.tuples(st.integers(min_value=1, max_value=90), st.integers(min_value=0, max_value=500)), max_size=20),
)
def test_it_holds_the_newest_without_a_hole(start: int, batches: list[tuple[int, int]]) -> None:
    ring = RecentEvents(start, 50_000)
    at, made = start, []
    for count, size in batches:
        batch = events(at + 1, count, size)
        ring.append(batch)
        made += batch
        at += count
        assert ring.end == at
        kept = list(ring.since(ring.start))
        assert kept == made[len(made) - len(kept) :]
        assert [e.event.id.seq for e in kept] == list(range(ring.start + 1, at + 1))
        assert sum(e.cost for e in kept) <= 50_000
        assert list(ring.since(at)) == []
        assert list(ring.since(ring.start, 3)) == kept[:3]
    assert not ring.covers(ring.start - 1) and ring.covers(ring.start) and ring.covers(at)
    assert not ring.covers(at + 1)


def test_one_event_larger_than_the_ring_is_kept() -> None:
    ring = RecentEvents(0, 1000)
    ring.append(events(1, 1, 5000))
    assert len(ring.since(0)) == 1
    ring.append(events(2, 1))
    assert ring.start == 1


def test_a_hole_is_an_error() -> None:
    ring = RecentEvents(5, 1000)
    for first in (5, 7):
        with pytest.raises(ValueError, match="does not follow"):
            ring.append(events(first, 1))


def test_an_event_that_cannot_be_written_is_left_out_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A row that somebody else put into the log must not stop the others."""
    bad = EncodedEvent(Event(EventId("e", 1), "t", "room:r", "a\nb", "{}", 1.0))
    assert (bad.plain, bad.envelope) == (b"", b"")
    assert "cannot be written" in caplog.text


def test_frames_are_encoded_once_and_shared() -> None:
    (event,) = events(1, 1)
    assert event.plain is event.plain
    assert event.envelope is event.envelope
