"""Who is behind which connection, and who is connected. Pure. until phase 3"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from migrate.config.model import Table
from sse_service.flags import bucket

__all__ = ["SALT", "People", "Person", "connections_in", "is_sampled"]

SALT = "shadow"
# Of connections that have ended: posts to them still come, as gone.
KEPT = 200_000


@dataclass(frozen=True)
class Person:
    """A user of a tenant."""

    tenant: str
    user: str


def is_sampled(person: Person, percent: float) -> bool:
    """Whether a user is shadowed: always the same answer for the same user, and more of them with a larger share."""
    return bucket("shadow", person.tenant, person.user, SALT) < percent * 100


class People:
    """Connections and their users, from connect and disconnect records and the connection table."""

    def __init__(self) -> None:
        self._of: dict[str, Person] = {}
        self._open: dict[Person, set[str]] = {}
        self._ended: dict[str, None] = {}

    def connected(self, connection_id: str, person: Person) -> bool:
        """Note a connection; True when it is the person's first now."""
        if connection_id in self._ended:
            return False
        self._of[connection_id] = person
        open_ = self._open.setdefault(person, set())
        open_.add(connection_id)
        return len(open_) == 1

    def disconnected(self, connection_id: str) -> Person | None:
        """Note the end of a connection; the person, when it was the last one."""
        self._ended[connection_id] = None
        if len(self._ended) > KEPT:
            oldest = next(iter(self._ended))
            del self._ended[oldest]
            self._of.pop(oldest, None)
        person = self._of.get(connection_id)
        if person is None:
            return None
        open_ = self._open.get(person, set())
        open_.discard(connection_id)
        if open_:
            return None
        self._open.pop(person, None)
        return person

    def who(self, connection_id: str) -> Person | None:
        """Whose connection it is or was."""
        return self._of.get(connection_id)

    def online(self) -> Iterator[Person]:
        """Everybody with a connection."""
        yield from self._open


def connections_in(table: Table, item: Mapping[str, Any], default_tenant: str) -> Iterator[tuple[str, Person]]:
    """Connections in one row of a connection table, as DynamoDB has it."""
    read = TypeDeserializer()
    row = {name: read.deserialize(value) for name, value in item.items()}
    if table.row_prefix and not str(row.get(table.key, "")).startswith(table.row_prefix):
        return
    user, tenant = row.get(table.user), row.get(table.tenant) if table.tenant else None
    if not isinstance(user, str) or not user:
        return
    person = Person(str(tenant or default_tenant), user)
    if table.map_attribute:
        held = row.get(table.map_attribute) or {}
        entries = held.items() if isinstance(held, Mapping) else ((str(one), {}) for one in held)
        for name, entry in entries:
            given = entry.get(table.map_id) if table.map_id and isinstance(entry, Mapping) else name
            if isinstance(given, str):
                yield given, person
        return
    connection_id = row.get(table.key)
    if isinstance(connection_id, str):
        yield connection_id.removeprefix(table.id_prefix), person
