"""`getHistory`: the latest messages with somebody, newest first (as DC3 has them), to the asking connection.
until phase 3
"""

from __future__ import annotations

from legacy_ws.apps.direct import services
from legacy_ws.apps.direct.addresses import address_field, room_of
from legacy_ws.apps.direct.people import address_of
from legacy_ws.apps.direct.times import time_field
from legacy_ws.frames import whole_number_field
from legacy_ws.handling import Response, handle_message
from legacy_ws.router import Call, Router

__all__ = ["handler", "router"]

router = Router(field="action")


def handler(event: object, context: object) -> Response:
    """Lambda entry point."""
    return handle_message(router, event, context, sender_of=services.manager_for)


@router.route("getHistory")
def get_history(call: Call) -> dict[str, object]:
    """{"action": "getHistory", "with": str, "limit"?: int, "before"?: timestamp}."""
    settings = services.settings()
    partner = address_field(call.frame, "with")
    limit = whole_number_field(
        call.frame, "limit", low=1, high=settings.history_max_limit, default=settings.history_limit
    )
    before = time_field(call.frame, "before")
    # The asker's own address is one half of the room: nobody can name a conversation they have no part in.
    room = room_of(address_of(services.manager_for(call.event), call.event), partner)
    page = services.messages().page(room, limit=limit, before=before)
    return {"type": "history", "roomId": room, "messages": page.messages, "before": page.before}
