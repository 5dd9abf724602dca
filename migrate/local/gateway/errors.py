"""Errors of the local gateway, until phase 3.

GatewayFailure
├── ControlPlaneUnavailableError   the API definitions could not be read
└── IntegrationFailureError        a back end gave no usable answer (kind says how it failed)
"""

from enum import StrEnum


class GatewayFailure(Exception):  # noqa: N818 - the base; the leaves end in Error
    """Base of the gateway's own errors."""


class ControlPlaneUnavailableError(GatewayFailure):
    """The control plane did not answer, or not as API Gateway would."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(f"Cannot read API definitions from {url}: {reason}")


class FailureKind(StrEnum):
    TIMEOUT = "timeout"
    EXECUTION = "execution"
    """The call to the back end failed, or a function raised."""
    MALFORMED = "malformed"
    """The back end answered, but not with a proxy response."""
    CONFIGURATION = "configuration"
    """The integration cannot be called at all."""


class IntegrationFailureError(GatewayFailure):
    """Why an integration has no answer; `detail` is for the log, never for the client."""

    def __init__(self, kind: FailureKind, detail: str) -> None:
        self.kind = kind
        self.detail = detail
        super().__init__(f"Integration failed ({kind.value}): {detail}")
