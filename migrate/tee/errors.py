"""What can keep the tee from being put on or taken off. Nothing has been changed when one of these is raised for a
function that was looked at first; what had been changed before FunctionBusyError is found by running it again.
until phase 3
"""

from __future__ import annotations

from migrate.errors import MigrateError, RefusedError

__all__ = ["FunctionBusyError", "UnsuitableFunctionError"]


class UnsuitableFunctionError(RefusedError):
    """A function that the tee cannot be put on, or not be taken off again.

    Attributes:
        function: its name.
        reason: why not.
    """

    def __init__(self, function: str, reason: str, hint: str) -> None:
        super().__init__(f"the tee leaves function {function!r} alone: {reason}", hint)
        self.function = function
        self.reason = reason


class FunctionBusyError(MigrateError):
    """Somebody else changed the function every time it was about to be changed.

    Attributes:
        function: its name.
    """

    def __init__(self, function: str) -> None:
        super().__init__(
            f"function {function!r} is being changed by somebody else at the same time",
            "wait until the other deployment is over and run this again: it continues where it stopped",
        )
        self.function = function
