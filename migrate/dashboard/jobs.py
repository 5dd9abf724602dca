"""Long work that is under way or was the last: drain, sweeps, removal of resources. until phase 3"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from migrate.control.checkpoints import Checkpoints
from migrate.control.locks import Locks
from migrate.dashboard.findings import redacted
from migrate.dashboard.model import Finding
from migrate.dashboard.sources import Clients, Collector
from migrate.dashboard.traffic import Speed
from migrate.drain.state import read_controls, read_state, standing
from migrate.errors import UsageError
from migrate.phases.names import plan_key
from migrate.resources.model import job_of, lock_name
from migrate.sweep.job import status_of
from migrate.tables.description import connection_tables

__all__ = ["DrainJob", "ResourcesJob", "SweepJobs"]


def _job(kind: str, id_: str, status: str, **known: Any) -> dict[str, Any]:
    rest: dict[str, Any] = {"done": 0, "total": None, "per_s": None, "throttle_reason": "", "owner": "", "counts": {}}
    return {"kind": kind, "id": id_, "status": status, **rest, **redacted(known)}


class DrainJob(Collector):
    """The drain of the configured stage."""

    def __init__(self, clients: Clients, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clients, clock)
        self._speed = Speed()

    def look(self) -> Finding:
        config, table = self._clients.config, self._clients.control()
        api = config.api
        state = read_state(table, api.id, api.stage)
        if state is None:
            return Finding({"jobs": []}, state="absent", why="never drained")
        status, owner = standing(table, config, state)
        rate = float(read_controls(table, config).get("rate_per_s") or config.drain.rate_per_s)
        counts = {str(name): int(number) for name, number in state.get("counts", {}).items()}
        done = counts.get("closed", 0) + counts.get("gone", 0)
        job = _job(
            "drain", str(state["drain"]), status,
            done=done, per_s=self._speed.per_s(self._clock(), done), owner=owner or str(state.get("by", "")),
            throttle_reason=f"at most {rate:g}/s are closed" if status == "draining" else "",
            counts=counts, phase=str(state.get("phase", "")), refused=bool(state.get("refused")),
        )  # fmt: skip
        return Finding({"jobs": [job]})


class SweepJobs(Collector):
    """The last sweep of each connection table."""

    def __init__(self, clients: Clients, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clients, clock)
        self._speeds: dict[str, Speed] = {}

    def look(self) -> Finding:
        table = self._clients.control()
        try:
            tables = connection_tables(self._clients.config)
        except UsageError as error:
            return Finding({"jobs": []}, state="absent", why=error.message)
        views = [view for one in tables if (view := status_of(table, one.name))["job"] is not None]
        if not views:
            return Finding({"jobs": []}, state="absent", why="never swept")
        return Finding({"jobs": [self._row(view) for view in views]})

    def _row(self, view: dict[str, Any]) -> dict[str, Any]:
        counts, workers = view["counts"], view["workers"]
        speed = self._speeds.setdefault(str(view["job"]), Speed())
        paused = bool(workers) and all(worker["paused"] for worker in workers)
        reasons = {f"{name} {why}" for worker in workers for name, why in (worker["reasons"] or {}).items()}
        return _job(
            "sweep", str(view["job"]), "paused" if paused else str(view["status"]),
            done=view["done"], total=view["segments"], per_s=speed.per_s(self._clock(), counts.get("rows", 0)),
            throttle_reason="; ".join(sorted(reasons)), owner=str(view["by"]), counts=counts, table=view["table"],
        )  # fmt: skip


class ResourcesJob(Collector):
    """The last plan for the old stack's resources, and how much of it is done."""

    def look(self) -> Finding:
        config, table = self._clients.config, self._clients.control()
        plan = next(table.query(plan_key(config), newest_first=True), None)
        if plan is None:
            return Finding({"jobs": []}, state="absent", why="no plan: `migrate cleanup resources plan` writes one")
        name = job_of(str(plan["digest"]))
        done = sum(bool(step.get("done")) for step in Checkpoints(table).all(name).values())
        total = len(plan["covers"])
        owner = Locks(table).holder(lock_name(config.api.id))
        status = "running" if owner else "done" if done >= total else "stopped" if done else "planned"
        return Finding({"jobs": [_job("resources", name, status, done=done, total=total, owner=owner or "")]})
