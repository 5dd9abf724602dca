"""SSE -> legacy: follows a tenant's stream and posts to its WebSocket clients. until phase 3

Events are posted one after the other, so that each client gets them in the order of the log. What has piled up is
posted as one batch: one reading of the connection table, one saving of the cursor. A bridge that is killed half-way
through a batch posts that batch again when it is back; every other message reaches each client once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from legacy_ws.manager import BroadcastResult, Remaining
from legacy_ws.schema import Item
from migrate.bridge.core import BridgeRule, frame_for_legacy
from migrate.bridge.rooms import Rooms, Sharing
from migrate.bridge.status import BridgeStatus
from migrate.clients import Backoff, SseClient, SseEvent
from migrate.state_dynamodb import MigrationState
from migrate.tokens import mint

__all__ = ["Connections", "SseToLegacy"]

# An event may take this long to reach everybody, seconds; who is left over then is counted as undelivered.
FAN_OUT_S = 30.0
BATCH = 25
TOKEN_TTL_S = 3600


class Connections(Protocol):
    """The legacy stack's connections, as `legacy_ws.manager.ConnectionManager` offers them."""

    def pages(self) -> Iterator[list[Item]]:
        """Every row, page by page."""

    def broadcast(
        self, pages: Iterator[list[Item]], frame: Mapping[str, object], *, remaining: Remaining
    ) -> BroadcastResult:
        """Post one frame to every connection."""


class SseToLegacy:
    """One direction of the bridge, for one tenant.

    Args:
        stream_url: `GET /api/streams?topic=*` of the SSE service.
        tenant: whose stream.
        secret: signs the tokens the stream is opened with.
        connections: the legacy stack's connections.
        rooms: which rooms are open, and cross.
        state: where the cursor is kept.
        rule: what crosses.
        status: counters, shared with the other direction.
        deadline: makes a function that tells the seconds left for one event.
    """

    def __init__(
        self,
        stream_url: str,
        tenant: str,
        secret: str,
        connections: Connections,
        rooms: Rooms,
        state: MigrationState,
        rule: BridgeRule,
        status: BridgeStatus,
        deadline: Callable[[float], Remaining],
    ) -> None:
        self._stream_url = stream_url
        self._tenant = tenant
        self._secret = secret
        self._connections = connections
        self._rooms = rooms
        self._state = state
        self._rule = rule
        self._status = status
        self._deadline = deadline

    async def run(self, stop: asyncio.Event, live: asyncio.Event) -> None:
        """Work until `stop` is set; sets `live` once the stream is open for the first time."""
        backoff = Backoff()
        failures = 0
        while not stop.is_set():
            try:
                await self._follow(stop, live)
                failures = 0
            except asyncio.CancelledError:
                raise
            except Exception as error:  # the stream refused, the table away: the cursor has not moved, go on later
                failures += 1
                self._status.problem_to_legacy = f"{type(error).__name__}: {error}"[:300]
                try:
                    await asyncio.wait_for(stop.wait(), backoff.delay_s(failures - 1))
                except TimeoutError:
                    continue

    async def _follow(self, stop: asyncio.Event, live: asyncio.Event) -> None:
        cursor = await asyncio.to_thread(self._state.bridge_cursor, self._tenant)
        waiting: asyncio.Queue[SseEvent] = asyncio.Queue(maxsize=BATCH)
        async with SseClient(self._stream_url, headers=self._headers, last_event_id=cursor) as stream:
            reading = asyncio.create_task(self._read(stream, waiting))
            stopping = asyncio.create_task(stop.wait())
            try:
                while True:
                    first = asyncio.create_task(waiting.get())
                    await asyncio.wait({first, reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
                    if not first.done():
                        first.cancel()
                        if reading.done():
                            await reading
                        return
                    events = [first.result()]
                    while not waiting.empty():
                        events.append(waiting.get_nowait())
                    await self._handle(events, first_start=cursor is None)
                    cursor = cursor or events[-1].id
                    if any(event.type == "ready" for event in events):
                        live.set()
                    if stop.is_set():
                        return
            finally:
                await stream.close()
                for task in (reading, stopping):
                    task.cancel()
                await asyncio.gather(reading, stopping, return_exceptions=True)

    async def _read(self, stream: SseClient, waiting: asyncio.Queue[SseEvent]) -> None:
        async for event in stream:
            await waiting.put(event)

    async def _handle(self, events: list[SseEvent], *, first_start: bool) -> None:
        frames = []
        for event in events:
            if event.type == "reset":
                # Said once and kept: what was sent in between did not reach WebSocket clients.
                self._status.resets += 1
            if not event.is_control and (frame := await self._frame(event.json())) is not None:
                frames.append(frame)
        if frames:
            self._status.undelivered += await asyncio.to_thread(self._post, frames)
            self._status.to_legacy += len(frames)
        # A first `ready` is kept too: from here on nothing is missed, whatever happens before the first event.
        if first_start or any(not event.is_control or event.type == "reset" for event in events):
            await self._save(events[-1].id)
        self._status.problem_to_legacy = ""

    async def _frame(self, envelope: dict[str, Any]) -> str | None:
        frame = frame_for_legacy(envelope, self._rule)
        if frame is None:
            return None
        room = str(envelope["topic"]).partition(":")[2]
        shared = await self._rooms.sharing(self._tenant, room)
        return frame if shared is Sharing.OPEN else None

    def _post(self, frames: list[str]) -> int:
        """Post the frames in their order to everybody; returns how many posts failed.

        The table is read once, after all of them were published: who was connected then gets each of them.
        """
        rows = list(self._connections.pages())
        failed = 0
        for frame in frames:
            remaining = self._deadline(FAN_OUT_S)
            result = self._connections.broadcast(iter(rows), json.loads(frame), remaining=remaining)
            failed += len(result.failed)
        return failed

    async def _save(self, cursor: str) -> None:
        if cursor:
            await asyncio.to_thread(self._state.save_bridge_cursor, self._tenant, cursor)
            self._status.cursors[self._tenant] = cursor

    def _headers(self) -> dict[str, str]:
        token = mint("bridge", self._tenant, self._secret, ("streams:tenant",), TOKEN_TTL_S)
        return {"Authorization": f"Bearer {token}"}
