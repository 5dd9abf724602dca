"""Both directions of one stack's bridge in one process. until phase 3

One process at a time: it holds the lock `bridge#API` of the team's state. A second one waits until the first has ended
or its lease has run out, so a standby on another machine takes over by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import re
import signal
from pathlib import Path

import httpx
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError

from migrate.bridge.connections import LegacyConnections
from migrate.bridge.core import Rules
from migrate.bridge.posted import PostedFile
from migrate.bridge.rooms import Rooms
from migrate.bridge.status import BridgeStatus
from migrate.bridge.to_legacy import SseToLegacy
from migrate.bridge.to_sse import LONG_POLL_S, TOKEN_TTL_S, LegacyToSse
from migrate.config import Config
from migrate.control.checkpoints import Checkpoints
from migrate.control.journal import actor
from migrate.control.locks import Lease, Locks
from migrate.control.table import ControlTable
from migrate.errors import MigrateError, RefusedError
from migrate.shadow.faults import VARIABLE, Faults
from migrate.tee.aside import aside_to
from migrate.tee.consumers import TeeState, consumer_queue
from migrate.tee.distributor import Distributor
from migrate.tee.install import QUEUE_NAME
from migrate.tee.setup import BRIDGE as CONSUMER
from migrate.tee.setup import bridge_job, look_at_tee

__all__ = ["posted_path", "run_bridge"]

log = logging.getLogger("migrate.bridge")

# The last poll of the queue, and a batch that is being posted.
STOP_S = LONG_POLL_S + 4.0
# Short, so that another machine takes over soon; a process that died on this machine is noticed at once.
LEASE_S = 15.0
STREAM_TOKEN_S = 3600
# A deployment may take the tee off at any time.
TEE_LOOK_S = 30.0


class Bridge:
    """One stack's bridge.

    Args:
        config: of the stack.
        folder: for status and what is put aside.
        status_file: where the counters are written.
    """

    def __init__(self, config: Config, folder: Path, status_file: Path) -> None:
        self._config = config
        self._folder = folder
        self._status_file = status_file
        self._status = BridgeStatus()
        self._stop, self._live = asyncio.Event(), asyncio.Event()
        self._job = bridge_job(config.api.id)
        self._rules = Rules(config.features, config.sse.default_tenant)
        self._faults = Faults.parse(os.environ.get(VARIABLE, ""))
        if self._faults.wanted:
            log.warning("faults on purpose: %s", self._faults.wanted)
        self._tenants: dict[str, asyncio.Task[None]] = {}
        self._new_tenants: asyncio.Queue[str] = asyncio.Queue()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        # At once: what a bridge that was killed left there says that it is live.
        self._status.write(self._status_file)
        table = ControlTable.of(self._config)
        await asyncio.to_thread(table.ensure)
        stack = contextlib.ExitStack()
        try:
            lease = await self._hold(Locks(table), stack)
            if lease is not None:
                await self._work(table, lease)
        finally:
            await asyncio.to_thread(stack.close)
            self._status.live = False
            self._status.write(self._status_file)

    async def _hold(self, locks: Locks, stack: contextlib.ExitStack) -> Lease | None:
        """The lock, waited for; None when we are told to end before."""
        owner = f"{actor()} (pid {os.getpid()})"
        while not self._stop.is_set():
            try:
                return await asyncio.to_thread(stack.enter_context, locks.hold(self._job, owner, LEASE_S))
            except RefusedError as refused:
                self._status.problem_to_sse = f"waits: {refused.message}"
                self._status.write(self._status_file)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), 1.0)
        return None

    async def _work(self, table: ControlTable, lease: Lease) -> None:
        config = self._config
        self._status.problem_to_sse = ""
        sqs = config.client("sqs", config=BotoConfig(read_timeout=LONG_POLL_S + 10, retries={"total_max_attempts": 2}))
        tee = TeeState(table, config.api.id)
        queue_url = await asyncio.to_thread(self._register, sqs, tee)
        shared_queue = await asyncio.to_thread(_tee_queue, sqs, config.api.id)
        aside = aside_to(self._folder, self._status_file.stem, self._status.skip)
        distributor = Distributor(config.client("sqs"), shared_queue, tee.consumers, aside)
        distributor.start()
        connections = await asyncio.to_thread(LegacyConnections.of, config)
        checkpoints = Checkpoints(table)
        known = await asyncio.to_thread(checkpoints.all, self._job)
        try:
            there = await asyncio.to_thread(connections.tenants)
        except (BotoCoreError, ClientError) as error:  # the others are found as soon as somebody of them comes
            log.warning("the tenants that are connected could not be read: %s", type(error).__name__)
            there = set()
        async with httpx.AsyncClient(base_url=config.sse.url, timeout=10.0, trust_env=False) as http:
            publisher = _tokens(config, ("events:publish",), TOKEN_TTL_S)
            to_sse = LegacyToSse(
                sqs,
                queue_url,
                http,
                publisher,
                self._rules,
                self._status,
                self._folder / f"{self._status_file.stem}-aside.jsonl",
                connections.owner_of,
                self._new_tenants.put_nowait,
                self._faults.loses_crossing,
                connections.met,
            )
            rooms = Rooms(http, _tokens(config, ("events:publish",), 60))
            work = [
                asyncio.create_task(to_sse.run(self._stop)),
                asyncio.create_task(self._report(lease)),
                asyncio.create_task(self._watch_tee(table)),
                asyncio.create_task(self._follow_tenants(connections, rooms, checkpoints)),
            ]
            for tenant in {config.sse.default_tenant, *known, *there}:
                self._new_tenants.put_nowait(tenant)
            await self._stop.wait()
            distributor.stop()
            work += self._tenants.values()
            _, pending = await asyncio.wait(work, timeout=STOP_S)
            for task in pending:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    def _register(self, sqs: object, tee: TeeState) -> str:
        queue_url = consumer_queue(sqs, self._config.api.id, CONSUMER)
        return tee.add(CONSUMER, queue_url).queue_url

    async def _follow_tenants(self, connections: LegacyConnections, rooms: Rooms, checkpoints: Checkpoints) -> None:
        """A direction to the old stack for each tenant, as they appear."""
        config = self._config
        stopping = asyncio.create_task(self._stop.wait())
        while not self._stop.is_set():
            first = asyncio.create_task(self._new_tenants.get())
            await asyncio.wait({first, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not first.done():
                first.cancel()
                return
            tenant = first.result()
            if tenant in self._tenants:
                continue
            try:
                posted = PostedFile(posted_path(self._folder, self._status_file.stem, tenant))
            except OSError as error:  # a full disk: the other tenants go on, this one is tried again
                self._status.problem_to_legacy = f"{tenant}: {error.strerror}"
                asyncio.get_running_loop().call_later(1.0, self._new_tenants.put_nowait, tenant)
                continue
            direction = SseToLegacy(
                config.sse.url + "/api/streams?topic=*",
                tenant,
                _tokens(config, ("streams:tenant",), STREAM_TOKEN_S),
                connections,
                rooms,
                checkpoints,
                self._job,
                self._rules,
                self._status,
                posted,
            )
            self._tenants[tenant] = asyncio.create_task(direction.run(self._stop, self._live))

    async def _watch_tee(self, table: ControlTable) -> None:
        """Say it once when nothing, or not everything, comes from the old stack."""
        said = ""
        while not self._stop.is_set():
            try:
                lacks = (await asyncio.to_thread(look_at_tee, self._config, table)).lacks(CONSUMER)
            except (BotoCoreError, ClientError, MigrateError) as error:
                log.debug("the tee could not be looked at: %s", type(error).__name__)
            else:
                if lacks and lacks != said:
                    log.warning("%s: WebSocket messages do not all reach the SSE service; %s puts it on", lacks, _CURE)
                said = lacks
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), TEE_LOOK_S)

    async def _report(self, lease: Lease) -> None:
        while not self._stop.is_set():
            self._status.live = self._live.is_set()
            try:
                self._status.write(self._status_file)
            except OSError as error:  # a full disk must not keep the lease from being looked at
                log.warning("the status cannot be written: %s", error.strerror)
            try:
                lease.check()
            except MigrateError as error:
                # Another one is at work: two would post everything twice.
                self._status.problem_to_sse = error.message
                self._stop.set()
                return
            with contextlib.suppress(TimeoutError):
                # Quick at first: whoever started us waits for `live`.
                await asyncio.wait_for(self._stop.wait(), 0.5 if self._status.live else 0.02)


_CURE = "`migrate bridge start` under `migrate up`, else ending `migrate bridge run` and starting it again,"


class _tokens:  # noqa: N801 - a function with two settings
    """Signs a token of a tenant for the bridge."""

    def __init__(self, config: Config, scopes: tuple[str, ...], ttl_s: int) -> None:
        self._config, self._scopes, self._ttl_s = config, scopes, ttl_s

    def __call__(self, tenant: str) -> str:
        return self._config.token(CONSUMER, tenant, self._scopes, self._ttl_s)


def _tee_queue(sqs: object, api_id: str) -> str:
    """Raises: MigrateError: no tee was installed."""
    try:
        answer = sqs.get_queue_url(QueueName=QUEUE_NAME.format(api_id=api_id))  # type: ignore[attr-defined]  # boto3
    except sqs.exceptions.QueueDoesNotExist:  # type: ignore[attr-defined]  # boto3
        raise MigrateError(f"API {api_id} has no tee yet", "`migrate bridge run` installs it") from None
    return str(answer["QueueUrl"])


def posted_path(folder: Path, bridge: str, tenant: str) -> Path:
    """The file of a tenant's direction to the old stack: whatever it is called, no two have the same, nor too long."""
    is_plain = re.fullmatch(r"[a-z0-9]{1,60}", tenant) is not None
    # With a character that plain names do not have.
    name = tenant if is_plain else f"-{hashlib.sha256(tenant.encode('utf-8', 'surrogatepass')).hexdigest()}"
    return folder / f"{bridge}-posted-{name}.jsonl"


def run_bridge(config: Config, folder: Path, status_file: Path) -> None:
    """Run the bridge of a stack until SIGTERM or SIGINT.

    Args:
        folder: for what is put aside, and who has been posted what.
        status_file: for the counters.

    Raises: MigrateError: its table of connections cannot be used, or no tee was installed.
    """
    asyncio.run(Bridge(config, folder, status_file).run())
