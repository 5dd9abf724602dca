"""`LEGACY_WS_JWT_*`, `LEGACY_WS_JWKS_URL` and `LEGACY_WS_COGNITO_*` settings of the authorizer function. until phase 3

Read from the environment when the function is called, never at import.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from legacy_ws.auth.https import is_usable_url
from legacy_ws.errors import ConfigurationError

__all__ = ["MIN_SECRET_BYTES", "USER_POOL_ID_PATTERN", "AuthSettings"]

# RFC 7518, 3.2: a key for HS256 has at least the 256 bits of the hash.
MIN_SECRET_BYTES = 32
USER_POOL_ID_PATTERN = "[a-z0-9-]+_[0-9a-zA-Z]{1,45}"
"""Ids of user pools (Cognito user pools API reference, UserPoolIdType; regions are in lower case)."""


@dataclass(frozen=True)
class AuthSettings:
    """Settings of the authorizer: exactly one of `jwt_secret`, `jwks_url` and `user_pool_id`.

    Args:
        jwt_secret: LEGACY_WS_JWT_SECRET, key of HS256, at least 32 bytes.
        issuer: LEGACY_WS_JWT_ISSUER, demanded of `iss` when set.
        audience: LEGACY_WS_JWT_AUDIENCE, demanded of `aud` when set.
        jwks_url: LEGACY_WS_JWKS_URL, where the keys of RS256 are: https, or http on the loopback interface. An
            identity provider signs for many, so set the audience (and the issuer) with it.
        user_pool_id: LEGACY_WS_COGNITO_USER_POOL_ID, the pool whose users may connect.
        client_id: LEGACY_WS_COGNITO_CLIENT_ID, the only app client whose tokens count, when set.
    """

    jwt_secret: str | None = field(default=None, repr=False)
    issuer: str | None = None
    audience: str | None = None
    jwks_url: str | None = None
    user_pool_id: str | None = None
    client_id: str | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> AuthSettings:
        """Raises: ConfigurationError: nothing to verify tokens with, more than one thing, or an unusable one."""
        secret, jwks_url, pool_id = (environ.get(name) or None for name in _KINDS)
        if jwks_url is not None and secret is not None:
            # Which of them would count? A guess here is a hole there.
            raise ConfigurationError("LEGACY_WS_JWKS_URL", "cannot be set together with LEGACY_WS_JWT_SECRET")
        if pool_id is not None and (jwks_url is not None or secret is not None):
            raise ConfigurationError(
                "LEGACY_WS_COGNITO_USER_POOL_ID",
                "cannot be set together with LEGACY_WS_JWT_SECRET or LEGACY_WS_JWKS_URL",
            )
        if pool_id is not None:
            if not re.fullmatch(USER_POOL_ID_PATTERN, pool_id):
                raise ConfigurationError("LEGACY_WS_COGNITO_USER_POOL_ID", "must look like ap-northeast-1_AbCdEfGhI")
        elif jwks_url is not None:
            if not is_usable_url(jwks_url):
                raise ConfigurationError("LEGACY_WS_JWKS_URL", "must begin with https://")
        elif len((secret or "").encode("utf-8")) < MIN_SECRET_BYTES:
            raise ConfigurationError("LEGACY_WS_JWT_SECRET", f"must have at least {MIN_SECRET_BYTES} bytes")
        return cls(
            secret,
            environ.get("LEGACY_WS_JWT_ISSUER") or None,
            environ.get("LEGACY_WS_JWT_AUDIENCE") or None,
            jwks_url,
            pool_id,
            environ.get("LEGACY_WS_COGNITO_CLIENT_ID") or None,
        )


_KINDS = ("LEGACY_WS_JWT_SECRET", "LEGACY_WS_JWKS_URL", "LEGACY_WS_COGNITO_USER_POOL_ID")
