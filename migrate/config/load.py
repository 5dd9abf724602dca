"""Reads `migrate.toml` and reaches what it names: AWS clients and tokens. until phase 3"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import boto3
import typer
from botocore.config import Config as BotoConfig
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError

from migrate.addresses import is_loopback
from migrate.config.model import (
    Api,
    Cleanup,
    Cutover,
    Drain,
    Feature,
    Function,
    Gates,
    Identity,
    Project,
    Rehearse,
    Settings,
    Shadow,
    Sse,
    Table,
)
from migrate.config.parse import settings_from
from migrate.errors import UsageError
from migrate.tokens import mint
from migrate.up.state import STACK, StateDir

__all__ = ["DEFAULT_FILE", "Config", "ConfigOption", "load_config", "resolve_config"]

DEFAULT_FILE = Path("migrate.toml")
TOKEN_TTL_S = 3600

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        help="The stack's migrate.toml, or the name of an application of `migrate up`. "
        "[default: migrate.toml of this directory, else the rooms application of `migrate up`]",
        envvar="MIGRATE_CONFIG",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Config:
    """A stack's settings and where they were read.

    Args:
        settings: what the file says.
        path: the file.
        secret: the tokens' key of a running `migrate up` whose own file this is; never shown.
        local: variables of the local AWS, when it describes an application of `migrate up`.
    """

    settings: Settings
    path: Path
    _secret: str | None = field(default=None, repr=False)
    _local: dict[str, str] | None = field(default=None, repr=False)

    @property
    def project(self) -> Project:
        return self.settings.project

    @property
    def api(self) -> Api:
        return self.settings.api

    @property
    def sse(self) -> Sse:
        return self.settings.sse

    @property
    def identity(self) -> Identity:
        return self.settings.identity

    @property
    def tables(self) -> tuple[Table, ...]:
        return self.settings.tables

    @property
    def functions(self) -> tuple[Function, ...]:
        return self.settings.functions

    @property
    def features(self) -> tuple[Feature, ...]:
        return self.settings.features

    @property
    def shadow(self) -> Shadow:
        return self.settings.shadow

    @property
    def gates(self) -> Gates:
        return self.settings.gates

    @property
    def cutover(self) -> Cutover:
        return self.settings.cutover

    @property
    def drain(self) -> Drain:
        return self.settings.drain

    @property
    def cleanup(self) -> Cleanup:
        return self.settings.cleanup

    @property
    def rehearse(self) -> Rehearse:
        return self.settings.rehearse

    @property
    def is_local(self) -> bool:
        """Whether it describes an application of `migrate up`."""
        return self._local is not None

    @property
    def records(self) -> Path | str:
        """A directory, or `s3://bucket/prefix`."""
        text = self.settings.project.records
        return text.rstrip("/") if text.startswith("s3://") else (self.path.parent / text).resolve()

    @property
    def region(self) -> str:
        found = self.settings.api.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "")
        if not found:
            raise UsageError(
                f"{self.path}: api.region is empty and AWS_REGION is not set", "name the region in the file"
            )
        return found

    @property
    def management_url(self) -> str:
        """Address of the @connections API (API Gateway guide, "Use @connections commands")."""
        api = self.settings.api
        return api.management_url or f"https://{api.id}.execute-api.{self.region}.amazonaws.com/{api.stage}"

    @property
    def ws_url(self) -> str:
        api = self.settings.api
        return api.ws_url or f"wss://{api.id}.execute-api.{self.region}.amazonaws.com/{api.stage}"

    def client(self, service: str, **options: Any) -> Any:
        """A boto3 client for the stack's region; `apigatewaymanagementapi` for its @connections API.

        Raises: UsageError: no region, or the AWS configuration of this machine is broken.
        """
        endpoint = (
            self.management_url if service == "apigatewaymanagementapi" else self.settings.api.endpoint_url or None
        )
        credentials = self._local or {}
        defaults = BotoConfig(
            # Without `proxies` botocore asks the environment, whose proxy knows nothing of this machine's ports.
            proxies={} if endpoint and is_loopback(endpoint) else None,
            retries={"mode": "standard", "max_attempts": 5},
            user_agent_extra="ws2sse-migrate",
        )
        given = options.pop("config", None)
        try:
            return boto3.client(
                service,
                region_name=self.region,
                endpoint_url=endpoint,
                aws_access_key_id=credentials.get("AWS_ACCESS_KEY_ID"),
                aws_secret_access_key=credentials.get("AWS_SECRET_ACCESS_KEY"),
                config=defaults.merge(given) if given else defaults,
                **options,
            )
        except (BotoCoreError, ValueError) as error:
            raise UsageError(
                f"no client for {service}: {error}", "check the AWS configuration of this machine"
            ) from None

    def credentials(self) -> Any:
        """botocore's credentials that the clients sign with; None: this machine has none."""
        if self._local:
            local = self._local
            return Credentials(local["AWS_ACCESS_KEY_ID"], local["AWS_SECRET_ACCESS_KEY"])
        return boto3.Session().get_credentials()

    def jwt_secret(self) -> str:
        """The key that signs tokens for the SSE service. Never print it.

        Raises: UsageError: the variable is not set.
        """
        name = self.settings.sse.jwt_secret_env
        found = self._secret or os.environ.get(name, "")
        if not found:
            raise UsageError(
                f"the environment variable {name} is not set: it holds the key that signs tokens for {self.sse.url}",
                f"set {name}, or name another variable in sse.jwt_secret_env of {self.path}",
            )
        return found

    def token(self, user: str, tenant: str = "", scopes: tuple[str, ...] = (), ttl_s: int = TOKEN_TTL_S) -> str:
        """A token for the SSE service."""
        return mint(user, tenant or self.settings.sse.default_tenant, self.jwt_secret(), scopes, ttl_s)

    def feature(self, name: str) -> Feature:
        """Raises: UsageError: there is none of that name."""
        for feature in self.settings.features:
            if feature.name == name:
                return feature
        known = ", ".join(one.name for one in self.settings.features) or "none"
        raise UsageError(f"{self.path} has no feature {name!r}", f"its features: {known}")


