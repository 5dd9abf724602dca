"""The second listener (SSE_VIRTUAL_MANAGEMENT_BIND): `@connections` for whoever can reach it, without a signature.

For Lambda functions whose role signs with temporary keys, which nobody outside AWS can verify. The network decides who
may post (a security group that admits those functions only); nothing else of the service answers here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import Receive, Scope, Send

from sse_service.addresses import TrustedProxies
from sse_service.api.context import RequestContext
from sse_service.metrics import Metrics
from sse_service.settings import Settings
from sse_service.sockets import listen
from sse_service.virtual.http import send_answer, signed_request
from sse_service.virtual.management import COLLECTION, Answer, ManagementApi

__all__ = ["TrustedListener"]

logger = logging.getLogger("sse_service.virtual")

_NOT_OURS = Answer(403, b'{"message":"Forbidden"}', (("content-type", "application/json"),))


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the service's own server has them


class TrustedListener:
    def __init__(self, settings: Settings, management: ManagementApi, metrics: Metrics) -> None:
        self._settings = settings
        self._management = management
        self._prefix = f"/{settings.virtual_stage}/{COLLECTION}/"
        proxies = TrustedProxies()
        self._app = RequestContext(self._serve, metrics, settings.max_body_bytes, proxies, settings.body_timeout_s)
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self) -> None:
        """Raises StartupError for an address that cannot be had."""
        if not self._settings.virtual_management_bind:
            return
        host, _, port = self._settings.virtual_management_bind.rpartition(":")
        sock: socket.socket = listen(host.strip("[]"), int(port))
        self.port = sock.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve([sock]))
        while not self._server.started and not self._task.done():
            await asyncio.sleep(0.005)
        logger.warning(
            "%s:%d posts to any virtual connection for everybody who reaches it",
            host,
            self.port,
            extra={"port": self.port},
        )

    async def close(self) -> None:
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        await asyncio.gather(self._task, return_exceptions=True)
        self._server = self._task = None

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if not path.startswith(self._prefix):
            await send_answer(_NOT_OURS, send)
            return
        request = await signed_request(scope, receive)
        connection_id = path.removeprefix(self._prefix)
        await send_answer(await self._management.answer(request, connection_id, is_trusted=True), send)
