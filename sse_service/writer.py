"""One stream's way to its client, over any ASGI server.

The hub calls `push` with bytes that all subscribers of an event share. The connection's `send()` is called
from there and its coroutine stepped once: with uvicorn it finishes in that step unless the client is slow, so
a delivery costs no task, no queue and no wake-up. A step that does not finish is carried on by a task; what
comes meanwhile waits in the stream's buffer and is written in one piece.
Source: ASGI specification, "HTTP & WebSocket", "Response Body"; uvicorn 0.54, RequestResponseCycle.send.
"""

from __future__ import annotations

import asyncio
import json
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from typing import Any, NamedTuple

from sse_service.events import CONVERSATION_TYPE, LEFT_TYPE, EventId, Topic, room_topic, user_topic
from sse_service.ring import EncodedEvent
from sse_service.stream import EndReason, State, SubscriberStream

__all__ = ["BodyMessage", "Membership", "StreamWriter", "body_message", "membership_of"]

BodyMessage = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LEAVE_S = 1.0
"""How long after the last byte a server may take to tell the request task that it is over."""


def body_message(data: bytes) -> BodyMessage:
    return {"type": "http.response.body", "body": data, "more_body": True}


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


class Membership(NamedTuple):
    """A room that an event opens to whoever receives it, or takes from the user it is addressed to."""

    room: Topic
    is_joined: bool


def membership_of(event: EncodedEvent) -> Membership | None:
    """What this event changes about who may read which conversation."""
    kind = event.event.type
    if kind != CONVERSATION_TYPE and kind != LEFT_TYPE:
        return None
    # {"type","conversationId","open"}: written by chat/conversations.py only, publishers may not use the types.
    try:
        facts = json.loads(event.event.data)
        conversation, is_open = facts["conversationId"], facts.get("open", False)
    except (ValueError, TypeError, KeyError):
        return None
    if not isinstance(conversation, str) or (kind == LEFT_TYPE and is_open):
        return None  # who leaves an open conversation may still read it
    return Membership(room_topic(conversation), kind == CONVERSATION_TYPE)


class StreamWriter:
    """Writes one SubscriberStream; knows which events it wants.

    topics: None for every event of the tenant. joins: it follows its user into new conversations. dropped: rooms
    that were taken from it; it gets them back when its user does.
    """

    __slots__ = (
        "_abort",
        "_busy",
        "_end_sent",
        "_loop",
        "_request",
        "_send",
        "_task",
        "dropped",
        "envelope",
        "gave_up",
        "joins",
        "on_blocked",
        "stream",
        "timer",
        "topics",
        "user",
    )

    def __init__(
        self,
        stream: SubscriberStream,
        *,
        user: str,
        topics: set[Topic] | None,
        envelope: bool,
        joins: bool,
    ) -> None:
        self.stream = stream
        self.user = user
        self.topics = topics
        self.envelope = envelope
        self.joins = joins
        self.dropped: set[Topic] = set()
        self.gave_up = False
        self.timer: asyncio.TimerHandle | None = None
        self.on_blocked: Callable[[StreamWriter], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._send: Send | None = None
        self._abort: Callable[[], None] | None = None
        self._request: asyncio.Task[Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._busy = True  # the request task writes until `go_live`
        self._end_sent = False

    def connect(self, send: Send, abort: Callable[[], None] | None, request: asyncio.Task[Any] | None) -> None:
        """The response has started; its task writes until `release`."""
        self._send = send
        self._abort = abort
        self._request = request

    def wants(self, event: EncodedEvent) -> bool:
        topics = self.topics
        return topics is None or (event.event.topic in topics and event.event.exclude != self.user)

    def join(self, room: Topic) -> bool:
        """Its user may read `room` now. True: so will this stream, from here on."""
        if self.topics is None or room in self.topics or not (self.joins or room in self.dropped):
            return False
        self.topics.add(room)
        self.dropped.discard(room)
        return True

    def part(self, room: Topic) -> bool:
        """Its user may not read `room` any more. True: this stream did."""
        if self.topics is None or room not in self.topics:
            return False
        self.topics.discard(room)
        self.dropped.add(room)
        return True

    def frame(self, event: EncodedEvent) -> bytes:
        return event.envelope if self.envelope else event.plain

    def collect(self, events: list[EncodedEvent], now: float) -> list[bytes]:
        """The frames of what this stream wants among replayed events that are not over; joins and leaves
        conversations on the way."""
        frames = []
        mine = user_topic(self.user)
        for event in events:
            if self.wants(event) and not event.event.is_over(now):
                frames.append(self.frame(event))
            change = membership_of(event)
            if change is None:
                continue
            if not change.is_joined:
                if event.event.topic == mine:
                    self.part(change.room)
            elif self.wants(event) or event.event.topic == mine:
                self.join(change.room)
        return frames

    # The live path --------------------------------------------------------------------------------------

    def push(self, message: BodyMessage) -> None:
        """Write shared bytes now, or keep them while an earlier write is under way."""
        stream = self.stream
        if self._busy or stream.pending_bytes or stream.state is not State.LIVE:
            if not stream.offer(message["body"]):
                self.end(EndReason.SLOW)
            return
        self._step(message)

    def release(self) -> None:
        """The request task has written what it had to; from here on the hub writes."""
        self._busy = False
        self._pump()

    def end(self, reason: EndReason, position: EventId | None = None) -> bool:
        """Last event, clean end of the response. False: it was ending already."""
        if not self.stream.ends(reason, position):
            return False
        if not self._busy:
            self._pump()
        return True

    def reset(self, reason: str, position: EventId) -> None:
        """The log began anew under a live stream."""
        if self.stream.state is State.LIVE:
            self.stream.reset(reason, position)
            if not self._busy:
                self._pump()

    def abort(self) -> None:
        """Cut the connection: nothing more can be said to this client."""
        self.gave_up = True
        self.stream.lost()
        if self._task is not None:
            self._task.cancel()
        if self._abort is not None:
            self._abort()
        elif self._request is not None:
            self._request.cancel()

    def closed(self) -> None:
        """The request is over: let go of everything."""
        self.stream.lost()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self._task is not None:
            self._task.cancel()
        self._send = self._abort = self._request = self.on_blocked = None

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
        self._finish_if_ended()

    def _step(self, message: BodyMessage) -> bool:
        """True: written. False: a task carries on, or the connection is gone."""
        if self._send is None:
            return False
        coroutine = self._send(message)
        assert isinstance(coroutine, Coroutine)  # noqa: S101 - ASGI's send is a coroutine function
        try:
            waits_for = coroutine.send(None)
        except StopIteration:
            return True
        except Exception:
            self._failed()
            return False
        self._busy = True
        self.stream.blocked(self._loop.time())
        if self.on_blocked is not None:
            self.on_blocked(self)
        self._task = self._loop.create_task(self._write_rest(coroutine, waits_for))
        return False

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
            self._failed()
        else:
            self._finish_if_ended()
        finally:
            self._busy = False
            self._task = None
            self.stream.unblocked()

    def _failed(self) -> None:
        # The server's send() refuses: the connection is gone, and receive() tells the request task.
        self.stream.lost()

    def _finish_if_ended(self) -> None:
        if self._end_sent and self.stream.state is State.DRAINING:
            self.stream.written()
            self._loop.call_later(LEAVE_S, self._leave)

    def _leave(self) -> None:
        # uvicorn tells receive() of the completed response; other servers need not.
        if self._request is not None and not self._request.done():
            self.gave_up = True
            self._request.cancel()
