"""Writes what the streams of the shadow instance brought, in order, once it is known what caused it. until phase 3"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from migrate.clients import SseEvent
from migrate.shadow.correlation import Causes
from migrate.shadow.faults import Faults, Received
from migrate.shadow.people import Person
from migrate.shadow.recorder import Recorder
from migrate.shadow.translate import Cause, Translator, parsed

__all__ = ["Events"]

# An event is written once it is known what caused it, or after so long.
CAUSE_S = 3.0


class Events:
    """Events between their streams and their rows.

    Args:
        causes: know what a replay's answer named.
        gone_at: when somebody's last connection ended; None: they are there.
        is_replaying: whether a call is under way whose answer is still to come.
        recorder: the rows.
        faults: see there.
        cursors: of the process before this one.
    """

    def __init__(
        self,
        translator: Translator,
        causes: Causes,
        gone_at: Callable[[Person], float | None],
        is_replaying: Callable[[], bool],
        recorder: Recorder,
        faults: Faults,
        cursors: Mapping[Person, str],
    ) -> None:
        self._translator = translator
        self._causes = causes
        self._gone_at = gone_at
        self._is_replaying = is_replaying
        self._recorder = recorder
        self._faults = faults
        self._pending: deque[Received] = deque()
        # The last event of each stream whose row was written: the streams go on there.
        self.cursors = dict(cursors)

    def __len__(self) -> int:
        """How many are still to be written."""
        return len(self._pending)

    def take(self, person: Person, event: SseEvent) -> None:
        """A stream has brought an event."""
        number = event.id.rpartition("-")[2]
        seq = int(number) if number.isdecimal() else 0
        stream = self._translator.stream(parsed(event.data)) if self._faults.wanted else ""
        received = Received(person, event.id, seq, event.data, event.received_at, stream)
        self._pending.extend(self._faults.event(received))

    def write(self) -> None:
        """Write them, in order, as far as their cause is known or will not be."""
        self._write(everything=False)

    def close(self) -> None:
        """Write all of them."""
        self._pending.extend(self._faults.rest())
        self._write(everything=True)

    def _write(self, *, everything: bool) -> None:
        now = time.time()
        while self._pending:
            received = self._pending[0]
            frame = parsed(received.text)
            cause = self._causes.of(self._translator.names(frame))
            if cause is None and not everything and self._is_replaying() and now - received.at < CAUSE_S:
                return
            self._pending.popleft()
            self._record(received, frame, cause)

    def _record(self, received: Received, frame: Any, cause: Cause | None) -> None:
        person = received.person
        gone_at = self._gone_at(person)
        # Who has left is sent nothing by the legacy stack either.
        if gone_at is None or cause is None or cause.at <= gone_at:
            row = self._translator.event_row(
                frame, received.text, person.user, person.tenant, received.seq, received.at, cause
            )
            if row is not None:
                self._recorder.delivery(row)
        self.cursors[person] = received.event_id
