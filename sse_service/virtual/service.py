"""Virtual connections of one instance: opening, sending, closing, posting, and what becomes due."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sse_service.connections import frames
from sse_service.connections.events import ConnectionFacts, Handshake
from sse_service.connections.frames import Refusal
from sse_service.connections.integration import Accept
from sse_service.connections.lifecycle import ABNORMAL, CloseCause, CloseStatus
from sse_service.connections.limits import ConnectionLimits
from sse_service.connections.throttle import TokenBucket
from sse_service.errors import BusyError, TooLargeError, UnavailableError
from sse_service.ports import Clock
from sse_service.virtual.errors import GoneError, WindowFullError
from sse_service.virtual.flows import Flows, Message, new_id
from sse_service.virtual.frames import binary_frame, text_frame
from sse_service.virtual.metrics import VirtualMetrics
from sse_service.virtual.session import Accepted, Session, SessionLimits, Swept
from sse_service.virtual.store import Entry, SessionStore
from sse_service.virtual.streams import Streams
from sse_service.virtual.turns import Turns

__all__ = ["Connected", "VirtualConnections", "VirtualOptions"]

logger = logging.getLogger("sse_service.virtual")

T = TypeVar("T")

SWEEP_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class VirtualOptions:
    """limits: of the core; passes_binary: binary messages reach handlers instead of closing the connection."""

    stage: str
    domain_name: str
    limits: ConnectionLimits
    session_limits: SessionLimits
    connects_per_s: float
    max_connections: int
    passes_binary: bool


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection that was let in. secret: for its client alone."""

    connection_id: str
    secret: str
    subprotocol: str


