"""Limits of one connection, with API Gateway's values as defaults.

Source: API Gateway guide, "Quotas for configuring and running a WebSocket API"
(apigateway-execution-service-websocket-limits-table.html), read 2026-11.
"""

from dataclasses import dataclass

KIB = 1024


@dataclass(frozen=True)
class ConnectionLimits:
    """What one connection may do; sizes in bytes, times in seconds."""

    frame_bytes: int = 32 * KIB
    """One WebSocket frame, either direction. A larger one closes the connection with 1009."""
    message_bytes: int = 128 * KIB
    """One message, either direction. A larger one closes with 1009; posted by @connections it gets 413."""
    idle_s: float = 600.0
    """Without a message in either direction the connection is closed."""
    lifetime_s: float = 7200.0
    """A connection is closed at this age, busy or not."""
    integration_s: float = 29.0
    """The longest an integration may take; an integration's own, shorter limit wins."""
    authorizer_result_bytes: int = 8 * KIB
    """The largest answer of a Lambda authorizer."""
    url_chars: int = 4096
    """The longest URL of a connect."""
    in_flight: int = 64
    """Invocations of one connection under way at once; not an AWS quota (the account's Lambda concurrency
    is AWS's only bound), reading from the socket pauses beyond it."""


AWS_LIMITS = ConnectionLimits()
