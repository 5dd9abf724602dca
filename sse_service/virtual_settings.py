"""Settings of virtual connections; part of Settings. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sse_service.variables import Secret
from sse_service.variables import variable as _env

__all__ = ["VirtualSettings"]

_ESCAPED = 6
"""The most bytes that JSON may make of one (`\\u0000`)."""
_ROOM = 4 << 10
"""For what stands around a message in a POST."""


@dataclass(frozen=True)
class VirtualSettings:
    """Sizes in bytes, times in seconds. Defaults of limits are API Gateway's (connections/limits.py)."""

    virtual_definition: str = _env(
        "SSE_VIRTUAL_DEFINITION", "", "file (.toml, .json) that defines the API of virtual connections; empty: none"
    )
    virtual_api_id: str = _env(
        "SSE_VIRTUAL_API_ID",
        "",
        "WebSocket API of API Gateway whose routes and Lambdas are used; empty: none",
    )
    virtual_stage: str = _env("SSE_VIRTUAL_STAGE", "prod", "stage: in events, of an API's settings, and in the paths")
    virtual_path: str = _env("SSE_VIRTUAL_PATH", "", "path at which connections are opened; empty: /{stage}")
    virtual_domain_name: str = _env(
        "SSE_VIRTUAL_DOMAIN_NAME",
        "",
        "host of `https://{domainName}/{stage}/@connections` in events; empty: host and port of SSE_HOST, SSE_PORT",
    )
    virtual_account_id: str = _env(
        "SSE_VIRTUAL_ACCOUNT_ID", "000000000000", "account in the methodArn that authorizers are given"
    )
    virtual_store: str = _env(
        "SSE_VIRTUAL_STORE",
        "memory",
        "where connections are kept: memory (this process) or redis (SSE_REDIS_URL; several instances)",
    )
    virtual_management_keys: tuple[str, ...] = _env(
        "SSE_VIRTUAL_MANAGEMENT_ACCESS_KEY_ID",
        (),
        "access keys whose signed requests the @connections API takes, separated by commas",
    )
    virtual_management_secrets: Secret = _env(  # noqa: RUF009 - _env is dataclasses.field
        "SSE_VIRTUAL_MANAGEMENT_SECRET_ACCESS_KEY", Secret(""), "their secrets, in the same order"
    )
    virtual_management_bind: str = _env(
        "SSE_VIRTUAL_MANAGEMENT_BIND",
        "",
        "address:port of a second listener whose @connections API believes everybody who reaches it; empty: none",
    )
    virtual_management_rate: float = _env(
        "SSE_VIRTUAL_MANAGEMENT_RATE", 0.0, "@connections requests a second before 429; 0: no limit", low=0
    )
    virtual_management_forward_url: str = _env(
        "SSE_VIRTUAL_MANAGEMENT_FORWARD_URL",
        "",
        "where @connections requests go whose connection is not here: `https://{api}.execute-api.{region}.amazonaws.com/"
        "{stage}` while some clients are still on API Gateway; empty: they get 410",
    )
    virtual_connects_per_s: float = _env(
        "SSE_VIRTUAL_CONNECTS_PER_S", 500.0, "new virtual connections a second of this process; 0: no limit", low=0
    )
    virtual_max_connections: int = _env(
        "SSE_VIRTUAL_MAX_CONNECTIONS", 50000, "virtual connections of this process (memory) and its streams", low=1
    )
    virtual_message_bytes: int = _env(
        "SSE_VIRTUAL_MESSAGE_BYTES", 128 << 10, "largest message, either way", low=1, high=1 << 24
    )
    virtual_idle_s: float = _env(
        "SSE_VIRTUAL_IDLE_S", 600.0, "a connection without a message for so long is closed", low=0.1, high=86400
    )
    virtual_lifetime_s: float = _env(
        "SSE_VIRTUAL_LIFETIME_S", 7200.0, "a connection is closed at this age", low=0.1, high=30 * 86400
    )
    virtual_resume_s: float = _env(
        "SSE_VIRTUAL_RESUME_S", 60.0, "how long a connection without a stream waits for one", low=0.1, high=3600
    )
    virtual_buffer_bytes: int = _env(
        "SSE_VIRTUAL_BUFFER_BYTES", 1 << 20, "what is kept for one client to be replayed", low=1 << 12, high=1 << 30
    )
    virtual_integration_s: float = _env(
        "SSE_VIRTUAL_INTEGRATION_S", 29.0, "the longest a handler or an authorizer may take", low=0.05, high=900
    )
    virtual_in_flight: int = _env(
        "SSE_VIRTUAL_IN_FLIGHT", 64, "messages of one connection that are handled at once", low=1, high=10000
    )
    virtual_ordered: int = _env(
        "SSE_VIRTUAL_ORDERED", 0, "1: a connection's next message is handled when the last one is done", low=0, high=1
    )
    virtual_binary: str = _env(
        "SSE_VIRTUAL_BINARY", "refuse", "binary messages: refuse (closed with 1003, as API Gateway does) or pass"
    )

    @property
    def has_virtual(self) -> bool:
        return bool(self.virtual_definition or self.virtual_api_id)

    @property
    def effective_virtual_path(self) -> str:
        return self.virtual_path.rstrip("/") or f"/{self.virtual_stage}"

    def management_secrets(self) -> dict[str, str]:
        """Secret by access key."""
        secrets = [part.strip() for part in self.virtual_management_secrets.split(",") if part.strip()]
        return dict(zip(self.virtual_management_keys, secrets, strict=True))

    def virtual_problems(self, *, redis_url: str, max_body_bytes: int) -> Iterator[str]:
        """What single values cannot tell."""
        for variable, value, allowed in (
            ("SSE_VIRTUAL_STORE", self.virtual_store, ("memory", "redis")),
            ("SSE_VIRTUAL_BINARY", self.virtual_binary, ("refuse", "pass")),
        ):
            if value not in allowed:
                yield f"{variable}={value!r}: must be one of {', '.join(allowed)}"
        if self.virtual_definition and self.virtual_api_id:
            yield "SSE_VIRTUAL_API_ID: an API is defined in one place; unset it, or SSE_VIRTUAL_DEFINITION"
        if self.virtual_store == "redis" and not redis_url:
            yield "SSE_REDIS_URL is not set: SSE_VIRTUAL_STORE=redis needs it"
        # CreateStage: "alphanumeric characters, hyphens, and underscores, or be $default".
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", self.virtual_stage):
            yield f"SSE_VIRTUAL_STAGE={self.virtual_stage!r}: must be 1 to 128 letters, digits, - or _"
        if self.virtual_path and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+/?", self.virtual_path):
            yield f"SSE_VIRTUAL_PATH={self.virtual_path!r}: must be like /chat or /ws/prod"
        yield from self._path_problems()
        secrets = [part for part in self.virtual_management_secrets.split(",") if part.strip()]
        if len(secrets) != len(self.virtual_management_keys):
            yield (
                "SSE_VIRTUAL_MANAGEMENT_SECRET_ACCESS_KEY=(hidden): must hold one secret for each of "
                f"SSE_VIRTUAL_MANAGEMENT_ACCESS_KEY_ID ({len(self.virtual_management_keys)})"
            )
        forward = self.virtual_management_forward_url
        if forward and not re.fullmatch(r"https?://[^/?#@\s]+(/[^?#\s]*)?", forward):
            yield f"SSE_VIRTUAL_MANAGEMENT_FORWARD_URL={forward!r}: must be like https://host/stage"
        if self.virtual_management_bind and not re.fullmatch(r".+:\d{1,5}", self.virtual_management_bind):
            yield f"SSE_VIRTUAL_MANAGEMENT_BIND={self.virtual_management_bind!r}: must be address:port"
        needed = _ESCAPED * self.virtual_message_bytes + _ROOM
        if self.has_virtual and max_body_bytes < needed:
            yield (
                f"SSE_MAX_BODY_BYTES={max_body_bytes}: a message of SSE_VIRTUAL_MESSAGE_BYTES may need {needed} in JSON"
            )
        if self.virtual_buffer_bytes < self.virtual_message_bytes * 2:
            yield (
                f"SSE_VIRTUAL_BUFFER_BYTES={self.virtual_buffer_bytes}: must be twice SSE_VIRTUAL_MESSAGE_BYTES or more"
            )

    def _path_problems(self) -> Iterator[str]:
        first = self.effective_virtual_path.lstrip("/").partition("/")[0]
        if first in {"api", "chat", "docs", "healthz", "readyz", "metrics", "openapi.json"}:
            variable = "SSE_VIRTUAL_PATH" if self.virtual_path else "SSE_VIRTUAL_STAGE"
            yield f"{variable}: /{first} belongs to the service itself; set SSE_VIRTUAL_PATH to another path"

    def virtual_warnings(self) -> Iterator[str]:
        if self.virtual_api_id and not self.virtual_management_keys and not self.virtual_management_bind:
            yield (
                "SSE_VIRTUAL_MANAGEMENT_ACCESS_KEY_ID is not set: no Lambda can post to a virtual connection "
                "(SSE_VIRTUAL_MANAGEMENT_BIND is the other way)"
            )
