"""One subscriber's stream as a state machine. Pure: no I/O, no clock, no asyncio; time comes in as seconds.

    OPENING ──opened──> REPLAY ──caught_up──> LIVE ──┐
       └────────────────────┴─────────────────────────┴─ends─> DRAINING ──written──> CLOSED
                                   (a lost connection leads from anywhere to CLOSED)

Frames go in (`opened`, `reset`, `offer`, `ends`), bytes come out (`take`: everything pending, joined). The
buffer is bounded in bytes: a subscriber that cannot keep up is told so and ended; it resumes by its cursor,
so what is dropped here is not lost. In REPLAY live events are not offered at all: the feed's ring of recent
events is the buffer, and the last part of a replay is taken from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sse_service.events import EventId
from sse_service.wire import control_frame

__all__ = ["EndReason", "Recovery", "State", "StreamLimits", "SubscriberStream"]


class State(Enum):
    OPENING = "opening"
    REPLAY = "replay"
    LIVE = "live"
    DRAINING = "draining"
    CLOSED = "closed"


class EndReason(Enum):
    """Why the service ends a stream; the word a client reads in the last event."""

    ROTATE = "max_age"
    SHUTDOWN = "shutdown"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a reason, not a secret
    SLOW = "slow_consumer"
    FAILED = "internal"


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the first event says: where the stream begins, and whether everything after the cursor follows.

    reason: "fresh" (no cursor was sent), "resumed", or why it could not resume ("invalid_id", "expired",
    "unknown_log", "ahead").
    """

    recovered: bool
    reason: str
    position: EventId

    @property
    def is_reset(self) -> bool:
        return not self.recovered and self.reason != "fresh"


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """buffer_bytes: what may wait for one subscriber. end_at, token_expires_at: monotonic seconds.
    retry_ms: how long a client should wait before it comes back after this stream has ended. named_keepalive: its
    heartbeats are events that scripts see, with the position."""

    buffer_bytes: int
    end_at: float
    token_expires_at: float
    send_timeout_s: float
    retry_ms: int
    named_keepalive: bool = False


_BEFORE_END = frozenset({State.OPENING, State.REPLAY, State.LIVE})

TRANSITIONS: dict[State, frozenset[State]] = {
    State.OPENING: frozenset({State.REPLAY, State.DRAINING, State.CLOSED}),
    State.REPLAY: frozenset({State.LIVE, State.DRAINING, State.CLOSED}),
    State.LIVE: frozenset({State.DRAINING, State.CLOSED}),
    State.DRAINING: frozenset({State.CLOSED}),
    State.CLOSED: frozenset(),
}


class SubscriberStream:
    """What waits to be written to one subscriber, and when its stream ends."""

    __slots__ = ("_blocked_since", "_pending", "end_reason", "limits", "pending_bytes", "position", "state")

    def __init__(self, limits: StreamLimits) -> None:
        self.limits = limits
        self.state = State.OPENING
        self.position: EventId | None = None
        self.end_reason: EndReason | None = None
        self._pending: list[bytes] | None = None
        self.pending_bytes = 0
        self._blocked_since: float | None = None

    def _go(self, state: State) -> None:
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"a stream cannot go from {self.state.value} to {state.value}")
        self.state = state

    # What happens to it -------------------------------------------------------------------------------

    def opened(self, recovery: Recovery) -> None:
        """The position is known: the first event, and a reset when the cursor could not be honoured.

        The id of `ready` is where the replay begins, never where it ends: a client that loses the connection
        right after it would otherwise skip what it has not seen.
        """
        self._go(State.REPLAY)
        self.position = recovery.position
        facts: dict[str, object] = {
            "recovered": recovery.recovered,
            "position": str(recovery.position),
            "reason": recovery.reason,
        }
        self._add(control_frame("ready", recovery.position, facts, self.limits.retry_ms))
        if recovery.is_reset:
            self.reset(recovery.reason, recovery.position)

    def reset(self, reason: str, position: EventId) -> None:
        """History is gone: the client must fetch its state anew; the stream goes on from `position`."""
        self.position = position
        self._add(control_frame("reset", position, {"reason": reason, "position": str(position)}))

    def caught_up(self) -> None:
        """Everything up to the feed's position has been offered; from here on events come as they happen."""
        self._go(State.LIVE)

    def offer(self, data: bytes) -> bool:
        """Take ready-made frames. False: the buffer is full (the caller then ends the stream as SLOW)."""
        if self.state not in _BEFORE_END:
            return True
        if self.pending_bytes + len(data) > self.limits.buffer_bytes:
            return False
        self._add(data)
        return True

    def ends(self, reason: EndReason, position: EventId | None = None) -> bool:
        """Say goodbye. False: it was already ending.

        A slow subscriber's pending events are dropped (it resumes by its cursor), so its last event has no
        id; everybody else's names the position up to which everything was written.
        """
        if self.state not in _BEFORE_END:
            return False
        if reason is EndReason.SLOW or reason is EndReason.FAILED:
            self._pending = None
            self.pending_bytes = 0
            position = None
        elif self.state is not State.LIVE:
            position = None  # in the middle of a replay: only what was written counts
        kind = "rotate" if reason is EndReason.ROTATE else "farewell"
        facts: dict[str, object] = {"reason": reason.value, "retryMs": self.limits.retry_ms}
        self._add(control_frame(kind, position, facts, self.limits.retry_ms))
        self.end_reason = reason
        self._go(State.DRAINING)
        return True

    def lost(self) -> None:
        """The connection is gone."""
        if self.state is not State.CLOSED:
            self._go(State.CLOSED)
        self._pending = None
        self.pending_bytes = 0

    def written(self) -> None:
        """The last byte was handed over."""
        self._go(State.CLOSED)

    # What is to be done -------------------------------------------------------------------------------

    def take(self) -> bytes:
        """Everything pending as one bytes object (b"" when there is nothing)."""
        pending = self._pending
        if pending is None:
            return b""
        data = pending[0] if len(pending) == 1 else b"".join(pending)
        self._pending = None  # an idle stream keeps no list
        self.pending_bytes = 0
        return data

    @property
    def is_ending(self) -> bool:
        return self.state is State.DRAINING or self.state is State.CLOSED

    @property
    def next_deadline(self) -> float:
        """When `due` will first say something (monotonic seconds)."""
        return min(self.limits.end_at, self.limits.token_expires_at)

    def due(self, now: float) -> EndReason | None:
        """Why the stream has to end now, if it has to."""
        if now >= self.limits.token_expires_at:
            return EndReason.TOKEN_EXPIRED
        if now >= self.limits.end_at:
            return EndReason.ROTATE
        return None

    def blocked(self, now: float) -> None:
        """A write has begun that the connection does not take."""
        if self._blocked_since is None:
            self._blocked_since = now

    def unblocked(self) -> None:
        self._blocked_since = None

    def is_stalled(self, now: float) -> bool:
        """A write has been waiting longer than send_timeout_s: nothing more can be said to this client."""
        return self._blocked_since is not None and now - self._blocked_since >= self.limits.send_timeout_s

    def _add(self, data: bytes) -> None:
        if self._pending is None:
            self._pending = [data]
        else:
            self._pending.append(data)
        self.pending_bytes += len(data)
