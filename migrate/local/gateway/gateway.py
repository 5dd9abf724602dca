"""The local WebSocket gateway: listeners, wiring, the book of connections. Until phase 3.

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

from migrate.local.gateway.accesslog import AccessLog
from migrate.local.gateway.calls import LocalFunctions
from migrate.local.gateway.connection import Connection
from migrate.local.gateway.control_plane import ControlPlaneReader
from migrate.local.gateway.definitions import DefinitionStore
from migrate.local.gateway.errors import ControlPlaneUnavailableError
from migrate.local.gateway.flows import FlowContext, MessageFlow, epoch_ms, new_id, run_disconnect
from migrate.local.gateway.handshakes import Handshakes, refusal_response
from migrate.local.gateway.http11 import HttpSocket, Request, Response
from migrate.local.gateway.management import ManagementApi
from migrate.local.gateway.metrics import Metrics
from migrate.local.gateway.settings import GatewaySettings
from migrate.local.gateway.snapshots import SnapshotStore
from migrate.local.gateway.stage import Stage
from migrate.local.ports import FunctionInvoker
from migrate.local.usage import Usage
from sse_service.connections import frames
from sse_service.connections.lifecycle import CloseCause, CloseStatus
from sse_service.connections.limits import AWS_LIMITS
from sse_service.virtual.calls import Caller

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
        usage: Usage | None = None,
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
            **settings,
        )
        self.limits = self.settings.limits
        self.close_timeout_s = self.settings.close_timeout_s
        self.report_unclean_close = self.settings.report_unclean_close
        self._access_log = AccessLog(enabled=self.settings.access_log, stream=log_stream)
        self._metrics = Metrics(metrics_url, region, self.settings.metrics_interval_s, usage)
        self._caller = Caller(LocalFunctions(invoker))
        self._context = FlowContext(
            self._caller, self._metrics, self._access_log, self.limits, self.settings.account_id
        )
        self._connections: dict[str, Connection] = {}
        self._sockets: set[HttpSocket] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self.stopping = False
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
        self._handshakes = Handshakes(self, self._context, self._definitions, loop)
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
        self.stopping = True
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
        return refusal_response(frames.FORBIDDEN, "", new_id())

    def on_upgrade(self, socket: HttpSocket, request: Request) -> None:
        self.spawn(self._handshakes.run(socket, request))

    # --- HandshakeOwner ---------------------------------------------------------------------------------

    def spawn(self, flow: Coroutine[Any, Any, None]) -> None:
        """Run a flow of a connection's in the background; dropped once the gateway has stopped."""
        if self._stopped:
            flow.close()
            return
        task = self._loop.create_task(flow)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def enter(self, connection: Connection) -> None:
        """A connection is being made: @connections knows it from now on (and answers 410)."""
        self._connections[connection.connection_id] = connection

    def leave(self, connection: Connection) -> None:
        """It was not made."""
        self._connections.pop(connection.connection_id, None)

    # --- ConnectionOwner, ConnectionBook -----------------------------------------------------------------

    def on_message(self, connection: Connection, text: str) -> None:
        self._messages.take(connection, text)

    def on_closed(self, connection: Connection, status: CloseStatus) -> None:
        known = self._connections.pop(connection.connection_id, None)
        if known is not None and connection.opened:
            age_s = (epoch_ms() - connection.facts.connected_at_ms) / 1000
            self._metrics.usage.connection(connection.facts.api_id, age_s)
            self.spawn(run_disconnect(self._context, connection, status))

    def find(self, connection_id: str) -> Connection | None:
        return self._connections.get(connection_id)

    def knows_stage(self, name: str, api_id: str | None = None) -> bool:
        return self._definitions.knows_stage(name, api_id)

    def on_posted(self, connection: Connection, size: int, request_id: str) -> None:
        self._metrics.message(connection.stage, size)
        self._metrics.usage.call("execute-api", "PostToConnection")
        self._access_log.write(
            "POST",
            epoch_ms(),
            apiId=connection.facts.api_id,
            stage=connection.facts.stage,
            connectionId=connection.connection_id,
            requestId=request_id,
            bytes=size,
        )
