"""`$default` (WL1, WL3): every message type without a route of its own, chosen by the frame's `type`. until phase 3

chat and ping are served here as well: an API that sends everything to `$default` needs nothing else.
"""

from __future__ import annotations

from legacy_ws.apps.layers import link, services, talk, work
from legacy_ws.apps.layers.schema import SERVER_ONLY
from legacy_ws.handling import Response, handle_message
from legacy_ws.router import Router

__all__ = ["handler", "router"]

router = Router(field="type")
for key, function in {
    "agent_run": work.agent_run,
    "chat": talk.chat,
    "chat_message": talk.chat,  # the document's own name for it
    "chat_typing": talk.chat_typing,
    "connect": link.connect,
    "disconnect": link.disconnect,
    "library_process": work.library_process,
    "message": talk.message,
    "ping": link.ping,
    "pong": link.pong,
}.items():
    router.route(key)(function)
router.refuse(SERVER_ONLY, "server_only_type", "Only the server sends frames of this type.")


def handler(event: object, context: object) -> Response:
    """Lambda entry point."""
    return handle_message(router, event, context, sender_of=services.manager_for)
