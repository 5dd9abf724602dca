"""Whose connection this is, and frames to everybody else's. until phase 3"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from legacy_ws.apps.direct.schema import EMAIL
from legacy_ws.errors import ClientInputError
from legacy_ws.events import WebSocketEvent
from legacy_ws.log import log
from legacy_ws.manager import BroadcastResult, ConnectionManager

__all__ = ["address_of", "deliver"]

# Time kept back, of what is left, for the answer to the asking connection.
_ANSWER_S = 2.0


def address_of(manager: ConnectionManager, event: WebSocketEvent) -> str:
    """The address of the connection that `event` came from.

    The row wins: it is what others are looked up by, so somebody sends under the address at which they receive. It is
    missing when TTL, an operator or a wrong 410 has removed it; then the authorizer's context counts, which API Gateway
    passes on with every message of a connection, and which comes from the same verified token.

    Raises: ClientInputError (unauthorized): neither knows one.
    """
    row = manager.get(event.connection_id) or {}
    address = row.get(EMAIL) or event.authorized(EMAIL)
    if not isinstance(address, str):
        raise ClientInputError("unauthorized", "This connection has no address; connect again.")
    return address


def deliver(
    manager: ConnectionManager,
    address: str,
    frame: Mapping[str, object],
    *,
    event: WebSocketEvent,
    remaining: Callable[[], float],
    also: Collection[str] = (),
) -> tuple[int, int]:
    """Send a frame to every connection of an address.

    What it is about is stored already, so nothing that goes wrong here may look as if it were not: it is counted and
    logged, never raised.

    Args:
        also: connections that get it even when the index does not have them yet.
    Returns: how many got it, and how many did not although they may live (1 when nobody could be looked up).
    """
    try:
        result = manager.broadcast(
            iter([manager.of_user(address)]), frame, remaining=lambda: remaining() - _ANSWER_S, also=also
        )
    except Exception as error:
        log(
            "ERROR",
            "not_delivered",
            requestId=event.request_id,
            connectionId=event.connection_id,
            messageId=frame.get("messageId"),
            errorType=type(error).__name__,
            errorMessage=str(error),
        )
        return 0, 1
    _record(event, frame, result)
    return result.delivered, len(result.failed)


def _record(event: WebSocketEvent, frame: Mapping[str, object], result: BroadcastResult) -> None:
    log(
        "WARNING" if result.failed else "INFO",
        f"{frame['type']}_sent",
        requestId=event.request_id,
        connectionId=event.connection_id,
        messageId=frame.get("messageId"),
        **result.record,
    )
