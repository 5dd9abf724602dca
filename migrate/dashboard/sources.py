"""Looks at each source again and again, in a thread of its own; none can hold up another, or the page. until phase 3

A source that cannot be asked says so in one line and is asked again; nothing it raises gets any further.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

import httpx
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError

from migrate.config import Config
from migrate.control.table import ControlTable
from migrate.dashboard.model import Finding
from migrate.errors import MigrateError

__all__ = ["Clients", "Collector", "Source", "Sources", "Told", "reason"]

# A look may take so much of a source's time: one that takes 10 s is made every 40 s.
REST = 3.0
END_S = 1.0
BROKEN = "could not be read"
PATIENCE = BotoConfig(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2}, max_pool_connections=20)
log = logging.getLogger("migrate.dashboard")

Told = Callable[[str, Finding, float], None]
"""Is told what a source found, and when (epoch seconds); called in the source's thread."""


class _Patient(Config):
    """The configuration with clients that give up within seconds: who has pressed Ctrl-C waits for none of them."""

    def client(self, service: str, **options: Any) -> Any:
        given = options.pop("config", None)
        return super().client(service, config=PATIENCE.merge(given) if given else PATIENCE, **options)


class Clients:
    """AWS as the sources use it: one client a service, patience for seconds and not for minutes.

    Args:
        config: of the stack.
    """

    def __init__(self, config: Config) -> None:
        self.config: Config = _Patient(**{one.name: getattr(config, one.name) for one in fields(config)})
        self._lock = threading.Lock()
        self._made: dict[str, Any] = {}

    def __call__(self, service: str) -> Any:
        # To use one is thread-safe, to make one is not (boto3, "Multithreading or multiprocessing with clients").
        with self._lock:
            if service not in self._made:
                self._made[service] = self.config.client(service)
            return self._made[service]

    def control(self) -> ControlTable:
        """The team's state table; it is not made here, since who only looks changes nothing."""
        return ControlTable(self("dynamodb"), self.config.project.state_table, self.config.project.name)


class Collector:
    """What all that look at AWS have: it, and the time; how they look is theirs.

    Args:
        clock: epoch seconds.
    """

    def __init__(self, clients: Clients, clock: Callable[[], float] = time.time) -> None:
        self._clients = clients
        self._clock = clock


@dataclass(frozen=True)
class Source:
    """Something to look at.

    Attributes:
        look: says what it finds; may take its time, and may raise.
        interval_s: from the end of a look to the next one.
        close: lets go of what `look` holds; called in the same thread.
    """

    name: str
    interval_s: float
    look: Callable[[], Finding]
    close: Callable[[], None] = lambda: None


def reason(error: Exception) -> str:
    """Why something could not be asked, in one line and without what may be secret."""
    if isinstance(error, MigrateError):
        return error.message
    if isinstance(error, ClientError):
        return f"{error.operation_name} failed with {error.response['Error']['Code']}"
    if isinstance(error, BotoCoreError) and (url := urlsplit(str(error.kwargs.get("endpoint_url") or ""))).hostname:
        return f"{url.scheme}://{url.hostname}{f':{url.port}' if url.port else ''} does not answer"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return type(error).__name__


class Sources:
    """All sources, each in its thread.

    Args:
        told: see there.
    """

    def __init__(self, sources: Sequence[Source], told: Told) -> None:
        self._sources = sources
        self._told = told
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for source in self._sources:
            # Daemons: a question that nobody answers does not keep the program from ending.
            thread = threading.Thread(target=self._keep_looking, args=(source,), name=source.name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Ends them; one that is waiting for an answer is left alone."""
        self._stop.set()
        end = time.monotonic() + END_S
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _keep_looking(self, source: Source) -> None:
        said = ""
        while not self._stop.is_set():
            began = time.monotonic()
            found = look(source)
            if found.state == "away" and found.why != said:
                level = logging.WARNING if found.why.startswith(BROKEN) else logging.INFO
                log.log(level, "%s is away: %s", source.name, found.why)
            said = found.why
            if self._stop.is_set():
                break
            self._told(source.name, found, time.time())
            self._stop.wait(max(source.interval_s, REST * (time.monotonic() - began)))
        source.close()


def look(source: Source) -> Finding:
    """One look; whatever is raised, the source is away, and why."""
    try:
        return source.look()
    except (MigrateError, ClientError, BotoCoreError, httpx.HTTPError, OSError) as error:
        return Finding(state="away", why=reason(error))
    except Exception as error:  # a fault of ours must not take the others' figures away
        log.debug("%s could not be read", source.name, exc_info=True)
        return Finding(state="away", why=f"{BROKEN}: {reason(error)}")
