"""What names of attributes and tables usually mean. Pure. until phase 3 (MG1)"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

__all__ = [
    "first",
    "is_connected_at",
    "is_connection",
    "is_connection_table",
    "is_message_table",
    "is_tenant",
    "is_user",
    "plain",
    "simple",
]

_CONNECTION = re.compile(r"(ws|socket|api_?gw)?(connection|conn|connexion|socket)(id|key)?|cid|wsid")
_CONNECTION_TABLE = re.compile(r"conn|socket|session|presence|subscri|online|client")
_MESSAGE_TABLE = re.compile(r"message|msg|chat|history|event|post")
_CONNECTED_AT = re.compile(r"(connect(ed|ion)|joined|created|opened)(at|time|on|ts|date)?(ms)?|connectedsince")
_USER = re.compile(
    r"(user|member|player|account|login|customer|person|agent|owner|driver|caller|principal)"
    r"(id|name|email|sub|key)?|uid|sub|email|username|nickname|cognitosub"
)
_TENANT = re.compile(r"(tenant|org|organi[sz]ation|company|workspace|team|customer|site)(id|name|key)?|tid")


def plain(name: str) -> str:
    """Without what spelling adds: case, `_`, `-`."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def is_connected_at(name: str) -> bool:
    return _CONNECTED_AT.fullmatch(plain(name)) is not None


def is_connection(name: str) -> bool:
    return _CONNECTION.fullmatch(plain(name)) is not None


def is_connection_table(name: str) -> bool:
    return _CONNECTION_TABLE.search(name.lower()) is not None


def is_message_table(name: str) -> bool:
    return _MESSAGE_TABLE.search(name.lower()) is not None


def is_user(name: str) -> bool:
    return _USER.fullmatch(plain(name)) is not None


def is_tenant(name: str) -> bool:
    return _TENANT.fullmatch(plain(name)) is not None


def simple(text: str, otherwise: str = "stack") -> str:
    """A text as a name of the project or of a feature."""
    made = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:40]
    return made or otherwise


def first(names: Iterable[str], rule: Callable[[str], bool]) -> str:
    """The first name that a rule takes, or empty."""
    return next((name for name in names if rule(name)), "")
