"""`LEGACY_WS_*` settings of the Lambda functions. until phase 3

Read from the environment when a function is called, never at import; passed down from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from legacy_ws.errors import ConfigurationError

__all__ = ["MIN_CONNECTION_TTL_S", "Settings", "whole_number"]

# API Gateway keeps a WebSocket connection for at most 2 hours (developer guide, "Quotas for configuring and
# running a WebSocket API"): a row must outlive that (REQUIREMENTS.md, fault 3).
MIN_CONNECTION_TTL_S = 2 * 3600 + 60


@dataclass(frozen=True)
class Settings:
    """Settings of the handlers behind the routes.

    Args:
        connections_table: LEGACY_WS_CONNECTIONS_TABLE.
        messages_table: LEGACY_WS_MESSAGES_TABLE.
        management_url: LEGACY_WS_MANAGEMENT_URL; without it `https://{domainName}/{stage}` of the event.
        connection_ttl_s: LEGACY_WS_CONNECTION_TTL_S, seconds a connection's row lives.
        max_message_bytes: LEGACY_WS_MAX_MESSAGE_BYTES, UTF-8 bytes of one message's text.
        history_limit: LEGACY_WS_HISTORY_LIMIT, messages of a page unless the client says otherwise.
        history_max_limit: LEGACY_WS_HISTORY_MAX_LIMIT, most messages a client may ask for.
        fanout_workers: LEGACY_WS_FANOUT_WORKERS, sends of one broadcast in flight at once.
        send_attempts: LEGACY_WS_SEND_ATTEMPTS, tries of one send.
        processing_function: LEGACY_WS_PROCESSING_FUNCTION, name of the function that runs the responder.
        answers_queue_url: LEGACY_WS_ANSWERS_QUEUE_URL, FIFO queue between that function and the connections.
        responder: LEGACY_WS_RESPONDER, `module:function` of the application's own logic; None: the deterministic one.
    """

    connections_table: str | None = None
    messages_table: str | None = None
    management_url: str | None = None
    connection_ttl_s: int = 9000
    max_message_bytes: int = 65536
    history_limit: int = 50
    history_max_limit: int = 500
    fanout_workers: int = 16
    send_attempts: int = 5
    processing_function: str | None = None
    answers_queue_url: str | None = None
    responder: str | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Raises: ConfigurationError: a value is no number, or outside its range."""
        url = environ.get("LEGACY_WS_MANAGEMENT_URL") or None
        if url and urlsplit(url).scheme not in ("http", "https"):
            raise ConfigurationError("LEGACY_WS_MANAGEMENT_URL", "must start with http:// or https://")
        number = partial(whole_number, environ)
        return cls(
            connections_table=environ.get("LEGACY_WS_CONNECTIONS_TABLE") or None,
            messages_table=environ.get("LEGACY_WS_MESSAGES_TABLE") or None,
            management_url=url.rstrip("/") if url else None,
            connection_ttl_s=whole_number(
                environ, "LEGACY_WS_CONNECTION_TTL_S", cls.connection_ttl_s, MIN_CONNECTION_TTL_S
            ),
            max_message_bytes=whole_number(
                environ, "LEGACY_WS_MAX_MESSAGE_BYTES", cls.max_message_bytes, 1, 128 * 1024
            ),
            history_limit=number("LEGACY_WS_HISTORY_LIMIT", cls.history_limit, 1, 1000),
            history_max_limit=number("LEGACY_WS_HISTORY_MAX_LIMIT", cls.history_max_limit, 1, 1000),
            fanout_workers=number("LEGACY_WS_FANOUT_WORKERS", cls.fanout_workers, 1, 256),
            send_attempts=number("LEGACY_WS_SEND_ATTEMPTS", cls.send_attempts, 1, 20),
            processing_function=environ.get("LEGACY_WS_PROCESSING_FUNCTION") or None,
            answers_queue_url=environ.get("LEGACY_WS_ANSWERS_QUEUE_URL") or None,
            responder=environ.get("LEGACY_WS_RESPONDER") or None,
        )


def whole_number(environ: Mapping[str, str], name: str, default: int, low: int, high: int | None = None) -> int:
    """Setting `name` as a number. Raises: ConfigurationError: no number, or outside [low, high]."""
    text = environ.get(name, "")
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        raise ConfigurationError(name, "must be a whole number") from None
    if value < low or (high is not None and value > high):
        raise ConfigurationError(name, f"must be at least {low}" + (f" and at most {high}" if high else ""))
    return value
