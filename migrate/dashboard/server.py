"""The dashboard as a program: collectors, hub and HTTP in one process. until phase 3"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import shlex
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from migrate.config import Config
from migrate.dashboard import action_table
from migrate.dashboard.actions import Operator
from migrate.dashboard.app import Access, create_app
from migrate.dashboard.bridge import Bridge
from migrate.dashboard.checklists import Checklists
from migrate.dashboard.hub import Hub
from migrate.dashboard.jobs import DrainJob, ResourcesJob, SweepJobs
from migrate.dashboard.model import Board, Finding
from migrate.dashboard.records import Records
from migrate.dashboard.sources import Clients, Source, Sources
from migrate.dashboard.team import Cutovers, JournalTail, Shadow, Verdicts
from migrate.dashboard.traffic import LegacyConnections, LegacyMessages, Service
from migrate.errors import UsageError
from migrate.phases.places import default_source

__all__ = ["Settings", "listen", "run", "serve", "sources_of", "tell"]

DISTRIBUTION = "ws2sse"
GRACE_S = 2
LOOK_S = 0.1
log = logging.getLogger("migrate.dashboard")

Ready = Callable[[str], None]
"""Is told the address when the dashboard answers."""


@dataclass(frozen=True)
class Settings:
    """What is asked for.

    Attributes:
        records: directory of delivery records; None: as configured.
        source: directory of the application's code, absolute; None: where `migrate phase1` looks.
        token: the operator's; None: read-only.
    """

    config: Config
    state_dir: Path
    records: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    token: str | None = None
    source: Path | None = None

    def __repr__(self) -> str:
        return f"Settings({self.config.path}, {self.host}:{self.port})"


def sources_of(settings: Settings) -> list[Source]:
    """Everything that is looked at, and how often."""
    config, clients = settings.config, Clients(settings.config)
    service, messages = Service(config), LegacyMessages(clients)
    records = Records(config, settings.records)
    return [
        Source("sse-metrics", 1.0, service.look, service.close),
        Source("legacy-messages", 1.0, messages.counted)
        if config.is_local
        else Source("cloudwatch", 60.0, messages.measured),
        Source("legacy-connections", 30.0, LegacyConnections(clients).look),
        Source("records", 2.0, records.look, records.close),
        Source("verdicts", 10.0, Verdicts(clients).look),
        Source("cutover", 3.0, Cutovers(clients).look),
        Source("journal", 2.0, JournalTail(clients).look),
        Source("bridge", 1.0, Bridge(config, settings.state_dir).look),
        Source("shadow", 3.0, Shadow(clients).look),
        Source("drain", 2.0, DrainJob(clients).look),
        Source("sweep", 3.0, SweepJobs(clients).look),
        Source("resources", 10.0, ResourcesJob(clients).look),
        Source("phases", 60.0, Checklists(clients, settings.source or default_source(config.path)).look),
    ]


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises: UsageError: it cannot be had."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    except ValueError:
        family = socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(
            f"the dashboard cannot listen on {host} port {port}: {said}", "choose another --port"
        ) from None


class _Ending(logging.Filter):
    """What uvicorn says of answers that are cut off at the end is no news to who has pressed Ctrl-C."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, asyncio.CancelledError) and not str(record.msg).startswith("Cancel ")


_ENDING = _Ending()


async def serve(app: ASGIApp, hub: Hub, listening: socket.socket, host: str, ready: Ready) -> None:
    """Answer until SIGINT or SIGTERM; streams end in order."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        loop="asyncio",
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = uvicorn.Server(config)
    logging.getLogger("uvicorn.error").addFilter(_ENDING)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        if server.started:
            ready(address(host, listening.getsockname()[1]))
        while not server.should_exit and not serving.done():
            await asyncio.sleep(LOOK_S)
    finally:
        # uvicorn waits for answers under way, and a stream has no end of its own.
        hub.close()
        server.should_exit = True
        await serving


def run(settings: Settings, ready: Ready) -> None:
    """Be the dashboard until Ctrl-C. Raises: UsageError: the address cannot be had."""
    listening = listen(settings.host, settings.port)
    with contextlib.closing(listening), contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(settings, listening, ready))


async def _run(settings: Settings, listening: socket.socket, ready: Ready) -> None:
    config, loop = settings.config, asyncio.get_running_loop()
    found = sources_of(settings)
    about = {"read_only": settings.token is None, "project": config.project.name, "version": _version()}
    # What a command that is shown needs, to be about the same stack in a terminal.
    options = shlex.join(_options(settings))
    hub = Hub({**about, "actions": action_table.told(), "options": options})
    board = Board(source.name for source in found)
    hub.tell(board.first())
    told = tell(board, hub)

    def from_thread(name: str, finding: Finding, at: float) -> None:
        # A source that answers while the program ends.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(told, name, finding, at)

    sources = Sources(found, from_thread)
    operator = Operator(_options(settings)) if settings.token is not None else None
    app = create_app(hub, operator, Access(settings.host, settings.token))

    def began(url: str) -> None:
        ready(url)
        sources.start()

    try:
        await serve(app, hub, listening, settings.host, began)
    finally:
        if operator is not None:
            operator.close()
        await asyncio.to_thread(sources.stop)


def tell(board: Board, hub: Hub) -> Callable[[str, Finding, float], None]:
    """What puts a finding on the board, and its changes before everybody's eyes."""

    failed: set[str] = set()

    def told(name: str, finding: Finding, at: float) -> None:
        try:
            hub.tell(board.take(name, finding, at))
        except Exception:  # a fault of ours in one finding must not end the others
            log.log(
                logging.DEBUG if name in failed else logging.ERROR, "what %s found cannot be shown", name, exc_info=True
            )
            failed.add(name)

    return told


def address(host: str, port: int) -> str:
    """Where a browser on this machine finds it."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"


def _options(settings: Settings) -> Sequence[str]:
    return [f"--config={settings.config.path.resolve()}", f"--state-dir={settings.state_dir.resolve()}"]


def _version() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return ""
