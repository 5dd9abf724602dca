"""The state machine of a subscriber's stream."""

from __future__ import annotations

from itertools import product

import pytest

from sse_service.events import EventId
from sse_service.stream import TRANSITIONS, EndReason, Recovery, State, StreamLimits, SubscriberStream
from sse_service.testing import SseReader

POSITION = EventId("e", 5)


def stream(state: State = State.OPENING, **limits: float) -> SubscriberStream:
    made = SubscriberStream(
        StreamLimits(
            **{  # type: ignore[arg-type]
                "buffer_bytes": 1000,
                "end_at": 100.0,
                "token_expires_at": 200.0,
                "send_timeout_s": 10.0,
                "retry_ms": 1234,
                **limits,
            }
        )
    )
    if state is State.OPENING:
        return made
    made.opened(Recovery(True, "resumed", POSITION))
    made.take()
    if state in {State.LIVE, State.DRAINING, State.CLOSED}:
        made.caught_up()
    if state in {State.DRAINING, State.CLOSED}:
        made.ends(EndReason.SHUTDOWN, POSITION)
        made.take()
    if state is State.CLOSED:
        made.written()
    return made


STEPS = {
    "opened": (State.REPLAY, lambda s: s.opened(Recovery(False, "fresh", POSITION))),
    "caught_up": (State.LIVE, lambda s: s.caught_up()),
    "written": (State.CLOSED, lambda s: s.written()),
}


@pytest.mark.parametrize(("state", "step"), list(product(State, STEPS)))
def test_every_pair_of_state_and_step_is_in_the_table_or_raises(state: State, step: str) -> None:
    target, act = STEPS[step]
    made = stream(state)
    if target in TRANSITIONS[state]:
        act(made)
        assert made.state is target
    else:
        with pytest.raises(RuntimeError, match="cannot go"):
            act(made)
        assert made.state is state


@pytest.mark.parametrize("state", State)
def test_a_lost_connection_closes_from_anywhere(state: State) -> None:
    made = stream(state)
    made.lost()
    assert made.state is State.CLOSED and made.take() == b""


def frames(made: SubscriberStream) -> list[tuple[str, str, dict[str, object]]]:
    return [(f.id, f.type, f.json) for f in SseReader().feed(made.take())]


@pytest.mark.parametrize(
    ("recovery", "kinds"),
    [
        (Recovery(False, "fresh", POSITION), ["ready"]),
        (Recovery(True, "resumed", POSITION), ["ready"]),
        (Recovery(False, "expired", POSITION), ["ready", "reset"]),
        (Recovery(False, "invalid_id", POSITION), ["ready", "reset"]),
    ],
)
def test_the_first_events_say_how_the_stream_began(recovery: Recovery, kinds: list[str]) -> None:
    made = stream()
    made.opened(recovery)
    said = frames(made)
    assert [kind for _, kind, _ in said] == kinds
    assert {event_id for event_id, _, _ in said} == {"e-5"}
    assert said[0][2] == {"recovered": recovery.recovered, "position": "e-5", "reason": recovery.reason}


@pytest.mark.parametrize(
    ("state", "reason", "kind", "event_id"),
    [
        (State.LIVE, EndReason.ROTATE, "rotate", "e-9"),
        (State.LIVE, EndReason.SHUTDOWN, "farewell", "e-9"),
        (State.LIVE, EndReason.TOKEN_EXPIRED, "farewell", "e-9"),
        # A position may be named only where everything up to it was written.
        (State.REPLAY, EndReason.SHUTDOWN, "farewell", ""),
        (State.OPENING, EndReason.SHUTDOWN, "farewell", ""),
        (State.LIVE, EndReason.SLOW, "farewell", ""),
        (State.LIVE, EndReason.FAILED, "farewell", ""),
    ],
)
def test_the_last_event_names_reason_and_safe_position(
    state: State, reason: EndReason, kind: str, event_id: str
) -> None:
    made = stream(state)
    assert made.ends(reason, EventId("e", 9))
    assert frames(made) == [(event_id, kind, {"reason": reason.value, "retryMs": 1234})]
    assert not made.ends(EndReason.SHUTDOWN, EventId("e", 9))
    assert made.take() == b""


def test_pending_events_go_before_the_farewell_unless_the_client_is_too_slow() -> None:
    for reason, kept in ((EndReason.SHUTDOWN, True), (EndReason.SLOW, False)):
        made = stream(State.LIVE)
        made.offer(b"event: m\ndata: 1\n\n")
        made.ends(reason, POSITION)
        assert (b"data: 1" in made.take()) is kept


def test_the_buffer_is_bounded_in_bytes() -> None:
    made = stream(State.LIVE)
    assert made.offer(b"x" * 600)
    assert not made.offer(b"x" * 401)
    assert made.offer(b"x" * 400)
    assert made.pending_bytes == 1000
    assert made.take() == b"x" * 1000 and made.pending_bytes == 0
    assert made.offer(b"x" * 1000)


def test_after_the_end_nothing_more_is_taken() -> None:
    made = stream(State.DRAINING)
    assert made.offer(b"x" * 5000)
    assert made.take() == b""


@pytest.mark.parametrize(
    ("now", "reason"),
    [(0, None), (99.9, None), (100, EndReason.ROTATE), (199, EndReason.ROTATE), (200, EndReason.TOKEN_EXPIRED)],
)
def test_when_it_has_to_end(now: float, reason: EndReason | None) -> None:
    assert stream(State.LIVE).due(now) is reason
    assert stream(State.LIVE).next_deadline == 100


def test_a_stalled_write_is_noticed_and_progress_counts() -> None:
    made = stream(State.LIVE)
    assert not made.is_stalled(1000)
    made.blocked(5)
    made.blocked(8)  # the first one counts
    assert not made.is_stalled(14.9)
    assert made.is_stalled(15)
    made.unblocked()
    assert not made.is_stalled(1000)
