"""What `legacy-ws deploy` can be told, and the settings of a stack that come of it. until phase 3

Pure. What is not told stays as it is deployed; what was never told has a default.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from legacy_ws.auth.https import is_usable_url
from legacy_ws.auth_settings import MIN_SECRET_BYTES, USER_POOL_ID_PATTERN
from legacy_ws.deploy.environment import set_by_deploy
from legacy_ws.deploy.spec import AppSpec
from legacy_ws.deploy.variables import check_settings, check_variable
from legacy_ws.errors import UsageError

__all__ = ["RUNTIMES", "DeployOptions", "StackSettings"]

RUNTIMES = ("python3.11", "python3.12", "python3.13")
# API Gateway API reference, CreateStage: 1 to 128 of these. `$default` is for HTTP APIs.
_STAGE = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True)
class StackSettings:
    """Settings of a stack besides its functions' variables.

    Args:
        stage: name of the stage.
        runtime: one of RUNTIMES.
        throttle_rate: messages per second of the stage.
        throttle_burst: messages at once.
        access_log: write the stage's access log; the account needs a CloudWatch role for API Gateway.
        log_retention_days: of each log group.
    """

    stage: str = "prod"
    runtime: str = "python3.13"
    throttle_rate: float = 5000.0
    throttle_burst: int = 2500
    access_log: bool = True
    log_retention_days: int = 14


@dataclass(frozen=True)
class DeployOptions:
    """What `deploy` can be told; None keeps what is deployed.

    Args:
        stage, runtime, throttle_rate, throttle_burst, access_log, log_retention_days: as StackSettings.
        jwt_secret: key of the tokens; where none is deployed either, one is made.
        jwks_url: where the keys of RS256 tokens are; then there is no secret.
        jwt_issuer, jwt_audience: demanded of the tokens; empty: no longer.
        user_pool_id: Cognito user pool of an application that uses one; where none is deployed either, one is made.
        user_pool_client_id: demanded of the tokens; empty: no longer; only together with `user_pool_id`.
        environment: more LEGACY_WS_* settings for every function; an empty one is removed.
        ambient: those of the fields above that nobody typed, since they stand in the environment: where they do not
            fit, they are left out.
    Raises: UsageError: a value is unusable.
    """

    stage: str | None = None
    runtime: str | None = None
    jwt_secret: str | None = field(default=None, repr=False)
    jwks_url: str | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    user_pool_id: str | None = None
    user_pool_client_id: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    throttle_rate: float | None = None
    throttle_burst: int | None = None
    access_log: bool | None = None
    log_retention_days: int | None = None
    ambient: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.stage is not None and not _STAGE.fullmatch(self.stage):
            raise UsageError(f"{self.stage!r} is no name of a stage", "use up to 128 letters, digits, hyphens and _")
        if self.runtime is not None and self.runtime not in RUNTIMES:
            raise UsageError(f"runtime {self.runtime!r} is not supported", f"use one of {', '.join(RUNTIMES)}")
        for option, number in (("--throttle-rate", self.throttle_rate), ("--throttle-burst", self.throttle_burst)):
            if number is not None and not (math.isfinite(number) and number > 0):
                raise UsageError(
                    f"{option} {number:g} would let nobody say anything",
                    "give a number above 0; the default is "
                    f"{StackSettings.throttle_rate:g} a second, {StackSettings.throttle_burst} at once",
                )
        if self.jwt_secret is not None and len(self.jwt_secret.encode()) < MIN_SECRET_BYTES:
            raise UsageError(
                "the JWT secret is too short", f"HS256 needs at least {MIN_SECRET_BYTES} bytes (RFC 7518, 3.2)"
            )
        if self.jwks_url is not None:
            if self.jwt_secret is not None:
                raise UsageError("a JWT secret and a JWKS address are both given", "give the one that signs the tokens")
            if not is_usable_url(self.jwks_url):
                raise UsageError(
                    f"{self.jwks_url!r} is no usable JWKS address",
                    "it must begin with https:// (http:// on the loopback interface only);"
                    " to go back to a secret, give --jwt-secret",
                )
        if self.user_pool_id is not None and not re.fullmatch(USER_POOL_ID_PATTERN, self.user_pool_id):
            raise UsageError(f"{self.user_pool_id!r} is no user pool id", "it looks like ap-northeast-1_AbCdEfGhI")
        if self.user_pool_client_id is not None and self.user_pool_id is None:
            raise UsageError("--user-pool-client-id without --user-pool-id", "a client belongs to a pool: give both")
        for name in self.environment:
            check_variable(name)
        check_settings({name: value for name, value in self.environment.items() if value})

    def over(self, deployed: StackSettings) -> StackSettings:
        """`deployed` with what was told."""
        told = {one.name: getattr(self, one.name) for one in fields(StackSettings)}
        return replace(deployed, **{name: value for name, value in told.items() if value is not None})

    def without(self, *names: str) -> DeployOptions:
        """The same without these fields."""
        nothing: dict[str, Any] = dict.fromkeys(names)
        return replace(self, ambient=self.ambient - set(names), **nothing)

    def fitting(self, app: AppSpec) -> DeployOptions:
        """The same without what only stands in the environment and `app` has no use for.

        Raises: UsageError: told what `app` has no use for.
        """
        useless = _OF_JWT if app.auth == "cognito" else _OF_COGNITO
        fits = self.without(*(name for name in useless if name in self.ambient))
        fits.check(app)
        return fits

    def check(self, app: AppSpec) -> None:
        """Raises: UsageError: told what `app` has no use for."""
        for name in sorted(set_by_deploy(app) & self.environment.keys()):
            raise UsageError(f"{name} follows from the stack and is set by itself", "leave it out")
        if app.auth == "cognito" and self.jwks_url is not None:
            raise UsageError(
                f"{app.name} asks Cognito about tokens and reads no JWKS", "leave out --jwks-url (LEGACY_WS_JWKS_URL)"
            )
        if app.auth == "cognito":
            for name in _OF_JWT:
                if getattr(self, name) is not None:
                    raise UsageError(
                        f"{app.name} asks Cognito about tokens: --{name.replace('_', '-')} would change nothing",
                        "leave it out; --user-pool-id and --user-pool-client-id say whose tokens count",
                    )
        if app.auth == "jwt" and self.user_pool_id is not None:
            raise UsageError(
                f"{app.name} verifies tokens by itself and asks no user pool",
                "use --jwks-url https://cognito-idp.REGION.amazonaws.com/POOL/.well-known/jwks.json",
            )


_OF_JWT = ("jwt_secret", "jwks_url", "jwt_issuer", "jwt_audience")
_OF_COGNITO = ("user_pool_id", "user_pool_client_id")
