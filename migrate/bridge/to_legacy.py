"""SSE -> legacy: follows a tenant's stream and posts to its WebSocket clients. until phase 3

Each client gets events in the order of the log; clients do not wait for each other. What has piled up is posted as one
batch: one reading of the connection table for each group of recipients, one saving of the cursor. Who has got what of
the batch that is under way is noted (`posted`), so a bridge that is killed and comes back posts again only what had no
answer yet in that moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from legacy_ws.schema import Item
from migrate.bridge.core import Crossing, Rules, crossing
from migrate.bridge.posted import PostedFile
from migrate.bridge.rooms import Rooms, Sharing
from migrate.bridge.status import BridgeStatus
from migrate.clients import Backoff, SseClient, SseEvent
from migrate.control.checkpoints import Checkpoints

__all__ = ["Connections", "SseToLegacy"]

# A frame may take this long to reach a connection, seconds; who is left over then is counted as undelivered.
POST_S = 30.0
BATCH = 25
WORKERS = 32


class Connections(Protocol):
    """The legacy stack's connections, as `migrate.bridge.connections.LegacyConnections` offers them."""

    def to(self, recipients: str, tenant: str) -> list[Item]:
        """The rows of `all`, `user:ID` or `tenant:ID`, none of another tenant."""

    def id_of(self, row: Item) -> str:
        """The connection's id."""

    def post(self, row: Item, frame: Mapping[str, object], seconds: float) -> bool:
        """Post one frame; False when it may live and did not get it."""


class SseToLegacy:
    """One direction of the bridge, for one tenant.

    Args:
        stream_url: `GET /api/streams?topic=*` of the SSE service.
        tenant: whose stream.
        token: signs a token of the tenant with the scope streams:tenant.
        connections: the legacy stack's connections.
        rooms: which rooms are open, and cross.
        checkpoints, job: where the cursor is kept, a segment for each tenant.
        rules: what crosses.
        status: counters, shared with the other direction.
        posted: who has been posted what.
    """

    def __init__(
        self,
        stream_url: str,
        tenant: str,
        token: Callable[[str], str],
        connections: Connections,
        rooms: Rooms,
        checkpoints: Checkpoints,
        job: str,
        rules: Rules,
        status: BridgeStatus,
        posted: PostedFile,
    ) -> None:
        self._stream_url = stream_url
        self._tenant = tenant
        self._token = token
        self._connections = connections
        self._rooms = rooms
        self._checkpoints = checkpoints
        self._job = job
        self._rules = rules
        self._status = status
        self._posted = posted
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="post")

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
                self._status.problem_to_legacy = f"{self._tenant}: {type(error).__name__}: {error}"[:300]
                try:
                    await asyncio.wait_for(stop.wait(), backoff.delay_s(failures - 1))
                except TimeoutError:
                    continue

    async def _follow(self, stop: asyncio.Event, live: asyncio.Event) -> None:
        kept = await asyncio.to_thread(self._checkpoints.get, self._job, self._tenant)
        cursor = str(kept["cursor"]) if kept else None
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
        frames: list[tuple[str, Crossing]] = []
        for event in events:
            if event.type == "reset":
                # Said once and kept: what was sent in between did not reach WebSocket clients.
                self._status.resets += 1
            if not event.is_control:
                found = [one for one in crossing(event.json(), self._rules, self._tenant) if await self._is_shared(one)]
                # An event that becomes several frames has a mark for each.
                frames += [(f"{event.id}/{number}", one) for number, one in enumerate(found)]
        if frames:
            self._status.undelivered += await asyncio.to_thread(self._post, frames)
            self._status.to_legacy += len(frames)
        # A first `ready` is kept too: from here on nothing is missed, whatever happens before the first event.
        if first_start or any(not event.is_control or event.type == "reset" for event in events):
            await self._save(events[-1].id)
        self._status.problem_to_legacy = ""

    async def _is_shared(self, found: Crossing) -> bool:
        if found.room is None:
            return True
        return await self._rooms.sharing(self._tenant, found.room) is Sharing.OPEN

    def _post(self, frames: list[tuple[str, Crossing]]) -> int:
        """Post the frames, each connection's in their order; returns how many posts failed.

        The table is read once, after all of them were published: who was connected then gets each of them.
        """
        rows = {to: self._connections.to(to, self._tenant) for to in dict.fromkeys(found.to for _, found in frames)}
        mine: dict[str, tuple[Item, list[tuple[str, Mapping[str, object]]]]] = {}
        for mark, found in frames:
            done = self._posted.done(mark)
            for row in rows[found.to]:
                connection_id = self._connections.id_of(row)
                if connection_id not in done:
                    mine.setdefault(connection_id, (row, []))[1].append((mark, found.frame))
        return sum(self._pool.map(lambda entry: self._post_to(entry[0], *entry[1]), mine.items()))

    def _post_to(self, connection_id: str, row: Item, frames: list[tuple[str, Mapping[str, object]]]) -> int:
        failed = 0
        for mark, frame in frames:
            failed += not self._connections.post(row, frame, POST_S)
            self._posted.add(mark, connection_id)
        return failed

    async def _save(self, cursor: str) -> None:
        if cursor:
            await asyncio.to_thread(self._checkpoints.put, self._job, self._tenant, {"cursor": cursor})
            self._posted.clear()
            self._status.cursors[self._tenant] = cursor

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token(self._tenant)}"}
