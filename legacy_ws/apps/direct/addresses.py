"""E-mail addresses as clients write them, and the room of two of them. until phase 3

Pure. Case is kept: a mail system may tell Ann from ann (RFC 5321, 2.4), and a room must not join two people
(REQUIREMENTS.md, fault 18).
"""

from __future__ import annotations

from collections.abc import Mapping

from legacy_ws.apps.direct.schema import MAX_ADDRESS_BYTES
from legacy_ws.frames import bad_request, text_field

__all__ = ["address_field", "room_of"]


def address_field(frame: Mapping[str, object], name: str) -> str:
    """Address `name` of a frame: text, at most 320 bytes of UTF-8, one "@" with something on both sides, no white
    space, no control characters.

    Raises: ClientInputError.
    """
    address = text_field(frame, name, max_bytes=MAX_ADDRESS_BYTES)
    local, *domains = address.split("@")
    if not local or len(domains) != 1 or not domains[0]:
        raise bad_request(f'"{name}" is no e-mail address.')
    if any(character.isspace() or _is_control(character) for character in address):
        raise bad_request(f'"{name}" contains white space or control characters.')
    return address


def room_of(one: str, other: str) -> str:
    """The id of the room of two addresses, the same whichever comes first.

    Each address is written with "%" as "%25" and "#" as "%23"; the two, sorted by code point, are joined by "#". So
    the only "#" is the one between them, and different pairs never share a room.
    """
    return "#".join(sorted(address.replace("%", "%25").replace("#", "%23") for address in (one, other)))


def _is_control(character: str) -> bool:
    return ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0
