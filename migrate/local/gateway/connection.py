"""One client connection: WebSocket frames on one side, whole messages on the other. Until phase 3.

The `websockets` library's sans-I/O protocol reads and writes the frames; this class owns the transport, the
life cycle and the two deadlines, and calls its `ConnectionOwner` for everything that concerns the API.
"""

import asyncio
import logging
from collections import deque
from typing import Protocol

from websockets.exceptions import PayloadTooBig
from websockets.frames import Opcode
from websockets.protocol import SEND_EOF
from websockets.protocol import State as WireState
from websockets.server import ServerProtocol

from migrate.local.gateway.stage import Stage
from sse_service.connections.events import ConnectionFacts
from sse_service.connections.lifecycle import (
    ABNORMAL,
    CloseCause,
    CloseStatus,
    Event,
    State,
    advance,
    client_close_status,
    next_deadline,
)
from sse_service.connections.limits import ConnectionLimits

WIRE_LOG = logging.getLogger(__name__)
# The library logs every frame and every header at DEBUG, tokens included: never, whatever the root level is.
WIRE_LOG.setLevel(logging.WARNING)

LINGER_S = 2.0
"""How long a connection that broke a limit may go on sending before it is cut."""
LINGER_QUIET_S = 0.2
"""It is cut sooner once nothing more has come for this long: by then it has our close frame."""
BUSY = 1
"""Reason to stop reading: as many invocations under way as allowed."""
UNREAD = 2
"""Reason to stop reading: the client does not read what it gets."""


class ConnectionOwner(Protocol):
    """What the gateway does for its connections."""

    limits: ConnectionLimits
    close_timeout_s: float
    report_unclean_close: bool

    def on_message(self, connection: "Connection", text: str) -> None:
        """A whole text message arrived."""

    def on_closed(self, connection: "Connection", status: CloseStatus) -> None:
        """The connection is CLOSED; called once."""


