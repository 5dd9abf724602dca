"""Tokens for people and machines of the local stacks: HS256, as both stacks accept them. until phase 3"""

from __future__ import annotations

import time
from collections.abc import Sequence

import jwt

__all__ = ["mint"]


def mint(
    user: str,
    tenant: str,
    secret: str,
    scopes: Sequence[str] = (),
    ttl_s: int = 3600,
    *,
    now: float | None = None,
) -> str:
    """Sign a token that the legacy authorizer and the SSE service both accept.

    Args:
        user: becomes `sub`.
        tenant: becomes `tenant_id`.
        secret: the HS256 secret both stacks were started with.
        scopes: becomes `scope`, space separated; empty for a person.
        ttl_s: life time, seconds.
        now: epoch seconds; the clock's when not given.
    """
    issued = int(time.time() if now is None else now)
    claims: dict[str, object] = {"sub": user, "tenant_id": tenant, "iat": issued, "exp": issued + ttl_s}
    if scopes:
        claims["scope"] = " ".join(scopes)
    return jwt.encode(claims, secret, algorithm="HS256")
