"""One virtual connection: its life, the numbers of both directions, the window that can be replayed. Pure.

Down: every event has a number, 1, 2, 3 … without a gap. It stays in the window until the client has said that it has it
(Last-Event-ID of a later stream, or `received` in what it sends). When the window is full, the oldest events that were
written to a stream go; where none was, nothing more is taken (`@connections` answers 429). A client that comes back for
what has gone cannot resume.

Up: messages are numbered by the client. `accept` says which are new; what was accepted before is not handled again,
so a POST whose answer was lost may be repeated.

Life: OPEN until somebody closes it or a deadline passes; whoever brings about the change to CLOSED runs `$disconnect`,
nobody else does. Should its process die in the middle of that, `sweep` hands it to another one after a while.

Times are seconds of one clock, given as arguments. A store copies a session before it is changed, and commits `effects`
together with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sse_service.connections.lifecycle import ABNORMAL, CloseCause, CloseStatus, Event, State, advance
from sse_service.virtual.errors import GapError, GoneError, WindowFullError
from sse_service.virtual.frames import close_frame

__all__ = ["Accepted", "Attached", "Effects", "Session", "SessionLimits", "Swept"]

SEGMENT_FRAMES = 64
SEGMENT_BYTES = 16 << 10
"""The window is accounted for, and let go of, in segments of so many events."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Seconds and bytes.

    stream_lease_s: an attached stream is believed in for so long without being renewed. end_lease_s: what an instance
    may take to run `$disconnect` before another one believes it dead: messages that still wait, and the handler itself.
    """

    idle_s: float = 600.0
    lifetime_s: float = 7200.0
    resume_s: float = 60.0
    stream_lease_s: float = 45.0
    end_lease_s: float = 75.0
    window_bytes: int = 1 << 20
    window_frames: int = 10_000


@dataclass(slots=True)
class Effects:
    """What a store has to do besides keeping the changed session."""

    frames: list[bytes] = field(default_factory=list)
    dropped: int = 0
    wake: str | None = None
    """The instance that has something to do for this connection ("": whichever has its stream)."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """first_new: number of the first message that is to be handled; acked: the last one there is."""

    first_new: int
    acked: int


@dataclass(frozen=True, slots=True)
class Attached:
    generation: int
    acked: int


@dataclass(frozen=True, slots=True)
class Swept:
    """What became of a connection that was due: to be disconnected (with this status), or forgotten."""

    status: CloseStatus | None = None
    forget: bool = False


@dataclass(slots=True)
class Session:
    """What changes about a connection. `opened_s` is when `$connect` had succeeded."""

    opened_s: float
    last_message_s: float
    stream_until_s: float
    """Until when a stream is known to be there; in the past: when the last one ended."""
    state: State = State.OPEN
    acked: int = 0
    handled: int = 0
    """Up to here handlers have ended; where several instances do not handle them one after another, as `acked`."""
    turn_s: float = 0.0
    """When `handled` last changed, or messages began to wait for it."""
    first: int = 1
    """Number of the oldest event in the window."""
    last: int = 0
    received: int = 0
    wrote: int = 0
    segments: list[tuple[int, int]] = field(default_factory=list)
    """(number of its last event, bytes) of each segment of the window."""
    generation: int = 0
    holder: str = ""
    """The instance with the stream."""
    code: int = 0
    reason: str = ""
    ended_s: float = 0.0
    lease_s: float = 0.0
    """CLOSED and `$disconnect` under way: until when nobody else runs it. 0: it has run."""
    effects: Effects = field(default_factory=Effects)

    # Up -------------------------------------------------------------------------------------------------

    def accept(self, numbers: list[int], received: int | None, now_s: float) -> Accepted:
        """Messages with these numbers have come. Raises GoneError, GapError."""
        self._require_open()
        if received is not None:
            self.was_received(received)
        first_new = self.acked + 1
        expected = None
        for number in numbers:
            if expected is not None and number != expected:
                raise GapError(self.acked)
            expected = number + 1
        if numbers and numbers[0] > first_new:
            raise GapError(self.acked)
        if numbers and numbers[-1] >= first_new:
            if self.handled >= self.acked:
                self.turn_s = now_s
            self.acked = numbers[-1]
            self.last_message_s = now_s
        return Accepted(first_new, self.acked)

    def was_handled(self, number: int, now_s: float) -> None:
        """The handlers of all messages up to this one have ended."""
        if number > self.handled:
            self.handled, self.turn_s = number, now_s

    def give_up(self, now_s: float, patience_s: float) -> None:
        """What has not got on for so long is not waited for: its instance is dead, and its messages with it. Also where
        the clock was set back meanwhile."""
        if abs(now_s - self.turn_s) > patience_s:
            self.was_handled(self.acked, now_s)

    # Down -----------------------------------------------------------------------------------------------

    def post(self, make: Callable[[int], bytes], now_s: float, limits: SessionLimits) -> int:
        """Append an event; `make(number)` is its bytes. Returns its number. Raises GoneError, WindowFullError."""
        self._require_open()
        frame = make(self.last + 1)
        self._make_room(len(frame), limits)
        self._append(frame)
        self.last_message_s = now_s
        return self.last

    def was_received(self, number: int) -> None:
        """The client has everything up to `number`."""
        self.received = max(self.received, min(number, self.last))
        self._drop(self.received)

    def was_written(self, generation: int, number: int) -> None:
        """A stream has been given everything up to `number`; that may go when room is needed."""
        if generation == self.generation:
            self.wrote = max(self.wrote, min(number, self.last))

    # Streams --------------------------------------------------------------------------------------------

    def attach(self, holder: str, cursor: int, now_s: float, limits: SessionLimits) -> Attached:
        """A stream begins behind `cursor`; an earlier one ends. Raises GoneError when that cannot be resumed."""
        if cursor > self.last or cursor < self.first - 1:
            raise GoneError
        if self.state is not State.OPEN and (cursor >= self.last or self.code == ABNORMAL.code):
            raise GoneError  # there is nothing to be read any more
        self.was_received(cursor)
        self.wrote = cursor
        if self.generation:
            self.effects.wake = self.holder  # the earlier stream's
        self.generation += 1
        self.holder = holder
        self.hold(self.generation, now_s, limits)
        return Attached(self.generation, self.acked)

    def hold(self, generation: int, now_s: float, limits: SessionLimits) -> None:
        """The stream is still there."""
        if generation == self.generation:
            self.stream_until_s = now_s + limits.stream_lease_s

    def detach(self, generation: int, wrote: int, now_s: float) -> None:
        """The stream is over; the time for another one begins."""
        if generation == self.generation:
            self.was_written(generation, wrote)
            self.stream_until_s = now_s

    # End ------------------------------------------------------------------------------------------------

    def close(
        self, status: CloseStatus, wire_reason: str, now_s: float, limits: SessionLimits, *, by_client: bool
    ) -> bool:
        """Close it. True: the caller is to run `$disconnect`, then to call `disconnected`."""
        if self.state is not State.OPEN:
            return False
        if by_client:
            self.state = advance(self.state, Event.CLOSE_RECEIVED)
        else:
            # There is no handshake to wait for: the event is the close frame and its echo.
            self.state = advance(advance(self.state, Event.CLOSE_SENT), Event.LOST)
        self._append(close_frame(self.last + 1, status.code, wire_reason))
        self._end(status, now_s, limits)
        return True

    def lose(self, now_s: float, limits: SessionLimits) -> CloseStatus:
        """Nobody came back for it."""
        self.state = advance(self.state, Event.LOST)
        self._end(ABNORMAL, now_s, limits)
        return ABNORMAL

    def disconnected(self) -> None:
        """`$disconnect` has run."""
        self.lease_s = 0.0

    @property
    def is_open(self) -> bool:
        return self.state is State.OPEN

    @property
    def status(self) -> CloseStatus:
        return CloseStatus(self.code, self.reason)

    def deadline(self, limits: SessionLimits) -> float:
        """When `sweep` will have something to do, if nothing happens before."""
        if self.state is State.OPEN:
            return min(
                self.last_message_s + limits.idle_s,
                self.opened_s + limits.lifetime_s,
                self.stream_until_s + limits.resume_s,
            )
        return self.lease_s or self.ended_s + limits.resume_s

    def sweep(self, now_s: float, limits: SessionLimits) -> Swept | None:
        """Do what is due. With a status: the caller is to run `$disconnect`, then to call `disconnected`."""
        if now_s < self.deadline(limits):
            return None
        if self.state is not State.OPEN:
            if not self.lease_s:
                return Swept(forget=True)
            self.lease_s = now_s + limits.end_lease_s
            return Swept(self.status)
        if now_s >= self.stream_until_s + limits.resume_s:
            return Swept(self.lose(now_s, limits))
        is_old = now_s >= self.opened_s + limits.lifetime_s
        status = (CloseCause.LIFETIME if is_old else CloseCause.IDLE).status
        self.close(status, status.wire_reason, now_s, limits, by_client=False)
        return Swept(status)

    # Keeping it -----------------------------------------------------------------------------------------

    def copy(self) -> Session:
        return replace(self, segments=list(self.segments), effects=Effects())

    def to_json(self) -> str:
        values = {name: getattr(self, name) for name in _KEPT}
        return json.dumps({**values, "state": self.state.value}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Session:
        values = json.loads(text)
        values.setdefault("handled", values["acked"])  # of a version that did not keep it
        # A later version may keep more: while a deploy is under way, or taken back, both are at work.
        kept = {name: values[name] for name in _KEPT if name in values}
        kept["segments"] = [tuple(one) for one in values["segments"]]
        return cls(**kept, state=State(values["state"]))

    # ----------------------------------------------------------------------------------------------------

    def _require_open(self) -> None:
        if self.state is not State.OPEN:
            raise GoneError

    def _end(self, status: CloseStatus, now_s: float, limits: SessionLimits) -> None:
        self.code, self.reason = status.code, status.reason
        self.ended_s = now_s
        self.lease_s = now_s + limits.end_lease_s
        self.effects.wake = self.holder

    def _append(self, frame: bytes) -> None:
        self.last += 1
        self.effects.frames.append(frame)
        self.effects.wake = self.holder
        if self.segments:
            end, size = self.segments[-1]
            begin = self.segments[-2][0] if len(self.segments) > 1 else self.first - 1
            if size + len(frame) <= SEGMENT_BYTES and end - begin < SEGMENT_FRAMES:
                self.segments[-1] = (self.last, size + len(frame))
                return
        self.segments.append((self.last, len(frame)))

    def _make_room(self, size: int, limits: SessionLimits) -> None:
        while self.segments and not self._fits(size, limits):
            if self.segments[0][0] > self.wrote:
                raise WindowFullError
            self._drop(self.segments[0][0])

    def _fits(self, size: int, limits: SessionLimits) -> bool:
        held = sum(size for _, size in self.segments)
        return held + size <= limits.window_bytes and self.last - self.first + 2 <= limits.window_frames

    def _drop(self, number: int) -> None:
        """Let go of whole segments up to `number`."""
        while self.segments and self.segments[0][0] <= number:
            end, _ = self.segments.pop(0)
            self.effects.dropped += end - self.first + 1
            self.first = end + 1


_KEPT = tuple(name for name in Session.__slots__ if name not in {"state", "effects"})
