"""`read` (DC5): mark what somebody's messages to the reader are as read, and tell them. until phase 3"""

from __future__ import annotations

from legacy_ws.apps.direct import services
from legacy_ws.apps.direct.addresses import address_field, room_of
from legacy_ws.apps.direct.people import address_of, deliver
from legacy_ws.apps.direct.times import time_field
from legacy_ws.handling import Response, handle_message
from legacy_ws.log import log
from legacy_ws.router import Call, Router

__all__ = ["handler", "router"]

router = Router(field="action")

# Time kept back, of what is left, for telling both sides.
_TELL_S = 4.0


def handler(event: object, context: object) -> Response:
    """Lambda entry point."""
    return handle_message(router, event, context, sender_of=services.manager_for)


@router.route("read")
def read(call: Call) -> dict[str, object]:
    """{"action": "read", "with": str, "upTo"?: timestamp}."""
    event = call.event
    partner = address_field(call.frame, "with")
    up_to = time_field(call.frame, "upTo")
    manager = services.manager_for(event)
    reader = address_of(manager, event)
    room = room_of(reader, partner)
    receipt = services.messages().mark_read(room, reader, up_to, remaining=lambda: call.remaining() - _TELL_S)
    if not receipt.complete:
        log(
            "WARNING",
            "read_out_of_time",
            requestId=event.request_id,
            connectionId=event.connection_id,
            count=receipt.count,
        )
    frame: dict[str, object] = {
        "type": "read",
        "roomId": room,
        "readerEmail": reader,
        "upTo": receipt.up_to or (up_to if receipt.complete else None),
        "count": receipt.count,
    }
    # With nothing new to tell, the partner is left alone: otherwise anybody could send frames to any address.
    if receipt.count:
        deliver(manager, partner, frame, event=event, remaining=call.remaining)
    return {**frame, "type": "readDone"}
