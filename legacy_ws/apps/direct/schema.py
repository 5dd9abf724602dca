"""Names and limits of the direct application. until phase 3

Pure. Source of the names: the 1:1 chat document (DC1, DC2).
"""

from __future__ import annotations

from legacy_ws.schema import ConnectionSchema

__all__ = ["ACTIONS", "CONNECTIONS", "EMAIL", "MAX_ADDRESS_BYTES"]

EMAIL = "email"
"""The verified address: in the authorizer's context, and in a connection's row."""

CONNECTIONS = ConnectionSchema(
    key="connectionId",
    ttl="ttl",
    connected_at="connectedAt",
    user=EMAIL,
    user_index="email-index",
    iso_times=True,
)

ACTIONS = ("sendMessage", "getHistory", "read")

# RFC 5321, 4.5.3.1: 64 octets before the "@", 255 behind it. Two of these, with every "%" and "#" written as three
# bytes, fit into DynamoDB's longest partition key (2,048 bytes).
MAX_ADDRESS_BYTES = 320
