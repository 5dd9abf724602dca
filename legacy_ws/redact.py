"""Keep tokens and secrets out of every log record and error text. until phase 3

Pure. Tokens in query strings end up in logs (REQUIREMENTS.md, fault 13), so every text passes through here
first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["REDACTED", "redact", "redact_text"]

REDACTED = "[redacted]"

# Every pattern takes time linear in the text, whatever a client has put into it: no run is scanned from
# each of its positions.

# A JSON Web Token: base64url of `{"...` and one or two more parts; the signature is empty for `alg: none`.
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{0,1024}\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)?")
_BEARER = re.compile(r"(?i)\b(bearer|basic)(\s+|%20|\+)[^\s\"',;]+")
# token=..., "token": "...", 'access_token': '...' in query strings, JSON and Python text.
_PAIR = re.compile(
    r"(?i)((?:token|secret|password|signature|authorization|ticket|api[_-]?key)"
    r"[\"']?\s*(?:=|:|%3d)\s*[\"']?)(?!\[redacted\])[^\s&\"',;}]+"
)
_SECRET_NAME = re.compile(r"(?i)(token|secret|password|authorization|signature|ticket|api[_-]?key|cookie)")


def redact_text(text: str) -> str:
    """`text` with every token, bearer credential and secret-looking value replaced."""
    text = _JWT.sub(REDACTED, text)
    text = _BEARER.sub(lambda match: f"{match[1]} {REDACTED}", text)
    return _PAIR.sub(lambda match: f"{match[1]}{REDACTED}", text)


def redact(value: object) -> object:
    """`value` for a log record: strings redacted, and everything under a key that names a secret."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {
            str(key): REDACTED if _SECRET_NAME.search(str(key)) and item not in (None, "") else redact(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item) for item in value]
    return value
