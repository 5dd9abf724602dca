"""What a verifier finds out about a token. until phase 3

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import jwt

from legacy_ws.errors import TokenRefusedError

__all__ = ["MALFORMED", "Identity", "Verifier", "check_length", "identifier"]

# API Gateway passes on 10,240 bytes of headers (developer guide, "Quotas for configuring and running a REST API",
# the only figure AWS gives): what is longer never was a token that worked.
_MAX_TOKEN = 10_240
_MAX_ID_BYTES = 1024

MALFORMED = (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, RecursionError)
"""What PyJWT raises over a token: its own errors, and what the JSON, base64 and number parsers below it say about
hostile bytes in their own words (`int` of Infinity is an OverflowError).
"""


@dataclass(frozen=True)
class Identity:
    """Who is connecting: `user` becomes the principal, `context` reaches the handlers (text only, without secrets)."""

    user: str
    context: Mapping[str, str]


class Verifier(Protocol):
    """Judges one token."""

    def identify(self, token: str) -> Identity:
        """Who the token speaks for.

        Raises: TokenRefusedError: it speaks for nobody. IdentityProviderError: nobody knows, try again.
        """
        ...


def check_length(token: str) -> None:
    """Raises: TokenRefusedError: longer than any token that comes through API Gateway."""
    if len(token) > _MAX_TOKEN:
        raise TokenRefusedError("too_long")


def identifier(claims: Mapping[str, object], name: str) -> str | None:
    """Claim `name` as an identifier; None when it is missing, blank, no text, or no key that a table could hold."""
    value = claims.get(name)
    if not isinstance(value, str) or not value.strip():
        return None
    try:
        return value if len(value.encode("utf-8")) <= _MAX_ID_BYTES else None
    except UnicodeEncodeError:  # a lone surrogate is JSON, but no text
        return None
