"""The response of a stream: headers, replay, then the hub's.

A stream with fan-out is written by the hub; where one request has one reader, sse-starlette serves it
(reply.py): docs/decisions/0002.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sse_service.errors import HistoryGoneError, UnavailableError
from sse_service.events import EventId
from sse_service.feed import Located, TenantFeed
from sse_service.hub import Hub
from sse_service.metrics import Metrics
from sse_service.outermost import Waiting
from sse_service.ports import Page
from sse_service.ring import EncodedEvent
from sse_service.shared import body_message
from sse_service.stream import EndReason
from sse_service.transport import HandOver, TransportWriter
from sse_service.wire import MEDIA_TYPE
from sse_service.writer import StreamWriter

__all__ = ["CONNECTION_EXTENSION", "STREAM_HEADERS", "EventStreamResponse"]

CONNECTION_EXTENSION = "sse_service.connection"
"""ASGI extension of our own server (server.py). Every other server does without it.

{"abort": cut the connection at once (without it: the request's task is cancelled),
 "forget_headers": let go of the request's headers, which nobody reads while a stream goes on,
 "hand_over": transport.HandOver, where the connection can be handed to the hub}
"""

STREAM_HEADERS = {
    # no-transform keeps proxies from compressing, which holds events back; nginx reads X-Accel-Buffering.
    "cache-control": "no-store, no-transform",
    "x-accel-buffering": "no",
}

CHUNK_EVENTS = 256
CHUNK_BYTES = 128 << 10


class EventStreamResponse(Response):
    """Streams events to one client until somebody ends it."""

    media_type = MEDIA_TYPE

    def __init__(
        self,
        hub: Hub,
        feed: TenantFeed,
        located: Located,
        writer: StreamWriter,
        metrics: Metrics,
    ) -> None:
        self.status_code = 200
        self.background = None  # and no `body`: it would bring a content-length
        self.init_headers(STREAM_HEADERS)
        self._hub = hub
        self._feed = feed
        self._located = located
        self._writer = writer
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hub, writer, feed = self._hub, self._writer, self._feed
        # Taken out: it is not needed a second time, and its methods would stay for as long as the stream does.
        connection = (scope.get("extensions") or {}).pop(CONNECTION_EXTENSION, None) or {}
        offer: HandOver | None = connection.get("hand_over")
        headers = self.raw_headers
        if offer is not None:
            headers = [*headers, (b"connection", b"close")]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        except BaseException:
            hub.forget(writer, feed)
            raise
        writer.connect(send, connection.get("abort"), asyncio.current_task())
        hub.enter(writer, feed)
        stay = _Stay(hub, writer)
        try:
            # No await between the last look at the ring and the attachment: nothing can come in between.
            if await self._replay(send):
                if offer is not None and self._hand_over(offer):
                    return
                feed.attach(writer)
                writer.stream.caught_up()
        except BaseException:
            stay.close()
            if not stay.was_cut_off():
                raise
            return
        waiting = Waiting.of(scope)
        if waiting is None:
            writer.release(send)
            await stay.wait(receive)
        else:
            writer.release(waiting.send)
            waiting.stay = stay
            if "forget_headers" in connection:
                connection["forget_headers"]()

    def _hand_over(self, offer: HandOver) -> bool:
        """Let the connection go on without this request, where the server does that."""
        begun, made = self._writer, list[TransportWriter]()

        def make(transport: asyncio.Transport, registry: set[Any]) -> TransportWriter:
            made.append(TransportWriter(begun, transport, registry))
            return made[0]

        if not offer(make):
            return False
        writer = made[0]
        self._hub.replace(begun, writer)
        self._feed.attach(writer)
        writer.stream.caught_up()
        writer.start()
        return True

    async def _replay(self, send: Send) -> bool:
        """Say where the stream stands and send what it missed.

        True: what is left is waiting in the stream, which now stands where the feed does. False: it is ending.
        """
        writer, feed, stream = self._writer, self._feed, self._writer.stream
        recovery = self._located.recovery
        self._metrics.streams_opened.labels(recovery.reason).inc()
        if stream.is_ending:
            return False
        stream.opened(recovery)
        position, page = recovery.position, self._located.page
        while not stream.is_ending:
            recent = feed.recent(position, CHUNK_EVENTS)
            try:
                events = list(recent) if recent is not None else await self._read_log(position, page)
            except HistoryGoneError as gone:
                # It went while we were reading; say so and go on from here.
                position = feed.position
                stream.reset(gone.reason, position)
                self._metrics.resets.labels(gone.reason).inc()
                continue
            except UnavailableError:
                writer.end(EndReason.FAILED)  # the client comes back with what it has
                return False
            finally:
                page = None
            if stream.is_ending:
                return False  # while the log was read; the farewell stays the last event
            frames = writer.collect(events, feed.now())
            self._metrics.replayed.inc(len(frames))
            if events:
                position = events[-1].event.id
            is_last = recent is not None and position == feed.position
            room = min(CHUNK_BYTES, stream.limits.buffer_bytes - stream.pending_bytes)
            if is_last and sum(map(len, frames)) <= room:
                for frame in frames:
                    stream.offer(frame)
                stream.position = position
                return True
            if not await self._send_now(send, stream.take() + b"".join(frames), position):
                return False
        return False

    async def _read_log(self, position: EventId, page: Page | None) -> list[EncodedEvent]:
        """The page after `position`. Raises HistoryGoneError, UnavailableError."""
        if page is None:
            page = await self._feed.read(position)
        if not page.events:
            # Neither in the ring nor in the log, and yet behind the feed.
            raise HistoryGoneError(self._feed.tenant, "expired")
        known = self._feed.position.seq
        if page.end.seq > known:
            # The log is ahead of what the feed was told. The rest comes from the feed, in its order.
            self._feed.hurry()
        return [EncodedEvent(event) for event in page.events if event.id.seq <= known]

    async def _send_now(self, send: Send, data: bytes, position: EventId) -> bool:
        """Write a part of the replay from this task, waiting for a slow client. False: it was cut off."""
        writer = self._writer
        if data:
            try:
                async with asyncio.timeout(writer.stream.limits.send_timeout_s):
                    await send(body_message(data))
            except TimeoutError:
                writer.stream.end_reason = EndReason.SLOW
                writer.abort()
                return False
        if not writer.stream.is_ending:
            writer.stream.position = position
        # A replay that never waits (everything in memory, a fast client) must not hold up everybody else.
        await asyncio.sleep(0)
        return True


class _Stay:
    """Waits for the end of a stream that the hub writes (outermost.Stay)."""

    __slots__ = ("_hub", "_writer")

    def __init__(self, hub: Hub, writer: StreamWriter) -> None:
        self._hub = hub
        self._writer = writer

    async def wait(self, receive: Receive) -> None:
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        except asyncio.CancelledError:
            if not self.was_cut_off():
                raise
        finally:
            self.close()

    def close(self) -> None:
        self._hub.leave(self._writer)
        self._writer.closed()

    def was_cut_off(self) -> bool:
        """Whether it was the hub that cancelled this task: then that is over with it."""
        task = asyncio.current_task()
        if not self._writer.gave_up or task is None or not task.cancelling():
            return False
        task.uncancel()
        return True
