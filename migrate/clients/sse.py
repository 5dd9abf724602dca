"""An SSE client that resumes: one stream of events over as many connections as it takes. until phase 3

What it does beyond the browser's EventSource
(https://html.spec.whatwg.org/multipage/server-sent-events.html): headers of its own (Authorization), made
anew for each attempt; back-off with jitter; a dead connection is noticed by its silence; events with an id
seen before are dropped; and it knows the control events of the SSE service (`ready`, `reset`, `rotate`,
`farewell`), which it passes on like all others.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import AsyncGeneratorType, TracebackType
from typing import Any, Self, TypeVar, cast

import httpx

from migrate.addresses import is_loopback, without_query
from migrate.clients.backoff import TRANSIENT, Backoff
from migrate.clients.errors import RefusedByServerError
from migrate.clients.sse_parser import EventTooLargeError, SseParser
from migrate.clients.states import ConnectionState, OnState, StateChange

__all__ = ["CONTROL_EVENTS", "SseClient", "SseEvent", "new_http_client"]

T = TypeVar("T")
HeadersMaker = Callable[[], Mapping[str, str]]

CONTROL_EVENTS = frozenset({"ready", "reset", "rotate", "farewell", "transport"})
"""Events that speak about the stream, not about the application. They are never dropped as repeated."""

SEEN_IDS = 10_000


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One event.

    Args:
        type: the `event` field, "message" when there was none.
        data: the text.
        id: what to resume after once this event was dealt with; may be inherited from an earlier event.
        received_at: epoch seconds at which its last bytes were read.
    """

    type: str
    data: str
    id: str
    received_at: float

    @property
    def is_control(self) -> bool:
        return self.type in CONTROL_EVENTS

    def json(self) -> Any:
        """The data as JSON. Raises ValueError."""
        return json.loads(self.data)


def new_http_client(url: str, connections: int = 1000) -> httpx.AsyncClient:
    """An HTTP client for many streams: no total limit on time, no proxy between two ends on one machine."""
    return httpx.AsyncClient(
        trust_env=not is_loopback(url),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=20),
        timeout=httpx.Timeout(10.0),
    )


