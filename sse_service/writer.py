"""One stream's way to its client, over any ASGI server.

The hub calls `push` with bytes that all subscribers of an event share. The connection's `send()` is called
from there and its coroutine stepped once: with uvicorn it finishes in that step unless the client is slow, so
a delivery costs no task, no queue and no wake-up. A step that does not finish is carried on by a task; what
comes meanwhile waits in the stream's buffer and is written in one piece.
Source: ASGI specification, "HTTP & WebSocket", "Response Body"; uvicorn 0.54, RequestResponseCycle.send.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, cast

from sse_service.events import EventId, Topic
from sse_service.shared import BodyMessage, SharedBytes, body_message
from sse_service.stream import EndReason, State, SubscriberStream
from sse_service.subscriber import Keeper, Send, Subscriber

__all__ = ["StreamWriter"]

_LIVE = State.LIVE  # looking a member up in its class is slow before Python 3.12

LEAVE_S = 1.0
"""How long after the last byte a server may take to tell the request task that it is over."""


def _end_message() -> BodyMessage:
    return {"type": "http.response.body", "body": b"", "more_body": False}


@types.coroutine
def _carry_on(coroutine: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """Finish a coroutine that has been stepped once and now waits for something."""
    while True:
        try:
            value = yield waits_for
        except BaseException as error:  # a cancellation belongs to the coroutine
            try:
                waits_for = coroutine.throw(error)
            except StopIteration:
                return
        else:
            try:
                waits_for = coroutine.send(value)
            except StopIteration:
                return


class StreamWriter(Subscriber):
    """Writes one stream through the server's `send()`."""

    __slots__ = ("_abort", "_busy", "_end_sent", "_loop", "_request", "_send", "_task")

    def __init__(
        self,
        stream: SubscriberStream,
        keeper: Keeper,
        *,
        user: str,
        address: str,
        topics: set[Topic] | None,
        envelope: bool,
        joins: bool,
    ) -> None:
        super().__init__(stream, keeper, user=user, address=address, topics=topics, envelope=envelope, joins=joins)
        self._loop = asyncio.get_running_loop()
        self._send: Send | None = None
        self._abort: Callable[[], None] | None = None
        self._request: asyncio.Task[Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._busy = True  # the request task writes until `release`
        self._end_sent = False

    def connect(self, send: Send, abort: Callable[[], None] | None, request: asyncio.Task[Any] | None) -> None:
        """The response has started; its task writes until `release`."""
        self._send = send
        self._abort = abort
        self._request = request

    # The live path --------------------------------------------------------------------------------------

    def push(self, shared: SharedBytes) -> None:
        if self.direct_send is not None:
            self._step(shared.message)
        elif not self.stream.offer(shared.data):
            self.end(EndReason.SLOW)

    def release(self, send: Send) -> None:
        """The request task has written what it had to; from here on the hub does, through this `send`."""
        self._send = send
        self._busy = False
        self._pump()

    def end(self, reason: EndReason, position: EventId | None = None) -> bool:
        self._hold()
        if not self.stream.ends(reason, position):
            return False
        if not self._busy:
            self._pump()
        return True

    def reset(self, reason: str, position: EventId) -> None:
        if self.stream.state is State.LIVE:
            self._hold()
            self.stream.reset(reason, position)
            if not self._busy:
                self._pump()

    def abort(self) -> None:
        self.gave_up = True
        self._lost()
        if self._task is not None:
            self._task.cancel()
        if self._abort is not None:
            self._abort()
        elif self._request is not None:
            self._request.cancel()

    def closed(self) -> None:
        """The request is over: let go of everything."""
        self._lost()
        if self._task is not None:
            self._task.cancel()
        self._send = self._abort = self._request = None

    @property
    def is_busy(self) -> bool:
        return self._busy

    # Writing --------------------------------------------------------------------------------------------

    def _next(self) -> BodyMessage | None:
        data = self.stream.take()
        if data:
            return body_message(data)
        if self.stream.state is State.DRAINING and not self._end_sent:
            self._end_sent = True
            return _end_message()
        return None

    def _pump(self) -> None:
        while (message := self._next()) is not None:
            if not self._step(message):
                return
        self._go_on()

    def _step(self, message: BodyMessage) -> bool:
        """True: written. False: a task carries on, or the connection is gone."""
        if self._send is None:
            return False
        try:
            coroutine = self._send(message)
            for waits_for in coroutine.__await__():  # noqa: B007 - as in fanout.send_direct
                break
            else:
                return True
        except Exception:
            self.refused()
        else:
            self.waits(coroutine, waits_for)
        return False

    def waits(self, coroutine: Awaitable[None], waits_for: Any) -> None:
        self._hold()
        self._busy = True
        self.keeper.note_blocked(self)
        # ASGI's send is a coroutine function.
        carried_on = cast("Coroutine[Any, Any, None]", coroutine)
        self._task = self._loop.create_task(self._write_rest(carried_on, waits_for))

    async def _write_rest(self, coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
        try:
            await _carry_on(coroutine, waits_for)
            while (message := self._next()) is not None and self._send is not None:
                # Each write has its own time-out: progress counts.
                self.stream.unblocked()
                self.stream.blocked(self._loop.time())
                await self._send(message)
        except asyncio.CancelledError:
            coroutine.close()
            raise
        except Exception:
            self.refused()
        else:
            self._go_on()
        finally:
            self._busy = False
            self._task = None
            self.stream.unblocked()

    def refused(self) -> None:
        # The server's send() refuses: the connection is gone, and receive() tells the request task.
        self._lost()

    def _lost(self) -> None:
        self._hold()
        self.stream.lost()

    def _go_on(self) -> None:
        """Everything is written: on to the end, or to what comes."""
        stream = self.stream
        if stream.state is _LIVE:
            if self.direct_send is None:
                self._seat(self._send)
        elif self._end_sent and stream.state is State.DRAINING:
            stream.written()
            self._loop.call_later(LEAVE_S, self._leave)

    def _hold(self) -> None:
        """What comes from now on waits in the stream."""
        if self.direct_send is not None:
            self._seat(None)

    def _seat(self, send: Send | None) -> None:
        for seat in self.seats:
            seat.remove(self)
        self.direct_send = send
        for seat in self.seats:
            seat.add(self)

    def _leave(self) -> None:
        # uvicorn tells receive() of the completed response; other servers need not.
        if self._request is not None and not self._request.done():
            self.gave_up = True
            self._request.cancel()
