"""The old stack's connections as the bridge needs them: by recipient, and whose one is. until phase 3

Names of attributes and indexes are those of `migrate.toml`. A table whose rows are no connections of their own (a map
or set of them in one item, a sort key) is refused: the bridge could not tell what to remove when one is gone.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from legacy_ws.aws import ManagementApi
from legacy_ws.dynamo import Table as DynamoTable
from legacy_ws.manager import ConnectionManager
from legacy_ws.schema import ConnectionSchema, Item
from migrate.bridge.core import NOBODY, Owner
from migrate.bridge.gateways import Gateways
from migrate.config import Config
from migrate.errors import UsageError

__all__ = ["LegacyConnections"]

# Not used by the bridge itself, which writes no row.
TTL_S = 3 * 3600
# Owners that are kept: a connection never changes its user.
OWNERS = 50_000
# How long it is remembered that a connection has no row (yet): its `$connect` may be about to write it.
ABSENT_S = 5.0


class LegacyConnections:
    """Connections of one stack.

    Args:
        schema: names in the table.
        manager: reads and posts.
    """

    def __init__(self, schema: ConnectionSchema, manager: ConnectionManager) -> None:
        self._schema = schema
        self._manager = manager
        self._owners: OrderedDict[str, tuple[float, Owner]] = OrderedDict()
        # Whose a connection is by what entered over it: all that is left of one whose row is gone.
        self._met: OrderedDict[str, Owner] = OrderedDict()
        # Whether table and authorizer name users alike (one may say the id, the other the address); None: not seen.
        self._are_alike: bool | None = None
        self._lock = threading.Lock()

    @classmethod
    def of(cls, config: Config) -> LegacyConnections:
        """Those of a stack's configuration.

        Raises: UsageError: there is no table of connections, or one the bridge cannot use.
        """
        tables = [table for table in config.tables if table.role == "connections"]
        if len(tables) != 1:
            raise UsageError(
                f"{config.path} names {len(tables)} tables of connections, and the bridge needs one",
                'give one of [[tables]] role = "connections"',
            )
        table = tables[0]
        if table.sort_key or table.map_attribute or table.id_prefix or table.row_prefix or not table.key:
            raise UsageError(
                f"the bridge cannot use the table {table.name}: its rows are not one connection each, keyed by its id",
                "run the clients through virtual connections instead of the bridge: docs/guides/virtual-connections.md",
            )
        schema = ConnectionSchema(
            key=table.key,
            ttl=table.ttl or "ttl",
            connected_at=table.connected_at or "connectedAt",
            user=table.user or None,
            tenant=table.tenant or None,
            user_index=table.user_index or None,
            tenant_index=table.tenant_index or None,
        )
        urls = (config.management_url, *config.cleanup.also_ask)
        poster = Gateways([ManagementApi(_at(config, url).client("apigatewaymanagementapi")) for url in urls])
        rows = DynamoTable(config.client("dynamodb"), table.name)
        return cls(schema, ConnectionManager(schema, rows, poster, ttl_s=TTL_S))

    def to(self, recipients: str, tenant: str) -> list[Item]:
        """The rows of `all`, `user:ID` or `tenant:ID`, each connection once; none that names another tenant than
        `tenant`: on the SSE service an event is for one tenant, and a user's id may be somebody else's in another.
        """
        kind, _, name = recipients.partition(":")
        rows: Iterable[Item]
        if kind == "user" and self._schema.user is not None:
            if self._schema.user_index is not None:
                rows = self._manager.of_user(name)
            else:
                rows = (row for row in self._all() if row.get(self._schema.user) == name)
        elif kind == "tenant" and self._schema.tenant is not None:
            if self._schema.tenant_index is not None:
                rows = (row for page in self._manager.of_tenant(name) for row in page)
            else:
                rows = (row for row in self._all() if row.get(self._schema.tenant) == name)
        elif kind in {"all", "tenant"}:
            rows = self._all()
        else:
            raise UsageError(
                f"nobody can be reached as {kind!r}", "write all, user:ID or tenant:ID in [[features.collect]]"
            )
        mine = (row for row in rows if _text(row, self._schema.tenant) in {None, "", tenant})
        return list({str(row[self._schema.key]): row for row in mine}.values())

    def tenants(self) -> set[str]:
        """Every tenant that somebody who is connected belongs to."""
        name = self._schema.tenant
        return {str(row[name]) for row in self._all() if row.get(name)} if name is not None else set()

    def id_of(self, row: Item) -> str:
        return str(row[self._schema.key])

    def post(self, row: Item, frame: Mapping[str, object], seconds: float) -> bool:
        """Post one frame to one connection, tried again within `seconds`. False: it may live and did not get it."""
        end = time.monotonic() + seconds
        result = self._manager.broadcast(iter([[row]]), frame, remaining=lambda: end - time.monotonic())
        return not result.failed

    def met(self, connection_id: str, owner: Owner) -> None:
        """Told of what entered over a connection: the tee knows its user from the authorizer."""
        with self._lock:
            self._met[connection_id] = owner
            self._met.move_to_end(connection_id)
            while len(self._met) > OWNERS:
                self._met.popitem(last=False)

    def owner_of(self, connection_id: str) -> Owner:
        """Whose it is: by its row, or when that is gone, by what entered over it; else NOBODY."""
        with self._lock:
            until, known = self._owners.get(connection_id, (0.0, NOBODY))
        if known is not NOBODY or until > time.monotonic():
            return known
        row = self._manager.get(connection_id)
        with self._lock:
            met = self._met.get(connection_id)
            if row is None:
                owner = met if met is not None and self._are_alike else NOBODY
            else:
                owner = Owner(_text(row, self._schema.user), _text(row, self._schema.tenant))
                if met is not None and self._are_alike is not False:
                    self._are_alike = met.user == owner.user
            self._owners[connection_id] = (time.monotonic() + ABSENT_S, owner)
            while len(self._owners) > OWNERS:
                self._owners.popitem(last=False)
        return owner

    def _all(self) -> Iterable[Item]:
        return (row for page in self._manager.pages() for row in page)


def _at(config: Config, url: str) -> Config:
    """The same with another @connections address."""
    return replace(config, settings=replace(config.settings, api=replace(config.api, management_url=url)))


def _text(row: Item, name: str | None) -> str | None:
    value = row.get(name) if name else None
    return None if value is None else str(value)
