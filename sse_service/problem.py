"""The JSON text of a problem (RFC 9457). Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

__all__ = ["PROBLEM_TYPE", "problem_body"]

PROBLEM_TYPE = "application/problem+json"


def problem_body(
    status: int, code: str, title: str, detail: str, request_id: str, extra: Mapping[str, str] | None = None
) -> bytes:
    """What `extra` holds stands beside the fields that all have."""
    fields = {
        "type": f"urn:sse-service:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "requestId": request_id,
        **(extra or {}),
    }
    # ASCII: a detail may quote text that no UTF-8 can carry.
    return json.dumps(fields, ensure_ascii=True).encode()
