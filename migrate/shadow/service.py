"""Starts a worker with everything it needs, in this process. until phase 3"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import socket
import time
from functools import partial
from pathlib import Path

from botocore.config import Config as BotoConfig

from migrate.compare.deliveries import DeliveryWriter
from migrate.config import Config
from migrate.control.locks import Locks
from migrate.control.table import ControlTable
from migrate.errors import RefusedError, UsageError
from migrate.shadow.faults import VARIABLE, Faults
from migrate.shadow.intake import LONG_POLL_S, Intake
from migrate.shadow.recorder import Recorder
from migrate.shadow.state import ShadowState
from migrate.shadow.worker import Worker
from migrate.tee.aside import aside_to
from migrate.tee.consumers import TeeState, consumer_queue
from migrate.tee.distributor import Distributor
from migrate.tee.install import QUEUE_NAME
from migrate.tee.setup import functions_without_tee

__all__ = ["CONSUMER", "serve"]

CONSUMER = "shadow"
# Renewed every third of it; a worker that was killed is followed by the next one after this and the lock's skew.
LEASE_S = 6.0
LOCK_WAIT_S = 30.0
log = logging.getLogger("migrate.shadow")


async def serve(config: Config, directory: Path) -> None:
    """Work until SIGTERM, SIGINT, or the state table says that the run is over.

    Args:
        directory: where the worker keeps the streams' places.

    Raises: UsageError: the configuration lacks something. RefusedError: another worker has the run.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await asyncio.to_thread(directory.mkdir, mode=0o700, parents=True, exist_ok=True)
    if not config.sse.shadow_url:
        raise UsageError(f"{config.path} names no sse.shadow_url", "the address of a second SSE service")
    records = config.records
    if not isinstance(records, Path):
        raise UsageError(
            f"the worker writes records to a directory, not to {records}",
            "name a directory in project.records; copy its complete files (*.jsonl) to S3 as they come",
        )
    faults = Faults.parse(os.environ.get(VARIABLE, ""))
    config.jwt_secret()
    table = ControlTable.of(config)
    state = ShadowState(table, config.project.name)
    name = f"{re.sub('[^A-Za-z0-9-]', '-', socket.gethostname())[:40] or 'host'}-{os.getpid()}"
    with contextlib.ExitStack() as held:
        await asyncio.to_thread(_lock, held, table, config.project.name, name)
        control = state.control()
        if control is None or control.state in ("stopped", "stopping"):
            raise RefusedError("no shadow run is on", "`migrate shadow start` begins one")
        if faults.wanted:
            log.warning("faults on purpose: %s", faults.wanted)
        polling = BotoConfig(read_timeout=LONG_POLL_S + 10, retries={"total_max_attempts": 2})
        sqs = config.client("sqs", config=polling)
        tee_queue = sqs.get_queue_url(QueueName=QUEUE_NAME.format(api_id=config.api.id))["QueueUrl"]
        readers = TeeState(table, config.api.id).consumers
        aside = aside_to(directory, config.project.name)
        distributor = Distributor(config.client("sqs", config=polling), tee_queue, readers, aside)
        distributor.start()
        held.callback(distributor.stop)
        intake = Intake(sqs, consumer_queue(sqs, config.api.id, CONSUMER), faults)
        writer = DeliveryWriter(records, control.run_id, f"shadow-{name}")
        place = directory / f"{config.project.name}.places.json"
        untapped = partial(functions_without_tee, config)
        await Worker(config, control, state, intake, Recorder(writer), place, faults, untapped).run(stop)


def _lock(held: contextlib.ExitStack, table: ControlTable, project: str, owner: str) -> None:
    """Take the run's lock; a worker that was killed holds it a few seconds longer."""
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            held.enter_context(Locks(table).hold(f"shadow-worker#{project}", owner, LEASE_S))
        except RefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return
