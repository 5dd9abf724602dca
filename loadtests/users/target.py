"""Where the stacks are, and tokens for their users: what `migrate up` runs, or real deployments."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jwt

__all__ = ["Target", "TargetError"]

TOKEN_TTL_S = 7200


class TargetError(ValueError):
    """What was given is no target; the message says what is missing."""


@dataclass(frozen=True)
class Target:
    """Addresses of both stacks.

    Args:
        ws: WebSocket addresses by application (rooms, direct, layers).
        sse: the SSE service.
        dropin: the API of virtual connections that serves the application rooms, with its path.
        tenant: in which rooms are.
        secret_file: the HS256 key both take, in a file: it is in no command line and no result.
        tokens_file: instead: JSON {user: token}, for users lt-0, lt-1, ... and "publisher".
        cognito: user_pool_id, client_id and the environment of boto3: direct's users are made there.
    """

    ws: Mapping[str, str] = field(default_factory=dict)
    sse: str = ""
    dropin: str = ""
    tenant: str = "demo"
    secret_file: str = ""
    tokens_file: str = ""
    cognito: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_state_dir(cls, state_dir: Path) -> Target:
        """What `migrate up` runs there. Raises TargetError."""
        try:
            up = json.loads((state_dir / "up.json").read_text(encoding="utf-8"))
            direct, rooms = up["stacks"]["direct"], up["stacks"]["rooms"]
            return cls(
                ws=up["legacy_ws_url"],
                sse=up["sse_url"],
                dropin=f"{up['sse_url']}/{rooms['stage']}",
                tenant=up["tenant"],
                secret_file=up["jwt"]["secret_file"],
                cognito={
                    "user_pool_id": direct["user_pool_id"],
                    "client_id": direct["user_pool_client_id"],
                    "endpoint_url": up["aws_endpoint_url"],
                    "region_name": up["env"]["AWS_REGION"],
                    "aws_access_key_id": up["env"]["AWS_ACCESS_KEY_ID"],
                    "aws_secret_access_key": up["env"]["AWS_SECRET_ACCESS_KEY"],
                },
            )
        except (OSError, ValueError, KeyError, TypeError):
            raise TargetError(f"no stacks are up in {state_dir}; start them with `migrate up --detach`") from None

    @classmethod
    def parse(cls, given: Sequence[str], **more: Any) -> Target:
        """Of `ws.rooms=wss://…`, `sse=https://…`, `dropin=https://…/prod`, `tenant=…`. Raises TargetError."""
        fields: dict[str, Any] = {"ws": {}, **more}
        for one in given:
            name, equals, value = one.partition("=")
            first, _, app = name.partition(".")
            if not equals or not value:
                raise TargetError(f"{one!r} is no NAME=ADDRESS; names: ws.rooms ws.direct ws.layers sse dropin tenant")
            if first == "ws" and app in ("rooms", "direct", "layers"):
                fields["ws"][app] = value
            elif name in ("sse", "dropin", "tenant"):
                fields[name] = value.rstrip("/")
            else:
                raise TargetError(f"unknown target {name!r}; names: ws.rooms ws.direct ws.layers sse dropin tenant")
        return cls(**fields)

    @classmethod
    def load(cls, path: Path) -> Target:
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def save(self, path: Path) -> None:
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


class Tokens:
    """Tokens of one process's users, made when they are asked for."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._secret = Path(target.secret_file).read_text(encoding="utf-8").strip() if target.secret_file else ""
        self._given: dict[str, str] = (
            json.loads(Path(target.tokens_file).read_text(encoding="utf-8")) if target.tokens_file else {}
        )
        self._cognito: Any = None

    def of(self, user: str, tenant: str, scopes: str = "") -> str:
        """Raises TargetError when there is none for the user."""
        if not self._secret:
            name = "publisher" if scopes else user
            if name not in self._given:
                raise TargetError(f"there is no token for {name} in the file of tokens, and no secret to sign one with")
            return self._given[name]
        now = int(time.time())
        claims = {"sub": user, "tenant_id": tenant, "iat": now, "exp": now + TOKEN_TTL_S}
        return jwt.encode({**claims, "scope": scopes} if scopes else claims, self._secret, algorithm="HS256")

    def cognito(self, email: str) -> str:
        """An access token of a verified user of the pool, made anew."""
        pool = dict(self._target.cognito)
        if not pool:
            return self.of(email, self._target.tenant)
        ids = {"UserPoolId": pool.pop("user_pool_id")}
        client_id = pool.pop("client_id")
        if self._cognito is None:
            import boto3

            self._cognito = boto3.client("cognito-idp", **pool)
        attributes = [{"Name": "email", "Value": email}, {"Name": "email_verified", "Value": "true"}]
        password = f"aA1!{secrets.token_urlsafe(24)}"
        self._cognito.admin_create_user(**ids, Username=email, UserAttributes=attributes, MessageAction="SUPPRESS")
        self._cognito.admin_set_user_password(**ids, Username=email, Password=password, Permanent=True)
        answer = self._cognito.admin_initiate_auth(
            **ids,
            ClientId=client_id,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": email, "PASSWORD": password},
        )
        return str(answer["AuthenticationResult"]["AccessToken"])