class Connection:
    """A connection from the upgrade request on; `transport` is None once the socket is gone."""

    __slots__ = (
        "_fragments",
        "_linger_until",
        "_loop",
        "_owner",
        "_paused",
        "_status",
        "_timer",
        "_wire",
        "facts",
        "in_flight",
        "last_active_ms",
        "last_message_s",
        "opened_s",
        "stage",
        "state",
        "transport",
        "waiting",
    )

    def __init__(
        self,
        owner: ConnectionOwner,
        stage: Stage,
        facts: ConnectionFacts,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._owner = owner
        self._loop = loop
        self.stage = stage
        self.facts = facts
        self.transport: asyncio.Transport | None = transport
        self.state = State.CONNECTING
        self.in_flight = 0
        self.waiting: deque[str] = deque()
        self.last_active_ms = facts.connected_at_ms
        self.opened_s = self.last_message_s = loop.time()
        self._wire: ServerProtocol | None = None
        self._fragments: list[bytes] = []
        self._status: CloseStatus | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._paused = 0
        self._linger_until = 0.0

    @property
    def connection_id(self) -> str:
        return self.facts.connection_id

    @property
    def opened(self) -> bool:
        """Whether the handshake ever succeeded."""
        return self._wire is not None

    # --- the client's side -------------------------------------------------------------------------------

    def open(self, early: bytes) -> None:
        """The handshake was answered; `early` is what the client sent before it knew."""
        limits = self._owner.limits
        self.state = advance(self.state, Event.ACCEPTED)
        self._wire = ServerProtocol(
            state=WireState.OPEN,
            max_size=(limits.message_bytes, limits.frame_bytes),
            extensions=[],
            logger=WIRE_LOG,
        )
        self.opened_s = self.last_message_s = self._loop.time()
        self._arm()
        if early:
            self.data_received(early)

    def data_received(self, data: bytes) -> None:
        """Bytes from the socket."""
        wire = self._wire
        if wire is None:
            return
        wire.receive_data(data)
        if self._linger_until:
            self._linger()
            return
        for frame in wire.events_received():
            opcode = frame.opcode  # type: ignore[union-attr]  # after the handshake every event is a frame
            if opcode is Opcode.TEXT or opcode is Opcode.CONT:
                if self.state is State.OPEN:
                    self._on_data(bytes(frame.data), frame.fin)  # type: ignore[union-attr]
            elif opcode is Opcode.BINARY:
                self.close(CloseCause.BINARY)
            elif opcode is Opcode.CLOSE:
                self._on_close_frame(wire)
        if wire.parser_exc is not None and self.state is State.OPEN:
            big = isinstance(wire.parser_exc, PayloadTooBig)
            self._closing((CloseCause.TOO_BIG if big else CloseCause.PROTOCOL_ERROR).status)
        self._flush()

    def eof_received(self) -> None:
        """The client will send no more; the transport closes itself after this."""
        if self._wire is not None:
            self._wire.receive_eof()

    def connection_lost(self) -> None:
        """The socket is gone."""
        self.transport = None
        if self.state is State.CLOSED:
            return
        if self.state is State.OPEN and not self._owner.report_unclean_close:
            return  # the timer ends it, as it would on AWS for a client that vanished
        self._closed(Event.LOST, self._status or ABNORMAL)

    def _on_data(self, data: bytes, fin: bool) -> None:
        if self._fragments or not fin:
            if data:
                self._fragments.append(data)
            if not fin:
                return
            data = b"".join(self._fragments)
            self._fragments.clear()
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self.close(CloseCause.INVALID_TEXT)
            return
        self.last_message_s = self._loop.time()
        self._owner.on_message(self, text)

    def _on_close_frame(self, wire: ServerProtocol) -> None:
        received = wire.close_rcvd
        status = client_close_status(received.code, received.reason) if received else ABNORMAL
        self._flush()
        if self.transport is not None:
            self.transport.close()
        if self.state in (State.OPEN, State.CLOSING):
            self._closed(Event.CLOSE_RECEIVED, self._status or status)

    # --- our side ----------------------------------------------------------------------------------------

    def send_text(self, data: bytes, now_s: float) -> None:
        """Send one text message, in frames of the allowed size. The caller has checked that it is OPEN.

        A message larger than a frame "must be split into multiple frames, each 32 KB or smaller. This applies
        to @connections commands" (quotas page).
        """
        self.last_message_s = now_s
        wire = self._wire
        if wire is None or wire.state is not WireState.OPEN:
            return
        size = self._owner.limits.frame_bytes
        if len(data) <= size:
            wire.send_text(data)
        else:
            wire.send_text(data[:size], fin=False)
            for start in range(size, len(data), size):
                wire.send_continuation(data[start : start + size], fin=start + size >= len(data))
        self._flush()

    def buffered(self) -> int:
        """Bytes that the client has not taken yet."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def close(self, cause: CloseCause) -> None:
        """Start to close an open connection for a reason of ours; does nothing in any other state."""
        if self.state is not State.OPEN:
            return
        status = cause.status
        if self.transport is None:
            self._closed(Event.LOST, status)
            return
        if self._wire is not None and self._wire.state is WireState.OPEN:
            self._wire.send_close(status.code, status.wire_reason)
        self._closing(status)
        self._flush()

    def cut(self) -> None:
        """Close without further ado."""
        if self.transport is not None:
            self.transport.abort()

    def pause_reading(self, reason: int) -> None:
        """Stop taking bytes from the client until `resume_reading` for every reason (BUSY, UNREAD)."""
        if not self._paused and self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()
        self._paused |= reason

    def resume_reading(self, reason: int) -> None:
        """Take back one reason of `pause_reading`."""
        if not self._paused:
            return
        self._paused &= ~reason
        if not self._paused and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def refuse(self) -> None:
        """`$connect` did not let it in."""
        if self.state is State.CONNECTING:
            self.state = advance(self.state, Event.REFUSED)

    # --- life cycle --------------------------------------------------------------------------------------

    def _closing(self, status: CloseStatus) -> None:
        self.state = advance(self.state, Event.CLOSE_SENT)
        self._status = status
        self._fragments.clear()
        self._cancel_timer()
        # A paused socket would never show us the client's close frame.
        self.resume_reading(BUSY | UNREAD)
        if self._wire is not None and self._wire.eof_sent:
            self._linger_until = self._loop.time() + LINGER_S
            self._linger()
        else:
            self._timer = self._loop.call_later(self._owner.close_timeout_s, self.cut)

    def _linger(self) -> None:
        self._cancel_timer()
        quiet = self._loop.time() + LINGER_QUIET_S
        self._timer = self._loop.call_at(min(quiet, self._linger_until), self.cut)

    def _closed(self, event: Event, status: CloseStatus) -> None:
        self.state = advance(self.state, event)
        self._cancel_timer()
        self._fragments.clear()
        self._owner.on_closed(self, status)

    def _arm(self) -> None:
        deadline, _ = next_deadline(self._owner.limits, self.opened_s, self.last_message_s)
        self._timer = self._loop.call_at(deadline, self._on_deadline)

    def _on_deadline(self) -> None:
        deadline, cause = next_deadline(self._owner.limits, self.opened_s, self.last_message_s)
        if self._loop.time() + 0.001 < deadline:
            self._arm()
        else:
            self.close(cause)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        if self._wire is None:
            return
        for chunk in self._wire.data_to_send():
            if self.transport is None or self.transport.is_closing():
                continue
            if chunk is not SEND_EOF:
                self.transport.write(chunk)
            elif self.state is State.CLOSING and self.transport.can_write_eof():
                # Half-close only: closing while the client still sends would reset the connection, and the
                # close frame with the reason would be lost.
                self.transport.write_eof()
