"""Posting to a connection wherever it is: at API Gateway, or at a service that holds virtual ones. until phase 3

Both stand in one table while users move over (docs/guides/cutover.md). Asked at one of them only, a living connection
of the other one would look gone, and its row would be deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from legacy_ws.errors import ConnectionGoneError

__all__ = ["Gateway", "Gateways"]


class Gateway(Protocol):
    """`@connections` of one address, as `legacy_ws.aws.ManagementApi` offers it."""

    def post(self, connection_id: str, data: bytes) -> None:
        """Raises: ConnectionGoneError, SendFailedError."""

    def disconnect(self, connection_id: str) -> None:
        """Raises: as `post`."""


class Gateways:
    """Several of them as one: the first that knows the connection has it, gone is what none of them knows.

    Args:
        gateways: at least one; where most connections are comes first.
    """

    def __init__(self, gateways: Sequence[Gateway]) -> None:
        self._gateways = gateways

    def post(self, connection_id: str, data: bytes) -> None:
        """Raises: ConnectionGoneError, SendFailedError."""
        self._first(connection_id, lambda gateway: gateway.post(connection_id, data))

    def disconnect(self, connection_id: str) -> None:
        """Raises: as `post`."""
        self._first(connection_id, lambda gateway: gateway.disconnect(connection_id))

    def _first(self, connection_id: str, call: Callable[[Gateway], None]) -> None:
        for gateway in self._gateways:
            try:
                return call(gateway)
            except ConnectionGoneError:
                continue
        raise ConnectionGoneError(connection_id)
