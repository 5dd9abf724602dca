"""The flows of a connection: connect, message, disconnect. What they decide is the core's (connections/)."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from sse_service.connections import frames
from sse_service.connections.authorizer import Grant, evaluate_failure, evaluate_result, identity_sources_present
from sse_service.connections.definition import CONNECT, DISCONNECT, AuthorizationType, Route
from sse_service.connections.errors import DefinitionError
from sse_service.connections.events import (
    ID_BYTES,
    ConnectionFacts,
    Handshake,
    authorizer_event,
    connect_event,
    disconnect_event,
    format_id,
    message_event,
    method_arn,
)
from sse_service.connections.frames import GatewayError, Refusal, error_frame
from sse_service.connections.integration import Accept, judge_connect, message_for_client
from sse_service.connections.lifecycle import CloseStatus
from sse_service.connections.limits import ConnectionLimits
from sse_service.virtual.calls import Caller
from sse_service.virtual.errors import CallError, FailureKind
from sse_service.virtual.metrics import VirtualMetrics
from sse_service.virtual.plan import ApiPlan, RoutePlan

__all__ = ["Flows", "Message", "new_id"]

logger = logging.getLogger("sse_service.virtual")

_CONNECT_FAILURES = {
    FailureKind.TIMEOUT: frames.INTEGRATION_TIMEOUT,
    FailureKind.EXECUTION: frames.INTEGRATION_FAILED,
    FailureKind.MALFORMED: frames.INTEGRATION_FAILED,
    FailureKind.CONFIGURATION: frames.CONFIGURATION,
}

Tell = Callable[[str, bytes], Awaitable[None]]
"""Send text to a connection, if it is still there."""


def new_id() -> str:
    """A connection, message or request id."""
    return format_id(os.urandom(ID_BYTES))


def _epoch_ms() -> int:
    return time.time_ns() // 1_000_000


def _trace_id() -> str:
    return f"Root=1-{int(time.time()):08x}-{os.urandom(12).hex()}"


@dataclass(frozen=True, slots=True)
class Message:
    """What a client sent: text, or bytes."""

    number: int
    data: str | bytes

    @property
    def size(self) -> int:
        return len(self.data) if isinstance(self.data, bytes) else len(self.data.encode("utf-8", "surrogatepass"))


class Lane:
    """The messages of one connection on this instance: begun in their order, so many at once."""

    __slots__ = ("facts", "in_flight", "waiting")

    def __init__(self, facts: ConnectionFacts) -> None:
        self.facts = facts
        self.in_flight = 0
        self.waiting: deque[tuple[Message, asyncio.Future[None]]] = deque()


class Flows:
    """ordered: the next message of a connection waits for the last one's end; tell: see Tell."""

    def __init__(
        self,
        plan: ApiPlan,
        caller: Caller,
        limits: ConnectionLimits,
        metrics: VirtualMetrics,
        tell: Tell,
        *,
        account_id: str,
        ordered: bool,
    ) -> None:
        self.plan = plan
        self._caller = caller
        self._limits = limits
        self._metrics = metrics
        self._tell = tell
        self._account_id = account_id
        self.ordered = ordered
        self._at_once = 1 if ordered else limits.in_flight
        self._lanes: dict[str, Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # Connect --------------------------------------------------------------------------------------------

    async def connect(
        self, facts: ConnectionFacts, handshake: Handshake
    ) -> tuple[Accept | Refusal, ConnectionFacts, bool]:
        """Authorizer, then the integration: the outcome, the facts with the authorizer's context, and whether a handler
        has let it in (so that `$disconnect` is due if the connection comes to nothing)."""
        plan = self.plan.plans.get(CONNECT)
        if plan is None:
            return Accept(), facts, False
        request_id, trace_id = new_id(), _trace_id()
        outcome = await self._authorize(plan.route, facts, handshake, request_id, trace_id)
        if isinstance(outcome, Refusal):
            return outcome, facts, False
        if outcome is not None:
            facts = replace(facts, authorizer=outcome.context)
        event = connect_event(facts, handshake, request_id=request_id, trace_id=trace_id, now_ms=_epoch_ms())
        try:
            response = await self._caller.call(plan, event)
        except CallError as error:
            self._failed("$connect", error, facts)
            return _CONNECT_FAILURES[error.kind], facts, False
        return judge_connect(response), facts, response.ok

    async def _authorize(
        self, route: Route, facts: ConnectionFacts, handshake: Handshake, request_id: str, trace_id: str
    ) -> Grant | Refusal | None:
        if route.api_key_required and not handshake.header("x-api-key"):
            return frames.FORBIDDEN
        if route.authorization is AuthorizationType.NONE:
            return None
        if route.authorization is AuthorizationType.AWS_IAM:
            # The signature is over a WebSocket request that never was: nothing here could check it.
            return frames.MISSING_TOKEN
        authorizer = self.plan.api.authorizers.get(route.authorizer_id)
        if authorizer is None:
            logger.error("the authorizer %s of $connect does not exist", route.authorizer_id)
            return frames.AUTHORIZER_FAILED
        if not identity_sources_present(authorizer.identity_sources, facts, handshake):
            return frames.UNAUTHORIZED
        arn = method_arn(self.plan.region, self._account_id, facts.api_id, facts.stage)
        event = authorizer_event(
            facts, handshake, arn=arn, request_id=request_id, trace_id=trace_id, now_ms=_epoch_ms()
        )
        try:
            target = self.plan.authorizer_target(authorizer.uri)
            result = await self._caller.invoke(target, event, self._limits.integration_s)
        except DefinitionError as error:
            logger.error("the authorizer cannot be called: %s", error)  # noqa: TRY400 - a sentence says it all
            return frames.AUTHORIZER_FAILED
        except CallError as error:
            self._failed("authorizer", error, facts)
            return frames.AUTHORIZER_FAILED
        if result.failed:
            return evaluate_failure(result.payload)
        return evaluate_result(result.payload, arn, max_bytes=self._limits.authorizer_result_bytes)

    # Messages -------------------------------------------------------------------------------------------

    def has_room(self, connection_id: str) -> bool:
        """Whether a connection may bring more while what it has brought is under way."""
        lane = self._lanes.get(connection_id)
        return lane is None or len(lane.waiting) < self._limits.in_flight

    async def take(self, facts: ConnectionFacts, messages: list[Message]) -> None:
        """Handle messages in their order; returns when the last of them has begun (ordered: when it is done)."""
        if not messages:
            return
        loop = asyncio.get_running_loop()
        lane = self._lanes.setdefault(facts.connection_id, Lane(facts))
        marks = []
        for message in messages:
            marks.append(loop.create_future())
            lane.waiting.append((message, marks[-1]))
        self._pump(lane)
        # Shielded: who waits may be cancelled, what was accepted is handled all the same.
        await asyncio.shield(marks[-1])

    async def begun(self, connection_id: str) -> None:
        """Wait until nothing of a connection's waits any more."""
        while (lane := self._lanes.get(connection_id)) is not None and lane.waiting:
            await asyncio.wait([lane.waiting[-1][1]], timeout=self._limits.integration_s)

    def _pump(self, lane: Lane) -> None:
        while lane.waiting and lane.in_flight < self._at_once:
            message, mark = lane.waiting.popleft()
            lane.in_flight += 1
            task = asyncio.get_running_loop().create_task(self._handle(lane, message, mark))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            if not self.ordered:
                mark.set_result(None)

    async def _handle(self, lane: Lane, message: Message, mark: asyncio.Future[None]) -> None:
        facts, request_id = lane.facts, new_id()
        try:
            await self._message(facts, message, request_id)
        except Exception:
            logger.exception("a message failed, request %s", request_id)
            await self._say(facts, GatewayError.INTERNAL, request_id)
        finally:
            lane.in_flight -= 1
            if not mark.done():
                mark.set_result(None)
            self._pump(lane)
            if not lane.in_flight and not lane.waiting:
                self._lanes.pop(facts.connection_id, None)

    async def _message(self, facts: ConnectionFacts, message: Message, request_id: str) -> None:
        self._metrics.messages.labels("up").inc()
        is_binary = isinstance(message.data, bytes)
        # No JSON, so no selection: what takes it is $default.
        body = "" if isinstance(message.data, bytes) else message.data
        plan = self.plan.plan_for(body)
        if plan is None:
            await self._say(facts, GatewayError.FORBIDDEN, request_id)
            return
        if plan.bucket is not None and not plan.bucket.take(time.monotonic()):
            await self._say(facts, GatewayError.THROTTLED, request_id)
            return
        if isinstance(message.data, bytes):
            body = base64.b64encode(message.data).decode()
        event = message_event(facts, plan.key, body, message_id=new_id(), request_id=request_id, now_ms=_epoch_ms())
        if is_binary:
            event["isBase64Encoded"] = True
        try:
            answer = message_for_client(await self._caller.call(plan, event), two_way=plan.route.two_way)
        except CallError as error:
            self._failed(plan.key, error, facts)
            timed_out = error.kind is FailureKind.TIMEOUT
            await self._say(facts, GatewayError.TIMEOUT if timed_out else GatewayError.INTERNAL, request_id)
            return
        if answer is not None:
            await self._tell(facts.connection_id, answer.encode("utf-8", errors="replace"))

    async def _say(self, facts: ConnectionFacts, error: GatewayError, request_id: str) -> None:
        await self._tell(facts.connection_id, error_frame(error, facts.connection_id, request_id))

    # Disconnect -----------------------------------------------------------------------------------------

    async def disconnect(self, facts: ConnectionFacts, status: CloseStatus) -> None:
        """Run `$disconnect`, best effort: a failure is logged, nobody is told."""
        await self.begun(facts.connection_id)
        self._metrics.closed.labels(str(status.code)).inc()
        plan: RoutePlan | None = self.plan.plans.get(DISCONNECT)
        if plan is None:
            return
        event = disconnect_event(facts, status, request_id=new_id(), now_ms=_epoch_ms())
        try:
            await self._caller.call(plan, event)
        except CallError as error:
            self._failed(DISCONNECT, error, facts)

    async def drain(self, timeout_s: float) -> None:
        """Wait for what is being handled, then interrupt the rest."""
        if not self._tasks:
            return
        _, left = await asyncio.wait(list(self._tasks), timeout=timeout_s)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _failed(self, what: str, error: CallError, facts: ConnectionFacts) -> None:
        self._metrics.failures.labels(error.kind.value).inc()
        logger.warning("%s: %s", what, error, extra={"connectionId": facts.connection_id})
