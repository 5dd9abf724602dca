"""Settings of the brokers between instances and of the ingest queue; part of Settings. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from sse_service.variables import Secret
from sse_service.variables import variable as _env

__all__ = ["BROKERS", "SQS_MODES", "BrokerSettings"]

BROKERS = ("memory", "redis", "sqs")
SQS_MODES = ("shard", "fifo", "tenant", "user", "provisioned")
_REDIS_SCHEMES = ("redis", "rediss", "unix")


@dataclass(frozen=True)
class BrokerSettings:
    """Sizes in bytes, times in seconds. docs/guides/brokers.md says which of them to choose."""

    broker: str = _env(
        "SSE_BROKER", "memory", "how instances tell each other of events: memory (one process), redis or sqs"
    )
    redis_url: Secret = _env(  # noqa: RUF009 - _env is dataclasses.field
        "SSE_REDIS_URL", Secret(""), "redis://[user:password@]host:port/db of Redis or Valkey; rediss:// for TLS"
    )
    sqs_mode: str = _env(
        "SSE_SQS_MODE",
        "shard",
        "shard (a queue per instance), fifo (the same, FIFO), tenant (a queue per tenant), user (a queue per user, "
        "made at first use) or provisioned (the same, made by somebody else)",
    )
    sqs_create_queues: int = _env(
        "SSE_SQS_CREATE_QUEUES", 1, "0: queues exist, none is made (as always with provisioned)", low=0, high=1
    )
    sqs_user_queue: str = _env(
        "SSE_SQS_USER_QUEUE", "{prefix}-user-{hash}", "name of a user's queue; of {prefix} {tenant} {user} {hash}"
    )
    sqs_tenant_queue: str = _env(
        "SSE_SQS_TENANT_QUEUE", "{prefix}-tenant-{hash}", "name of a tenant's queue; of {prefix} {tenant} {hash}"
    )
    sqs_instance_queue: str = _env(
        "SSE_SQS_INSTANCE_QUEUE", "{prefix}-instance-{slot}", "name of an instance's queue; slots count from 0"
    )
    sqs_wait_s: int = _env("SSE_SQS_WAIT_S", 20, "how long a poll of a queue waits for messages", low=1, high=20)
    sqs_max_polls: int = _env(
        "SSE_SQS_MAX_POLLS", 100, "polls under way at once; more queues than that take turns", low=2, high=5000
    )
    sqs_linger_s: float = _env(
        "SSE_SQS_LINGER_S", 60.0, "how long a queue is polled after its last stream here has closed", low=0, high=3600
    )
    sqs_visibility_s: int = _env(
        "SSE_SQS_VISIBILITY_S", 30, "after so long an unacknowledged message is received again", low=5, high=3600
    )
    sqs_retention_s: int = _env(
        "SSE_SQS_RETENTION_S", 300, "how long queues made here keep a notification", low=60, high=1209600
    )
    ingest_queue_url: str = _env(
        "SSE_INGEST_QUEUE_URL", "", "SQS queue from which back ends' events are published; empty: none"
    )
    ingest_polls: int = _env("SSE_INGEST_POLLS", 2, "polls of the ingest queue at once", low=1, high=32)
    ingest_visibility_s: int = _env(
        "SSE_INGEST_VISIBILITY_S", 60, "after so long an event that was not appended is tried again", low=30, high=3600
    )

    @property
    def creates_queues(self) -> bool:
        return bool(self.sqs_create_queues) and self.sqs_mode != "provisioned"

    @property
    def uses_mailboxes(self) -> bool:
        """Whether notifications go to queues of users or tenants, which instances share."""
        return self.sqs_mode in {"tenant", "user", "provisioned"}

    def broker_problems(self, *, is_durable: bool) -> list[str]:
        """What single values cannot tell."""
        problems = []
        if self.broker not in BROKERS:
            problems.append(f"SSE_BROKER={self.broker!r}: must be one of {', '.join(BROKERS)}")
        elif self.broker != "memory" and not is_durable:
            problems.append(f"SSE_BROKER={self.broker!r}: instances must share a log; set SSE_LOG=dynamodb")
        if self.broker == "redis":
            problems += _redis_problems(self.redis_url)
        if self.sqs_mode not in SQS_MODES:
            problems.append(f"SSE_SQS_MODE={self.sqs_mode!r}: must be one of {', '.join(SQS_MODES)}")
        for variable, pattern, needed in (
            ("SSE_SQS_USER_QUEUE", self.sqs_user_queue, ("hash", "user")),
            ("SSE_SQS_TENANT_QUEUE", self.sqs_tenant_queue, ("hash", "tenant")),
            ("SSE_SQS_INSTANCE_QUEUE", self.sqs_instance_queue, ("slot",)),
        ):
            known = dict.fromkeys(("prefix", *needed, "tenant" if "user" in needed else needed[0]), "x")
            try:
                pattern.format(**known)
            except (KeyError, IndexError, ValueError, AttributeError):
                problems.append(f"{variable}={pattern!r}: may name only {', '.join(f'{{{name}}}' for name in known)}")
                continue
            if not any(f"{{{name}}}" in pattern for name in needed):
                named = " or ".join(f"{{{name}}}" for name in needed)
                problems.append(f"{variable}={pattern!r}: must contain {named}, or all would share one queue")
        if self.sqs_visibility_s >= self.sqs_retention_s:
            problems.append(
                f"SSE_SQS_VISIBILITY_S={self.sqs_visibility_s}: must be shorter than SSE_SQS_RETENTION_S "
                f"({self.sqs_retention_s}), or nothing is ever received twice"
            )
        if self.ingest_queue_url and urlsplit(self.ingest_queue_url).scheme not in {"http", "https"}:
            problems.append(f"SSE_INGEST_QUEUE_URL={self.ingest_queue_url!r}: must be the URL of a queue")
        return problems


def _redis_problems(url: Secret) -> list[str]:
    if not url:
        return ["SSE_REDIS_URL is not set: SSE_BROKER=redis needs it"]
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in _REDIS_SCHEMES and bool(parts.hostname or parts.scheme == "unix")
        _ = parts.port
    except ValueError:
        is_usable = False
    # The URL may hold a password: it is not shown.
    return [] if is_usable else ["SSE_REDIS_URL=(hidden): must be redis://, rediss:// or unix:// with a host"]
