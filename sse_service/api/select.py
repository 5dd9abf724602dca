"""Which conversation a request means: by its id, or by the user on the other side. And times in queries."""

from __future__ import annotations

import re
from decimal import Decimal
from math import inf, isfinite

from sse_service.auth import Principal
from sse_service.chat import MICRO, ChatService
from sse_service.chat.frames import parse_iso
from sse_service.errors import InvalidInputError
from sse_service.events import check_name
from sse_service.logs import note
from sse_service.ports import Conversation

__all__ = ["conversation_of", "micros", "micros_of_number"]

_SECONDS = re.compile(r"[0-9]{1,11}(\.[0-9]{1,9})?", re.ASCII)


async def conversation_of(
    chat: ChatService,
    principal: Principal,
    conversation_id: str | None,
    partner: str | None,
    *,
    make: bool = False,
    default: str | None = None,
    field: str = "conversationId",
) -> Conversation:
    """The conversation that is named by one of the two, or the default one, if `principal` takes part in it.

    make: one with a partner is made where it is missing; otherwise it is only named. field: what the request calls the
    conversation. Raises InvalidInputError,
    ForbiddenError.
    """
    for name, value in ((field, conversation_id), ("with", partner)):
        if value:
            check_name(name, value)
    if conversation_id and partner:
        raise InvalidInputError("with", "name the conversation or its other side, not both")
    if partner:
        found = chat.conversations.find_direct(principal, partner)
        note(conversationId=found.conversation_id)
        return await chat.conversations.direct(principal, partner) if make else found
    chosen = conversation_id or default
    if not chosen:
        raise InvalidInputError(field, "is missing (or `with`, for a direct conversation)")
    note(conversationId=chosen)
    return await chat.admit(principal, chosen)


def message_key(message_id: str | None, key: str | None) -> str:
    """What makes a repeat recognisable where a message has two ways to say it ("" where it says neither)."""
    if message_id:
        check_name("message_id", message_id)
    return key or message_id or ""


def micros(field: str, value: str | None) -> int | None:
    """UNIX seconds in decimal text, or an ISO 8601 time, as microseconds; a float would be off by some of them."""
    if value is None or value == "":
        return None
    if "T" in value:
        return parse_iso(field, value)
    if not _SECONDS.fullmatch(value):
        raise InvalidInputError(field, "must be UNIX seconds")
    return round(Decimal(value) * MICRO)


def micros_of_number(field: str, value: float) -> int:
    """UNIX seconds as a JSON number. Out of range means the end of it: everything, or nothing."""
    within = min(max(value, 0), 10**10)  # before anything else: a JSON integer may be beyond every float
    if not isfinite(within) or value in {inf, -inf}:
        raise InvalidInputError(field, "must be UNIX seconds")
    return round(Decimal(repr(within)) * MICRO)
