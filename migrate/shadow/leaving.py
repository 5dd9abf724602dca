"""Writes what the legacy stack delivered to sampled people because of sampled people. until phase 3"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from migrate.shadow.correlation import Causes
from migrate.shadow.people import Person
from migrate.shadow.recorder import Recorder
from migrate.shadow.translate import Cause, Translator, is_for_others
from migrate.tee.records import TeeRecord

__all__ = ["Leaving"]


class Leaving:
    """The rows of what left.

    Args:
        causes: say who asked for an answer that comes from elsewhere.
        is_sampled: whether a user is shadowed now.
        who: whose a connection is or was, wherever that has to be looked up.
        recorder: the rows.
    """

    def __init__(
        self,
        translator: Translator,
        causes: Causes,
        is_sampled: Callable[[Person], bool],
        who: Callable[[str], Awaitable[Person | None]],
        recorder: Recorder,
    ) -> None:
        self._translator = translator
        self._causes = causes
        self._is_sampled = is_sampled
        self._who = who
        self._recorder = recorder
        self.unknown_connections = 0

    async def write(self, record: TeeRecord) -> None:
        """Write what was posted with a record."""
        cause: Cause | None = None
        if record.user and not record.is_answer:
            cause = Cause(record.request_id, record.user, self._translator.tenant_of(record), record.at)
            if not self._is_shadowed(cause):
                return
        for connection_id, feature, frame, row in self._translator.rows(record, cause):
            person = await self._who(connection_id)
            if person is None:
                self.unknown_connections += 1
                continue
            known = cause
            if record.is_answer:
                # Nothing on the record says who asked: the ids in the frame do.
                known = self._causes.of(self._translator.names(frame))
                if known is not None and not self._is_shadowed(known):
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

    def _is_shadowed(self, cause: Cause) -> bool:
        return self._is_sampled(Person(cause.tenant, cause.user))
