"""What `legacy-ws deploy` can be told. until phase 3

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from legacy_ws.auth.https import is_usable_url
from legacy_ws.auth_settings import MIN_SECRET_BYTES, USER_POOL_ID_PATTERN
from legacy_ws.deploy.spec import AppSpec
from legacy_ws.errors import UsageError

__all__ = ["RUNTIMES", "DeployOptions"]

RUNTIMES = ("python3.11", "python3.12", "python3.13")


@dataclass(frozen=True)
class DeployOptions:
    """What `deploy` can be told.

    Args:
        stage: name of the stage.
        runtime: one of RUNTIMES.
        jwt_secret: key of the tokens; None keeps the deployed one, or makes one.
        jwks_url: where the keys of RS256 tokens are; then there is no secret. None keeps the deployed one.
        jwt_issuer, jwt_audience: demanded of the tokens when given.
        user_pool_id: Cognito user pool of an application that uses one; None keeps the deployed one, or makes one.
        user_pool_client_id: demanded of the tokens when given; only together with `user_pool_id`.
        environment: more LEGACY_WS_* settings for every function.
        throttle_rate: messages per second of the stage.
        throttle_burst: messages at once.
        access_log: write the stage's access log; the account needs a CloudWatch role for API Gateway.
        log_retention_days: of each log group.
    Raises: UsageError: a value is unusable.
    """

    stage: str = "prod"
    runtime: str = "python3.13"
    jwt_secret: str | None = field(default=None, repr=False)
    jwks_url: str | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    user_pool_id: str | None = None
    user_pool_client_id: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    throttle_rate: float = 5000.0
    throttle_burst: int = 2500
    access_log: bool = True
    log_retention_days: int = 14

    def __post_init__(self) -> None:
        if self.runtime not in RUNTIMES:
            raise UsageError(f"runtime {self.runtime!r} is not supported", f"use one of {', '.join(RUNTIMES)}")
        if self.jwt_secret is not None and len(self.jwt_secret.encode()) < MIN_SECRET_BYTES:
            raise UsageError(
                "the JWT secret is too short", f"HS256 needs at least {MIN_SECRET_BYTES} bytes (RFC 7518, 3.2)"
            )
        if self.jwks_url is not None:
            if self.jwt_secret is not None:
                raise UsageError("a JWT secret and a JWKS address are both given", "give the one that signs the tokens")
            if not is_usable_url(self.jwks_url):
                raise UsageError(f"{self.jwks_url!r} is no usable JWKS address", "it must begin with https://")
        if self.user_pool_id is not None and not re.fullmatch(USER_POOL_ID_PATTERN, self.user_pool_id):
            raise UsageError(f"{self.user_pool_id!r} is no user pool id", "it looks like ap-northeast-1_AbCdEfGhI")
        if self.user_pool_client_id is not None and self.user_pool_id is None:
            raise UsageError("--user-pool-client-id without --user-pool-id", "a client belongs to a pool: give both")

    def check(self, app: AppSpec) -> None:
        """Raises: UsageError: given what `app` has no use for."""
        if app.auth == "cognito" and self.jwks_url is not None:
            raise UsageError(
                f"{app.name} asks Cognito about tokens and reads no JWKS", "leave out --jwks-url (LEGACY_WS_JWKS_URL)"
            )
        if app.auth == "jwt" and self.user_pool_id is not None:
            raise UsageError(
                f"{app.name} verifies tokens by itself and asks no user pool",
                "use --jwks-url https://cognito-idp.REGION.amazonaws.com/POOL/.well-known/jwks.json",
            )
