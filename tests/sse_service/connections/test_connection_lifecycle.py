"""The transition table, walked pair by pair, and the deadlines."""

import itertools

import pytest

from sse_service.connections.errors import IllegalTransitionError
from sse_service.connections.lifecycle import TRANSITIONS, CloseCause, Event, State, advance, next_deadline
from sse_service.connections.limits import ConnectionLimits
from sse_service.connections.throttle import TokenBucket

LEGAL = {
    (State.CONNECTING, Event.ACCEPTED): State.OPEN,
    (State.CONNECTING, Event.REFUSED): State.CLOSED,
    (State.CONNECTING, Event.LOST): State.CLOSED,
    (State.OPEN, Event.CLOSE_SENT): State.CLOSING,
    (State.OPEN, Event.CLOSE_RECEIVED): State.CLOSED,
    (State.OPEN, Event.LOST): State.CLOSED,
    (State.CLOSING, Event.CLOSE_RECEIVED): State.CLOSED,
    (State.CLOSING, Event.LOST): State.CLOSED,
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_pair(state: State, event: Event) -> None:
    """A legal pair leads where the table says, any other raises and names both."""
    if (state, event) in LEGAL:
        assert advance(state, event) is LEGAL[state, event]
    else:
        with pytest.raises(IllegalTransitionError) as caught:
            advance(state, event)
        assert (caught.value.state, caught.value.event) == (state.value, event.value)


def test_closed_is_final_and_reachable_from_everywhere() -> None:
    """No state keeps a connection for ever."""
    assert TRANSITIONS[State.CLOSED] == {}
    for state in set(State) - {State.CLOSED}:
        assert advance(state, Event.LOST) is State.CLOSED


@pytest.mark.parametrize(
    ("opened", "last", "deadline", "cause"),
    [
        (0.0, 0.0, 600.0, CloseCause.IDLE),
        (0.0, 5000.0, 5600.0, CloseCause.IDLE),
        (0.0, 6700.0, 7200.0, CloseCause.LIFETIME),
        (100.0, 7000.0, 7300.0, CloseCause.LIFETIME),
    ],
)
def test_deadlines(opened: float, last: float, deadline: float, cause: CloseCause) -> None:
    """Ten minutes idle, two hours in all."""
    assert next_deadline(ConnectionLimits(), opened, last) == (deadline, cause)


def test_limits_are_awss() -> None:
    """The quotas page."""
    limits = ConnectionLimits()
    assert (limits.frame_bytes, limits.message_bytes) == (32768, 131072)
    assert (limits.idle_s, limits.lifetime_s, limits.integration_s) == (600, 7200, 29)
    assert (limits.authorizer_result_bytes, limits.url_chars) == (8192, 4096)


def test_token_bucket() -> None:
    """A burst, then the rate, never more saved than the burst; a clock that goes back changes nothing."""
    bucket = TokenBucket(rate=2, burst=3, now_s=10)
    assert [bucket.take(10) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(10.5), bucket.take(10.5)] == [True, False]
    assert bucket.take(9) is False
    assert [bucket.take(100) for _ in range(4)] == [True, True, True, False]
