"""Streams of virtual connections that are open on this instance.

Each is written by its own request's task, which reads the connection's events from the store whenever it is woken; one
event has one reader, so there is nothing to share. A stream that is superseded by a newer one ends without a word.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sse_service.connections.events import ConnectionFacts
from sse_service.errors import UnavailableError
from sse_service.ports import Clock
from sse_service.profiles import JITTER
from sse_service.response import CONNECTION_EXTENSION, STREAM_HEADERS
from sse_service.virtual.errors import GoneError
from sse_service.virtual.frames import ack_frame, ready_frame, rotate_frame
from sse_service.virtual.metrics import VirtualMetrics
from sse_service.virtual.session import Attached, SessionLimits
from sse_service.virtual.store import SessionStore
from sse_service.wire import HEARTBEAT, MEDIA_TYPE

__all__ = ["StreamResponse", "StreamTimes", "Streams"]

logger = logging.getLogger("sse_service.virtual")

PAGE = 256
"""Events read at once; the window bounds their size."""


@dataclass(frozen=True, slots=True)
class StreamTimes:
    """Seconds; retry_ms: what clients are told."""

    heartbeat_s: float
    max_age_s: float
    send_timeout_s: float
    retry_ms: int


@dataclass(slots=True, eq=False)
class _Open:
    """One open stream. `event`: there may be something to do."""

    connection_id: str
    attached: Attached
    after: int
    event: asyncio.Event = field(default_factory=asyncio.Event)
    is_gone: bool = False
    rotate: str = ""
    notice: bytes = b""
    """Frames without a number that are to be written next."""


class Streams:
    """instance: this process's name in the store. clock: seconds as the store's sessions have them. most: at once."""

    def __init__(
        self,
        store: SessionStore,
        limits: SessionLimits,
        times: StreamTimes,
        metrics: VirtualMetrics,
        clock: Clock,
        *,
        instance: str,
        most: int,
    ) -> None:
        self._store = store
        self._limits = limits
        self.times = times
        self._metrics = metrics
        self._clock = clock
        self._instance = instance
        self._most = most
        self._open: dict[str, set[_Open]] = {}
        self._renewal: asyncio.Task[None] | None = None
        self._reason = ""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def start(self) -> None:
        self._renewal = asyncio.create_task(self._renew_for_ever())

    async def close(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)

    def woken(self, connection_id: str | None) -> None:
        """Something happened to a connection (None: perhaps to any)."""
        names = list(self._open) if connection_id is None else [connection_id]
        for name in names:
            for stream in self._open.get(name, ()):
                stream.event.set()

    def rotate_all(self, reason: str) -> None:
        """End all streams: their clients come back, elsewhere."""
        self._reason = reason
        for streams in self._open.values():
            for stream in streams:
                stream.rotate = reason
                stream.event.set()

    async def tell(
        self,
        about: Callable[[str, str], bytes],
        user_of: Callable[[ConnectionFacts], tuple[str, str] | None],
    ) -> None:
        """Write each stream the frames (without an id) that `about(tenant, user)` gives; b"" for none."""
        for connection_id in list(self._open):
            try:
                who = user_of((await self._store.entry(connection_id)).facts)
            except (GoneError, UnavailableError):
                continue
            data = about(*who) if who else b""
            for stream in self._open.get(connection_id, ()) if data else ():
                stream.notice += data
                stream.event.set()

    async def open(self, connection_id: str, cursor: int) -> StreamResponse:
        """A stream behind `cursor`; an earlier one of the connection ends. Raises GoneError, UnavailableError."""
        if self._reason or self._count >= self._most:
            raise UnavailableError("this instance takes no more streams; another one may", retry_after_s=1)
        now = self._clock()
        attached = await self._store.change(
            connection_id, lambda session: session.attach(self._instance, cursor, now, self._limits)
        )
        return StreamResponse(self, _Open(connection_id, attached, cursor))

    async def run(self, stream: _Open, write: Callable[[bytes], Any]) -> None:
        """Write until the stream is over. `write` raises TimeoutError for a client that takes nothing."""
        self._open.setdefault(stream.connection_id, set()).add(stream)
        self._metrics.streams.inc()
        self._count += 1
        stream.rotate = self._reason
        try:
            await self._write_all(stream, write)
        except GoneError:
            pass  # it has been forgotten under an idle stream
        except UnavailableError as error:
            # The client comes back with what it has.
            logger.warning("a stream ends, its store is away: %s", error)
        finally:
            self._metrics.streams.dec()
            self._count -= 1
            others = self._open[stream.connection_id]
            others.discard(stream)
            if not others:
                del self._open[stream.connection_id]
            await asyncio.shield(self._detach(stream))

    async def _write_all(self, stream: _Open, write: Callable[[bytes], Any]) -> None:
        loop, times, generation = asyncio.get_running_loop(), self.times, stream.attached.generation
        told = stream.attached.acked
        await write(ready_frame(told, times.retry_ms))
        rotate_at = loop.time() + times.max_age_s * random.uniform(1 - JITTER, 1)  # noqa: S311 - jitter
        unreported = 0
        while not stream.is_gone:
            stream.event.clear()
            page = await self._store.read(stream.connection_id, stream.after, PAGE)
            session = page.session
            if session.generation != generation:
                return
            data = b"".join(page.frames)
            if session.acked > told and data:
                told = session.acked
                data += ack_frame(told)
            notice, stream.notice = stream.notice, b""
            data += notice
            if data:
                await write(data)
                stream.after += len(page.frames)
                unreported += len(data)
            if not session.is_open and stream.after >= session.last:
                return
            many = stream.after - session.wrote > self._limits.window_frames // 4
            if many or unreported > self._limits.window_bytes // 4:
                unreported = 0
                await self._report(stream)
            if page.frames:
                continue
            if stream.rotate or loop.time() >= rotate_at:
                await write(rotate_frame(stream.rotate or "max_age"))
                return
            await self._wait(stream, write, min(times.heartbeat_s, rotate_at - loop.time()))

    async def _report(self, stream: _Open) -> None:
        """What was written may go when there is no room for more."""
        generation, after = stream.attached.generation, stream.after
        await self._store.change(stream.connection_id, lambda session: session.was_written(generation, after))

    async def _wait(self, stream: _Open, write: Callable[[bytes], Any], seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await stream.event.wait()
        except TimeoutError:
            await write(HEARTBEAT)

    async def _detach(self, stream: _Open) -> None:
        now, generation, after = self._clock(), stream.attached.generation, stream.after
        with contextlib.suppress(GoneError, UnavailableError):  # then its lease runs out
            await self._store.change(stream.connection_id, lambda session: session.detach(generation, after, now))

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._limits.stream_lease_s / 3)
            for stream in [stream for streams in self._open.values() for stream in streams]:
                try:
                    await self._renew(stream)
                except (GoneError, UnavailableError):
                    stream.event.set()  # it looks itself

    async def _renew(self, stream: _Open) -> None:
        now, generation = self._clock(), stream.attached.generation
        await self._store.change(stream.connection_id, lambda session: session.hold(generation, now, self._limits))


class StreamResponse(Response):
    """One stream, from its head to its end."""

    media_type = MEDIA_TYPE

    def __init__(self, streams: Streams, stream: _Open) -> None:
        self.status_code = 200
        self.background = None  # and no `body`: it would bring a content-length
        self.init_headers(STREAM_HEADERS)
        self._streams = streams
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stream = self._stream
        connection = (scope.get("extensions") or {}).get(CONNECTION_EXTENSION) or {}
        timeout_s = self._streams.times.send_timeout_s

        async def write(data: bytes) -> None:
            async with asyncio.timeout(timeout_s):
                await send({"type": "http.response.body", "body": data, "more_body": True})

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            stream.is_gone = True
            stream.event.set()

        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        watcher = asyncio.create_task(watch())
        try:
            await self._streams.run(stream, write)
            async with asyncio.timeout(timeout_s):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            logger.info("a client that took nothing was cut off", extra={"connectionId": stream.connection_id})
            if (abort := connection.get("abort")) is None:
                raise
            abort()
        finally:
            watcher.cancel()
