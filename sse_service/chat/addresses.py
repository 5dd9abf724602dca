"""Names of conversations that nobody chooses: between two people, and with the support. Pure.

`direct:` and `support-` are kept for them, so that nobody can make somebody else's before they do.
"""

from __future__ import annotations

import hashlib

from sse_service.events import MAX_NAME

__all__ = ["direct_id", "direct_room", "is_direct", "is_support", "support_id"]

DIRECT = "direct:"
SUPPORT = "support-"


def direct_room(one: str, other: str) -> str:
    """The room of two addresses, the same from both sides, and no other pair's.

    `%` and `#` are escaped, so that the separator `#` occurs once; case is kept: RFC 5321, 2.4 leaves the local part's
    case to the receiving host.
    """
    return "#".join(sorted(address.replace("%", "%25").replace("#", "%23") for address in (one, other)))


def direct_id(one: str, other: str) -> str:
    """The conversation of two users. A room that is too long for a name is named by its digest."""
    name = DIRECT + direct_room(one, other)
    if len(name) > MAX_NAME:
        name = f"{DIRECT}sha256:{hashlib.sha256(name.encode()).hexdigest()}"
    return name


def is_direct(conversation_id: str) -> bool:
    return conversation_id.startswith(DIRECT)


def support_id(user: str) -> str:
    """The conversation that is made for `user` on demand."""
    name = SUPPORT + user
    if len(name) > MAX_NAME:
        name = f"{SUPPORT}sha256:{hashlib.sha256(user.encode()).hexdigest()}"
    return name


def is_support(conversation_id: str) -> bool:
    return conversation_id.startswith(SUPPORT)
