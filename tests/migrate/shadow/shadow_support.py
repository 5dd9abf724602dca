"""Records of the tee for tests of the shadow. until phase 3"""

from __future__ import annotations

import json
from typing import Any

from migrate.tee.records import Post, TeeRecord

__all__ = ["record"]


def record(**changes: Any) -> TeeRecord:
    """A record of one frame in a room; `body` and `posts` as values, not as text."""
    body = changes.pop("body", {"action": "sendMessage", "message": "hi", "roomId": "main"})
    posts = changes.pop("posts", [])
    facts: dict[str, Any] = {
        "request_id": "r-1",
        "api_id": "api",
        "stage": "prod",
        "route_key": "sendMessage",
        "event_type": "MESSAGE",
        "connection_id": "c-ann",
        "user": "ann",
        "tenant": "demo",
        "at": 1000.0,
        "body": None if body is None else json.dumps(body),
        "failed": False,
        "truncated": False,
        "dropped_before": 0,
        "posts": tuple(Post(json.dumps(frame), False, at, tuple(ok), tuple(gone), ()) for frame, at, ok, gone in posts),
        "env": "w1",
        "number": 1,
        "status": 200,
        **changes,
    }
    return TeeRecord(**facts)
