"""Every setting of the service: typed, checked at start, one default in one place. Pure.

`Settings.from_env(os.environ)` reads the variables once; nothing reads the environment later. Deployment
profiles give the times that depend on what stands in front of the service (docs/decisions/0002 for the
stream's life; limits of the targets: AWS documentation as of November 2026).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sse_service.errors import SettingsError

__all__ = ["PROFILES", "Profile", "Secret", "Settings", "default_env", "unknown_variables"]

MIN_SECRET_BYTES = 32
"""RFC 7518, 3.2: an HS256 key has at least the size of the hash output."""


class Secret(str):
    """Text that does not show itself in a repr, a log line or an error."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('***')" if self else "Secret('')"


_UNSET = Secret("")


@dataclass(frozen=True, slots=True)
class Profile:
    """heartbeat_s: a comment at least this often. max_age_s: a stream is rotated at about this age."""

    heartbeat_s: float
    max_age_s: float


PROFILES: Mapping[str, Profile] = {
    # An idle connection is cut after 60 s by default; a deregistering target is given 300 s.
    "alb": Profile(heartbeat_s=15, max_age_s=270),
    "local": Profile(heartbeat_s=15, max_age_s=3600),
    # A whole response lasts 120 s at most.
    "apprunner": Profile(heartbeat_s=15, max_age_s=100),
    # 900 s for a response; idle 300 s (regional endpoint).
    "apigw": Profile(heartbeat_s=25, max_age_s=800),
    # 900 s for a response; idle 30 s (edge-optimised endpoint).
    "apigw-edge": Profile(heartbeat_s=10, max_age_s=800),
    "lambda-url": Profile(heartbeat_s=15, max_age_s=800),
    # Idle 30 s by default.
    "cloudfront": Profile(heartbeat_s=10, max_age_s=3600),
}


def _env(variable: str, default: Any, doc: str, *, low: float | None = None, high: float | None = None) -> Any:
    return field(default=default, metadata={"variable": variable, "doc": doc, "low": low, "high": high})


