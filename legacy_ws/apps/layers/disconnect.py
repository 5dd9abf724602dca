"""`$disconnect` (WL1): delete the connection's row. API Gateway calls it on best effort. until phase 3"""

from __future__ import annotations

from legacy_ws.apps.layers import services
from legacy_ws.events import WebSocketEvent
from legacy_ws.handling import Response, handle_life_cycle

__all__ = ["handler"]


def handler(event: object, context: object) -> Response:  # noqa: ARG001
    """Lambda entry point."""
    return handle_life_cycle(_disconnect, event)


def _disconnect(event: WebSocketEvent) -> int:
    services.manager_for(event).remove(event.connection_id)
    return 200
