"""`$connect` (WL1, WL2): store the connection with its user, its tenant and what its client is. until phase 3"""

from __future__ import annotations

from legacy_ws.apps.layers import services
from legacy_ws.events import WebSocketEvent
from legacy_ws.handling import Response, handle_life_cycle
from legacy_ws.log import log

__all__ = ["handler"]

_MAX_USER_AGENT = 256
_MAX_ADDRESS = 64


def handler(event: object, context: object) -> Response:  # noqa: ARG001
    """Lambda entry point; 200 lets the client in, 401 and 500 refuse the handshake."""
    return handle_life_cycle(_connect, event)


def _connect(event: WebSocketEvent) -> int:
    user, tenant = event.authorized("userId"), event.authorized("tenantId")
    if user is None or tenant is None:
        # A row without them would be in no index: nobody could ever send anything to this connection.
        log("WARNING", "unauthorized", reason="no_authorizer", requestId=event.request_id)
        return 401
    metadata = {
        "user_agent": _bounded(event.user_agent, _MAX_USER_AGENT),
        "source_ip": _bounded(event.source_ip, _MAX_ADDRESS),
    }
    services.manager_for(event).save(
        event.connection_id,
        connected_at_s=None if event.connected_at_ms is None else event.connected_at_ms / 1000,
        user=user,
        tenant=tenant,
        metadata={name: value for name, value in metadata.items() if value},
    )
    return 200


def _bounded(text: str | None, characters: int) -> str | None:
    """What a client says of itself, at most so many characters of it, and storable."""
    return None if text is None else text[:characters].encode("utf-8", "replace").decode()
