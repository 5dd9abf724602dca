"""What a shadow run is told to do, and what it says of itself, in the team's state table. until phase 3

pk `shadow#PROJECT`, sk `control`: {state: running | paused | stopping | stopped, run_id, started_at, max_per_s?,
sample_percent?}. The kill switch is `state` = `stopped`: whoever may write the table, from whatever machine, ends the
replay within a second. sk `worker`: what the worker last said, with its time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from migrate.control.table import ControlTable

__all__ = ["STATES", "Control", "ShadowState", "State"]

State = Literal["running", "paused", "stopping", "stopped"]
STATES: tuple[State, ...] = ("running", "paused", "stopping", "stopped")
# A worker writes every second.
ALIVE_S = 10.0


@dataclass(frozen=True)
class Control:
    """What the worker is told.

    Args:
        run_id: of the records.
        started_at: epoch seconds; what entered before does not count.
        max_per_s, sample_percent: instead of those of the configuration; None: as it says.
    """

    state: State
    run_id: str
    started_at: float
    max_per_s: float | None = None
    sample_percent: float | None = None


class ShadowState:
    """State of one project's shadow run.

    Args:
        table: of the shared state.
        project: name in `migrate.toml`.
    """

    def __init__(self, table: ControlTable, project: str) -> None:
        self._table = table
        self._pk = f"shadow#{project}"

    def control(self) -> Control | None:
        """What it is told, or None when there was never a run. An unknown state, written by hand, is `stopped`."""
        item = self._table.get(self._pk, "control")
        if item is None:
            return None
        state = item.get("state")
        return Control(
            state if state in STATES else "stopped",
            str(item.get("run_id", "")),
            float(item.get("started_at", 0)),
            _number(item.get("max_per_s")),
            _number(item.get("sample_percent")),
        )

    def tell(self, control: Control) -> None:
        """Tell it."""
        self._table.put(
            {
                "pk": self._pk,
                "sk": "control",
                "state": control.state,
                "run_id": control.run_id,
                "started_at": control.started_at,
                "max_per_s": control.max_per_s,
                "sample_percent": control.sample_percent,
                "changed_at": time.time(),
            }
        )

    def say(self, status: Mapping[str, Any]) -> None:
        """The worker's word."""
        self._table.put({"pk": self._pk, "sk": "worker", "status": dict(status), "at": time.time()})

    def worker(self) -> dict[str, Any]:
        """What the worker last said, with `alive` and `age_s`; empty when there was none."""
        item = self._table.get(self._pk, "worker")
        if item is None:
            return {}
        age = max(0.0, time.time() - float(item["at"]))
        status = dict(item["status"])
        return {**status, "age_s": round(age, 1), "alive": age < ALIVE_S and not status.get("ended")}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
