"""Settings of the cut-over flags: which transport a client is told to use; part of Settings. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sse_service.variables import variable as _env

__all__ = ["TransportSettings"]


@dataclass(frozen=True)
class TransportSettings:
    """Times in seconds."""

    transport_table: str = _env(
        "SSE_TRANSPORT_TABLE",
        "",
        "DynamoDB table with the cut-over flags GET /api/transport answers by; empty: everybody is on sse",
    )
    transport_refresh_s: float = _env(
        "SSE_TRANSPORT_REFRESH_S", 1.0, "how often that table is read", low=0.05, high=3600
    )
    transport_default: str = _env(
        "SSE_TRANSPORT_DEFAULT",
        "websocket",
        "with that table: what is answered for a feature without a flag, and before the table could be read for the "
        "first time: websocket or sse",
    )
    transport_poll_s: float = _env(
        "SSE_TRANSPORT_POLL_S", 30.0, "how often clients are told to ask again (pollAfterMs)", low=0.1, high=86400
    )
    transport_user: str = _env(
        "SSE_TRANSPORT_USER",
        "userId",
        "virtual connections: what the authorizer's context calls the user; where it is missing, principalId",
    )
    transport_tenant: str = _env(
        "SSE_TRANSPORT_TENANT",
        "tenantId",
        "virtual connections: what the authorizer's context calls the tenant; where it is missing, "
        "SSE_JWT_DEFAULT_TENANT",
    )

    def transport_problems(self) -> Iterator[str]:
        if self.transport_default not in {"websocket", "sse"}:
            yield f"SSE_TRANSPORT_DEFAULT={self.transport_default!r}: must be one of websocket, sse"
        # CreateTable, TableName: "Minimum length of 3 [here as a name]. Pattern: [a-zA-Z0-9_.-]+".
        if self.transport_table and not re.fullmatch(r"[a-zA-Z0-9_.-]{3,255}", self.transport_table):
            yield f"SSE_TRANSPORT_TABLE={self.transport_table!r}: must be a table's name"
