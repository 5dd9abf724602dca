"""uvicorn, with an end that streams survive.

uvicorn waits on SIGTERM for responses that never end, then cuts them without a chunk terminator. Here the
order is: readiness down, listening sockets closed, a farewell and a clean terminator on every stream, then
uvicorn's own shutdown. A second signal ends at once.

What is touched of uvicorn 0.54 (pinned in pyproject.toml; tests/sse_service/test_server.py notices a change):
`Server.capture_signals`, `Server.startup`, `Server.servers`, `Server.server_state.connections`, and of its
HTTP protocol class `shutdown`, `transport`, and what transport_uvicorn.py names.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import signal
import socket
import threading
import time
from collections.abc import Generator

import uvicorn
from fastapi import FastAPI

from sse_service.api.quick import QuickPublish
from sse_service.publish_uvicorn import Answers, PublishProtocol
from sse_service.services import Services
from sse_service.settings import Settings
from sse_service.sockets import listen
from sse_service.transport import TransportWriter
from sse_service.transport_uvicorn import PortableProtocol

__all__ = ["StreamServer", "listen", "make_server"]

logger = logging.getLogger("sse_service.server")

KEEP_ALIVE_S = 5
"""How long a connection without a request is kept for clients that connect directly."""
BALANCER_IDLE_S = 60
"""Until when a load balancer reuses one; it may stand behind the proxy that the profile is about."""


class StreamServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services
        self._leaving: asyncio.Task[None] | None = None

    @property
    def was_forced(self) -> bool:
        return self.force_exit

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started or not sockets:
            return
        host, port = sockets[0].getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        settings = self._services.settings
        kept = (
            f"events in DynamoDB ({settings.table_prefix}-events)"
            if settings.is_durable
            else "events in this process's memory only, gone when it ends (SSE_LOG=dynamodb keeps them)"
        )
        url = f"{'https' if settings.tls_certfile else 'http'}://{shown}:{port}"
        logger.info("ready on %s, %s", url, kept, extra={"url": url})

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        # uvicorn's raises the signal again afterwards, so that a clean end looks like a crash to a supervisor.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            loop.add_signal_handler(number, self.leave)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    def leave(self) -> None:
        """Begin to end; called again: end at once."""
        if self._leaving is None:
            self._services.is_leaving = True
            self._leaving = asyncio.get_running_loop().create_task(self._leave())
            return
        self.force_exit = self.should_exit = True
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    async def _leave(self) -> None:
        settings, hub = self._services.settings, self._services.hub
        try:
            await asyncio.sleep(settings.drain_delay_s)
            # A client that comes now must be refused by the kernel and try elsewhere: an HTTP error would
            # end a browser's EventSource for good.
            for server in self.servers:
                server.close()
            for connection in list(self.server_state.connections):
                if not isinstance(connection, TransportWriter):  # the hub ends these
                    connection.shutdown()
            count, began = hub.open_streams, time.monotonic()
            cut = await self._services.drain(settings.grace_s)
            # What is left of the time is for requests that are being answered.
            left_s = settings.grace_s - (time.monotonic() - began)
            self.config.timeout_graceful_shutdown = max(1, int(left_s))
            logger.info("ended %d streams, %d of them cut off", count, cut)
        finally:
            self.should_exit = True


def make_server(app: FastAPI, settings: Settings) -> StreamServer:
    services: Services = app.state.services
    own: dict[str, object] = {
        "__slots__": (),
        "head_timeout_s": settings.head_timeout_s,
        "body_timeout_s": settings.body_timeout_s,
    }
    protocol: type[PortableProtocol]
    if settings.transport == "auto":
        own |= {"quick": QuickPublish(services), "answers": Answers()}
        protocol = type("Protocol", (PublishProtocol,), own)
    else:
        protocol = type("Protocol", (PortableProtocol,), own)
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        # Its lines contain the query. Ours do not (api/context.py).
        access_log=False,
        server_header=False,
        backlog=4096,
        timeout_graceful_shutdown=max(1, int(settings.grace_s)),
        timeout_keep_alive=_keep_alive_s(settings),
        # Ours does it, under every server (addresses.py).
        proxy_headers=False,
        ssl_certfile=settings.tls_certfile or None,
        ssl_keyfile=settings.tls_keyfile or None,
    )
    return StreamServer(config, services)


def _keep_alive_s(settings: Settings) -> int:
    """Longer than what stands in front keeps a connection: it would send a request into one that is being closed.

    Source: ALB user guide, "Troubleshoot your Application Load Balancers", "HTTP 502: Bad gateway": the keep-alive
    duration of the target is shorter than the idle timeout of the load balancer.
    """
    idle_s = settings.effective_idle_s
    return KEEP_ALIVE_S + max(BALANCER_IDLE_S, math.ceil(idle_s)) if idle_s else KEEP_ALIVE_S
