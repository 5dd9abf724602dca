"""The local WebSocket gateway: listeners, handshakes, the book of connections. Until phase 3.

Serves every WebSocket API of the control plane under `ws://host:port/{api id}/{stage}` (also
`/{stage}` with a Host header `{api id}.execute-api.*`) and the @connections API of all of them under
`/{stage}/@connections/{id}`, in plain and over TLS. docs/local-aws.md lists where it differs from AWS.
"""

import asyncio
import logging
import ssl
from collections.abc import Coroutine
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, TextIO

from websockets.datastructures import Headers
from websockets.http11 import Request as WebSocketRequest
from websockets.server import ServerProtocol

from migrate.local.gateway.accesslog import AccessLog
from migrate.local.gateway.calls import IntegrationCaller
from migrate.local.gateway.connection import WIRE_LOG, Connection
from migrate.local.gateway.control_plane import ControlPlaneReader
from migrate.local.gateway.definitions import DefinitionStore
from migrate.local.gateway.errors import ControlPlaneUnavailableError
from migrate.local.gateway.flows import ConnectFlow, FlowContext, MessageFlow, epoch_ms, new_id, run_disconnect
from migrate.local.gateway.http11 import HttpSocket, Request, Response
from migrate.local.gateway.management import ManagementApi
from migrate.local.gateway.metrics import Metrics
from migrate.local.gateway.settings import GatewaySettings
from migrate.local.gateway.snapshots import SnapshotStore
from migrate.local.gateway.stage import Stage
from migrate.local.ports import FunctionInvoker
from sse_service.connections import frames
from sse_service.connections.events import ConnectionFacts, Handshake
from sse_service.connections.frames import Refusal
from sse_service.connections.lifecycle import ABNORMAL, CloseCause, CloseStatus, State
from sse_service.connections.limits import AWS_LIMITS

HEALTH_PATH = ["_gateway", "health"]
BACKLOG = 1024

log = logging.getLogger(__name__)


