"""`$connect` (RC1): store connectionId, userName, userId, tenantId, connectedAt and the TTL. until phase 3"""

from __future__ import annotations

from legacy_ws.apps.rooms import services
from legacy_ws.apps.rooms.schema import MAX_NAME_BYTES
from legacy_ws.events import WebSocketEvent
from legacy_ws.frames import text_field
from legacy_ws.handling import Response, handle_life_cycle

__all__ = ["handler"]


def handler(event: object, context: object) -> Response:  # noqa: ARG001
    """Lambda entry point; 200 lets the client in, 400 and 500 refuse the handshake."""
    return handle_life_cycle(_connect, event)


def _connect(event: WebSocketEvent) -> int:
    given = event.query.get("userName")
    name = text_field(event.query, "userName", max_bytes=MAX_NAME_BYTES) if given else None
    services.manager_for(event).save(
        event.connection_id,
        connected_at_s=None if event.connected_at_ms is None else event.connected_at_ms / 1000,
        user=event.authorized("userId"),
        tenant=event.authorized("tenantId"),
        name=name,
    )
    return 200