@dataclass(frozen=True)
class Settings:
    """All settings; sizes in bytes, times in seconds."""

    host: str = _env("SSE_HOST", "127.0.0.1", "address to listen on")
    port: int = _env("SSE_PORT", 8080, "port to listen on; 0 picks a free one", low=0, high=65535)
    log: str = _env("SSE_LOG", "memory", "where events are kept: memory (lost at exit) or dynamodb")
    broker: str = _env("SSE_BROKER", "memory", "how instances tell each other: memory (one process)")
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
    aws_endpoint_url: str = _env("AWS_ENDPOINT_URL", "", "address of DynamoDB where it is not AWS's own")
    jwt_secret: Secret = _env(  # noqa: RUF009 - _env is dataclasses.field
        "SSE_JWT_SECRET", _UNSET, "key of the tokens (HS256), at least 32 bytes"
    )
    jwt_issuer: str = _env("SSE_JWT_ISSUER", "", "`iss` that tokens must carry; empty: not checked")
    jwt_audience: str = _env("SSE_JWT_AUDIENCE", "", "`aud` that tokens must carry; empty: not checked")
    jwt_leeway_s: float = _env("SSE_JWT_LEEWAY_S", 0.0, "tolerated difference of clocks", low=0, high=300)
    profile: str = _env("SSE_PROFILE", "alb", f"what stands in front: {', '.join(PROFILES)}")
    heartbeat_s: float = _env("SSE_HEARTBEAT_S", 0.0, "comment interval; 0: the profile's", low=0, high=3600)
    max_age_s: float = _env(
        "SSE_MAX_STREAM_AGE_S", 0.0, "age at which a stream is rotated; 0: the profile's", low=0, high=86400
    )
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
    max_body_bytes: int = _env("SSE_MAX_BODY_BYTES", 1 << 20, "largest request body", low=1 << 10, high=1 << 30)
    max_event_bytes: int = _env("SSE_MAX_EVENT_BYTES", 128 << 10, "largest event", low=1 << 8, high=128 << 10)
    cors_origins: tuple[str, ...] = _env(
        "SSE_CORS_ORIGINS", (), "origins whose pages may call the service, separated by commas; * for all"
    )
    forwarded_allow_ips: str = _env(
        "SSE_FORWARDED_ALLOW_IPS", "", "proxies whose X-Forwarded-For is believed; empty: none"
    )
    log_level: str = _env("SSE_LOG_LEVEL", "info", "debug, info, warning or error")

    # Derived -------------------------------------------------------------------------------------------

    @property
    def is_durable(self) -> bool:
        return self.log == "dynamodb"

    @property
    def effective_heartbeat_s(self) -> float:
        return self.heartbeat_s or PROFILES[self.profile].heartbeat_s

    @property
    def effective_max_age_s(self) -> float:
        return self.max_age_s or PROFILES[self.profile].max_age_s

    @property
    def shares_messages_table(self) -> bool:
        return bool(self.messages_table)

    @property
    def own_messages_table(self) -> str:
        return f"{self.table_prefix}-messages"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read and check all variables. Raises SettingsError with every problem, not only the first."""
        values: dict[str, Any] = {}
        problems: list[str] = []
        for item in dataclasses.fields(cls):
            variable = item.metadata["variable"]
            raw = environ.get(variable)
            if raw is None and variable == "AWS_REGION":
                raw = environ.get("AWS_DEFAULT_REGION")
            if raw is None or raw == "":
                continue
            try:
                values[item.name] = _parse(item, raw)
            except ValueError as error:
                shown = "(hidden)" if isinstance(item.default, Secret) else repr(raw)
                problems.append(f"{variable}={shown}: {error}")
        if problems:
            raise SettingsError(problems)
        settings = cls(**values)
        settings.check()
        return settings

    def replace(self, **changes: Any) -> Settings:
        """A copy with some fields changed, checked again."""
        changed = dataclasses.replace(self, **changes)
        changed.check()
        return changed

    def check(self) -> None:
        """What single values cannot tell. Raises SettingsError."""
        problems: list[str] = []
        for variable, value, allowed in (
            ("SSE_LOG", self.log, ("memory", "dynamodb")),
            ("SSE_BROKER", self.broker, ("memory",)),
            ("SSE_PROFILE", self.profile, tuple(PROFILES)),
            ("SSE_LOG_LEVEL", self.log_level, ("debug", "info", "warning", "error")),
        ):
            if value not in allowed:
                problems.append(f"{variable}={value!r}: must be one of {', '.join(allowed)}")
        if self.jwt_secret and len(self.jwt_secret.encode()) < MIN_SECRET_BYTES:
            problems.append(f"SSE_JWT_SECRET=(hidden): must have at least {MIN_SECRET_BYTES} bytes (RFC 7518, 3.2)")
        if self.is_durable and not self.jwt_secret:
            problems.append("SSE_JWT_SECRET is not set: SSE_LOG=dynamodb serves real users and needs a key")
        if self.messages_table and not self.messages_tenant:
            problems.append(
                f"SSE_MESSAGES_TABLE={self.messages_table!r}: such a table knows no tenants; "
                "name the one it belongs to in SSE_MESSAGES_TENANT"
            )
        if self.messages_tenant and not self.messages_table:
            problems.append(f"SSE_MESSAGES_TENANT={self.messages_tenant!r}: has a meaning only with SSE_MESSAGES_TABLE")
        if self.profile in PROFILES and 0 < self.effective_max_age_s < self.effective_heartbeat_s:
            problems.append(
                f"SSE_MAX_STREAM_AGE_S={self.effective_max_age_s:g}: shorter than the heartbeat "
                f"({self.effective_heartbeat_s:g} s)"
            )
        if problems:
            raise SettingsError(problems)


def _parse(item: dataclasses.Field[Any], raw: str) -> Any:
    default = item.default
    if isinstance(default, Secret):
        return Secret(raw)
    if isinstance(default, tuple):
        return tuple(part.strip() for part in raw.split(",") if part.strip())
    convert: Callable[[str], Any]
    if isinstance(default, int):
        convert, kind = int, "a whole number"
    elif isinstance(default, float):
        convert, kind = float, "a number"
    else:
        return raw
    try:
        value = convert(raw)
    except ValueError:
        raise ValueError(f"must be {kind}") from None
    low, high = item.metadata["low"], item.metadata["high"]
    if value != value or (low is not None and value < low) or (high is not None and value > high):
        limits = f"{low:g} or more" if high is None else f"between {low:g} and {high:g}"
        raise ValueError(f"must be {limits}")
    return value


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
