"""Route `chat` (WL1). until phase 3"""

from __future__ import annotations

from legacy_ws.apps.layers import services, talk
from legacy_ws.handling import Response, handle_message
from legacy_ws.router import Router

__all__ = ["handler", "router"]

router = Router(field="type")
router.route("chat")(talk.chat)


def handler(event: object, context: object) -> Response:
    """Lambda entry point."""
    return handle_message(router, event, context, sender_of=services.manager_for)
