"""What crosses the bridge, and as what. Pure. until phase 3"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from migrate.tee.records import TeeRecord

__all__ = ["ORIGIN", "BridgeRule", "SsePublication", "frame_for_legacy", "publications"]

ORIGIN = "legacy"


@dataclass(frozen=True)
class BridgeRule:
    """Which frames of the legacy stack are messages to others, and where they belong on the SSE service.

    Attributes:
        type_field: the field of a frame that names its type.
        types: the types that cross; answers to one client (history, errors, pongs) do not.
        room_field: the field that names the room; the topic is `room:` and its value.
        key_field: the field that identifies the message, whichever way it travels.
    """

    type_field: str = "type"
    types: tuple[str, ...] = ("message",)
    room_field: str = "roomId"
    key_field: str = "messageId"


@dataclass(frozen=True)
class SsePublication:
    """One event for `POST /api/events`."""

    tenant: str
    topic: str
    type: str
    key: str
    data: Mapping[str, object] = field(hash=False)

    def body(self) -> dict[str, object]:
        """The element of the request's `events` list."""
        room = self.topic.partition(":")[2]
        return {
            "topic": self.topic,
            "type": self.type,
            "data": dict(self.data),
            "key": self.key,
            "origin": ORIGIN,
            "ensureConversation": {"conversationId": room, "open": True},
        }


def publications(record: TeeRecord, rule: BridgeRule, default_tenant: str) -> list[SsePublication]:
    """What the SSE service must be told of one invocation of a legacy Lambda, in the order it was posted.

    A frame that was posted several times (to several connections, or again after throttling) is one publication. A
    frame that reached nobody counts as well: it was sent, and the new stack's users are owed it.
    """
    found: dict[str, SsePublication] = {}
    for post in sorted(record.posts, key=lambda post: post.at):
        if post.base64:
            continue
        frame = _object(post.data)
        kind = frame.get(rule.type_field)
        room, key = frame.get(rule.room_field), frame.get(rule.key_field)
        if kind not in rule.types or not isinstance(room, str) or not isinstance(key, str):
            continue
        found.setdefault(
            key,
            SsePublication(
                tenant=record.tenant or default_tenant,
                topic=f"room:{room}",
                type=str(kind),
                key=key,
                data=frame,
            ),
        )
    return list(found.values())


def frame_for_legacy(envelope: Mapping[str, object], rule: BridgeRule) -> str | None:
    """The WebSocket frame of one event of the SSE service, or None when it does not cross.

    Args:
        envelope: an event of `GET /api/streams`: {"id", "topic", "type", "origin", "key", "time", "data"}.
    """
    if envelope.get("origin") == ORIGIN or envelope.get("type") not in rule.types:
        return None
    if not str(envelope.get("topic", "")).startswith("room:"):
        return None
    return json.dumps(envelope["data"], ensure_ascii=False, separators=(",", ":"))


def _object(text: str) -> Mapping[str, object]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
