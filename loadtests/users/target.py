"""Where the stacks are, and tokens for their users: what `migrate up` runs, or real deployments."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import psutil

__all__ = ["TENANT", "Target", "TargetError"]

TENANT = "load"
"""Whose rooms those of a run are: open ones are listed to everybody of their tenant, and the bridge takes what is said
over WebSocket to the tenant of whoever said it. So nobody of another one ever sees them, however a run ends."""

TOKEN_TTL_S = 7200
APPS = ("rooms", "direct", "layers")
NAMES = "ws.rooms ws.direct ws.layers sse dropin.rooms (or dropin) dropin.direct dropin.layers tenant"

UP = "start them: `migrate up --detach`"


class TargetError(ValueError):
    """What was given is no target; the message says what is missing, `hint` what to do."""

    def __init__(self, message: str, hint: str = "docs/guides/load.md, Deployments elsewhere") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Target:
    """Addresses of both stacks.

    Args:
        ws: WebSocket addresses by application (rooms, direct, layers).
        sse: the SSE service.
        dropin: APIs of virtual connections, with their paths, by the application whose functions they call.
        tenant: in which rooms are; that of no person.
        secret_file: the HS256 key both take, in a file: it is in no command line and no result.
        tokens_file: instead: JSON {user: token}, for users lt-0, lt-1, ... and "publisher"; for the application direct
            {user: {"token", "email"}}.
        cognito: user_pool_id, client_id and the environment of boto3: direct's users are made there.
    """

    ws: Mapping[str, str] = field(default_factory=dict)
    sse: str = ""
    dropin: Mapping[str, str] = field(default_factory=dict)
    tenant: str = TENANT
    secret_file: str = ""
    tokens_file: str = ""
    cognito: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_state_dir(cls, state_dir: Path) -> Target:
        """What `migrate up` runs there. Raises TargetError."""
        try:
            up = json.loads((state_dir / "up.json").read_text(encoding="utf-8"))
            direct, rooms = up["stacks"]["direct"], up["stacks"]["rooms"]
            made = cls(
                ws=up["legacy_ws_url"],
                sse=up["sse_url"],
                dropin={"rooms": f"{up['sse_url']}/{rooms['stage']}"},
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
            raise TargetError(f"no stacks are up in {state_dir}", UP) from None
        if not psutil.pid_exists(up["pids"]["up"]):
            raise TargetError(f"the stacks of {state_dir} have ended", UP)
        return made

    @classmethod
    def parse(cls, given: Sequence[str], *, secret_file: str = "", tokens_file: str = "") -> Target:
        """Of `ws.rooms=wss://...`, `sse=https://...`, `dropin.layers=https://.../prod`, `tenant=...`; `dropin` alone is
        that of rooms. Raises TargetError."""
        if not secret_file and not tokens_file:
            raise TargetError("--target needs --secret-file or --tokens-file: users must be somebody there")
        fields: dict[str, Any] = {"ws": {}, "dropin": {}, "secret_file": secret_file, "tokens_file": tokens_file}
        for one in given:
            name, equals, value = one.partition("=")
            first, dot, app = name.partition(".")
            if not equals or not value:
                raise TargetError(f"--target {name}: no NAME=ADDRESS; names: {NAMES}")
            if first == "ws" and app in APPS:
                fields["ws"][app] = _address(name, value, ("ws", "wss"))
            elif first == "dropin" and (app in APPS or not dot):
                fields["dropin"][app or "rooms"] = _address(name, value, ("http", "https"))
            elif name == "sse":
                fields[name] = _address(name, value, ("http", "https"))
            elif name == "tenant":
                fields[name] = value
            else:
                raise TargetError(f"--target {name}: no such name; names: {NAMES}")
        made = cls(**fields)
        Tokens(made)
        return made

    @classmethod
    def load(cls, path: Path) -> Target:
        """What `save` wrote, or somebody by hand: `dropin` may be one address, that of rooms. Raises TargetError."""
        try:
            given = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(given.get("dropin"), str):
                given["dropin"] = {"rooms": given["dropin"]} if given["dropin"] else {}
            return cls(**given)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise TargetError(f"{path} is no file of addresses: {error}") from None

    @property
    def addresses(self) -> dict[str, str]:
        """For a result: no secret is in them."""
        virtual = {f"dropin.{app}": url for app, url in self.dropin.items()}
        named = {**{f"ws.{app}": url for app, url in self.ws.items()}, "sse": self.sse, **virtual}
        return {name: url for name, url in named.items() if url}

    def has(self, transport: str, app: str) -> bool:
        """Whether the users of a transport ("ws", "sse", "dropin") have somewhere to go with an application."""
        return bool(self._ways(app)[transport])

    def way(self, transport: str, app: str) -> str:
        """Where they go. Raises TargetError: it was not named."""
        if not self.has(transport, app):
            name = transport if transport == "sse" else f"{transport}.{app}"
            if transport == "dropin" and app != "rooms":
                raise TargetError(f"there is no address of {name}", f"python -m loadtests.dropin {app}")
            raise TargetError(f"there is no address of {name}")
        return self._ways(app)[transport]

    def _ways(self, app: str) -> dict[str, str]:
        return {"ws": self.ws.get(app, ""), "sse": self.sse, "dropin": self.dropin.get(app, "")}

    def save(self, path: Path) -> None:
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def _address(name: str, value: str, schemes: tuple[str, ...]) -> str:
    """Raises TargetError. What may be a password is not repeated."""
    try:
        parts = urlsplit(value)
        known = parts.scheme in schemes and parts.hostname and (parts.port or True)
    except ValueError:
        known = False
    if not known:
        raise TargetError(f"--target {name}: an address starts with {' or '.join(f'{one}://' for one in schemes)}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise TargetError(f"--target {name}: no user, password, query or fragment in an address; results name it")
    return value.rstrip("/")


class Tokens:
    """Tokens of one process's users, made when they are asked for. Raises TargetError: a file cannot be used."""

    def __init__(self, target: Target) -> None:
        self._target = target
        try:
            self._secret = Path(target.secret_file).read_text(encoding="utf-8").strip() if target.secret_file else ""
            given = json.loads(Path(target.tokens_file).read_text(encoding="utf-8")) if target.tokens_file else {}
        except OSError as error:
            raise TargetError(f"{error.filename}: {error.strerror}") from None
        except ValueError:
            raise TargetError(f"{target.tokens_file or target.secret_file} cannot be read as text or JSON") from None
        if not isinstance(given, dict):
            raise TargetError(f'{target.tokens_file}: wanted is {{"lt-0": token, "lt-1": token, ...}}')
        self._given: dict[str, Any] = given
        self._cognito: Any = None

    def of(self, user: str, tenant: str, scopes: str = "") -> str:
        """Raises TargetError when there is none for the user."""
        if not self._secret:
            name = "publisher" if scopes else user
            if name not in self._given:
                raise TargetError(f"there is no token for {name} in the file of tokens, and no secret to sign one with")
            entry = self._given[name]
            return str(entry["token"] if isinstance(entry, dict) else entry)
        now = int(time.time())
        claims = {"sub": user, "tenant_id": tenant, "iat": now, "exp": now + TOKEN_TTL_S}
        return jwt.encode({**claims, "scope": scopes} if scopes else claims, self._secret, algorithm="HS256")

    def email(self, user: str) -> str:
        """The address of a user whose token was given; "" without."""
        entry = self._given.get(user)
        return str(entry.get("email", "")) if isinstance(entry, dict) else ""

    def cognito(self, user: str, email: str) -> str:
        """An access token of a verified user of the pool, made anew; the given one where there is no pool."""
        pool = dict(self._target.cognito)
        if not pool:
            return self.of(user, self._target.tenant)
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
