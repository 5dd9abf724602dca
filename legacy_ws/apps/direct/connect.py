"""`$connect` (DC1): store the connection's row under the address that the authorizer has verified. until phase 3"""

from __future__ import annotations

from legacy_ws.apps.direct import services
from legacy_ws.apps.direct.addresses import address_field
from legacy_ws.apps.direct.schema import EMAIL
from legacy_ws.events import WebSocketEvent
from legacy_ws.handling import Response, handle_life_cycle

__all__ = ["handler"]


def handler(event: object, context: object) -> Response:  # noqa: ARG001
    """Lambda entry point; 200 lets the client in, 400 (no usable address) and 500 refuse the handshake."""
    return handle_life_cycle(_connect, event)


def _connect(event: WebSocketEvent) -> int:
    # Only the authorizer's word counts: an address in the query string could be anybody's.
    services.manager_for(event).save(
        event.connection_id,
        connected_at_s=None if event.connected_at_ms is None else event.connected_at_ms / 1000,
        user=address_field(event.authorizer, EMAIL),
    )
    return 200
