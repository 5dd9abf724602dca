"""What came of a rehearsal. until phase 3"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from migrate.errors import GateClosedError

__all__ = ["Result", "StepResult", "StoppedError"]


class StoppedError(GateClosedError):
    """The real thing would have lost something, or would have been stopped."""


@dataclass(slots=True)
class StepResult:
    """One step: name, seconds, what was seen."""

    name: str
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Result:
    """What came of it.

    Attributes:
        problem: why it ended early, or what a command would have done wrong.
        not_rehearsed: (what, what to do) of what the local AWS or the description has not.
        scheduled: what became of functions that were invoked in the place of their schedules.
        is_late: what seemed lost came in the end: the machine was too busy to tell.
    """

    app: str
    steps: list[StepResult] = field(default_factory=list)
    problem: str = ""
    stopped_in: str = ""
    wrong: list[str] = field(default_factory=list)
    by_step: dict[str, dict[str, int]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    waived: dict[str, str] = field(default_factory=dict)
    not_rehearsed: list[dict[str, str]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    scheduled: list[str] = field(default_factory=list)
    report: str = ""
    is_late: bool = False
    folder: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.problem and not self.wrong
