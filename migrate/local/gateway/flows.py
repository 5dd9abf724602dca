"""The three flows of a connection: connect, message, disconnect. Until phase 3.

Each takes what it needs from `FlowContext`; nothing here listens on a socket.
"""

import asyncio
import logging
import os
import time
from dataclasses import dataclass, replace

from migrate.local.gateway.accesslog import AccessLog
from migrate.local.gateway.connection import BUSY, Connection
from migrate.local.gateway.metrics import Metrics
from migrate.local.gateway.stage import Stage
from sse_service.connections import frames
from sse_service.connections.authorizer import Grant, evaluate_failure, evaluate_result, identity_sources_present
from sse_service.connections.definition import (
    CONNECT,
    DISCONNECT,
    AuthorizationType,
    Route,
    lambda_arn,
    substitute_stage_variables,
)
from sse_service.connections.errors import DefinitionError
from sse_service.connections.events import (
    ID_BYTES,
    Handshake,
    authorizer_event,
    connect_event,
    disconnect_event,
    format_id,
    message_event,
    method_arn,
)
from sse_service.connections.frames import GatewayError, Refusal, error_frame
from sse_service.connections.integration import Accept, ProxyResponse, judge_connect, message_for_client
from sse_service.connections.lifecycle import CloseStatus, State
from sse_service.connections.limits import ConnectionLimits
from sse_service.virtual.calls import Caller
from sse_service.virtual.errors import CallError, FailureKind
from sse_service.virtual.plan import RoutePlan

log = logging.getLogger(__name__)

_CONNECT_FAILURES = {
    FailureKind.TIMEOUT: frames.INTEGRATION_TIMEOUT,
    FailureKind.EXECUTION: frames.INTEGRATION_FAILED,
    FailureKind.MALFORMED: frames.INTEGRATION_FAILED,
    FailureKind.CONFIGURATION: frames.CONFIGURATION,
}


def new_id() -> str:
    """A connection, message or request id."""
    return format_id(os.urandom(ID_BYTES))


def epoch_ms() -> int:
    return time.time_ns() // 1_000_000


def new_trace_id() -> str:
    """X-Amzn-Trace-Id."""
    return f"Root=1-{int(time.time()):08x}-{os.urandom(12).hex()}"


@dataclass
class FlowContext:
    """What the flows share."""

    caller: Caller
    metrics: Metrics
    access_log: AccessLog
    limits: ConnectionLimits
    account_id: str


