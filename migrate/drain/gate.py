"""Whether everybody has moved: a drain closes those who have not, too. until phase 3

What is asked is what `migrate cleanup resources plan` asks before it lets the API go: every configured feature at 100 %
for every tenant. A rollback, for whatever reason, is a percentage below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from migrate.config import Config
from migrate.control.flags import behind, moved_percents
from migrate.control.table import ControlTable
from migrate.errors import RefusedError, UsageError

__all__ = ["GATE", "Moved", "moved_features"]

GATE = "features"
"""Its name for --without-gate."""


@dataclass(frozen=True)
class Moved:
    """How far the cut-over of each configured feature has come.

    Args:
        percents: feature -> percentage of its users of the tenant that has moved least.
        problem: why the flags could not be read; then nobody counts as moved.
    """

    percents: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""

    @property
    def behind(self) -> dict[str, float]:
        """Features that are not at 100 % for every tenant."""
        return behind(self.percents, self.percents)

    @property
    def refusal(self) -> RefusedError | None:
        """What a drain is refused with; None: everybody has moved, or nothing is said about features."""
        if not self.behind:
            return None
        left = ", ".join(f"{name} at {percent:g} %" for name, percent in self.behind.items())
        first = next(iter(self.behind))
        return RefusedError(
            f"not everybody has moved: {left}; a drain would close their connections and let nobody in again",
            f"finish the cut-over: `migrate cutover {first} --steps --execute`; or drain all the same and say why: "
            f'`migrate drain start --execute --without-gate {GATE} --note "…"`',
        )

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "features": dict(self.percents),
            "refused_because": self.refusal.message if self.refusal else None,
            **({"problem": self.problem} if self.problem else {}),
        }

    def lines(self) -> list[str]:
        """For people."""
        if not self.percents:
            return ["no features in the configuration: whether everybody has moved is not known, and not asked"]
        found = [f"feature {name}: {percent:g} % of every tenant moved" for name, percent in self.percents.items()]
        return [*found, *([f"the flags could not be read: {self.problem}"] if self.problem else [])]


def moved_features(config: Config, control: ControlTable) -> Moved:
    """By the flags of the cut-over; before the first change there are none."""
    problem, found = "", {}
    if config.features:
        try:
            found = moved_percents(control)
        except UsageError as error:
            problem = error.message
    return Moved({feature.name: found.get(feature.name, 0.0) for feature in config.features}, problem)
