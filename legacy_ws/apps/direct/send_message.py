"""`sendMessage` (DC2): store the message, deliver it to every connection of the receiver, confirm it to the sender.
until phase 3
"""

from __future__ import annotations

import time
import uuid

from legacy_ws.apps.direct import services
from legacy_ws.apps.direct.addresses import address_field, room_of
from legacy_ws.apps.direct.messages import message_frame
from legacy_ws.apps.direct.people import address_of, deliver
from legacy_ws.apps.direct.times import EARLIEST
from legacy_ws.errors import ClientInputError
from legacy_ws.events import WebSocketEvent
from legacy_ws.frames import encode, text_field
from legacy_ws.handling import Response, handle_message
from legacy_ws.history import MAX_MESSAGE_FRAME_BYTES
from legacy_ws.router import Call, Router

__all__ = ["handler", "router"]

router = Router(field="action")


def handler(event: object, context: object) -> Response:
    """Lambda entry point."""
    return handle_message(router, event, context, sender_of=services.manager_for)


@router.route("sendMessage")
def send_message(call: Call) -> dict[str, object]:
    """{"action": "sendMessage", "receiverEmail": str, "message": str}."""
    event = call.event
    receiver = address_field(call.frame, "receiverEmail")
    text = text_field(call.frame, "message", max_bytes=services.settings().max_message_bytes)
    manager = services.manager_for(event)
    sender = address_of(manager, event)
    room = room_of(sender, receiver)
    message_id = str(uuid.uuid4())
    sketch = {"roomId": room, "messageId": message_id, "senderEmail": sender, "receiverEmail": receiver}
    if len(encode(message_frame({**sketch, "message": text, "timestamp": EARLIEST}))) > MAX_MESSAGE_FRAME_BYTES:
        # JSON escapes control characters six-fold: a message within the limit can still outgrow a frame.
        raise ClientInputError("message_too_long", '"message" does not fit into one frame.')

    frame = message_frame(services.messages().append(room, message_id, sender, receiver, text, _sent_at_us(event)))
    # Who writes to themselves is connected, whatever the index says by now.
    also = [event.connection_id] if receiver == sender else []
    delivered, failed = deliver(manager, receiver, frame, event=event, remaining=call.remaining, also=also)
    return {**frame, "type": "messageSent", "delivered": delivered, "failed": failed}


def _sent_at_us(event: WebSocketEvent) -> int:
    """When API Gateway got the frame, in microseconds: one clock for all Lambda hosts, so that a cold start does not
    change the order.
    """
    return (event.request_time_ms or int(time.time() * 1000)) * 1000
