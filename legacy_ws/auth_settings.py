"""`LEGACY_WS_JWT_*` settings of the authorizer function. until phase 3

Read from the environment when the function is called, never at import.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from legacy_ws.errors import ConfigurationError

__all__ = ["MIN_SECRET_BYTES", "AuthSettings"]

# RFC 7518, 3.2: a key for HS256 has at least the 256 bits of the hash.
MIN_SECRET_BYTES = 32


@dataclass(frozen=True)
class AuthSettings:
    """Settings of the authorizer.

    Args:
        jwt_secret: LEGACY_WS_JWT_SECRET, key of HS256, at least 32 bytes.
        issuer: LEGACY_WS_JWT_ISSUER, demanded of `iss` when set.
        audience: LEGACY_WS_JWT_AUDIENCE, demanded of `aud` when set.
    """

    jwt_secret: str = field(repr=False)
    issuer: str | None = None
    audience: str | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> AuthSettings:
        """Raises: ConfigurationError: the secret is missing or too short."""
        secret = environ.get("LEGACY_WS_JWT_SECRET", "")
        if len(secret.encode("utf-8")) < MIN_SECRET_BYTES:
            raise ConfigurationError("LEGACY_WS_JWT_SECRET", f"must have at least {MIN_SECRET_BYTES} bytes")
        return cls(
            secret,
            environ.get("LEGACY_WS_JWT_ISSUER") or None,
            environ.get("LEGACY_WS_JWT_AUDIENCE") or None,
        )
