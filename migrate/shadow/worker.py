"""The shadow worker: reads, listens, replays, records. until phase 3

In this order for each batch of records: streams of people who came are live; what the legacy stack delivered is
written; what entered is replayed, and written with what became of it; only then is the batch deleted from the queue.
So a worker that is killed anywhere does the batch again, and what was written or accepted already is known: rows by
their keys, calls by the key in their body, streams by their last event id.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from migrate.clients import Backoff, SseEvent, new_http_client
from migrate.compare.deliveries import SendRow, Span
from migrate.config import Config
from migrate.config.model import Feature
from migrate.config.templates import MissingFieldError
from migrate.errors import MigrateError
from migrate.shadow.capture import Capture, Loss
from migrate.shadow.faults import Faults, Received
from migrate.shadow.intake import Intake, Taken
from migrate.shadow.people import People, Person, connections_in, is_sampled
from migrate.shadow.recorder import Recorder
from migrate.shadow.replay import Outcome, Replayer
from migrate.shadow.state import Control, ShadowState
from migrate.shadow.streams import Streams
from migrate.shadow.translate import Call, Cause, Translator, frame_of, is_for_others
from migrate.tee.distributor import REFRESH_S
from migrate.tee.records import TeeRecord

__all__ = ["Worker"]

log = logging.getLogger("migrate.shadow")

LOOK_S = 0.5
SAVE_S = 1.0
# What a stream brings is written once it is known what caused it, or after so long.
CAUSE_S = 3.0
LANES = 32
CHECK_S = 30.0
KEPT_CAUSES = 200_000
# What entered within the first moments may not have reached this reader's queue.
BEGIN_S = 2 * REFRESH_S
# Nothing may have arrived for so long before a run that is to end has ended.
QUIET_S = 3.0
LONGEST_END_S = 60.0


@dataclass
class _Replay:
    taken: Taken
    feature: Feature
    call: Call
    cause: Cause


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
        untapped: Callable[[], list[str]] = list,
    ) -> None:
        self._untapped = untapped
        self._untapped_since: float | None = None
        self._tapped_at = time.time()
        self._config = config
        self._control = control
        self._state = state
        self._intake = intake
        self._recorder = recorder
        self._place = place
        self._faults = faults
        self._translator = Translator(config.features, config.sse.default_tenant)
        self._people = People()
        self._causes: OrderedDict[str, Cause] = OrderedDict()
        kept = _read_place(place, control.run_id)
        self._cursors = {Person(tenant, user): cursor for tenant, user, cursor in kept.get("cursors", [])}
        self._capture = Capture.resumed(kept.get("workers", {}), time.monotonic())
        self._pending: deque[Received] = deque()
        self._counts = {"replayed": 0, "failed": 0, "skipped": 0, "other": 0, "unknown_connections": 0}
        self._counted = (0, 0)
        self._busy = 0
        self._offline: dict[Person, float] = {}
        self._paused_since: float | None = None
        self._last_at = 0.0
        self._through: float | None = None
        self._lag_s = 0.0
        self._looked_up: dict[str, float] = {}
        self._problem = ""
        self._missing_tee = ""
        self._saved: tuple[dict[Person, str], dict[str, Any]] = ({}, {})
        self._dynamodb = config.client("dynamodb")

    # The run ----------------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop, by `stop` (this process ends, the run goes on later) or by the state table."""
        url = self._config.sse.shadow_url
        async with (
            new_http_client(url, connections=5000) as streaming,
            httpx.AsyncClient(
                base_url=url, timeout=10.0, trust_env=False, limits=httpx.Limits(max_connections=LANES * 2)
            ) as http,
        ):
            self._replayer = Replayer(http, self._config.token, lambda: self._limit)
            self._streams = Streams(
                url + self._config.sse.stream,
                streaming,
                lambda person: self._config.token(person.user, person.tenant),
                self._got,
                self._recorder.span,
                self._cursors,
            )
            ended = asyncio.Event()
            tasks: list[asyncio.Task[None]] = [
                asyncio.create_task(self._keep_looking(ended)),
                asyncio.create_task(self._keep_writing()),
                asyncio.create_task(self._keep_checking()),
                asyncio.create_task(self._work()),
            ]
            stopping = asyncio.create_task(stop.wait())
            ending = asyncio.create_task(ended.wait())
            waits: set[asyncio.Task[Any]] = {stopping, ending, *tasks}
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done():
                        await task
            finally:
                for waiting in waits:
                    waiting.cancel()
                await asyncio.gather(*tasks, stopping, ending, return_exceptions=True)
                await self._streams.close()
                self._close(over=ended.is_set())

    def _close(self, *, over: bool) -> None:
        now = time.time()
        self._pending.extend(self._faults.rest())
        self._write_pending(everything=True)
        # Nothing more comes of a run that is over; of one that goes on, the next worker gets what is under way.
        if over:
            self._lost(self._capture.missing(time.monotonic(), 0.0, 0.0))
        self._count()
        self._tell_paused(now)
        # At the end of a run the tee is taken off on purpose; then the records say what came.
        if not self._is_ending:
            self._tell_untapped(now)
        if over:
            for person, since in self._offline.items():
                self._recorder.span(Span("gap", None, person.user, since, now, "was not connected"))
            if self._control.state == "stopped" and len(self._intake):
                reason = "the run was ended with records in hand"
                self._recorder.span(Span("incomplete", None, None, self._last_at, now, reason))
        self._save()
        if over and self._control.state == "stopping" and not len(self._intake):
            self._recorder.finished(now)
        self._recorder.close()
        with contextlib.suppress(MigrateError):
            self._state.say({**self.status(), "ended": True})

    @property
    def _is_ending(self) -> bool:
        return self._control.state in ("stopping", "stopped")

    @property
    def _limit(self) -> float:
        told = self._control.max_per_s
        return self._config.shadow.max_per_s if told is None else told

    @property
    def _percent(self) -> float:
        told = self._control.sample_percent
        return self._config.shadow.sample_percent if told is None else told

    # What it is told, and what it says ------------------------------------------------------------------------------

    async def _keep_looking(self, ended: asyncio.Event) -> None:
        since = quiet_since = time.monotonic()
        handled = -1
        while True:
            try:
                control = await asyncio.to_thread(self._state.control)
                if control is None or control.run_id != self._control.run_id or control.state == "stopped":
                    self._control = control or self._control
                    ended.set()
                    return
                if control.state != self._control.state:
                    since = quiet_since = time.monotonic()
                self._obey(control)
                await asyncio.to_thread(self._state.say, self.status())
            except MigrateError as error:
                self._problem = error.message
            else:
                self._problem = ""
            if self._control.state == "stopping":
                now = time.monotonic()
                done = self._intake.received + self._recorder.sse
                if len(self._intake) or self._pending or done != handled or not self._intake.is_empty:
                    quiet_since, handled = now, done
                if now - quiet_since >= QUIET_S or now - since >= LONGEST_END_S:
                    ended.set()
                    return
            await asyncio.sleep(LOOK_S)

    async def _keep_checking(self) -> None:
        """Notice a deployment that has put a function's own handler back: nothing of it comes here any more."""
        while True:
            try:
                missing = [] if self._is_ending else await asyncio.to_thread(self._untapped)
            except Exception as error:  # not to be asked just now
                log.warning("the functions could not be looked at: %s", type(error).__name__)
            else:
                now = time.time()
                if missing and self._untapped_since is None:
                    self._untapped_since = self._tapped_at
                    log.warning("the tee is not on %s", ", ".join(missing))
                elif not missing:
                    self._tell_untapped(now)
                    self._tapped_at = now
                self._missing_tee = ", ".join(name.rpartition(":")[2] for name in missing)
            await asyncio.sleep(CHECK_S)

    def _tell_untapped(self, now: float) -> None:
        if self._untapped_since is not None:
            reason = "the tee was not on every function"
            self._recorder.span(Span("incomplete", None, None, self._untapped_since, now, reason))
            self._untapped_since = None

    def _obey(self, control: Control) -> None:
        now = time.time()
        if control.state == "paused" and self._paused_since is None:
            self._paused_since = now
        elif control.state != "paused":
            self._tell_paused(now)
        if control != self._control:
            log.info("told: %s", control)
        self._control = control

    def _tell_paused(self, now: float) -> None:
        if self._paused_since is not None:
            self._recorder.span(Span("paused", None, None, self._paused_since, now, "paused"))
            self._paused_since = None

    def status(self) -> dict[str, Any]:
        """Numbers for people and programs."""
        return {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "state": self._control.state,
            "run_id": self._control.run_id,
            "received": self._intake.received,
            "malformed": self._intake.malformed,
            "waiting": len(self._intake),
            "lag_s": round(self._lag_s, 2),
            **self._counts,
            "legacy_deliveries": self._recorder.legacy,
            "sse_deliveries": self._recorder.sse,
            "subscribers": len(self._streams) if hasattr(self, "_streams") else 0,
            "captured": self._capture.captured,
            "lost": self._capture.lost,
            "sample_percent": self._percent,
            "max_per_s": self._limit,
            "throttled": self._replayer.reason if hasattr(self, "_replayer") else "",
            "untapped": self._missing_tee,
            "problem": self._problem or (self._streams.problem if hasattr(self, "_streams") else ""),
            "faults": ",".join(f"{name}={number}" for name, number in self._faults.wanted.items()),
        }

    # Records -----------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        await self._begin()
        filling = asyncio.create_task(self._keep_filling())
        backoff, failures = Backoff(), 0
        batch: list[Taken] = []
        try:
            while True:
                if filling.done():
                    await filling
                if self._control.state == "paused":
                    await asyncio.sleep(0.05)
                    continue
                batch = batch or self._intake.due()
                if not batch:
                    await asyncio.sleep(0.02)
                    continue
                try:
                    await self._faults.stop()
                    await self._handle(batch)
                    await self._intake.done(batch)
                    batch, failures = [], 0
                except MigrateError:
                    raise
                except Exception as error:  # the queue away, a disk full: the batch is done again
                    failures += 1
                    self._problem = f"{type(error).__name__}: {error}"[:200]
                    log.warning("a batch is done again: %s", self._problem)
                    await asyncio.sleep(backoff.delay_s(failures - 1))
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)

    async def _keep_filling(self) -> None:
        backoff, failures = Backoff(), 0
        while True:
            if self._control.state == "paused":
                await asyncio.sleep(0.05)
                continue
            try:
                limit = self._limit
                # What is in hand must be done before the queue shows it again, or nearly.
                await self._intake.fill(max(20, min(1000, int(limit * 5))) if limit else 1000)
                failures = 0
            except Exception as error:
                failures += 1
                self._problem = f"the queue: {type(error).__name__}"
                await asyncio.sleep(backoff.delay_s(failures - 1))

    async def _begin(self) -> None:
        """Streams for everybody who is connected already."""
        found = await asyncio.to_thread(lambda: list(self._connected_now()))
        for connection_id, person in found:
            self._people.connected(connection_id, person)
        await self._streams.open([person for person in self._people.online() if self._is_sampled(person)])

    def _connected_now(self) -> Iterable[tuple[str, Person]]:
        for table in self._config.tables:
            if table.role != "connections" or not table.user:
                continue
            for page in self._dynamodb.get_paginator("scan").paginate(TableName=table.name):
                for item in page["Items"]:
                    yield from connections_in(table, item, self._config.sse.default_tenant)

    def _is_sampled(self, person: Person) -> bool:
        return is_sampled(person, self._percent)

    async def _handle(self, batch: list[Taken]) -> None:
        begin = self._control.started_at + BEGIN_S
        batch = [taken for taken in batch if taken.record.at >= begin]
        # Losses, and who came: before anything that was delivered to them is looked at.
        came = []
        for taken in batch:
            if not taken.is_noted:
                taken.is_noted = True
                self._lost(self._capture.seen(taken.record, time.monotonic()))
            came += self._note_people(taken.record)
        await self._streams.open([person for person in came if self._is_sampled(person)])
        replays = [found for taken in batch if (found := await self._entered(taken)) is not None]
        for taken in batch:
            await self._left(taken.record)
        await self._replay(replays)
        for taken in batch:
            self._note_gone(taken.record)
            self._last_at = max(self._last_at, taken.record.at)
        if batch:
            self._lag_s = max(0.0, time.time() - batch[-1].record.at)
            self._through = max(self._through or 0.0, batch[-1].order)
        self._recorder.flush()

    def _note_people(self, record: TeeRecord) -> list[Person]:
        """Whose connection it is; the people who have come with it."""
        if not record.user or not record.connection_id or record.event_type == "DISCONNECT":
            return []
        if record.event_type == "CONNECT" and (record.failed or (record.status or 200) >= 300):
            return []
        person = Person(self._translator.tenant_of(record), record.user)
        if not self._people.connected(record.connection_id, person):
            return []
        since = self._offline.pop(person, None)
        if since is not None:
            self._recorder.span(Span("gap", None, person.user, since, record.at, "was not connected"))
        return [person]

    def _note_gone(self, record: TeeRecord) -> None:
        if record.event_type != "DISCONNECT":
            return
        person = self._people.disconnected(record.connection_id)
        if person is not None:
            self._offline[person] = record.at
            self._streams.end_later(person)

    async def _entered(self, taken: Taken) -> _Replay | None:
        """What is to be replayed of a record; what is not is written here."""
        record = taken.record
        if record.event_type != "MESSAGE" or record.body is None or record.base64 or not record.user:
            return None
        frame = _json(record.body)
        feature = self._translator.entering(frame)
        if feature is None:
            self._counts["other"] += 1
            return None
        tenant = self._translator.tenant_of(record)
        cause = Cause(record.request_id, record.user, tenant, record.at)
        self._remember(self._translator.names(frame), cause)
        for post in record.posts:
            self._remember(self._translator.names(frame_of(post)), cause)
        if self._recorder.has_send(record.request_id) or not self._is_sampled(Person(tenant, record.user)):
            return None
        if feature.replay is None:
            self._skipped(record, feature, "no replay is configured")
            return None
        try:
            call = self._translator.call(feature, frame, record)
        except MissingFieldError as error:
            self._skipped(record, feature, f"the frame has no {error}")
            return None
        return _Replay(taken, feature, call, cause)

    def _skipped(self, record: TeeRecord, feature: Feature, reason: str) -> None:
        self._counts["skipped"] += 1
        self._recorder.send(self._send_row(record, feature, "skipped", None, reason))

    def _send_row(self, record: TeeRecord, feature: Feature, replayed: Any, status: int | None, reason: str) -> SendRow:
        return SendRow(
            feature.name,
            self._translator.tenant_of(record),
            record.user or "",
            record.request_id,
            record.at,
            record.body or "",
            replayed,
            status,
            reason,
        )

    async def _left(self, record: TeeRecord) -> None:
        """Write what the legacy stack delivered to sampled people because of sampled people."""
        cause: Cause | None = None
        if record.user and not record.is_answer:
            cause = Cause(record.request_id, record.user, self._translator.tenant_of(record), record.at)
            if not self._is_sampled(Person(cause.tenant, cause.user)):
                return
        for connection_id, feature, frame, row in self._translator.rows(record, cause):
            person = self._people.who(connection_id) or await self._look_up(connection_id)
            if person is None:
                self._counts["unknown_connections"] += 1
                continue
            known = cause
            if record.is_answer:
                # Nothing on the record says who asked: the ids in the frame do.
                known = next(
                    (self._causes[name] for name in self._translator.names(frame) if name in self._causes), None
                )
                if known is not None and not self._is_sampled(Person(known.tenant, known.user)):
                    continue
            if not self._is_sampled(person):
                continue
            sender = row.sender or (known.user if known is not None else "")
            if is_for_others(feature, frame) and sender == person.user:
                continue
            self._recorder.delivery(
                replace(
                    row,
                    recipient=person.user,
                    tenant=person.tenant,
                    sender=sender,
                    cause=known.request_id if known is not None else None,
                )
            )

    async def _look_up(self, connection_id: str) -> Person | None:
        """A connection that was there before the run, from its row; asked for once in a while only."""
        now = time.monotonic()
        if now - self._looked_up.get(connection_id, float("-inf")) < 60:
            return None
        if len(self._looked_up) > KEPT_CAUSES:
            self._looked_up.clear()
        self._looked_up[connection_id] = now
        for table in self._config.tables:
            if table.role != "connections" or not table.user or table.sort_key or table.map_attribute:
                continue
            answer = await asyncio.to_thread(
                self._dynamodb.get_item,
                TableName=table.name,
                Key={table.key: {"S": table.id_prefix + connection_id}},
                ConsistentRead=True,
            )
            for found, person in connections_in(table, answer.get("Item", {}), self._config.sse.default_tenant):
                self._people.connected(found, person)
                if self._is_sampled(person):
                    await self._streams.open([person])
                return person
        return None

    async def _replay(self, replays: list[_Replay]) -> None:
        """Lanes side by side, each in order."""
        lanes: dict[tuple[str, str, str], list[_Replay]] = {}
        for one in replays:
            lanes.setdefault(one.call.lane, []).append(one)
        free = asyncio.Semaphore(LANES)

        async def run(lane: list[_Replay]) -> None:
            async with free:
                for one in lane:
                    began = time.time()
                    self._record(one, await self._replayer(one.call, one.cause), began)

        self._busy += 1
        try:
            async with asyncio.TaskGroup() as group:
                for lane in lanes.values():
                    group.create_task(run(lane))
        finally:
            self._busy -= 1

    def _record(self, one: _Replay, outcome: Outcome, began: float) -> None:
        self._remember(self._translator.names(outcome.answer), one.cause)
        self._counts["replayed" if outcome.is_ok else "failed"] += 1
        self._recorder.send(
            replace(
                self._send_row(
                    one.taken.record, one.feature, "ok" if outcome.is_ok else "failed", outcome.status, outcome.reason
                ),
                replayed_at=began,
            )
        )

    def _remember(self, names: list[str], cause: Cause) -> None:
        for name in names:
            self._causes.setdefault(name, cause)
        while len(self._causes) > KEPT_CAUSES:
            self._causes.popitem(last=False)

    def _lost(self, losses: list[Loss]) -> None:
        for loss in losses:
            log.warning("capture is incomplete: %s record(s), %s", loss.count, loss.reason)
            reason = f"{loss.count} record(s): {loss.reason}"
            self._recorder.span(Span("incomplete", None, None, loss.start, loss.end, reason))

    # Events ------------------------------------------------------------------------------------------------------

    def _got(self, person: Person, event: SseEvent) -> None:
        number = event.id.rpartition("-")[2]
        seq = int(number) if number.isdecimal() else 0
        stream = self._translator.stream(_json(event.data)) if self._faults.wanted else ""
        received = Received(person, event.id, seq, event.data, event.received_at, stream)
        self._pending.extend(self._faults.event(received))

    async def _keep_writing(self) -> None:
        saved_at = 0.0
        while True:
            self._write_pending()
            self._lost(self._capture.missing(time.monotonic()))
            self._count()
            if time.monotonic() - saved_at >= SAVE_S:
                saved_at = time.monotonic()
                await self._streams.sweep()
                self._save()
            await asyncio.sleep(0.05)

    def _count(self) -> None:
        captured, lost = self._capture.captured, self._capture.lost
        self._recorder.count(captured - self._counted[0], lost - self._counted[1], self._through)
        self._counted = (captured, lost)

    def _write_pending(self, *, everything: bool = False) -> None:
        """Write what streams brought, in order, as far as its cause is known or will not be."""
        now = time.time()
        while self._pending:
            received = self._pending[0]
            frame = _json(received.text)
            cause = next((self._causes[name] for name in self._translator.names(frame) if name in self._causes), None)
            if cause is None and not everything and self._busy and now - received.at < CAUSE_S:
                return
            self._pending.popleft()
            self._write_event(received, frame, cause)

    def _write_event(self, received: Received, frame: Any, cause: Cause | None) -> None:
        person = received.person
        gone_at = self._offline.get(person)
        # Who has left is sent nothing by the legacy stack either.
        if gone_at is None or cause is None or cause.at <= gone_at:
            row = self._translator.event_row(
                frame, received.text, person.user, person.tenant, received.seq, received.at, cause
            )
            if row is not None:
                self._recorder.delivery(row)
        self._cursors[person] = received.event_id

    def _save(self) -> None:
        """Keep the streams' places; never beyond what was written."""
        self._recorder.flush()
        capture = self._capture.kept()
        if self._saved == (self._cursors, capture):
            return
        self._saved = (dict(self._cursors), capture)
        value = {
            "run_id": self._control.run_id,
            "workers": capture,
            "cursors": [[person.tenant, person.user, cursor] for person, cursor in self._cursors.items()],
        }
        new = self._place.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
        new.replace(self._place)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _read_place(place: Path, run_id: str) -> dict[str, Any]:
    """What the worker before this one kept; nothing of another run, and nothing of a file that is damaged."""
    try:
        value = json.loads(place.read_text(encoding="utf-8"))
        return value if value["run_id"] == run_id else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
