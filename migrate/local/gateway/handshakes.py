"""Handshakes: from the upgrade request to the 101 or to the refusal. Until phase 3."""

import asyncio
import logging
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, Protocol

from websockets.datastructures import Headers
from websockets.http11 import Request as WebSocketRequest
from websockets.server import ServerProtocol

from migrate.local.gateway.connection import WIRE_LOG, Connection, ConnectionOwner
from migrate.local.gateway.definitions import DefinitionStore
from migrate.local.gateway.errors import ControlPlaneUnavailableError
from migrate.local.gateway.flows import ConnectFlow, FlowContext, epoch_ms, new_id, run_disconnect
from migrate.local.gateway.http11 import HttpSocket, Request, Response
from migrate.local.gateway.stage import Stage
from sse_service.connections import frames
from sse_service.connections.events import ConnectionFacts, Handshake
from sse_service.connections.frames import Refusal
from sse_service.connections.integration import Accept
from sse_service.connections.lifecycle import ABNORMAL, State

log = logging.getLogger(__name__)


class HandshakeOwner(ConnectionOwner, Protocol):
    """What the gateway does for handshakes."""

    domain_name: str
    stopping: bool

    def enter(self, connection: Connection) -> None: ...

    def leave(self, connection: Connection) -> None: ...

    def spawn(self, flow: Coroutine[Any, Any, None]) -> None: ...


def refusal_response(refusal: Refusal, connection_id: str, request_id: str) -> Response:
    """A refusal as an HTTP answer."""
    headers = [("Content-Type", "application/json"), ("x-amzn-RequestId", request_id)]
    if refusal.error_type:
        headers.append(("x-amzn-ErrorType", refusal.error_type))
    return Response(refusal.status, refusal.body(connection_id, request_id), tuple(headers))


class Handshakes:
    """Runs every handshake of a gateway."""

    def __init__(
        self,
        owner: HandshakeOwner,
        context: FlowContext,
        definitions: DefinitionStore,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._owner = owner
        self._context = context
        self._definitions = definitions
        self._loop = loop

    async def run(self, socket: HttpSocket, request: Request) -> None:
        """Answer one handshake, whatever happens on the way."""
        try:
            await self._run(socket, request)
        except Exception:
            log.exception("a handshake failed")
            socket.refuse(refusal_response(frames.CONFIGURATION, "", new_id()))

    async def _run(self, socket: HttpSocket, request: Request) -> None:
        # The library judges the handshake (version, key, headers) and computes the accept key; it does so
        # before any function runs.
        answer = ServerProtocol(logger=WIRE_LOG).accept(
            WebSocketRequest(request.target, Headers((name, value) for name, value in request.headers))
        )
        if answer.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            socket.refuse(Response(answer.status_code, bytes(answer.body or b"")))
            return
        stage = await self._admitted(request)
        if isinstance(stage, Refusal) or socket.transport is None:
            refusal = stage if isinstance(stage, Refusal) else frames.CONFIGURATION
            self._refuse(socket, refusal, new_id(), new_id())
            return
        handshake = Handshake(request.headers, request.query)
        connection = Connection(self._owner, stage, self._facts(stage, socket, handshake), socket.transport, self._loop)
        socket.connection = connection
        self._owner.enter(connection)
        flow = ConnectFlow(self._context, stage, handshake)
        try:
            outcome = await flow.run(connection)
        except BaseException:
            connection.refuse()
            self._owner.leave(connection)
            raise
        if isinstance(outcome, Refusal):
            connection.refuse()
            self._owner.leave(connection)
            self._refuse(socket, outcome, connection.connection_id, flow.request_id, flow, connection)
        elif connection.state is State.CONNECTING:
            self._log(flow.request_id, HTTPStatus.SWITCHING_PROTOCOLS, flow, connection.facts)
            socket.accept(_switching(answer.headers["Sec-WebSocket-Accept"], outcome))
        elif flow.integration_succeeded:
            # The client left while $connect ran: the handler has stored a connection that never was.
            self._owner.spawn(run_disconnect(self._context, connection, ABNORMAL))

    async def _admitted(self, request: Request) -> Stage | Refusal:
        """The stage a handshake is for, if it may go on."""
        try:
            stage = await self._resolve(request)
        except ControlPlaneUnavailableError as error:
            log.warning("%s", error)
            return frames.CONFIGURATION
        if stage is None or not stage.deployed:
            return frames.FORBIDDEN
        refusal = None
        bucket = stage.connect_bucket(self._loop.time())
        if len(request.target) > self._context.limits.url_chars:
            refusal = frames.URI_TOO_LONG
        elif self._owner.stopping:
            refusal = frames.UNAVAILABLE
        elif bucket is not None and not bucket.take(self._loop.time()):
            refusal = frames.THROTTLED
        if refusal is not None:
            self._context.metrics.add("ClientError", stage)
        return refusal or stage

    async def _resolve(self, request: Request) -> Stage | None:
        path = request.path
        host_api = self._definitions.resolve_host(request.header("Host") or "")
        if host_api is not None:
            return await self._definitions.stage(host_api, path[0]) if len(path) == 1 else None
        return await self._definitions.stage(path[0], path[1]) if len(path) == 2 else None

    def _facts(self, stage: Stage, socket: HttpSocket, handshake: Handshake) -> ConnectionFacts:
        peer = socket.transport.get_extra_info("peername") if socket.transport else None
        return ConnectionFacts(
            api_id=stage.api_id,
            stage=stage.name,
            connection_id=new_id(),
            connected_at_ms=epoch_ms(),
            domain_name=self._owner.domain_name,
            source_ip=peer[0] if peer else "127.0.0.1",
            user_agent=handshake.header("User-Agent"),
            stage_variables=stage.settings.variables,
        )

    def _refuse(
        self,
        socket: HttpSocket,
        refusal: Refusal,
        connection_id: str,
        request_id: str,
        flow: ConnectFlow | None = None,
        connection: Connection | None = None,
    ) -> None:
        self._log(request_id, refusal.status, flow, connection.facts if connection else None)
        socket.refuse(refusal_response(refusal, connection_id, request_id))

    def _log(self, request_id: str, status: int, flow: ConnectFlow | None, facts: ConnectionFacts | None) -> None:
        self._context.access_log.write(
            "CONNECT",
            epoch_ms(),
            apiId=facts.api_id if facts else None,
            stage=facts.stage if facts else None,
            connectionId=facts.connection_id if facts else None,
            requestId=request_id,
            status=int(status),
            latencyMs=flow.latency_ms if flow else None,
            sourceIp=facts.source_ip if facts else None,
            detail=flow.detail if flow else None,
        )


def _switching(accept_key: str, outcome: Accept) -> bytes:
    """The head of the 101; the subprotocol is the one `$connect` chose."""
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_key}",
    ]
    if outcome.subprotocol:
        lines.append(f"Sec-WebSocket-Protocol: {outcome.subprotocol}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
