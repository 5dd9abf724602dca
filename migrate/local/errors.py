"""What can go wrong in the local AWS, until phase 3.

UsageError (2)
└── PortInUseError      a port that was asked for is taken
MigrateError (1)
└── ChildFailedError    a process of ours ended before it was ready, or was not ready in time
"""

from __future__ import annotations

from collections.abc import Sequence

from migrate.errors import MigrateError, UsageError

__all__ = ["ChildFailedError", "PortInUseError"]


class PortInUseError(UsageError):
    """A port that was asked for is taken by another process."""

    def __init__(self, port: int, option: str) -> None:
        self.port = port
        self.option = option
        super().__init__(
            f"port {port} on 127.0.0.1 is already in use",
            f"stop what listens there, or choose another port with {option} (0: any free one)",
        )


class ChildFailedError(MigrateError):
    """A child process ended before it was ready, or was not ready in time.

    Attributes:
        last_words: the end of its log, for the message.
    """

    def __init__(self, name: str, reason: str, log: str | None = None, last_words: Sequence[str] = ()) -> None:
        self.name = name
        self.reason = reason
        self.log = log
        self.last_words = tuple(last_words)
        shown = "".join(f"\n  | {line}" for line in last_words)
        super().__init__(f"{name} {reason}{':' if shown else ''}{shown}", f"its log: {log}" if log else None)
