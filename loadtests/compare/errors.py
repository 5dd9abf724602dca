"""What can go wrong in a comparison, with what to do about it; exit codes are those of `migrate`."""

from __future__ import annotations

__all__ = ["FAILED", "LOST", "OK", "REFUSED", "USAGE", "CompareError", "InUseError", "RunError", "UsageError"]

OK, FAILED, USAGE, LOST, REFUSED = 0, 1, 2, 3, 5


class CompareError(Exception):
    """One line of what was wrong, without a secret, and a hint."""

    code = FAILED

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class RunError(CompareError):
    """A run could not be made."""


class UsageError(CompareError):
    """An option is wrong."""

    code = USAGE


class InUseError(CompareError):
    """Another comparison runs against the same stacks."""

    code = REFUSED
