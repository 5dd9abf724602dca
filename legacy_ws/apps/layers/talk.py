"""What people say to each other: chat, chat_typing, message (WL1, WL8, WL9). until phase 3"""

from __future__ import annotations

import uuid

from legacy_ws.apps.layers import services
from legacy_ws.apps.layers.caller import caller_of, id_field, own_id_field, require_fits
from legacy_ws.frames import bad_request, required_field, text_field
from legacy_ws.router import Call

__all__ = ["chat", "chat_typing", "message"]


def chat(call: Call) -> None:
    """{"type": "chat", "chat_id": str, "message": str, "message_id"?: str}: to the tenant, and to the responder."""
    me = caller_of(call)
    chat_id = id_field(me.frame, "chat_id")
    text = text_field(me.frame, "message", max_bytes=services.settings().max_message_bytes)
    message_id = own_id_field(me.frame, "message_id")
    ids = {"chat_id": chat_id, "message_id": message_id}
    shown = {"type": "chat_message", **ids, "user_id": me.user_id, "message": text, "timestamp": me.sent_at}
    require_fits(shown, "message")
    # First of all: "accepted" must be true, and a client that is told "unavailable" says the same thing again, which
    # the tenant must not hear twice.
    me.hand_over("chat", message_id, {"chat_id": chat_id, "message": text})
    me.tell({"type": "chat_response", **ids, "status": "accepted", "timestamp": me.sent_at})
    me.tell_tenant(shown)


def chat_typing(call: Call) -> None:
    """{"type": "chat_typing", "chat_id": str, "typing": bool}: to the tenant."""
    me = caller_of(call)
    chat_id, typing = id_field(me.frame, "chat_id"), required_field(me.frame, "typing")
    if not isinstance(typing, bool):
        raise bad_request('"typing" must be true or false.')
    me.tell_tenant({"type": "chat_typing", "chat_id": chat_id, "typing": typing, "user_id": me.user_id})


def message(call: Call) -> dict[str, object]:
    """{"type": "message", "message": str}: to the tenant; the sender is told how many got it."""
    me = caller_of(call)
    text = text_field(me.frame, "message", max_bytes=services.settings().max_message_bytes)
    message_id = str(uuid.uuid4())
    shown: dict[str, object] = {
        "type": "message",
        "message_id": message_id,
        "user_id": me.user_id,
        "message": text,
        "timestamp": me.sent_at,
    }
    require_fits(shown, "message")
    result = me.tell_tenant(shown)
    return {
        "type": "message_sent",
        "message_id": message_id,
        "delivered": result.delivered,
        "failed": len(result.failed),
    }
