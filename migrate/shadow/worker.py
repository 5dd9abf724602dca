"""The shadow worker: reads, listens, replays, records. until phase 3

In this order for each batch of records (migrate.shadow.batch): streams of people who came are live; what the legacy
stack delivered is written; what entered is replayed, and written with what became of it; only then is the batch
deleted from the queue (migrate.shadow.pump). So a worker that is killed anywhere does the batch again, and what was
written or accepted already is known: rows by their keys (migrate.shadow.recorder), calls by the key in their body,
streams by their last event id (migrate.shadow.checkpoint), which is kept only after its row was written.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from migrate.clients import new_http_client
from migrate.compare.deliveries import Span
from migrate.config import Config
from migrate.errors import MigrateError
from migrate.shadow.batch import BatchHandler
from migrate.shadow.capture import Capture
from migrate.shadow.checkpoint import CheckpointFile
from migrate.shadow.completeness import Completeness
from migrate.shadow.connection_tables import ConnectionTables
from migrate.shadow.control_loop import ControlLoop
from migrate.shadow.correlation import Causes
from migrate.shadow.events import Events
from migrate.shadow.faults import Faults
from migrate.shadow.intake import Intake
from migrate.shadow.lanes import LANES, Lanes
from migrate.shadow.presence import Presence
from migrate.shadow.pump import Pump
from migrate.shadow.recorder import Recorder
from migrate.shadow.replay import Replayer
from migrate.shadow.settings import RunSettings
from migrate.shadow.state import Control, ShadowState
from migrate.shadow.streams import Streams
from migrate.shadow.tee_watch import TeeWatch
from migrate.shadow.translate import Translator

__all__ = ["Worker"]

WRITE_S = 0.05
SAVE_S = 1.0
MOST_STREAMS = 5000
CALL_TIMEOUT_S = 10.0


class Worker:
    """One run's worker.

    Args:
        config: of the stack.
        control: what it is told at the start.
        state: where it looks for what it is told, and says how it does.
        intake: the records.
        recorder: the rows.
        place: file in which it keeps the streams' places.
        faults: see there.
        untapped: names the functions that should have the tee and have not.
    """

    def __init__(
        self,
        config: Config,
        control: Control,
        state: ShadowState,
        intake: Intake,
        recorder: Recorder,
        place: Path,
        faults: Faults,
        untapped: Callable[[], Sequence[str]] = list,
    ) -> None:
        url = config.sse.shadow_url
        self._streaming = new_http_client(url, connections=MOST_STREAMS)
        self._calling = httpx.AsyncClient(
            base_url=url,
            timeout=CALL_TIMEOUT_S,
            trust_env=False,
            limits=httpx.Limits(max_connections=LANES * 2),
        )
        self._state, self._intake, self._recorder, self._faults = state, intake, recorder, faults
        self._settings = settings = RunSettings(config.shadow, control)
        self._checkpoint = CheckpointFile(place, control.run_id)
        kept = self._checkpoint.read()
        self._completeness = Completeness(Capture.resumed(kept.workers, time.monotonic()), recorder)
        translator = Translator(config.features, config.sse.default_tenant)
        causes, lanes = Causes(), Lanes()
        self._presence = Presence(translator.tenant_of, recorder.span)
        self._events = Events(
            translator, causes, self._presence.gone_at, lambda: lanes.is_busy, recorder, faults, kept.cursors
        )
        self._streams = Streams(
            url + config.sse.stream,
            self._streaming,
            lambda person: config.token(person.user, person.tenant),
            self._events.take,
            recorder.span,
            self._events.cursors,
        )
        self._replayer = Replayer(self._calling, config.token, lambda: settings.max_per_s)
        self._batches = BatchHandler(
            settings,
            translator,
            self._presence,
            ConnectionTables(config.client("dynamodb"), config.tables, config.sse.default_tenant),
            self._streams,
            self._replayer,
            lanes,
            causes,
            self._completeness,
            recorder,
        )
        self._orders = ControlLoop(state, settings, self.status, self._progress, recorder.span)
        self._pump = Pump(intake, self._batches.handle, settings, self._orders.note, faults)
        self._tee = TeeWatch(untapped, lambda: settings.is_ending, recorder.span)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop, by `stop` (this process ends, the run goes on later) or by the state table."""
        async with self._streaming, self._calling:
            orders = asyncio.create_task(self._orders.run())
            tasks = [
                orders,
                asyncio.create_task(self._write()),
                asyncio.create_task(self._tee.run()),
                asyncio.create_task(self._move()),
            ]
            stopping = asyncio.create_task(stop.wait())
            waits: set[asyncio.Task[Any]] = {stopping, *tasks}
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done():
                        await task
            finally:
                for waiting in waits:
                    waiting.cancel()
                await asyncio.gather(*waits, return_exceptions=True)
                await self._streams.close()
                self._close(over=not orders.cancelled() and orders.exception() is None)

    def status(self) -> dict[str, Any]:
        """Numbers for people and programs."""
        settings = self._settings
        return {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "state": settings.control.state,
            "run_id": settings.control.run_id,
            "received": self._intake.received,
            "malformed": self._intake.malformed,
            "waiting": len(self._intake),
            "lag_s": round(self._batches.lag_s, 2),
            **self._batches.counts,
            "legacy_deliveries": self._recorder.legacy,
            "sse_deliveries": self._recorder.sse,
            "subscribers": len(self._streams),
            "captured": self._completeness.captured,
            "lost": self._completeness.lost,
            "sample_percent": settings.sample_percent,
            "max_per_s": settings.max_per_s,
            "throttled": self._replayer.reason,
            "untapped": ", ".join(self._tee.missing),
            "problem": self._orders.problem or self._streams.problem,
            "faults": ",".join(f"{name}={number}" for name, number in self._faults.wanted.items()),
        }

    def _progress(self) -> tuple[int, bool]:
        is_idle = not len(self._intake) and not len(self._events) and self._intake.is_empty
        return self._intake.received + self._recorder.sse, is_idle

    async def _move(self) -> None:
        await self._batches.begin()
        await self._pump.run()

    async def _write(self) -> None:
        saved_at = 0.0
        while True:
            self._events.write()
            self._completeness.look()
            self._completeness.count(self._batches.through)
            if time.monotonic() - saved_at >= SAVE_S:
                saved_at = time.monotonic()
                await self._streams.sweep()
                self._save()
            await asyncio.sleep(WRITE_S)

    def _save(self) -> None:
        """Keep the streams' places; never beyond what was written."""
        self._recorder.flush()
        self._checkpoint.write(self._events.cursors, self._completeness.kept())

    def _close(self, *, over: bool) -> None:
        now = time.time()
        self._events.close()
        # Nothing more comes of a run that is over; of one that goes on, the next worker gets what is under way.
        if over:
            self._completeness.close()
        self._completeness.count(self._batches.through)
        self._orders.close()
        self._tee.close()
        state = self._settings.control.state
        if over:
            self._presence.close(now)
            if state == "stopped" and len(self._intake):
                reason = "the run was ended with records in hand"
                self._recorder.span(Span("incomplete", None, None, self._batches.last_at, now, reason))
        self._save()
        if over and state == "stopping" and not len(self._intake):
            self._recorder.finished(now)
        self._recorder.close()
        with contextlib.suppress(MigrateError):
            self._state.say({**self.status(), "ended": True})