class LocalGateway:
    """`start`, tell it of control plane changes (it is a ControlPlaneListener), `stop`.

    Args:
        control_plane_url: endpoint of apigatewayv2.
        invoker: runs the functions.
        port, tls_port: 0 for a free one; `port` and `tls_port` tell which after `start`.
        certfile, keyfile: None for no TLS listener.
        metrics_url: endpoint of CloudWatch; None for no metrics.
        account_id, host and the like: see GatewaySettings, any field of which may be given.
    """

    def __init__(
        self,
        control_plane_url: str,
        invoker: FunctionInvoker,
        *,
        port: int = 0,
        tls_port: int = 0,
        certfile: Path | str | None = None,
        keyfile: Path | str | None = None,
        state_dir: Path | str,
        region: str = "ap-northeast-1",
        idle_timeout_s: float = AWS_LIMITS.idle_s,
        max_lifetime_s: float = AWS_LIMITS.lifetime_s,
        management_rate: float | None = None,
        metrics_url: str | None = None,
        log_stream: TextIO | None = None,
        **settings: Any,
    ) -> None:
        limits = settings.pop("limits", AWS_LIMITS)
        self.settings = GatewaySettings(
            control_plane_url=control_plane_url,
            region=region,
            state_dir=Path(state_dir),
            port=port,
            tls_port=tls_port,
            certfile=Path(certfile) if certfile else None,
            keyfile=Path(keyfile) if keyfile else None,
            limits=replace(limits, idle_s=idle_timeout_s, lifetime_s=max_lifetime_s),
            management_rate=management_rate,
            metrics_url=metrics_url,
            **settings,
        )
        self.limits = self.settings.limits
        self.close_timeout_s = self.settings.close_timeout_s
        self.report_unclean_close = self.settings.report_unclean_close
        self._access_log = AccessLog(enabled=self.settings.access_log, stream=log_stream)
        self._metrics = Metrics(metrics_url, region, self.settings.metrics_interval_s)
        self._caller = IntegrationCaller(invoker)
        self._context = FlowContext(
            self._caller, self._metrics, self._access_log, self.limits, self.settings.account_id
        )
        self._connections: dict[str, Connection] = {}
        self._sockets: set[HttpSocket] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._stopping = False
        self._stopped = False

    # --- life --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen. Raises OSError for a port in use, ControlPlaneUnavailableError without a control plane."""
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._definitions = DefinitionStore(
            ControlPlaneReader(self.settings.control_plane_url, self.settings.region),
            SnapshotStore(self.settings.state_dir),
            self.limits,
            clock=loop.time,
            in_use=self._in_use,
            on_gone=self._on_gone,
        )
        await self._definitions.start()
        self._messages = MessageFlow(self._context, loop)
        self._management = ManagementApi(
            self,
            max_bytes=self.limits.message_bytes,
            client_buffer_bytes=self.settings.client_buffer_bytes,
            rate=self.settings.management_rate,
            clock=loop.time,
            epoch_ms=epoch_ms,
        )
        self.port = await self._listen(self.settings.port, None)
        self.tls_port = self.port
        if self.settings.certfile is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.settings.certfile, self.settings.keyfile)
            self.tls_port = await self._listen(self.settings.tls_port, context)
        self.domain_name = f"{self.settings.host}:{self.tls_port}"
        self._metrics.start()

    async def _listen(self, port: int, context: ssl.SSLContext | None) -> int:
        try:
            server = await self._loop.create_server(
                lambda: HttpSocket(self, self._loop), self.settings.host, port, ssl=context, backlog=BACKLOG
            )
        except OSError:
            await self._close_servers()
            raise
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close every connection with 1001, run `$disconnect` for each, best effort within the set time."""
        self._stopping = True
        for server in self._servers:
            server.close()
        for connection in list(self._connections.values()):
            connection.close(CloseCause.SHUTDOWN)
        deadline = self._loop.time() + self.settings.shutdown_s
        while (self._connections or self._tasks) and self._loop.time() < deadline:
            if not self._tasks:
                await asyncio.sleep(0.01)
            else:
                await asyncio.wait(self._tasks, timeout=0.05)
        for connection in list(self._connections.values()):
            connection.cut()
        for socket in list(self._sockets):
            socket.close()
        await asyncio.sleep(0)  # lets the cut connections report their end
        self._stopped = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._messages.stop(0.1)
        await self._close_servers()
        await self._caller.close()
        await self._metrics.stop()
        self._access_log.flush()

    async def _close_servers(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    @property
    def connection_count(self) -> int:
        return len(self._connections)

    # --- ControlPlaneListener ----------------------------------------------------------------------------

    async def control_plane_changed(self, api_id: str | None) -> None:
        """See ControlPlaneListener; a control plane that cannot be read is logged, the next connect tries
        again."""
        try:
            await self._definitions.changed(api_id)
        except ControlPlaneUnavailableError as error:
            log.warning("%s", error)

    async def deployed(self, api_id: str, stage: str | None, deployment_id: str) -> None:
        """See ControlPlaneListener."""
        try:
            await self._definitions.deployed(api_id, stage, deployment_id)
        except ControlPlaneUnavailableError as error:
            log.warning("%s", error)

    def _in_use(self, api_id: str) -> bool:
        return any(connection.facts.api_id == api_id for connection in self._connections.values())

    def _on_gone(self, stage: Stage) -> None:
        for connection in list(self._connections.values()):
            if connection.stage is stage:
                connection.close(CloseCause.API_DELETED)

    # --- HttpOwner ---------------------------------------------------------------------------------------

    def on_socket(self, socket: HttpSocket, opened: bool) -> None:
        if opened:
            self._sockets.add(socket)
        else:
            self._sockets.discard(socket)

    def on_request(self, request: Request) -> Response:
        path = request.path
        if self._management.handles(path):
            host_api = self._definitions.resolve_host(request.header("Host") or "")
            return self._management.answer(request, path, host_api, new_id())
        if path == HEALTH_PATH:
            return Response(HTTPStatus.OK, b'{"status":"running","connections":%d}' % len(self._connections))
        return self._refusal(frames.FORBIDDEN, "", new_id())

    def on_upgrade(self, socket: HttpSocket, request: Request) -> None:
        self._spawn(self._handshake(socket, request))

    def _spawn(self, flow: Coroutine[Any, Any, None]) -> None:
        if self._stopped:
            flow.close()
            return
        task = self._loop.create_task(flow)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- handshake ---------------------------------------------------------------------------------------

    async def _handshake(self, socket: HttpSocket, request: Request) -> None:
        # The library judges the handshake (version, key, headers) and computes the accept key; it does so
        # before any function runs.
        answer = ServerProtocol(logger=WIRE_LOG).accept(
            WebSocketRequest(request.target, Headers((name, value) for name, value in request.headers))
        )
        if answer.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            socket.refuse(Response(answer.status_code, bytes(answer.body or b"")))
            return
        connection_id = new_id()
        refusal: Refusal | None = None
        try:
            stage = await self._resolve(request)
        except ControlPlaneUnavailableError as error:
            log.warning("%s", error)
            stage, refusal = None, frames.CONFIGURATION
        if stage is None or not stage.deployed:
            refusal = refusal or frames.FORBIDDEN
        elif len(request.target) > self.limits.url_chars:
            refusal = frames.URI_TOO_LONG
        elif self._stopping or not self._admit(stage):
            refusal = frames.THROTTLED
        if refusal is not None or stage is None or socket.transport is None:
            self._refuse(socket, refusal or frames.FORBIDDEN, connection_id, new_id(), stage)
            return
        handshake = Handshake(request.headers, request.query)
        facts = self._facts(stage, connection_id, socket, handshake)
        connection = Connection(self, stage, facts, socket.transport, self._loop)
        socket.connection = connection
        self._connections[connection_id] = connection
        flow = ConnectFlow(self._context, stage, handshake)
        try:
            outcome = await flow.run(connection)
        except BaseException:
            connection.refuse()
            self._connections.pop(connection_id, None)
            socket.refuse(self._refusal(frames.CONFIGURATION, connection_id, flow.request_id))
            raise
        self._settle(socket, connection, flow, outcome, answer.headers["Sec-WebSocket-Accept"])

    def _settle(
        self, socket: HttpSocket, connection: Connection, flow: ConnectFlow, outcome: object, accept_key: str
    ) -> None:
        if isinstance(outcome, Refusal):
            connection.refuse()
            self._connections.pop(connection.connection_id, None)
            socket.connection = None
            self._refuse(socket, outcome, connection.connection_id, flow.request_id, connection.stage, flow, connection)
            return
        if connection.state is not State.CONNECTING:
            # The client left while $connect ran: the handler has stored a connection that never was.
            if flow.integration_succeeded:
                self._spawn(run_disconnect(self._context, connection, ABNORMAL))
            return
        self._log_connect(connection.facts, flow.request_id, HTTPStatus.SWITCHING_PROTOCOLS, flow)
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_key}",
        ]
        subprotocol = getattr(outcome, "subprotocol", None)
        if subprotocol:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
        socket.accept("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")

    async def _resolve(self, request: Request) -> Stage | None:
        path = request.path
        host_api = self._definitions.resolve_host(request.header("Host") or "")
        if host_api is not None:
            return await self._definitions.stage(host_api, path[0]) if len(path) == 1 else None
        return await self._definitions.stage(path[0], path[1]) if len(path) == 2 else None

    def _admit(self, stage: Stage) -> bool:
        now = self._loop.time()
        bucket = stage.connect_bucket(now)
        return bucket is None or bucket.take(now)

    def _facts(self, stage: Stage, connection_id: str, socket: HttpSocket, handshake: Handshake) -> ConnectionFacts:
        peer = socket.transport.get_extra_info("peername") if socket.transport else None
        return ConnectionFacts(
            api_id=stage.api_id,
            stage=stage.name,
            connection_id=connection_id,
            connected_at_ms=epoch_ms(),
            domain_name=self.domain_name,
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
        stage: Stage | None,
        flow: ConnectFlow | None = None,
        connection: Connection | None = None,
    ) -> None:
        if stage is not None and connection is None:
            self._metrics.add("ClientError", stage)
        facts = connection.facts if connection else None
        self._log_connect(facts, request_id, refusal.status, flow, stage)
        socket.refuse(self._refusal(refusal, connection_id, request_id))

    def _refusal(self, refusal: Refusal, connection_id: str, request_id: str) -> Response:
        headers = [("Content-Type", "application/json"), ("x-amzn-RequestId", request_id)]
        if refusal.error_type:
            headers.append(("x-amzn-ErrorType", refusal.error_type))
        return Response(refusal.status, refusal.body(connection_id, request_id), tuple(headers))

    def _log_connect(
        self,
        facts: ConnectionFacts | None,
        request_id: str,
        status: int,
        flow: ConnectFlow | None,
        stage: Stage | None = None,
    ) -> None:
        self._access_log.write(
            "CONNECT",
            epoch_ms(),
            apiId=facts.api_id if facts else (stage.api_id if stage else None),
            stage=facts.stage if facts else (stage.name if stage else None),
            connectionId=facts.connection_id if facts else None,
            requestId=request_id,
            status=int(status),
            latencyMs=flow.latency_ms if flow else None,
            sourceIp=facts.source_ip if facts else None,
            detail=flow.detail if flow else None,
        )

    # --- ConnectionOwner, ConnectionBook -----------------------------------------------------------------

    def on_message(self, connection: Connection, text: str) -> None:
        self._messages.take(connection, text)

    def on_closed(self, connection: Connection, status: CloseStatus) -> None:
        known = self._connections.pop(connection.connection_id, None)
        if known is not None and connection.opened:
            self._spawn(run_disconnect(self._context, connection, status))

    def find(self, connection_id: str) -> Connection | None:
        return self._connections.get(connection_id)

    def knows_stage(self, name: str, api_id: str | None = None) -> bool:
        return self._definitions.knows_stage(name, api_id)

    def on_posted(self, connection: Connection, size: int, request_id: str) -> None:
        self._metrics.add("MessageCount", connection.stage)
        self._access_log.write(
            "POST",
            epoch_ms(),
            apiId=connection.facts.api_id,
            stage=connection.facts.stage,
            connectionId=connection.connection_id,
            requestId=request_id,
            bytes=size,
        )
