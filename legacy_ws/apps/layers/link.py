"""What is about the connection itself: connect, disconnect, ping, pong (WL1). until phase 3"""

from __future__ import annotations

from legacy_ws.apps.layers.caller import caller_of
from legacy_ws.apps.layers.times import iso
from legacy_ws.errors import LegacyWsError, SendFailedError
from legacy_ws.router import Call

__all__ = ["connect", "disconnect", "ping", "pong"]


def connect(call: Call) -> dict[str, object]:
    """{"type": "connect"}: who and what this connection is."""
    me = caller_of(call)
    milliseconds = me.event.connected_at_ms
    return {
        "type": "connect",
        "connection_id": me.event.connection_id,
        "user_id": me.user_id,
        "tenant_id": me.tenant_id,
        "connected_at": None if milliseconds is None else iso(milliseconds / 1000),
    }


def disconnect(call: Call) -> None:
    """{"type": "disconnect"}: the server closes the connection."""
    me = caller_of(call)
    try:
        me.manager.close(me.event.connection_id)
    except SendFailedError as error:
        raise LegacyWsError(f"the connection was not closed: {error.reason}") from None


def ping(call: Call) -> dict[str, object]:
    """{"type": "ping"}: pong."""
    caller_of(call)
    return {"type": "pong"}


def pong(call: Call) -> None:
    """{"type": "pong"}: the activity is noted, nothing else."""
    caller_of(call)
