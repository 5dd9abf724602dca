"""Virtual subscribers: a stream of the shadow instance for each sampled user who is connected. until phase 3"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from migrate.clients import RefusedByServerError, SseClient, SseEvent
from migrate.compare.deliveries import Span
from migrate.shadow.people import Person

__all__ = ["Streams"]

LIVE_S = 15.0
# After a user's last connection ended: what entered before that is still on its way.
LINGER_S = 20.0
RETRY_S = 5.0

OnEvent = Callable[[Person, SseEvent], None]


@dataclass
class _Stream:
    task: asyncio.Task[None]
    live: asyncio.Event
    ends_at: float | None = None


class Streams:
    """All virtual subscribers.

    Args:
        url: of the stream.
        http: a client that all of them share.
        token: makes a user's token.
        on_event: is given each event, in order.
        on_span: is told when a stream missed something.
        cursors: user -> last event id that was recorded; kept by the caller.
    """

    def __init__(
        self,
        url: str,
        http: httpx.AsyncClient,
        token: Callable[[Person], str],
        on_event: OnEvent,
        on_span: Callable[[Span], None],
        cursors: dict[Person, str],
    ) -> None:
        self._url = url
        self._http = http
        self._token = token
        self._on_event = on_event
        self._on_span = on_span
        self._cursors = cursors
        self._streams: dict[Person, _Stream] = {}
        self.problem = ""

    def __len__(self) -> int:
        return len(self._streams)

    async def open(self, people: list[Person]) -> None:
        """Have streams for these people, live; those that do not get there in time go on trying."""
        for person in people:
            stream = self._streams.get(person)
            if stream is not None:
                stream.ends_at = None
                continue
            live = asyncio.Event()
            self._streams[person] = _Stream(asyncio.create_task(self._run(person, live)), live)
        waits: list[Awaitable[object]] = [
            self._streams[person].live.wait() for person in people if not self._streams[person].live.is_set()
        ]
        if waits:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(*waits), LIVE_S)

    def end_later(self, person: Person) -> None:
        """The person has gone: the stream ends a while later, unless they come back."""
        stream = self._streams.get(person)
        if stream is not None:
            stream.ends_at = time.monotonic() + LINGER_S

    async def sweep(self) -> None:
        """End streams whose time has come."""
        now = time.monotonic()
        for person, stream in list(self._streams.items()):
            if stream.ends_at is not None and stream.ends_at <= now:
                await self._end(person)
                # A next stream of theirs begins where they come back.
                self._cursors.pop(person, None)

    async def close(self) -> None:
        """End all of them; their cursors stay."""
        await asyncio.gather(*(self._end(person) for person in list(self._streams)))

    async def _end(self, person: Person) -> None:
        stream = self._streams.pop(person)
        stream.task.cancel()
        await asyncio.gather(stream.task, return_exceptions=True)

    async def _run(self, person: Person, live: asyncio.Event) -> None:
        while True:
            try:
                async with SseClient(
                    self._url,
                    headers=lambda: {"Authorization": f"Bearer {self._token(person)}"},
                    last_event_id=self._cursors.get(person),
                    http=self._http,
                ) as client:
                    last = time.time()
                    async for event in client:
                        last = self._take(person, event, live, last)
            except RefusedByServerError as error:
                self.problem = f"a stream was refused: HTTP {error.status}"
            except asyncio.CancelledError:
                raise
            except Exception as error:  # whatever it is: the others go on, and so does this one
                self.problem = f"a stream broke: {type(error).__name__}"
            await asyncio.sleep(RETRY_S)

    def _take(self, person: Person, event: SseEvent, live: asyncio.Event, last: float) -> float:
        if event.type == "ready":
            self.problem = ""
            if self._cursors.get(person) and not _recovered(event):
                self._on_span(Span("gap", "sse", person.user, last, time.time(), "the stream could not be resumed"))
            self._cursors.setdefault(person, event.id)
            live.set()
        elif event.type == "reset":
            self._on_span(Span("gap", "sse", person.user, last, time.time(), "the event log no longer had all of it"))
        elif not event.is_control:
            self._on_event(person, event)
        return time.time()


def _recovered(event: SseEvent) -> bool:
    try:
        facts = json.loads(event.data)
    except ValueError:
        return False
    return isinstance(facts, dict) and facts.get("recovered") is True
