"""Wiring of the direct handlers. until phase 3"""

from __future__ import annotations

from functools import partial

from legacy_ws import services
from legacy_ws.apps.direct.messages import DirectMessages
from legacy_ws.apps.direct.schema import CONNECTIONS

__all__ = ["clear", "manager_for", "messages", "settings"]

settings = services.settings
clear = services.clear
manager_for = partial(services.manager_for, CONNECTIONS)


def messages() -> DirectMessages:
    """The messages table. Raises: ConfigurationError."""
    return DirectMessages(services.messages_table(), workers=settings().fanout_workers)
