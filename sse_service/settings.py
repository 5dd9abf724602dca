"""Every setting of the service: typed, checked at start, one default in one place. Pure.

`Settings.from_env(os.environ)` reads the variables once; nothing reads the environment later. Times that depend
on what stands in front of the service come from its deployment profile (profiles.py) unless they are set.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sse_service.addresses import TrustedProxies, is_loopback
from sse_service.broker_settings import BrokerSettings
from sse_service.chat_settings import ChatSettings
from sse_service.errors import SettingsError
from sse_service.page_settings import PageSettings
from sse_service.profiles import DEFAULT_PROFILE, JITTER, PROFILES
from sse_service.transport_settings import TransportSettings
from sse_service.variables import Secret, parse
from sse_service.variables import variable as _env
from sse_service.virtual_settings import VirtualSettings

__all__ = ["Secret", "Settings", "default_env", "unknown_variables"]

MIN_SECRET_BYTES = 32
"""RFC 7518, 3.2: an HS256 key has at least the size of the hash output."""


_UNSET = Secret("")


@dataclass(frozen=True)
class Settings(BrokerSettings, ChatSettings, VirtualSettings, TransportSettings, PageSettings):
    """All settings; sizes in bytes, times in seconds."""

    host: str = _env("SSE_HOST", "127.0.0.1", "address to listen on")
    port: int = _env("SSE_PORT", 8080, "port to listen on; 0 picks a free one", low=0, high=65535)
    log: str = _env("SSE_LOG", "memory", "where events are kept: memory (lost at exit) or dynamodb")
    table_prefix: str = _env("SSE_TABLE_PREFIX", "sse-service", "first part of the names of its tables")
    messages_table: str = _env(
        "SSE_MESSAGES_TABLE", "", "an existing table to share for the messages of open conversations"
    )
    messages_partition_key: str = _env(
        "SSE_MESSAGES_PARTITION_KEY", "conversationId", "name of that table's partition key"
    )
    messages_tenant: str = _env(
        "SSE_MESSAGES_TENANT",
        "",
        "the one tenant a shared messages table belongs to; required with SSE_MESSAGES_TABLE",
    )
    region: str = _env("AWS_REGION", "ap-northeast-1", "AWS region (AWS_DEFAULT_REGION is read as well)")
    aws_endpoint_url: str = _env("AWS_ENDPOINT_URL", "", "address of DynamoDB, SQS and S3 where it is not AWS's own")
    jwt_secret: Secret = _env(  # noqa: RUF009 - _env is dataclasses.field
        "SSE_JWT_SECRET", _UNSET, "key of the tokens (HS256), at least 32 bytes"
    )
    jwt_issuer: str = _env("SSE_JWT_ISSUER", "", "`iss` that tokens must carry; empty: not checked")
    jwt_audience: str = _env("SSE_JWT_AUDIENCE", "", "`aud` that tokens must carry; empty: not checked")
    jwt_leeway_s: float = _env("SSE_JWT_LEEWAY_S", 0.0, "tolerated difference of clocks", low=0, high=300)
    jwks_url: str = _env(
        "SSE_JWKS_URL", "", "where the issuer publishes its keys (RS256), instead of SSE_JWT_SECRET; https or loopback"
    )
    jwt_user_claim: str = _env("SSE_JWT_USER_CLAIM", "", "claim that names the user; empty: `sub`, or `user_id`")
    jwt_tenant_claim: str = _env("SSE_JWT_TENANT_CLAIM", "tenant_id", "claim that names the tenant")
    jwt_default_tenant: str = _env(
        "SSE_JWT_DEFAULT_TENANT", "", "tenant of tokens without that claim; empty: such tokens are refused"
    )
    cognito_user_pool_id: str = _env(
        "SSE_COGNITO_USER_POOL_ID", "", "user pool whose tokens are accepted (sets issuer and keys)"
    )
    cognito_client_ids: tuple[str, ...] = _env(
        "SSE_COGNITO_CLIENT_ID", (), "app clients of that pool, separated by commas; empty: any"
    )
    cognito_token_use: tuple[str, ...] = _env(
        "SSE_COGNITO_TOKEN_USE", ("access", "id"), "kinds of tokens accepted of that pool: access, id"
    )
    dev_auth: int = _env(
        "SSE_DEV_AUTH",
        0,
        "1: on a loopback address believe the headers X-User-Id and X-Tenant-Id; for development only",
        low=0,
        high=1,
    )
    ticket_ttl_s: float = _env(
        "SSE_TICKET_TTL_S", 30.0, "how long a stream ticket can be exchanged for a session", low=1, high=600
    )
    cookie_samesite: str = _env(
        "SSE_COOKIE_SAMESITE", "strict", "SameSite of the session cookie: strict, lax or none (other sites' pages)"
    )
    cookie_path: str = _env(
        "SSE_COOKIE_PATH", "", "Path of the session cookie, where a proxy changes paths; empty: the stream's own"
    )
    profile: str = _env("SSE_PROFILE", DEFAULT_PROFILE, f"what stands in front: {', '.join(PROFILES)}")
    heartbeat_s: float = _env("SSE_HEARTBEAT_S", 0.0, "comment interval; 0: the profile's", low=0, high=3600)
    max_age_s: float = _env(
        "SSE_MAX_STREAM_AGE_S", 0.0, "age at which a stream is rotated; 0: the profile's", low=0, high=86400
    )
    idle_timeout_s: float = _env(
        "SSE_IDLE_TIMEOUT_S",
        0.0,
        "after so long a silence the proxy in front cuts a connection; 0: the profile's",
        low=0,
        high=86400,
    )
    transport: str = _env(
        "SSE_TRANSPORT",
        "auto",
        "how streams are written: auto (straight to the connection where the server allows it) or portable",
    )
    tls_certfile: str = _env("SSE_TLS_CERTFILE", "", "certificate chain (PEM): serve https without a proxy")
    tls_keyfile: str = _env("SSE_TLS_KEYFILE", "", "its private key (PEM); empty: in the same file")
    retry_ms: int = _env("SSE_RETRY_MS", 1000, "shortest reconnect delay told to clients", low=1, high=600000)
    grace_s: float = _env("SSE_GRACE_S", 10.0, "time for all streams to end after SIGTERM", low=0, high=3600)
    drain_delay_s: float = _env(
        "SSE_DRAIN_DELAY_S", 0.0, "how long readiness is down before streams end", low=0, high=3600
    )
    retention_s: int = _env("SSE_RETENTION_S", 86400, "how long events can be replayed", low=60, high=366 * 86400)
    memory_log_bytes: int = _env(
        "SSE_MEMORY_LOG_BYTES", 64 << 20, "what the memory log keeps per tenant", low=1 << 10, high=1 << 40
    )
    ring_bytes: int = _env(
        "SSE_RING_BYTES", 4 << 20, "recent events kept per tenant for quick resume", low=1 << 10, high=1 << 32
    )
    log_check_s: float = _env(
        "SSE_LOG_CHECK_S",
        10.0,
        "how often a tenant with open streams looks for events it was not told of (dynamodb); 0: never",
        low=0,
        high=3600,
    )
    stream_buffer_bytes: int = _env(
        "SSE_STREAM_BUFFER_BYTES", 1 << 20, "what may wait for one slow client", low=1 << 12, high=1 << 32
    )
    send_timeout_s: float = _env(
        "SSE_SEND_TIMEOUT_S", 30.0, "a client that takes nothing for so long is cut off", low=0.1, high=3600
    )
    publish_timeout_s: float = _env(
        "SSE_PUBLISH_TIMEOUT_S", 5.0, "how long an append is tried before 503", low=0.1, high=60
    )
    max_streams_per_user: int = _env("SSE_MAX_STREAMS_PER_USER", 50, "open streams of one user", low=1)
    max_streams_per_address: int = _env(
        "SSE_MAX_STREAMS_PER_ADDRESS", 2000, "open streams of one client address", low=1
    )
    max_streams: int = _env("SSE_MAX_STREAMS", 20000, "open streams of this process", low=1)
    max_topics: int = _env("SSE_MAX_TOPICS", 100, "topics or conversations that one stream may name", low=1, high=1000)
    opens_per_minute: int = _env(
        "SSE_OPENS_PER_MINUTE",
        0,
        "streams one user may open, beyond a burst of four times SSE_MAX_STREAMS_PER_USER; "
        "0: SSE_MAX_STREAMS_PER_USER, at least 60",
        low=0,
    )
    send_per_s: float = _env(
        "SSE_SEND_PER_S", 200.0, "requests that change something, of one user, on average; 0: no limit", low=0
    )
    send_burst: int = _env("SSE_SEND_BURST", 1000, "and so many of them at once", low=1)
    publish_per_s: float = _env(
        "SSE_PUBLISH_PER_S", 0.0, "events one back end may publish, on average; 0: no limit", low=0
    )
    publish_burst: int = _env("SSE_PUBLISH_BURST", 10000, "and so many of them at once", low=500)
    max_body_bytes: int = _env("SSE_MAX_BODY_BYTES", 1 << 20, "largest request body", low=1 << 10, high=1 << 30)
    head_timeout_s: float = _env(
        "SSE_HEAD_TIMEOUT_S", 15.0, "so long may a request's head take to arrive, then 408", low=0.1, high=3600
    )
    body_timeout_s: float = _env(
        "SSE_BODY_TIMEOUT_S", 60.0, "so long may a request's body take to arrive, then 408", low=0.1, high=3600
    )
    max_event_bytes: int = _env("SSE_MAX_EVENT_BYTES", 128 << 10, "largest event", low=1 << 8, high=128 << 10)
    cors_origins: tuple[str, ...] = _env(
        "SSE_CORS_ORIGINS", (), "origins whose pages may call the service, separated by commas; * for all"
    )
    forwarded_allow_ips: tuple[str, ...] = _env(
        "SSE_FORWARDED_ALLOW_IPS",
        (),
        "addresses or networks of proxies whose X-Forwarded-For is believed, separated by commas; empty: none",
    )
    log_level: str = _env("SSE_LOG_LEVEL", "info", "debug, info, warning or error")

    # Derived -------------------------------------------------------------------------------------------

    @property
    def is_durable(self) -> bool:
        return self.log == "dynamodb"

    @property
    def checks_tokens(self) -> bool:
        return bool(self.jwt_secret or self.effective_jwks_url)

    @property
    def effective_heartbeat_s(self) -> float:
        return self.heartbeat_s or PROFILES[self.profile].heartbeat_s

    @property
    def effective_max_age_s(self) -> float:
        return self.max_age_s or PROFILES[self.profile].max_age_s

    @property
    def effective_idle_s(self) -> float:
        """0: nothing in front cuts a silent connection, as far as known."""
        return self.idle_timeout_s or PROFILES[self.profile].idle_s

    @property
    def effective_opens_per_minute(self) -> int:
        return self.opens_per_minute or max(60, self.max_streams_per_user)

    def effective(self) -> dict[str, float | str]:
        """What profile and settings come to, for people."""
        return {
            "heartbeat_s": self.effective_heartbeat_s,
            "max_age_s": self.effective_max_age_s,
            "idle_timeout_s": self.effective_idle_s,
            "opens_per_minute": self.effective_opens_per_minute,
            "jwks_url": self.effective_jwks_url,
        }

    @property
    def cognito_issuer(self) -> str:
        """Source: Cognito developer guide, "Verifying JSON web tokens"; empty without a user pool."""
        pool = self.cognito_user_pool_id
        return f"https://cognito-idp.{pool.partition('_')[0]}.amazonaws.com/{pool}" if pool else ""

    @property
    def effective_jwks_url(self) -> str:
        """Where keys are read from; empty: tokens are signed with the secret."""
        issuer = self.cognito_issuer
        return self.jwks_url or (f"{issuer}/.well-known/jwks.json" if issuer else "")

    @property
    def shares_messages_table(self) -> bool:
        return bool(self.messages_table)

    @property
    def own_messages_table(self) -> str:
        return f"{self.table_prefix}-messages"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read and check all variables. Raises SettingsError with every problem, not only the first."""
        settings, problems = cls.read(environ)
        if problems:
            raise SettingsError(problems)
        return settings

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> tuple[Settings, list[str]]:
        """The same with the problems as a list; what cannot be read has its default in the settings."""
        values: dict[str, Any] = {}
        problems: list[str] = []
        wrong: set[str] = set()
        for item in dataclasses.fields(cls):
            variable = item.metadata["variable"]
            raw = environ.get(variable)
            if raw is None and variable == "AWS_REGION":
                raw = environ.get("AWS_DEFAULT_REGION")
            if raw is None or raw == "":
                continue
            try:
                values[item.name] = parse(item, raw)
            except ValueError as error:
                shown = "(hidden)" if isinstance(item.default, Secret) else repr(raw)
                problems.append(f"{variable}={shown}: {error}")
                wrong.add(variable)
        settings = cls(**values)
        # What is said of a variable that could not be read would be said of its default.
        problems += [problem for problem in settings.problems() if problem.split("=")[0].split()[0] not in wrong]
        return settings, problems

    def replace(self, **changes: Any) -> Settings:
        """A copy with some fields changed, checked again."""
        changed = dataclasses.replace(self, **changes)
        changed.check()
        return changed

    def check(self) -> None:
        """Raises SettingsError with everything that is wrong."""
        problems = list(self.problems())
        if problems:
            raise SettingsError(problems)

    def problems(self) -> Iterator[str]:
        """What single values cannot tell: one line each, beginning with the variable to change."""
        yield from self.broker_problems(is_durable=self.is_durable)
        yield from self.chat_problems()
        yield from self.page_problems()
        yield from self.transport_problems()
        yield from self.virtual_problems(redis_url=self.redis_url, max_body_bytes=self.max_body_bytes)
        for variable, value, allowed in (
            ("SSE_LOG", self.log, ("memory", "dynamodb")),
            ("SSE_PROFILE", self.profile, tuple(PROFILES)),
            ("SSE_TRANSPORT", self.transport, ("auto", "portable")),
            ("SSE_COOKIE_SAMESITE", self.cookie_samesite, ("strict", "lax", "none")),
            ("SSE_LOG_LEVEL", self.log_level, ("debug", "info", "warning", "error")),
        ):
            if value not in allowed:
                yield f"{variable}={value!r}: must be one of {', '.join(allowed)}"
        yield from self._auth_problems()
        for origin in self.cors_origins:
            if origin != "*" and not _is_origin(origin):
                yield f"SSE_CORS_ORIGINS={origin!r}: is no origin; must be scheme://host[:port] in lower case, or *"
        if self.tls_keyfile and not self.tls_certfile:
            yield f"SSE_TLS_KEYFILE={self.tls_keyfile!r}: has a meaning only with SSE_TLS_CERTFILE"
        if self.messages_table and not self.messages_tenant:
            yield (
                f"SSE_MESSAGES_TABLE={self.messages_table!r}: such a table knows no tenants; "
                "name the one it belongs to in SSE_MESSAGES_TENANT"
            )
        if self.messages_tenant and not self.messages_table:
            yield f"SSE_MESSAGES_TENANT={self.messages_tenant!r}: has a meaning only with SSE_MESSAGES_TABLE"
        try:
            TrustedProxies(self.forwarded_allow_ips)
        except ValueError as error:
            yield (
                f"SSE_FORWARDED_ALLOW_IPS={','.join(self.forwarded_allow_ips)!r}: {error}; name the proxies' addresses "
                "or networks (whoever may connect from elsewhere could invent an address)"
            )
        if self.cookie_path and not re.fullmatch(r"/[!-:<-~]*", self.cookie_path):
            yield f"SSE_COOKIE_PATH={self.cookie_path!r}: must begin with / and hold no space and no semicolon"
        if self.profile in PROFILES and self.effective_max_age_s < self.effective_heartbeat_s:
            yield (
                f"SSE_MAX_STREAM_AGE_S={self.effective_max_age_s:g}: shorter than the heartbeat "
                f"({self.effective_heartbeat_s:g} s)"
            )

    def _auth_problems(self) -> Iterator[str]:
        if self.jwt_secret and len(self.jwt_secret.encode()) < MIN_SECRET_BYTES:
            yield f"SSE_JWT_SECRET=(hidden): must have at least {MIN_SECRET_BYTES} bytes (RFC 7518, 3.2)"
        if self.jwt_secret and self.effective_jwks_url:
            yield (
                "SSE_JWT_SECRET=(hidden): there is one way to check tokens; unset it, or SSE_JWKS_URL and "
                "SSE_COGNITO_USER_POOL_ID"
            )
        if self.is_durable and not self.checks_tokens:
            yield (
                "SSE_JWT_SECRET is not set: SSE_LOG=dynamodb serves real users and needs a key "
                "(or SSE_JWKS_URL, or SSE_COGNITO_USER_POOL_ID)"
            )
        if self.cognito_user_pool_id and not re.fullmatch(
            r"[a-z]{2,4}(-[a-z]+)+-\d_[0-9A-Za-z]+", self.cognito_user_pool_id
        ):
            yield f"SSE_COGNITO_USER_POOL_ID={self.cognito_user_pool_id!r}: must be like ap-northeast-1_Ab12Cd34E"
        if self.cognito_client_ids and not self.cognito_user_pool_id:
            yield "SSE_COGNITO_CLIENT_ID: has a meaning only with SSE_COGNITO_USER_POOL_ID"
        if not self.cognito_token_use or set(self.cognito_token_use) - {"access", "id"}:
            yield f"SSE_COGNITO_TOKEN_USE={','.join(self.cognito_token_use)!r}: must be access, id or both"
        if self.cognito_user_pool_id and self.jwt_issuer not in {"", self.cognito_issuer}:
            yield f"SSE_JWT_ISSUER={self.jwt_issuer!r}: the user pool's issuer is {self.cognito_issuer}"
        if self.jwks_url and not _is_safe_url(self.jwks_url):
            yield f"SSE_JWKS_URL={self.jwks_url!r}: must be an https address, or http on a loopback address"
        if self.dev_auth and not is_loopback(self.host):
            yield f"SSE_DEV_AUTH=1: anybody could be anybody on SSE_HOST={self.host!r}; only for a loopback address"
        if self.dev_auth and self.forwarded_allow_ips:
            yield "SSE_DEV_AUTH=1: not together with SSE_FORWARDED_ALLOW_IPS: behind a proxy everybody is local"

    def warnings(self) -> Iterator[str]:
        """What was set on purpose and is most likely a mistake: a setting wins over its profile."""
        yield from self.virtual_warnings()
        profile = PROFILES[self.profile]
        age_s, heartbeat_s, idle_s = self.effective_max_age_s, self.effective_heartbeat_s, self.effective_idle_s
        if profile.longest_s and age_s * (1 + JITTER) > profile.longest_s:
            yield (
                f"SSE_MAX_STREAM_AGE_S={age_s:g}: with SSE_PROFILE={self.profile} streams are cut after "
                f"{profile.longest_s:g} s; {int(profile.longest_s / (1 + JITTER))} or less lets them end cleanly"
            )
        if idle_s and heartbeat_s * 2 > idle_s:
            yield (
                f"SSE_HEARTBEAT_S={heartbeat_s:g}: what stands in front cuts after {idle_s:g} s of silence; "
                f"{idle_s / 2:g} or less is safe (SSE_IDLE_TIMEOUT_S says what is configured there)"
            )
        if self.dev_auth:
            yield "SSE_DEV_AUTH=1: every local process can be any user; for development only"


def _is_safe_url(url: str) -> bool:
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))


def _is_origin(text: str) -> bool:
    """Compared as text with what browsers send: lower case, no path (RFC 6454, 6.2)."""
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", text):
        return False
    port = re.search(r":([0-9]+)$", text)
    return port is None or int(port[1]) <= 65535


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Variables that look like ours and are not: most likely a typing error."""
    known = {item.metadata["variable"] for item in dataclasses.fields(Settings)}
    return [name for name in sorted(environ) if name.startswith("SSE_") and name not in known]


def default_env() -> str:
    """Every variable with its default and meaning, in the form a shell or an env file reads."""
    lines = []
    for item in dataclasses.fields(Settings):
        default = ",".join(item.default) if isinstance(item.default, tuple) else str(item.default)
        lines += [f"# {item.metadata['doc']}", f"{item.metadata['variable']}={default}"]
    return "\n".join(lines) + "\n"
