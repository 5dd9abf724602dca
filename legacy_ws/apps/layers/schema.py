"""Names and limits of the layers application. until phase 3

Pure. Source of the names: the document on the layered WebSocket architecture (WL1-WL6).
"""

from __future__ import annotations

from legacy_ws.schema import ConnectionSchema

__all__ = [
    "CONNECTIONS",
    "MAX_DOCUMENTS",
    "MAX_DOCUMENT_BYTES",
    "MAX_ID_BYTES",
    "OWN_ROUTES",
    "SERVER_ONLY",
    "TENANT_INDEX",
    "USER_INDEX",
]

USER_INDEX = "UserIndex"
TENANT_INDEX = "TenantIndex"

CONNECTIONS = ConnectionSchema(
    key="connection_id",
    ttl="ttl",
    connected_at="connected_at",
    user="user_id",
    tenant="tenant_id",
    last_activity="last_activity",
    metadata="metadata",
    user_index=USER_INDEX,
    tenant_index=TENANT_INDEX,
    iso_times=True,
)

OWN_ROUTES = ("chat", "ping")
"""Message types with a Lambda function of their own; all others go through `$default`."""

SERVER_ONLY = (
    "agent_run_notification",
    "agent_run_response",
    "chat_response",
    "chat_stream_chunk",
    "chat_stream_end",
    "chat_stream_start",
    "error",
    "library_process_response",
    "library_processing_notification",
    "message_sent",
)
"""Message types that a client gets and may not send."""

MAX_ID_BYTES = 128
"""UTF-8 bytes of an id that a client gives."""

MAX_DOCUMENTS = 100
MAX_DOCUMENT_BYTES = 1024
