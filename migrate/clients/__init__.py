"""Small asynchronous clients of both stacks, for probes, sample traffic and the bridge. until phase 3"""

from __future__ import annotations

from migrate.clients.backoff import Backoff
from migrate.clients.errors import ClientError, NotConnectedError, RefusedByServerError
from migrate.clients.sse import CONTROL_EVENTS, SseClient, SseEvent, new_http_client
from migrate.clients.states import ConnectionState, StateChange
from migrate.clients.upinfo import UpInfo
from migrate.clients.ws import WsClient, WsFrame

__all__ = [
    "CONTROL_EVENTS",
    "Backoff",
    "ClientError",
    "ConnectionState",
    "NotConnectedError",
    "RefusedByServerError",
    "SseClient",
    "SseEvent",
    "StateChange",
    "UpInfo",
    "WsClient",
    "WsFrame",
    "new_http_client",
]
