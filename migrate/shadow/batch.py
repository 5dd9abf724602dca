"""A batch of records, from who came with it to who left with it: the order that the comparison relies on. until phase 3

    streams live    of people who came: before anything that was delivered to them is looked at
    written         what the legacy stack delivered
    replayed        what entered, and what became of it written
    deleted         from the queue, by whoever gave the batch (migrate.shadow.pump)

Every step can be done again: rows are known by their keys, calls by the key in their body.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from migrate.compare.deliveries import SendRow
from migrate.shadow.completeness import Completeness
from migrate.shadow.connection_tables import ConnectionTables
from migrate.shadow.correlation import Causes
from migrate.shadow.entering import Entering, Replay
from migrate.shadow.intake import Taken
from migrate.shadow.lanes import Lanes
from migrate.shadow.leaving import Leaving
from migrate.shadow.people import Person
from migrate.shadow.presence import Presence
from migrate.shadow.recorder import Recorder
from migrate.shadow.replay import Replayer
from migrate.shadow.settings import RunSettings
from migrate.shadow.streams import Streams
from migrate.shadow.translate import Translator
from migrate.tee.records import TeeRecord

__all__ = ["BatchHandler"]


class BatchHandler:
    """Does what is to be done with records.

    Args:
        settings: in effect.
        presence: who is there.
        tables: know the connections that were there before the run.
        streams: the virtual subscribers.
        replayer: makes the calls; lanes: in which order.
        causes: what is behind what.
        completeness: is told of each record once.
        recorder: the rows.
    """

    def __init__(
        self,
        settings: RunSettings,
        translator: Translator,
        presence: Presence,
        tables: ConnectionTables,
        streams: Streams,
        replayer: Replayer,
        lanes: Lanes,
        causes: Causes,
        completeness: Completeness,
        recorder: Recorder,
    ) -> None:
        self._settings = settings
        self._translator = translator
        self._presence = presence
        self._tables = tables
        self._streams = streams
        self._replayer = replayer
        self._lanes = lanes
        self._causes = causes
        self._completeness = completeness
        self._recorder = recorder
        self._entering = Entering(translator, causes, settings.is_sampled, recorder.has_send)
        self._leaving = Leaving(translator, causes, settings.is_sampled, self._who, recorder)
        self._replayed = self._failed = self._skipped = 0
        self.last_at = 0.0
        self.lag_s = 0.0
        # Until when, epoch seconds, all is replayed and written; None: nothing was yet.
        self.through: float | None = None

    @property
    def counts(self) -> dict[str, int]:
        """What became of what entered and left."""
        return {
            "replayed": self._replayed,
            "failed": self._failed,
            "skipped": self._skipped,
            "other": self._entering.of_no_feature,
            "unknown_connections": self._leaving.unknown_connections,
        }

    async def begin(self) -> None:
        """Streams for everybody who is connected already."""
        for connection_id, person in await self._tables.all():
            self._presence.found(connection_id, person)
        await self._open_streams(self._presence.online())

    async def handle(self, batch: Sequence[Taken]) -> None:
        """Do all of a batch; when it returns, everything is with the operating system."""
        batch = [taken for taken in batch if taken.record.at >= self._settings.counts_from]
        records = [taken.record for taken in batch]
        # Losses, and who came: before anything that was delivered to them is looked at.
        came = []
        for taken in batch:
            if not taken.is_noted:
                taken.is_noted = True
                self._completeness.seen(taken.record)
            if (person := self._presence.came(taken.record)) is not None:
                came.append(person)
        await self._open_streams(came)
        replays = [replay for record in records if (replay := self._enter(record)) is not None]
        for record in records:
            await self._leaving.write(record)
        await self._lanes.run(replays, lambda replay: replay.call.lane, self._replay)
        for record in records:
            if (person := self._presence.left(record)) is not None:
                self._streams.end_later(person)
            self.last_at = max(self.last_at, record.at)
        if batch:
            self.lag_s = max(0.0, time.time() - batch[-1].record.at)
            self.through = max(self.through or 0.0, batch[-1].order)
        self._recorder.flush()

    async def _open_streams(self, people: Iterable[Person]) -> None:
        await self._streams.open([person for person in people if self._settings.is_sampled(person)])

    def _enter(self, record: TeeRecord) -> Replay | None:
        found = self._entering(record)
        if isinstance(found, SendRow):
            self._skipped += 1
            self._recorder.send(found)
            return None
        return found

    async def _replay(self, replay: Replay) -> None:
        began = time.time()
        outcome = await self._replayer(replay.call, replay.cause)
        self._causes.remember(self._translator.names(outcome.answer), replay.cause)
        if outcome.is_ok:
            self._replayed += 1
        else:
            self._failed += 1
        self._recorder.send(replay.row(outcome.status, outcome.reason, began))

    async def _who(self, connection_id: str) -> Person | None:
        """Whose connection it is; one that was there before the run is looked up, and has its stream from then on."""
        known = self._presence.who(connection_id)
        if known is not None:
            return known
        found = await self._tables.find(connection_id)
        if found is None:
            return None
        name, person = found
        self._presence.found(name, person)
        await self._open_streams([person])
        return person
