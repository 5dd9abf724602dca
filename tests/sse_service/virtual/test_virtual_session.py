"""One connection's numbers, window and deadlines, without a clock."""

from __future__ import annotations

import json
import random

import pytest

from sse_service.connections.lifecycle import CloseStatus
from sse_service.virtual.errors import GapError, GoneError, WindowFullError
from sse_service.virtual.frames import text_frame
from sse_service.virtual.session import Session, SessionLimits

LIMITS = SessionLimits(idle_s=100, lifetime_s=1000, resume_s=10, stream_lease_s=30, window_bytes=4000, window_frames=50)


def session() -> Session:
    return Session(opened_s=0, last_message_s=0, stream_until_s=0)


def post(one: Session, text: str = "x", now: float = 1) -> int:
    return one.post(lambda number: text_frame(number, text), now, LIMITS)


def fill(one: Session) -> None:
    """Post until nothing more is taken."""
    for _ in range(LIMITS.window_frames + 1):
        try:
            post(one, "y" * 100)
        except WindowFullError:
            return
    raise AssertionError("the window has no end")


def test_messages_count_once_whatever_is_repeated() -> None:
    """Any run of batches that overlap, in any division, takes every message once and in order."""
    rng = random.Random(5)
    for _ in range(200):
        one, taken = session(), []
        while one.acked < 30:
            first = rng.randint(1, one.acked + 1)
            numbers = list(range(first, first + rng.randint(1, 6)))
            accepted = one.accept(numbers, None, 1)
            taken += [number for number in numbers if number >= accepted.first_new]
        assert taken == list(range(1, one.acked + 1))


def test_what_does_not_get_on_is_given_up_and_what_does_is_not() -> None:
    one = session()
    one.accept([1, 2, 3], None, 100)
    one.accept([4], None, 129)  # does not begin the time anew
    one.give_up(125, 30)
    assert one.handled == 0
    one.was_handled(1, 126)
    one.give_up(155, 30)
    assert one.handled == 1
    one.give_up(157, 30)
    assert one.handled == 4
    one.accept([5], None, 5000)
    one.give_up(5029, 30)
    assert one.handled == 4
    one.give_up(1000, 30)  # the clock was set back
    assert one.handled == 5


def test_a_session_of_a_later_version_is_read() -> None:
    kept = json.loads(session().to_json())
    assert Session.from_json(json.dumps({**kept, "more": 1})) == session()


def test_a_gap_changes_nothing() -> None:
    one = session()
    one.accept([1, 2], None, 1)
    for numbers in ([4], [3, 5], [3, 3], [2, 1]):
        with pytest.raises(GapError) as caught:
            one.accept(numbers, None, 2)
        assert caught.value.acked == one.acked == 2


def test_the_window_keeps_what_was_not_acknowledged_and_drops_the_oldest_written() -> None:
    one = session()
    attached = one.attach("i", 0, 1, LIMITS)
    fill(one)
    full = one.last
    one.was_written(attached.generation, full)
    assert post(one, "y" * 100) == full + 1
    assert one.first > 1
    with pytest.raises(GoneError):
        one.attach("i", 0, 2, LIMITS)  # 1 has gone
    again = one.attach("i", one.first - 1, 2, LIMITS)
    assert again.generation == attached.generation + 1
    one.was_written(attached.generation, one.last)  # of the stream that is over
    fill(one)


def test_the_window_in_a_store_is_the_one_that_is_accounted_for() -> None:
    """`dropped` and `frames` of every step, applied to a list, leave what `first` and `last` say."""
    rng = random.Random(7)
    one, kept, numbers = session(), [], []
    one.attach("i", 0, 1, LIMITS)
    for _ in range(2000):
        step = rng.random()
        if step < 0.7:
            try:
                post(one, "z" * rng.randint(0, 200))
            except WindowFullError:
                one = one.copy()
        elif step < 0.85:
            one.was_written(one.generation, rng.randint(0, one.last))
        else:
            one.was_received(rng.randint(0, one.last))
        effects, one = one.effects, one.copy()
        kept = kept[effects.dropped :] + effects.frames
        numbers = [int(frame.split(b"\n")[0].removeprefix(b"id: ")) for frame in kept]
        assert numbers == list(range(one.first, one.last + 1))
        assert sum(map(len, kept)) == sum(size for _, size in one.segments) <= LIMITS.window_bytes
        assert len(kept) <= LIMITS.window_frames
        one = Session.from_json(one.to_json())


def test_an_earlier_stream_is_no_longer_believed() -> None:
    one = session()
    old = one.attach("a", 0, 1, LIMITS)
    new = one.attach("b", 0, 2, LIMITS)
    assert (one.holder, one.effects.wake) == ("b", "a")
    one.detach(old.generation, 0, 5)
    assert one.stream_until_s == 2 + LIMITS.stream_lease_s
    one.detach(new.generation, 0, 5)
    assert one.stream_until_s == 5


def test_it_is_closed_once_and_the_close_event_can_be_read_afterwards() -> None:
    one = session()
    status = CloseStatus(3000, "why")
    assert one.close(status, "why", 5, LIMITS, by_client=True)
    assert not one.close(status, "why", 5, LIMITS, by_client=True)
    assert not one.close(status, "why", 5, LIMITS, by_client=False)
    for refused in (lambda: post(one), lambda: one.accept([1], None, 6)):
        with pytest.raises(GoneError):
            refused()
    one.attach("i", 0, 6, LIMITS)
    with pytest.raises(GoneError):
        one.attach("i", 1, 6, LIMITS)


@pytest.mark.parametrize(
    ("stream_until", "last_message", "at", "code"),
    [(0.0, 0.0, 10, 1006), (5000.0, 0.0, 100, 1001), (5000.0, 950.0, 1000, 1001)],
)
def test_what_is_due_is_ended_with_its_reason(stream_until: float, last_message: float, at: float, code: int) -> None:
    one = Session(opened_s=0, last_message_s=last_message, stream_until_s=stream_until)
    assert one.deadline(LIMITS) == at
    assert one.sweep(at - 0.1, LIMITS) is None
    swept = one.sweep(at, LIMITS)
    assert swept is not None and swept.status is not None
    assert swept.status.code == code


def test_disconnect_passes_to_another_when_its_instance_dies() -> None:
    one = session()
    one.close(CloseStatus(1000, ""), "", 5, LIMITS, by_client=True)
    assert one.sweep(5 + LIMITS.end_lease_s - 1, LIMITS) is None
    again = one.sweep(5 + LIMITS.end_lease_s, LIMITS)
    assert again is not None and again.status == CloseStatus(1000, "")
    one.disconnected()
    done = one.sweep(5 + LIMITS.end_lease_s + LIMITS.resume_s, LIMITS)
    assert done is not None and done.forget
