"""The authorizer of `$connect`, one for all applications. until phase 3

Imports no boto3 unless it asks Cognito: it runs before every connection.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache

from legacy_ws.auth.kinds import verifier_of
from legacy_ws.auth_settings import AuthSettings
from legacy_ws.authorizer import Authorizer

__all__ = ["clear", "handler"]


def handler(event: Mapping[str, object], context: object) -> dict[str, object]:  # noqa: ARG001
    """Lambda entry point.

    Raises: Exception("Unauthorized"), which API Gateway answers with 401; anything else, which it answers with 500:
        IdentityProviderError, ConfigurationError.
    """
    return _authorizer(AuthSettings.from_env(os.environ)).authorize(event)


def clear() -> None:
    """Forget the keys and clients made so far."""
    _authorizer.cache_clear()


@lru_cache(maxsize=1)
def _authorizer(settings: AuthSettings) -> Authorizer:
    """Once per execution environment: the keys of a JWKS are fetched once, not for every connection."""
    return Authorizer(verifier_of(settings))