class ConnectFlow:
    """Authorizer, then `$connect`'s integration, for one handshake."""

    def __init__(self, context: FlowContext, stage: Stage, handshake: Handshake) -> None:
        self._context = context
        self._stage = stage
        self._handshake = handshake
        self.request_id = new_id()
        self._trace_id = new_trace_id()
        self.integration_succeeded = False
        self.detail: str | None = None
        self.latency_ms: float | None = None

    async def run(self, connection: Connection) -> Accept | Refusal:
        """Decide about the connection; on the way `connection.facts` gains the authorizer's context."""
        plan = self._stage.plans.get(CONNECT)
        if plan is None:
            return Accept()
        outcome = await self._authorize(connection, plan.route)
        if isinstance(outcome, Refusal):
            self._context.metrics.add("ClientError" if outcome.status < 500 else "ExecutionError", self._stage)
            return outcome
        if outcome is not None:
            connection.facts = replace(connection.facts, authorizer=outcome.context)
        if connection.state is not State.CONNECTING:
            return frames.CONFIGURATION  # the client left while the authorizer ran
        return await self._integrate(connection, plan)

    async def _authorize(self, connection: Connection, route: Route) -> Grant | Refusal | None:
        if route.api_key_required and not self._handshake.header("x-api-key"):
            return frames.FORBIDDEN
        if route.authorization is AuthorizationType.NONE:
            return None
        if route.authorization is AuthorizationType.AWS_IAM:
            signed = (self._handshake.header("Authorization") or "").startswith("AWS4-")
            presigned = "X-Amz-Signature=" in self._handshake.query
            return None if signed or presigned else frames.MISSING_TOKEN
        return await self._run_authorizer(connection, route.authorizer_id)

    async def _run_authorizer(self, connection: Connection, authorizer_id: str) -> Grant | Refusal:
        api = self._stage.api
        authorizer = api.authorizers.get(authorizer_id) if api else None
        if authorizer is None:
            self.detail = "the route's authorizer does not exist"
            return frames.AUTHORIZER_FAILED
        facts = connection.facts
        if not identity_sources_present(authorizer.identity_sources, facts, self._handshake):
            return frames.UNAUTHORIZED
        arn = method_arn(self._stage.region, self._context.account_id, facts.api_id, facts.stage)
        event = authorizer_event(
            facts,
            self._handshake,
            arn=arn,
            request_id=self.request_id,
            trace_id=self._trace_id,
            now_ms=epoch_ms(),
        )
        try:
            function = lambda_arn(substitute_stage_variables(authorizer.uri, facts.stage_variables))
            result = await self._context.caller.invoke(function, event, self._context.limits.integration_s)
        except (DefinitionError, CallError) as error:
            self.detail = f"authorizer: {error}"
            return frames.AUTHORIZER_FAILED
        if result.failed:
            return evaluate_failure(result.payload)
        max_bytes = self._context.limits.authorizer_result_bytes
        return evaluate_result(result.payload, arn, max_bytes=max_bytes)

    async def _integrate(self, connection: Connection, plan: RoutePlan) -> Accept | Refusal:
        metrics = self._context.metrics
        event = connect_event(
            connection.facts,
            self._handshake,
            request_id=self.request_id,
            trace_id=self._trace_id,
            now_ms=epoch_ms(),
        )
        metrics.add("ConnectCount", self._stage, CONNECT)
        started = time.perf_counter()
        try:
            response = await self._context.caller.call(plan, event)
        except CallError as error:
            self.detail = error.detail
            metrics.add("ExecutionError", self._stage, CONNECT)
            return _CONNECT_FAILURES[error.kind]
        self.latency_ms = _since(started)
        _record(metrics, self._stage, plan, response, self.latency_ms)
        self.integration_succeeded = response.ok
        return judge_connect(response)


