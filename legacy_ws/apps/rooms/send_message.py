"""`sendMessage` (RC3, RC5): store the message, then post it to every connection, the sender's included.
until phase 3
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from decimal import Decimal

from legacy_ws.apps.rooms import services
from legacy_ws.apps.rooms.messages import message_frame
from legacy_ws.apps.rooms.schema import CONNECTIONS, DEFAULT_ROOM, MAX_NAME_BYTES, MAX_ROOM_BYTES
from legacy_ws.errors import ClientInputError
from legacy_ws.events import WebSocketEvent
from legacy_ws.frames import bad_request, encode, text_field
from legacy_ws.handling import Response, handle_message
from legacy_ws.history import MAX_MESSAGE_FRAME_BYTES
from legacy_ws.log import log
from legacy_ws.manager import BroadcastResult, ConnectionManager
from legacy_ws.router import Call, Router
from legacy_ws.schema import Item

__all__ = ["handler", "router"]

router = Router(field="action")


def handler(event: object, context: object) -> Response:
    """Lambda entry point."""
    return handle_message(router, event, context, sender_of=services.manager_for)


@router.route("sendMessage")
def send_message(call: Call) -> None:
    """{"action": "sendMessage", "message": str, "userName"?: str, "roomId"?: str}; the answer is the
    broadcast.
    """
    event = call.event
    text = text_field(call.frame, "message", max_bytes=services.settings().max_message_bytes)
    room = text_field(call.frame, "roomId", max_bytes=MAX_ROOM_BYTES, default=DEFAULT_ROOM)
    given = text_field(call.frame, "userName", max_bytes=MAX_NAME_BYTES, default="") or None
    manager = services.manager_for(event)
    name = given or _known_name(manager, event)
    message_id = str(uuid.uuid4())
    sketch = {
        "roomId": room,
        "messageId": message_id,
        "userName": name,
        "message": text,
        "timestamp": Decimal(0),
    }
    if len(encode(message_frame(sketch))) > MAX_MESSAGE_FRAME_BYTES:
        # JSON escapes control characters six-fold: a message within the limit can still outgrow a frame.
        raise ClientInputError("message_too_long", '"message" does not fit into one frame.')

    row = services.message_store().append(room, message_id, name, text, _sent_at(event))
    own: list[Item] = []
    # The sender is connected, whatever the table says: it gets the message even when its row is missing.
    result = manager.broadcast(
        _watched(manager, event.connection_id, own),
        message_frame(row),
        remaining=call.remaining,
        also=[event.connection_id],
    )
    if given is not None and own and _NAME not in own[0]:
        # RC3: a name given only in a message is kept; the condition keeps a deleted row deleted.
        manager.update(event.connection_id, {_NAME: given}, only_if_absent=[_NAME])
    _record(event, message_id, result)


_NAME = CONNECTIONS.name or "userName"


def _watched(manager: ConnectionManager, connection_id: str, found: list[Item]) -> Iterator[list[Item]]:
    """Every page of connections; the row of `connection_id` is put into `found` on the way, which saves a
    read.
    """
    for page in manager.pages():
        found.extend(row for row in page if row[manager.schema.key] == connection_id)
        yield page


def _known_name(manager: ConnectionManager, event: WebSocketEvent) -> str:
    row = manager.get(event.connection_id) or {}
    name = row.get(_NAME) or event.authorized("userId")
    if not isinstance(name, str):
        raise bad_request('"userName" is missing, and this connection has none.')
    return name


def _sent_at(event: WebSocketEvent) -> Decimal:
    """When API Gateway got the frame: one clock for all Lambda hosts, so that a cold start does not change
    the order.
    """
    milliseconds = event.request_time_ms or int(time.time() * 1000)
    return Decimal(milliseconds) / 1000


def _record(event: WebSocketEvent, message_id: str, result: BroadcastResult) -> None:
    log(
        "WARNING" if result.failed else "INFO",
        "message_sent",
        requestId=event.request_id,
        connectionId=event.connection_id,
        messageId=message_id,
        **result.record,
    )
