"""How a connections table names its attributes and indexes: the one thing in which the applications differ.
until phase 3

Pure: no I/O, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

__all__ = ["ConnectionSchema", "Item", "epoch_of"]

Item = dict[str, object]
"""One row: attribute name -> str, int, Decimal, bool, None, list or dict."""


@dataclass(frozen=True)
class ConnectionSchema:
    """Names in one connections table; an attribute that a table does not have is None.

    Args:
        key: partition key, holds API Gateway's connection id.
        ttl: DynamoDB TTL attribute, epoch seconds.
        connected_at: time of the handshake.
        user, tenant: from the authorizer's context.
        name: display name given by the client.
        last_activity: time of the last frame.
        metadata: free-form map.
        user_index: index whose partition key is `user`.
        tenant_index: index whose partition key is `tenant`.
        iso_times: times are ISO 8601 text in UTC instead of epoch seconds (the TTL is always epoch seconds).
    """

    key: str
    ttl: str
    connected_at: str
    user: str | None = None
    tenant: str | None = None
    name: str | None = None
    last_activity: str | None = None
    metadata: str | None = None
    user_index: str | None = None
    tenant_index: str | None = None
    iso_times: bool = False

    def time_value(self, epoch_s: float) -> int | str:
        """`epoch_s` in the form this table stores times."""
        if self.iso_times:
            return datetime.fromtimestamp(epoch_s, UTC).isoformat()
        return int(epoch_s)


def epoch_of(value: object) -> float | None:
    """Epoch seconds of a stored time (number or ISO 8601 text; without an offset it is UTC); None when
    unreadable.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float | Decimal):
        return float(value)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None
