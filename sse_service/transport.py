"""One stream's way to its client where the server has handed its connection over.

After the head of the response the connection's asyncio transport is the hub's: this object is its protocol, the
server's own objects and the request's task are gone, and an idle stream is what is in here. Bytes go out in chunks
(RFC 9112, 7.1). Where the connection is a plain socket they are written to its descriptor as long as the transport
holds nothing back; what the kernel does not take, and everything on a TLS connection, goes through
`transport.write`. Middleware between application and server does not see the body (docs/decisions/0002).
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any

from sse_service.events import EventId
from sse_service.shared import LAST_CHUNK, SharedBytes, chunk
from sse_service.stream import EndReason, State
from sse_service.subscriber import Subscriber

__all__ = ["HandOver", "Make", "TransportWriter"]

Make = Callable[[asyncio.Transport, set[Any]], asyncio.Protocol]
"""What makes the new protocol. The set: the server's open connections, which the new one leaves at its end."""

HandOver = Callable[[Make], bool]
"""The server's offer. False: not for this connection, go on with send()."""


_LIVE = State.LIVE  # looking a member up in its class is slow before Python 3.12


class TransportWriter(Subscriber, asyncio.Protocol):
    """Continues what another writer has begun; the protocol of its connection from then on."""

    __slots__ = ("_end_sent", "_file", "_is_paused", "_registry", "transport")

    def __init__(self, begun: Subscriber, transport: asyncio.Transport, registry: set[Any]) -> None:
        super().__init__(
            begun.stream,
            begun.keeper,
            user=begun.user,
            address=begun.address,
            topics=begun.topics,
            envelope=begun.envelope,
            joins=begun.joins,
        )
        self.dropped = begun.dropped
        self.transport = transport
        self._registry = registry
        self._file = _descriptor(transport)
        self._is_paused = False
        self._end_sent = False

    def start(self) -> None:
        """The connection is ours and the stream is live: write what is waiting."""
        if self.transport.get_write_buffer_size():
            self._wait_for_room()
        if not self._is_paused:
            self._pump()

    # The hub's side -----------------------------------------------------------------------------------

    def push(self, shared: SharedBytes) -> None:
        if self.direct_fd >= 0:
            data = shared.chunk
            sent = _write(self.direct_fd, data)
            if sent != len(data):
                self.wrote(sent, data)
            return
        stream = self.stream
        if self._is_paused or stream.pending_bytes or stream.state is not _LIVE:
            if not stream.offer(shared.data):
                self.end(EndReason.SLOW)
            return
        self._put(shared.chunk)

    def wrote(self, sent: int, data: bytes) -> None:
        if sent < 0:
            self._break_off()
            return
        self._hold()
        self._put(data[sent:])
        if not self._is_paused:
            self._pump()

    def end(self, reason: EndReason, position: EventId | None = None) -> bool:
        self._hold()
        if not self.stream.ends(reason, position):
            return False
        if not self._is_paused:
            self._pump()
        return True

    def reset(self, reason: str, position: EventId) -> None:
        if self.stream.state is State.LIVE:
            self._hold()
            self.stream.reset(reason, position)
            if not self._is_paused:
                self._pump()

    def abort(self) -> None:
        self.gave_up = True
        self._break_off()

    @property
    def is_busy(self) -> bool:
        return self._is_paused

    @property
    def unsent_bytes(self) -> int:
        return self.transport.get_write_buffer_size()

    # The connection's side ----------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """What a client says behind its request. The connection is closed after the response, which its head said,
        so nobody expects an answer (RFC 9112, 9.6)."""

    def pause_writing(self) -> None:
        self._is_paused = True
        self.keeper.note_blocked(self)

    def resume_writing(self) -> None:
        self._is_paused = False
        self.stream.unblocked()
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self._hold()
        # Its descriptor is closed after this.
        self._file = -1
        self._registry.discard(self)
        self.keeper.leave(self)
        self.stream.lost()

    def shutdown(self) -> None:
        """uvicorn asks its connections to come to an end."""
        self.keeper.end(self, EndReason.SHUTDOWN)

    # Writing ------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Write everything that waits; then either to the descriptor directly, or to the end."""
        stream = self.stream
        data = chunk(stream.take())
        if stream.state is State.DRAINING and not self._end_sent:
            self._end_sent = True
            data += LAST_CHUNK
        if data:
            self._put(data)
        if self._is_paused:
            return
        if stream.state is State.DRAINING:
            if self.transport.get_write_buffer_size():
                self._wait_for_room()
            if not self._is_paused:
                stream.written()
                self.transport.close()
        elif stream.state is State.LIVE and self._file >= 0 and not stream.pending_bytes:
            self._go_direct()

    def _put(self, data: bytes) -> None:
        transport = self.transport
        if transport.is_closing():
            return
        transport.write(data)
        if self._file >= 0 and transport.get_write_buffer_size():
            self._wait_for_room()

    def _wait_for_room(self) -> None:
        """Have `resume_writing` called once the transport holds nothing back any more."""
        self.transport.set_write_buffer_limits(0)
        if not self._is_paused and self.transport.get_write_buffer_size():
            self.pause_writing()  # the transport had told its earlier protocol

    def _go_direct(self) -> None:
        if self.direct_fd < 0:
            for seat in self.seats:
                seat.remove(self)
            self.direct_fd = self._file
            for seat in self.seats:
                seat.add(self)

    def _hold(self) -> None:
        if self.direct_fd >= 0:
            for seat in self.seats:
                seat.remove(self)
            self.direct_fd = -1
            for seat in self.seats:
                seat.add(self)

    def _break_off(self) -> None:
        self._hold()
        self.stream.lost()
        self.transport.abort()


def _descriptor(transport: asyncio.Transport) -> int:
    """The descriptor that may be written to directly; -1 where there is none: TLS, and Windows' sockets."""
    if transport.get_extra_info("sslcontext") is not None or sys.platform == "win32":
        return -1
    sock: Any = transport.get_extra_info("socket")
    return sock.fileno() if sock is not None else -1


def _write(descriptor: int, data: bytes) -> int:
    """How many bytes it took; -1: the connection is broken."""
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        return 0
    except OSError:
        return -1
