"""Routes of a WebSocket API that are API Gateway's own, not the application's (API Gateway guide, "Working with routes
for WebSocket APIs"). Pure. until phase 3
"""

from __future__ import annotations

__all__ = ["CONNECT", "DISCONNECT", "LIFE_ROUTES", "OWN_ROUTES"]

CONNECT, DISCONNECT = "$connect", "$disconnect"
LIFE_ROUTES = frozenset({CONNECT, DISCONNECT})
"""Of a connection's beginning and end."""
OWN_ROUTES = (CONNECT, DISCONNECT, "$default")
