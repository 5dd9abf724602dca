"""Wiring that the applications share: settings, tables and connection managers, made once per execution environment.
until phase 3
"""

from __future__ import annotations

import os
from functools import lru_cache

from legacy_ws import aws
from legacy_ws.dynamo import Table
from legacy_ws.errors import ConfigurationError
from legacy_ws.events import WebSocketEvent
from legacy_ws.manager import ConnectionManager, RetryPolicy
from legacy_ws.schema import ConnectionSchema
from legacy_ws.settings import Settings

__all__ = ["clear", "manager_at", "manager_for", "messages_table", "settings"]


def settings() -> Settings:
    """The settings of this execution environment. Raises: ConfigurationError."""
    return Settings.from_env(os.environ)


def manager_for(schema: ConnectionSchema, event: WebSocketEvent) -> ConnectionManager:
    """The connection manager for the stage that `event` came through."""
    return manager_at(schema, event.management_url)


def manager_at(schema: ConnectionSchema, management_url: str) -> ConnectionManager:
    """The connection manager for the stage whose `@connections` answers at `management_url`, unless
    LEGACY_WS_MANAGEMENT_URL names another place.
    """
    now = settings()
    return _manager(schema, now, now.management_url or management_url)


def messages_table() -> Table:
    """The table of chat messages. Raises: ConfigurationError."""
    name = settings().messages_table
    if name is None:
        raise ConfigurationError("LEGACY_WS_MESSAGES_TABLE", "is missing")
    return Table(aws.dynamodb(), name)


def clear() -> None:
    """Forget what was made so far."""
    _manager.cache_clear()
    aws.clear_clients()


@lru_cache(maxsize=8)
def _manager(schema: ConnectionSchema, now: Settings, management_url: str) -> ConnectionManager:
    if now.connections_table is None:
        raise ConfigurationError("LEGACY_WS_CONNECTIONS_TABLE", "is missing")
    return ConnectionManager(
        schema,
        Table(aws.dynamodb(), now.connections_table),
        aws.management(management_url),
        ttl_s=now.connection_ttl_s,
        retry=RetryPolicy(attempts=now.send_attempts),
        workers=now.fanout_workers,
    )