def load_config(path: Path, state_dir: Path | None = None) -> Config:
    """Read a file.

    Args:
        state_dir: of a `migrate up`; a file inside it, or for its local AWS, is given the running stacks' secret and
            credentials.

    Raises: UsageError: it cannot be read or says something that cannot be.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no {path}", "`migrate init` writes it, or name another with --config") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "name another file with --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}", "correct it, or write it again with `migrate init`") from None
    settings = settings_from(values, str(path))
    if state_dir is None:
        return Config(settings, path)
    state = StateDir(state_dir)
    if path.resolve().is_relative_to(state.path):
        up = state.running()
    elif settings.api.endpoint_url and state.holder() is not None:
        # A copy, or one that `migrate init` wrote, for the local AWS of the stacks that run.
        up = state.read_up() or {}
        if up.get("env", {}).get("AWS_ENDPOINT_URL") != settings.api.endpoint_url:
            return Config(settings, path)
    else:
        return Config(settings, path)
    return Config(settings, path, state.jwt_secret(), {str(k): str(v) for k, v in up["env"].items()})


def _application(state: StateDir, name: str) -> Path:
    """Raises: UsageError: `migrate up` has no application of that name."""
    path = state.configs / f"{name}.toml"
    if path.exists():
        return path
    known = ", ".join(sorted(one.stem for one in state.configs.glob("*.toml")))
    raise UsageError(
        f"there is no file {name}, and no application {name!r} of `migrate up`",
        f"the applications in {state.path}: {known}"
        if known
        else f"`migrate up` has made none in {state.path}; name a file, or start both stacks",
    )


def resolve_config(given: str | None, state_dir: Path) -> Config:
    """The file named, else `migrate.toml` here, else that of the rooms application of a running `migrate up`.

    A bare name (`direct`) means that application of `migrate up`. Raises: UsageError: there is none.
    """
    state = StateDir(state_dir)
    if given is not None:
        named = Path(given)
        if named.suffix or len(named.parts) != 1 or named.exists():
            return load_config(named, state_dir)
        return load_config(_application(state, given), state_dir)
    if DEFAULT_FILE.exists():
        return load_config(DEFAULT_FILE, state_dir)
    rooms = state.configs / f"{STACK}.toml"
    if rooms.exists() and state.holder() is not None:
        return load_config(rooms, state_dir)
    raise UsageError(
        f"there is no {DEFAULT_FILE} here, and no stacks are running in {state.path}",
        "write one for your stack with `migrate init`, or start both stacks with `migrate up`",
    )
