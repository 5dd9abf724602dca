"""Wiring of the rooms handlers. until phase 3"""

from __future__ import annotations

from functools import partial

from legacy_ws import services
from legacy_ws.apps.rooms.messages import MessageStore
from legacy_ws.apps.rooms.schema import CONNECTIONS

__all__ = ["clear", "manager_for", "message_store", "settings"]

settings = services.settings
clear = services.clear
manager_for = partial(services.manager_for, CONNECTIONS)


def message_store() -> MessageStore:
    """The ChatMessages table. Raises: ConfigurationError."""
    return MessageStore(services.messages_table())