class VirtualConnections:
    """See Connections (handlers.py) for `post`, `describe`, `delete`."""

    def __init__(
        self, options: VirtualOptions, store: SessionStore, streams: Streams, metrics: VirtualMetrics, clock: Clock
    ) -> None:
        self.options = options
        self.store = store
        self.streams = streams
        self.is_draining = False
        self._metrics = metrics
        self._clock = clock
        limits = options.limits
        self._turns = Turns(store, clock, limit=limits.in_flight, integration_s=limits.integration_s)
        self._flows: Flows | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._sweeper: asyncio.Task[None] | None = None
        rate = options.connects_per_s
        self._bucket = TokenBucket(rate, max(rate, 1.0), clock()) if rate else None

    async def start(self, flows: Flows) -> None:
        self._flows = flows
        await self.store.start(self.streams.woken)
        self._sweeper = asyncio.create_task(self._sweep_for_ever())
        self.streams.start()

    @property
    def flows(self) -> Flows:
        if self._flows is None:
            raise UnavailableError("virtual connections are not ready yet")
        return self._flows

    # The client's side ----------------------------------------------------------------------------------

    async def open(self, handshake: Handshake, source_ip: str) -> Connected | Refusal:
        """Let a client in, if the API does. Raises UnavailableError."""
        outcome = await self._open(handshake, source_ip)
        self._metrics.opened.labels(str(outcome.status if isinstance(outcome, Refusal) else 201)).inc()
        return outcome

    async def _open(self, handshake: Handshake, source_ip: str) -> Connected | Refusal:
        flows, options, now = self.flows, self.options, self._clock()
        if len(handshake.query) > options.limits.url_chars:
            return frames.URI_TOO_LONG
        if self.is_draining or len(self.store) >= options.max_connections:
            return frames.UNAVAILABLE
        buckets = [bucket for bucket in (self._bucket, flows.plan.connect_bucket) if bucket is not None]
        if not all(bucket.take(now) for bucket in buckets):
            return frames.THROTTLED
        facts = ConnectionFacts(
            api_id=flows.plan.api.api_id,
            stage=options.stage,
            connection_id=new_id(),
            connected_at_ms=int(now * 1000),
            domain_name=options.domain_name,
            source_ip=source_ip,
            user_agent=handshake.header("User-Agent"),
            stage_variables=flows.plan.stage.variables,
        )
        outcome, facts, was_let_in = await flows.connect(facts, handshake)
        if not isinstance(outcome, Accept):
            return outcome
        secret, now = secrets.token_urlsafe(32), self._clock()
        session = Session(opened_s=now, last_message_s=now, stream_until_s=now)
        try:
            await self.store.create(Entry(facts, _hash(secret)), session)
        except BaseException:
            if was_let_in:  # the handler has stored a connection that never was
                self._spawn(flows.disconnect(facts, ABNORMAL))
            raise
        return Connected(facts.connection_id, secret, outcome.subprotocol or "")

    async def entry(self, connection_id: str, secret: str) -> Entry | None:
        """The connection of whoever has its secret; None: they have not. Raises GoneError, UnavailableError."""
        entry = await self.store.entry(connection_id)
        return entry if hmac.compare_digest(entry.secret_hash, _hash(secret)) else None

    async def send(self, entry: Entry, messages: list[Message], received: int | None) -> int:
        """Take messages; those that had come before are ignored. Returns the number of the last one there is.

        Raises GoneError, GapError, TooLargeError (the connection is closed with 1009 then), BusyError,
        UnavailableError.
        """
        flows, connection_id = self.flows, entry.facts.connection_id
        if not flows.has_room(connection_id):
            raise BusyError("messages under way", "connection", self.options.limits.in_flight, retry_after_s=1)
        taken, cause = self._acceptable(messages)
        numbers = [message.number for message in taken]
        now = self._clock()

        def accept(session: Session) -> Accepted:
            if self._in_turns:
                self._turns.make_room(session)
            accepted = session.accept(numbers, received, now)
            if not self._in_turns:
                # So that nobody waits for them once the setting is another one.
                session.was_handled(accepted.acked, now)
            return accepted

        accepted = await self.store.change(connection_id, accept)
        new = [message for message in taken if message.number >= accepted.first_new]
        if cause is CloseCause.BINARY:
            new = [message for message in new if not isinstance(message.data, bytes)]
        if self._in_turns:
            # Shielded: who waits may be cancelled, what was accepted is handled all the same.
            await asyncio.shield(self._spawn(self._turns.take(flows, entry, accepted, new)))
        else:
            await flows.take(entry.facts, new)
        if cause is not None:
            await self._close(entry, cause.status, cause.status.wire_reason, by_client=False)
        if cause is CloseCause.TOO_BIG:
            raise TooLargeError("a message", self.options.limits.message_bytes)
        return accepted.acked

    @property
    def _in_turns(self) -> bool:
        """Whether the messages of a connection are handled one after another, whichever instances they come to."""
        return self.flows.ordered and self.store.is_shared

    def _acceptable(self, messages: list[Message]) -> tuple[list[Message], CloseCause | None]:
        """Those that may come, and why the connection is closed behind them, if it is."""
        for i, message in enumerate(messages):
            if message.size > self.options.limits.message_bytes:
                return messages[:i], CloseCause.TOO_BIG
            if isinstance(message.data, bytes) and not self.options.passes_binary:
                # "API Gateway doesn't currently support binary frames": its number is taken, its content is not.
                return messages[: i + 1], CloseCause.BINARY
        return messages, None

    async def leave(self, entry: Entry, status: CloseStatus, wire_reason: str) -> None:
        """The client closes it. Raises GoneError, UnavailableError."""
        if not await self._close(entry, status, wire_reason, by_client=True):
            raise GoneError

    # The handlers' side ---------------------------------------------------------------------------------

    async def post(self, connection_id: str, data: str | bytes) -> None:
        """Raises GoneError, WindowFullError, TooLargeError, UnavailableError."""
        raw = data.encode("utf-8", errors="replace") if isinstance(data, str) else data
        limit = self.options.limits.message_bytes
        if len(raw) > limit:
            raise TooLargeError("a message", limit)
        make = self._frame_maker(raw)
        now, limits = self._clock(), self.options.session_limits
        await self.store.change(connection_id, lambda session: session.post(make, now, limits))
        self._metrics.messages.labels("down").inc()

    def _frame_maker(self, raw: bytes) -> Callable[[int], bytes]:
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            if self.options.passes_binary:
                return lambda number: binary_frame(number, raw)
            # The only frames of API Gateway are text.
            text = raw.decode("utf-8", errors="replace")
        return lambda number: text_frame(number, text)

    async def describe(self, connection_id: str) -> dict[str, Any]:
        """GetConnection's answer. Raises GoneError, UnavailableError."""
        facts = (await self.store.entry(connection_id)).facts
        session = await self.store.session(connection_id)
        if not session.is_open:
            raise GoneError
        return {
            "connectedAt": _iso(facts.connected_at_ms / 1000),
            "identity": {"sourceIp": facts.source_ip, "userAgent": facts.user_agent or ""},
            "lastActiveAt": _iso(session.last_message_s),
        }

    async def delete(self, connection_id: str) -> None:
        """Raises GoneError, UnavailableError."""
        status = CloseCause.DELETED.status
        if not await self._close(await self.store.entry(connection_id), status, status.wire_reason, by_client=False):
            raise GoneError

    async def tell(self, connection_id: str, data: bytes) -> None:
        """Send what the gateway itself has to say; nobody minds if it does not arrive."""
        try:
            await self.post(connection_id, data)
        except (GoneError, WindowFullError, TooLargeError, UnavailableError) as error:
            logger.info("an answer was lost: %s", error, extra={"connectionId": connection_id})

    # Ends -----------------------------------------------------------------------------------------------

    async def _close(self, entry: Entry, status: CloseStatus, wire_reason: str, *, by_client: bool) -> bool:
        """Close it and have `$disconnect` run. False: it was closed already."""
        now, connection_id, limits = self._clock(), entry.facts.connection_id, self.options.session_limits
        closed = await self.store.change(
            connection_id, lambda session: session.close(status, wire_reason, now, limits, by_client=by_client)
        )
        if closed:
            self._spawn(self._disconnect(entry, status))
        return closed

    async def _disconnect(self, entry: Entry, status: CloseStatus) -> None:
        connection_id = entry.facts.connection_id
        if self._in_turns:
            await self._turns.over(connection_id)
        await self.flows.disconnect(entry.facts, status)
        await self.store.change(connection_id, lambda session: session.disconnected())

    async def _sweep_for_ever(self) -> None:
        limits = self.options.session_limits
        pause_s = max(0.02, min(1.0, limits.resume_s / 10, limits.idle_s / 10))
        while True:
            await asyncio.sleep(pause_s)
            try:
                for connection_id in await self.store.due(self._clock(), SWEEP_AT_ONCE):
                    await self._sweep(connection_id)
            except UnavailableError as error:
                logger.warning("connections that are due wait: %s", error)
            except Exception:
                logger.exception("connections that are due could not be looked at")

    async def _sweep(self, connection_id: str) -> None:
        now, limits = self._clock(), self.options.session_limits
        try:
            entry = await self.store.entry(connection_id)
            swept: Swept | None = await self.store.change(connection_id, lambda session: session.sweep(now, limits))
        except GoneError:
            await self.store.forget(connection_id)
            return
        if swept is None:
            return
        if swept.forget:
            await self.store.forget(connection_id)
        elif swept.status is not None:
            self._spawn(self._disconnect(entry, swept.status))

    # The end of the service -----------------------------------------------------------------------------

    async def drain(self, grace_s: float) -> None:
        """No new connections. Those that end with this process are closed with 1001 and `$disconnect` is run for them;
        those that others can go on with are told to reconnect."""
        self.is_draining = True
        deadline = asyncio.get_running_loop().time() + grace_s
        status = CloseCause.SHUTDOWN.status
        for connection_id in await self.store.own():
            try:
                entry = await self.store.entry(connection_id)
            except GoneError:
                continue
            await self._close(entry, status, status.wire_reason, by_client=False)
        self.streams.rotate_all("shutdown")
        if self._flows is not None:
            await self._flows.drain(max(0.1, deadline - asyncio.get_running_loop().time()))
        if self._tasks:
            left_s = max(0.1, deadline - asyncio.get_running_loop().time())
            await asyncio.wait(list(self._tasks), timeout=left_s)

    async def close(self) -> None:
        tasks = [*self._tasks, *([self._sweeper] if self._sweeper else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.streams.close()
        await self.store.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, GoneError):
            logger.error("the end of a connection failed", exc_info=error)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