class SseClient:
    """One logical stream.

        async with SseClient(url, headers=lambda: {"Authorization": f"Bearer {token()}"}) as stream:
            async for event in stream:
                ...

    Iterate it once; leaving the block or calling `close` (from any task) ends the iteration. It starts
    connecting when the iteration starts. `last_event_id` moves when an event is handed over; who must not
    lose what he was doing with an event keeps `event.id` himself and gives it to the next client.

    Args:
        url: the stream's address. No token belongs into it.
        headers: headers of each attempt, or a function that makes them anew (fresh tokens).
        last_event_id: where to resume; None starts live.
        http: a client to share between many streams; it stays open. One of our own otherwise.
        on_state: called at each change of state, in the iterating task; must not block.
        backoff: the delays between attempts.
        silence_s: a connection that brings nothing at all, not even a comment, for this long is dead; None
            never is.
        connect_timeout_s: time until the answer's headers are there.
    Raises (from the iteration):
        RefusedByServerError: the answer was neither a stream nor one worth trying again. A 204 ends the
            iteration quietly.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | HeadersMaker | None = None,
        last_event_id: str | None = None,
        http: httpx.AsyncClient | None = None,
        on_state: OnState | None = None,
        backoff: Backoff | None = None,
        silence_s: float | None = 90.0,
        connect_timeout_s: float = 10.0,
    ) -> None:
        self.address = without_query(url)
        self.state = ConnectionState.CLOSED
        self.last_event_id = last_event_id or ""
        self.duplicates_dropped = 0
        self.connections = 0
        self._url = url
        self._headers = headers
        self._http = http
        self._own_http = http is None
        self._on_state = on_state
        self._backoff = backoff or Backoff()
        self._silence_s = silence_s
        self._connect_timeout_s = connect_timeout_s
        self._retry_s: float | None = None
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._closing = asyncio.Event()
        self._ended = asyncio.Event()
        self._events: AsyncGeneratorType[SseEvent, None] | None = None

    def __repr__(self) -> str:
        return f"<SseClient {self.address} {self.state}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the stream. The iteration, if one is going on in another task, ends too."""
        self._closing.set()
        if self._events is not None and not self._ended.is_set():
            if self._events.ag_running:
                # Another task waits for the next event: it sees the closing and cleans up.
                await self._ended.wait()
            else:
                await self._events.aclose()
        self._change(ConnectionState.CLOSED, "closed")

    def __aiter__(self) -> AsyncIterator[SseEvent]:
        if self._events is not None:
            raise RuntimeError("a stream is iterated once; make a new client")
        self._events = cast("AsyncGeneratorType[SseEvent, None]", self._iterate())
        return self._events

    async def _iterate(self) -> AsyncGenerator[SseEvent, None]:
        if self._http is None:
            self._http = new_http_client(self._url, connections=2)
        failures = 0
        try:
            while not self._closing.is_set():
                self._change(ConnectionState.CONNECTING)
                useful = False
                reason = "the stream ended"
                asked_s: float | None = None
                started = time.monotonic()
                try:
                    async with contextlib.aclosing(self._one_connection(self._http)) as events:
                        async for event in events:
                            # A stream that gets beyond its own first frame is a working one.
                            useful = useful or not event.is_control
                            if event.type in ("rotate", "farewell"):
                                reason = event.type
                            elif event.type == "ready":
                                self._live(event)
                            yield event
                except _RetryLaterError as error:
                    reason, asked_s = str(error), error.asked_s
                except _EndedForGoodError:
                    self._change(ConnectionState.CLOSED, "the server ended the stream for good")
                    return
                except (httpx.InvalidURL, httpx.UnsupportedProtocol):
                    raise RefusedByServerError(self.address, None, "this is no HTTP address") from None
                except (httpx.RequestError, OSError, EventTooLargeError) as error:
                    reason = _in_words(error)
                if self._closing.is_set():
                    break
                held_s = time.monotonic() - started
                # `failures` counts connections in a row that were no use: only they slow down.
                failures = 0 if useful or held_s > 5.0 else failures + 1
                # An announced rotation is harmless, unless the server does nothing else.
                rotated = reason == "rotate" and (useful or held_s > 1.0)
                delay_s = self._delay_s(failures, asked_s, rotated=rotated)
                self._change(ConnectionState.WAITING, reason, delay_s=delay_s)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), delay_s)
        except RefusedByServerError as error:
            self._change(ConnectionState.CLOSED, error.message)
            raise
        finally:
            if self._own_http and self._http is not None:
                http, self._http = self._http, None
                await http.aclose()
            self._change(ConnectionState.CLOSED, "closed")
            self._ended.set()

    def _delay_s(self, failures: int, asked_s: float | None, *, rotated: bool) -> float:
        if rotated:
            # At once, but not everybody in the same millisecond.
            return self._backoff.random() * 0.2
        asked = asked_s if asked_s is not None else self._retry_s
        return self._backoff.delay_s(max(0, failures - 1), asked)

    async def _one_connection(self, http: httpx.AsyncClient) -> AsyncGenerator[SseEvent, None]:
        made = self._headers() if callable(self._headers) else self._headers
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store", **(made or {})}
        if self.last_event_id:
            headers["Last-Event-ID"] = self.last_event_id
        # Silence is watched below; httpx's own read timeout would start anew with the headers.
        timeout = httpx.Timeout(self._connect_timeout_s, read=None)
        request = http.build_request("GET", self._url, headers=headers, timeout=timeout)
        response = await self._unless_closing(
            http.send(request, stream=True, follow_redirects=False), self._connect_timeout_s
        )
        if response is None:
            return
        try:
            await self._check(response)
            self.connections += 1
            self._change(ConnectionState.OPEN)
            parser = SseParser(self.last_event_id)
            chunks = response.aiter_bytes()
            while (chunk := await self._unless_closing(_next(chunks), self._silence_s)) is not None:
                received_at = time.time()
                for parsed in parser.feed(chunk):
                    if parser.retry_ms is not None:
                        self._retry_s = parser.retry_ms / 1000
                    control = parsed.type in CONTROL_EVENTS
                    if parsed.has_id and parsed.last_event_id and not control and self._repeated(parsed.last_event_id):
                        self.duplicates_dropped += 1
                        continue
                    self.last_event_id = parsed.last_event_id
                    yield SseEvent(parsed.type, parsed.data, parsed.last_event_id, received_at)
                # Ids of blocks without data count as well.
                self.last_event_id = parser.last_event_id
                if parser.retry_ms is not None:
                    self._retry_s = parser.retry_ms / 1000
        finally:
            await response.aclose()

    async def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if status == 200 and kind == "text/event-stream":
            return
        if status == 204:
            raise _EndedForGoodError
        if status in TRANSIENT:
            raise _RetryLaterError(f"HTTP {status}", _retry_after_s(response.headers.get("retry-after")))
        detail = f"no event stream but {kind or 'nothing'}" if status == 200 else await _problem(response)
        raise RefusedByServerError(self.address, status, detail)

    def _repeated(self, event_id: str) -> bool:
        if event_id in self._seen:
            return True
        self._seen[event_id] = None
        if len(self._seen) > SEEN_IDS:
            self._seen.popitem(last=False)
        return False

    def _live(self, event: SseEvent) -> None:
        recovered: bool | None = None
        reason = ""
        with contextlib.suppress(ValueError):
            facts = event.json()
            if isinstance(facts, dict):
                said = facts.get("recovered")
                recovered = said if isinstance(said, bool) else None
                reason = str(facts.get("reason") or "")
        self._change(ConnectionState.LIVE, reason, recovered=recovered)

    async def _unless_closing(self, work: Awaitable[T], timeout_s: float | None) -> T | None:
        """The result of `work`, or None once the stream is being closed. Raises _RetryLaterError after
        `timeout_s`.
        """
        task = asyncio.ensure_future(work)
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            done, _ = await asyncio.wait({task, closing}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if task in done:
                return task.result()
            if closing in done:
                return None
            raise _RetryLaterError(f"nothing came for {timeout_s:g} s")
        finally:
            for pending in (task, closing):
                if not pending.done():
                    pending.cancel()
            await asyncio.gather(task, closing, return_exceptions=True)

    def _change(
        self,
        state: ConnectionState,
        reason: str = "",
        *,
        delay_s: float | None = None,
        recovered: bool | None = None,
    ) -> None:
        if state is self.state is ConnectionState.CLOSED:
            return
        self.state = state
        if self._on_state is not None:
            self._on_state(StateChange(state, time.time(), reason, delay_s, recovered))


class _RetryLaterError(Exception):
    def __init__(self, reason: str, asked_s: float | None = None) -> None:
        self.asked_s = asked_s
        super().__init__(reason)


class _EndedForGoodError(Exception):
    pass


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    # StopAsyncIteration cannot be the outcome of a task; the end is None.
    return await anext(chunks, None)


async def _problem(response: httpx.Response) -> str:
    """The title of a problem document, at most; bodies of strangers are not repeated."""
    try:
        body = json.loads(await response.aread())
    except (httpx.TransportError, ValueError):
        return ""
    return str(body.get("title", ""))[:200] if isinstance(body, dict) else ""


def _retry_after_s(value: str | None) -> float | None:
    """Seconds of a Retry-After header, either form (RFC 9110, 10.2.3), or None."""
    if not value:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value.strip()[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _in_words(error: Exception) -> str:
    """An error of the network in words, without the address (and so without its query)."""
    known: list[tuple[type[Exception], str]] = [
        (httpx.ConnectTimeout, "no connection in time"),
        (httpx.ConnectError, "the connection was refused"),
        (httpx.ReadError, "the connection broke"),
        (httpx.RemoteProtocolError, "the connection was cut in the middle of the stream"),
        (httpx.TimeoutException, "no answer in time"),
        (EventTooLargeError, "an event is too large"),
    ]
    return next((words for kind, words in known if isinstance(error, kind)), type(error).__name__)