class MessageFlow:
    """Messages of all connections."""

    def __init__(self, context: FlowContext, clock: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._loop = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, connection: Connection, text: str) -> None:
        """A message arrived: run it, or queue it while as many as allowed are under way."""
        connection.last_active_ms = epoch_ms()
        if connection.in_flight >= self._context.limits.in_flight:
            connection.waiting.append(text)
            connection.pause_reading(BUSY)
        else:
            self._dispatch(connection, text)

    async def stop(self, timeout_s: float) -> None:
        """Wait for what is under way, then drop the rest."""
        if self._tasks:
            _, pending = await asyncio.wait(self._tasks, timeout=timeout_s)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    def _dispatch(self, connection: Connection, text: str) -> None:
        stage = connection.stage
        metrics = self._context.metrics
        metrics.message(stage, len(text.encode("utf-8", "replace")))
        request_id = new_id()
        plan = stage.plan_for(text)
        if plan is None or (plan.bucket is not None and not plan.bucket.take(self._loop.time())):
            error = GatewayError.FORBIDDEN if plan is None else GatewayError.THROTTLED
            metrics.add("ClientError", stage)
            self._tell(connection, error, request_id)
            self._log(connection, plan.key if plan else None, request_id, 403 if plan is None else 429, text)
            return
        now = epoch_ms()
        event = message_event(connection.facts, plan.key, text, message_id=new_id(), request_id=request_id, now_ms=now)
        connection.in_flight += 1
        task = self._loop.create_task(self._run(connection, plan, event, request_id, text))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(
        self, connection: Connection, plan: RoutePlan, event: dict[str, object], request_id: str, text: str
    ) -> None:
        stage, metrics = connection.stage, self._context.metrics
        started = time.perf_counter()
        detail = None
        try:
            response = await self._context.caller.call(plan, event)
        except CallError as error:
            status, detail = _CONNECT_FAILURES[error.kind].status, error.detail
            metrics.add("ExecutionError", stage, plan.key)
            timed_out = error.kind is FailureKind.TIMEOUT
            self._tell(connection, GatewayError.TIMEOUT if timed_out else GatewayError.INTERNAL, request_id)
        except Exception:
            status = frames.CONFIGURATION.status
            log.exception("a message failed, request %s", request_id)
            self._tell(connection, GatewayError.INTERNAL, request_id)
        else:
            status = response.status
            _record(metrics, stage, plan, response, _since(started))
            answer = message_for_client(response, two_way=plan.route.two_way)
            if answer is not None:
                self._send(connection, answer.encode("utf-8", errors="replace"))
        finally:
            connection.in_flight -= 1
            self._next(connection)
        self._log(connection, plan.key, request_id, status, text, _since(started), detail)

    def _next(self, connection: Connection) -> None:
        limit = self._context.limits.in_flight
        while connection.waiting and connection.in_flight < limit:
            self._dispatch(connection, connection.waiting.popleft())
        if not connection.waiting:
            connection.resume_reading(BUSY)

    def _tell(self, connection: Connection, error: GatewayError, request_id: str) -> None:
        self._send(connection, error_frame(error, connection.connection_id, request_id))

    def _send(self, connection: Connection, data: bytes) -> None:
        if connection.state is State.OPEN:
            connection.last_active_ms = epoch_ms()
            connection.send_text(data, self._loop.time())
            self._context.metrics.message(connection.stage, len(data))

    def _log(
        self,
        connection: Connection,
        route_key: str | None,
        request_id: str,
        status: int,
        text: str,
        latency_ms: float | None = None,
        detail: str | None = None,
    ) -> None:
        self._context.access_log.write(
            "MESSAGE",
            epoch_ms(),
            apiId=connection.facts.api_id,
            stage=connection.facts.stage,
            connectionId=connection.connection_id,
            requestId=request_id,
            routeKey=route_key,
            status=status,
            latencyMs=latency_ms,
            chars=len(text),
            detail=detail,
        )


async def run_disconnect(context: FlowContext, connection: Connection, status: CloseStatus) -> None:
    """Run `$disconnect`, best effort: a failure is logged and counted, nobody is told."""
    stage, facts = connection.stage, connection.facts
    plan = stage.plans.get(DISCONNECT)
    request_id = new_id()
    outcome, detail, started = None, None, time.perf_counter()
    if plan is not None:
        event = disconnect_event(facts, status, request_id=request_id, now_ms=epoch_ms())
        try:
            response = await context.caller.call(plan, event)
        except CallError as error:
            outcome, detail = _CONNECT_FAILURES[error.kind].status, error.detail
            context.metrics.add("ExecutionError", stage, DISCONNECT)
        except Exception:
            log.exception("$disconnect failed, request %s", request_id)
        else:
            outcome = response.status
            _record(context.metrics, stage, plan, response, _since(started))
    context.access_log.write(
        "DISCONNECT",
        epoch_ms(),
        apiId=facts.api_id,
        stage=facts.stage,
        connectionId=facts.connection_id,
        requestId=request_id,
        status=outcome,
        latencyMs=_since(started) if plan else None,
        code=status.code,
        reason=status.reason,
        detail=detail,
    )


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)


def _record(metrics: Metrics, stage: Stage, plan: RoutePlan, response: ProxyResponse, latency_ms: float) -> None:
    """IntegrationError: "requests that return a 4XX/5XX response from the integration". Latency is
    "Suppressed for callbacks and mock integrations"."""
    if response.status >= 400:
        metrics.add("IntegrationError", stage, plan.key)
    if plan.integration is not None and plan.integration.type.value != "MOCK":
        metrics.add("IntegrationLatency", stage, plan.key, latency_ms)
