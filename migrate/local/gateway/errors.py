"""Errors of the local gateway, until phase 3.

GatewayFailure
└── ControlPlaneUnavailableError   the API definitions could not be read

Why a back end gave no usable answer is a CallError of sse_service.virtual.errors.
"""


class GatewayFailure(Exception):  # noqa: N818 - the base; the leaves end in Error
    """Base of the gateway's own errors."""


class ControlPlaneUnavailableError(GatewayFailure):
    """The control plane did not answer, or not as API Gateway would."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(f"Cannot read API definitions from {url}: {reason}")
