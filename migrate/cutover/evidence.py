"""Asks what the gates are about: the last verdict, the service's metrics, the hooks. until phase 3"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx

from migrate.compare.files import has_records
from migrate.compare.verdicts import StoredVerdict, last_verdict
from migrate.config import Config
from migrate.control.table import ControlTable
from migrate.cutover.budget import Looks, Share, Window
from migrate.cutover.gates import Gate, away_gate, budget_gate, comparison_gates
from migrate.cutover.hooks import run_hook
from migrate.service_metrics import Counts, ask
from migrate.shadow.state import ShadowState

__all__ = ["Evidence"]

HOOK_S = 30.0
WATCH_HOOK_S = 4.0
METRICS_S = 2.0


class Evidence:
    """Gates of one feature.

    Args:
        tenant: the only one that is moved, or None.
        clock: epoch seconds.
    """

    def __init__(
        self,
        config: Config,
        table: ControlTable,
        feature: str,
        tenant: str | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._table = table
        self._feature = feature
        self._tenant = tenant
        self._clock = clock
        self._window = Window()
        self._looks = Looks()
        self._missed = ""
        self.streams = 0
        """Streams open on the instance that was asked last."""

    def before(self, percent: float, *, stored: bool = True) -> list[Gate]:
        """Every gate, before users move to `percent`. stored: whether there is a state table that may hold verdicts."""
        return [*self.known(stored=stored), *self._hooks("before", percent, HOOK_S)]

    def known(self, *, stored: bool = True) -> list[Gate]:
        """Every gate but the hooks."""
        verdict = last_verdict(self._table, self._feature, self._tenant) if stored else None
        newer = self._newer(verdict) if verdict is not None else ""
        gates = comparison_gates(verdict, self._config.gates, self._clock(), recorded=self._recorded(), newer=newer)
        counts = self._counts()
        if isinstance(counts, Counts):
            share = self._window.add(self._clock(), counts)
            # Without a window of its own yet: what the instance has seen since it began.
            counted: Share | str = share if share.total else Share(counts.total, counts.failed, "since it started")
        else:
            counted = counts
        return [*gates, budget_gate(counted, self._config.gates.error_budget)]

    def while_over(self, percent: float) -> list[Gate]:
        """Every gate, while users are over. Takes a few seconds at most."""
        verdict = last_verdict(self._table, self._feature, self._tenant)
        newer = self._newer(verdict) if verdict is not None else ""
        gates = comparison_gates(verdict, self._config.gates, self._clock(), newer=newer)
        counts = self._counts()
        budget = self._config.gates.error_budget
        looks = self._looks.add(self._clock(), isinstance(counts, Counts))
        if isinstance(counts, Counts):
            gates.append(budget_gate(self._window.add(self._clock(), counts), budget))
        else:
            self._missed = counts
        if (away := away_gate(looks, self._looks.in_a_row, self._missed, budget)) is not None:
            gates.append(away)
        return [*gates, *self._hooks("while", percent, WATCH_HOOK_S)]

    def _newer(self, verdict: StoredVerdict) -> str:
        """A run of the shadow that began later than the one of the verdict, in words; empty: there is none."""
        run = ShadowState(self._table, self._config.project.name).control()
        if run is None or run.run_id == verdict.run_id or run.started_at <= verdict.window[0]:
            return ""
        return f"run {run.run_id} " + ("began after it" if run.state == "stopped" else f"is {run.state}")

    def _recorded(self) -> bool:
        """Whether there are records to compare; of those in S3 it is taken to be so."""
        records = self._config.records
        return not isinstance(records, Path) or has_records(records)

    def _counts(self) -> Counts | str:
        counts = ask(self._config.sse.url, partial(httpx.get, timeout=METRICS_S, trust_env=False))
        if isinstance(counts, Counts):
            self.streams = counts.streams
        return counts

    def _hooks(self, when: str, percent: float, timeout_s: float) -> list[Gate]:
        return [self._hook(command, when, percent, timeout_s) for command in self._config.gates.hooks]

    def _hook(self, command: str, when: str, percent: float, timeout_s: float) -> Gate:
        """Run one. It is told what this is about by its environment."""
        about = {
            "MIGRATE_FEATURE": self._feature,
            "MIGRATE_TENANT": self._tenant or "",
            "MIGRATE_PERCENT": f"{percent:g}",
            "MIGRATE_WHEN": when,
        }
        return run_hook(command, about, self._config.path.parent, timeout_s)
