"""Errors of virtual connections.

SseServiceError
└── VirtualError
    ├── GoneError          there is no such connection (any more), or it cannot be resumed from there
    ├── GapError           messages are missing before the ones that came
    ├── WindowFullError    the client does not take what it is sent
    └── CallError          a back end gave no usable answer (kind says how it failed)
"""

from __future__ import annotations

from enum import StrEnum

from sse_service.errors import SseServiceError

__all__ = ["CallError", "FailureKind", "GapError", "GoneError", "VirtualError", "WindowFullError"]


class VirtualError(SseServiceError):
    """Base of the errors of this package."""


class GoneError(VirtualError):
    """No such connection."""

    def __init__(self) -> None:
        super().__init__("the connection is gone")


class GapError(VirtualError):
    """The client has skipped numbers; `acked` is the last one that came."""

    def __init__(self, acked: int) -> None:
        self.acked = acked
        super().__init__(f"messages after {acked} are missing")


class WindowFullError(VirtualError):
    """As much waits for the client as may wait."""

    def __init__(self) -> None:
        super().__init__("the client has not taken what it was sent")


class FailureKind(StrEnum):
    TIMEOUT = "timeout"
    EXECUTION = "execution"
    """The call failed, or a function raised."""
    MALFORMED = "malformed"
    """An answer, but no proxy response."""
    CONFIGURATION = "configuration"
    """It cannot be called at all."""


class CallError(VirtualError):
    """Why an integration has no answer; `detail` is for the log, never for a client."""

    def __init__(self, kind: FailureKind, detail: str) -> None:
        self.kind = kind
        self.detail = detail
        super().__init__(f"integration failed ({kind.value}): {detail}")
