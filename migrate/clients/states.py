"""The states of a connection that its user is told about. until phase 3"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["ConnectionState", "OnState", "StateChange"]


class ConnectionState(StrEnum):
    """Where a client is.

    CONNECTING  a request is on its way
    OPEN        the server accepted it
    LIVE        what happens from now on arrives (SSE: after the first `ready`; WebSocket: with OPEN)
    WAITING     the connection ended or failed; another attempt follows after `delay_s`
    CLOSED      no further attempt: closed by us, ended by the server for good, or refused
    """

    CONNECTING = "connecting"
    OPEN = "open"
    LIVE = "live"
    WAITING = "waiting"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class StateChange:
    """One change of state.

    Args:
        state: the new state.
        at: epoch seconds.
        reason: in words, without secrets; empty when there is nothing to say.
        delay_s: seconds until the next attempt (WAITING only).
        recovered: LIVE only: False when what was missed meanwhile could not be had any more, True when it
            could or nothing was missed, None when the protocol does not say.
    """

    state: ConnectionState
    at: float
    reason: str = ""
    delay_s: float | None = None
    recovered: bool | None = None


OnState = Callable[[StateChange], None]
