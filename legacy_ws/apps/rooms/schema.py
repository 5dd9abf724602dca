"""Names and limits of the rooms application. until phase 3

Pure. Source of the names: the room chat document (RC1-RC5).
"""

from __future__ import annotations

from legacy_ws.schema import ConnectionSchema

__all__ = ["ACTIONS", "CONNECTIONS", "DEFAULT_ROOM", "MAX_NAME_BYTES", "MAX_ROOM_BYTES"]

CONNECTIONS = ConnectionSchema(
    key="connectionId",
    ttl="ttl",
    connected_at="connectedAt",
    user="userId",
    tenant="tenantId",
    name="userName",
)

ACTIONS = ("sendMessage", "getHistory")
DEFAULT_ROOM = "main"
MAX_ROOM_BYTES = 256
MAX_NAME_BYTES = 256
