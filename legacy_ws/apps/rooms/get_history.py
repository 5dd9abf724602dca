"""`getHistory` (RC4, RC5): the latest messages of a room, oldest first, to the asking connection. until
phase 3
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from legacy_ws.apps.rooms import services
from legacy_ws.apps.rooms.messages import LATEST, MICROSECOND
from legacy_ws.apps.rooms.schema import DEFAULT_ROOM, MAX_ROOM_BYTES
from legacy_ws.frames import bad_request, text_field, whole_number_field
from legacy_ws.handling import Response, handle_message
from legacy_ws.router import Call, Router

__all__ = ["handler", "router"]

router = Router(field="action")


def handler(event: object, context: object) -> Response:
    """Lambda entry point."""
    return handle_message(router, event, context, sender_of=services.manager_for)


@router.route("getHistory")
def get_history(call: Call) -> dict[str, object]:
    """{"action": "getHistory", "roomId"?: str, "limit"?: int, "before"?: seconds, "after"?: seconds}."""
    settings = services.settings()
    room = text_field(call.frame, "roomId", max_bytes=MAX_ROOM_BYTES, default=DEFAULT_ROOM)
    limit = whole_number_field(
        call.frame, "limit", low=1, high=settings.history_max_limit, default=settings.history_limit
    )
    page = services.message_store().page(
        room, limit=limit, before=_time(call.frame, "before"), after=_time(call.frame, "after")
    )
    return {"type": "history", "roomId": room, "messages": page.messages, "before": page.before}


def _time(frame: Mapping[str, object], name: str) -> Decimal | None:
    """A bound in UNIX seconds, to the microsecond; null counts as absent."""
    value = frame.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value <= LATEST:
        raise bad_request(f'"{name}" must be a time in UNIX seconds.')
    return Decimal(value).quantize(MICROSECOND)
