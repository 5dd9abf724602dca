"""What can go wrong in `migrate`, and with which exit code a command ends. until phase 3

    MigrateError                 1  unexpected
    ├── UsageError               2  wrong option, configuration or environment
    ├── GateClosedError          3  a verdict failed, a gate is closed
    ├── InconclusiveError        4  not enough evidence for a verdict
    └── RefusedError             5  refused: a lock is held, a plan is stale, something is still in use

Every error carries the one sentence that says what was wrong and with which value, and a hint that says what to do.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = [
    "ExitCode",
    "GateClosedError",
    "InconclusiveError",
    "MigrateError",
    "RefusedError",
    "ShutError",
    "UnsureError",
    "UsageError",
]


class ExitCode(IntEnum):
    """Exit codes of every command of this project."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    FAILED = 3
    INCONCLUSIVE = 4
    REFUSED = 5
    INTERRUPTED = 130
    """128 and the number of SIGINT, as shells have it."""


class MigrateError(Exception):
    """Base of everything a command reports as one message and a hint.

    Args:
        message: what was wrong, with the value; no secret, no token.
        hint: what to do about it, or None.
    """

    exit_code: ExitCode = ExitCode.UNEXPECTED
    outcome = "failed"
    """How the journal calls an action that ended by it: failed or refused."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def report(self) -> str:
        """Lines for a terminal or a log: the message, and the hint where there is one."""
        return f"error: {self.message}\n" + (f"hint: {self.hint}\n" if self.hint else "")


class UsageError(MigrateError):
    """A wrong option, configuration or environment."""

    exit_code = ExitCode.USAGE


class GateClosedError(MigrateError):
    """A verdict failed or a gate is closed."""

    exit_code = ExitCode.FAILED


class InconclusiveError(MigrateError):
    """There is not enough evidence for a verdict."""

    exit_code = ExitCode.INCONCLUSIVE


class RefusedError(MigrateError):
    """Refused: a lock is held, a plan is stale, something is still in use."""

    exit_code = ExitCode.REFUSED
    outcome = "refused"


class ShutError(GateClosedError):
    """A gate has refused an action before it began."""

    outcome = "refused"


class UnsureError(InconclusiveError):
    """A gate has refused an action before it began, for want of evidence."""

    outcome = "refused"
