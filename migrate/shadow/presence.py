"""Who comes and goes, as the records say: those who are away miss nothing that they should have. Pure. until phase 3"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from migrate.compare.deliveries import Span
from migrate.shadow.people import People, Person
from migrate.tee.records import TeeRecord

__all__ = ["Presence"]


class Presence:
    """The people of a run.

    Args:
        tenant_of: the tenant of a record's user.
        on_span: is told when somebody was away.
    """

    def __init__(self, tenant_of: Callable[[TeeRecord], str], on_span: Callable[[Span], None]) -> None:
        self._tenant_of = tenant_of
        self._on_span = on_span
        self._people = People()
        self._gone_at: dict[Person, float] = {}

    def came(self, record: TeeRecord) -> Person | None:
        """Note whose connection it is; the person, when it is their first one."""
        if not record.user or not record.connection_id or record.event_type == "DISCONNECT":
            return None
        if record.event_type == "CONNECT" and (record.failed or (record.status or 200) >= 300):
            return None
        person = Person(self._tenant_of(record), record.user)
        if not self.found(record.connection_id, person):
            return None
        since = self._gone_at.pop(person, None)
        if since is not None:
            self._tell_away(person, since, record.at)
        return person

    def left(self, record: TeeRecord) -> Person | None:
        """Note the end of a connection; the person, when it was their last one."""
        if record.event_type != "DISCONNECT":
            return None
        person = self._people.disconnected(record.connection_id)
        if person is not None:
            self._gone_at[person] = record.at
        return person

    def found(self, connection_id: str, person: Person) -> bool:
        """Note a connection that a table has; True when it is the person's first one."""
        return self._people.connected(connection_id, person)

    def who(self, connection_id: str) -> Person | None:
        """Whose connection it is or was."""
        return self._people.who(connection_id)

    def online(self) -> Iterator[Person]:
        """Everybody with a connection."""
        return self._people.online()

    def gone_at(self, person: Person) -> float | None:
        """When somebody's last connection ended, epoch seconds; None: they are there."""
        return self._gone_at.get(person)

    def close(self, now: float) -> None:
        """The run is over: say who is away still."""
        for person, since in self._gone_at.items():
            self._tell_away(person, since, now)

    def _tell_away(self, person: Person, since: float, until: float) -> None:
        self._on_span(Span("gap", None, person.user, since, until, "was not connected"))
