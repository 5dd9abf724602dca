"""Evidence from what the toolkit itself has written down: verdicts, flags, plans, costs, documents. until phase 3"""

from __future__ import annotations

from dataclasses import replace

from migrate.compare.verdicts import StoredVerdict, last_verdict
from migrate.config import Config
from migrate.control.flags import EVERY_TENANT, behind, moved_percents, percents_by_tenant
from migrate.control.journal import digest
from migrate.control.table import ControlTable
from migrate.phases.evidence import config_digest, done, failing, moment, still_open
from migrate.phases.model import Evidence
from migrate.phases.names import cost_key, plan_key, report_key, runbook_path
from migrate.shadow.state import ShadowState

__all__ = ["Records"]


class Records:
    """The shared state, and files beside the configuration.

    Args:
        config: of the stack.
        table: of the shared state.
    """

    def __init__(self, config: Config, table: ControlTable) -> None:
        self.config = config
        self.table = table

    def verdicts(self) -> Evidence:
        if not self.config.features:
            return still_open("no-features")
        found = {one.name: last_verdict(self.table, one.name) for one in self.config.features}
        by_verdict: dict[str, list[str]] = {}
        for name, verdict in found.items():
            standing = "none" if verdict is None else self._standing(verdict)
            shown = name if verdict is None or standing != "inconclusive" else f"{name} ({self._doubt(verdict)})"
            by_verdict.setdefault(standing, []).append(shown)
        for verdict_name, make, message in (
            ("fail", failing, "compare-failed"),
            ("none", still_open, "not-compared"),
            ("inconclusive", still_open, "compare-unsure"),
        ):
            if verdict_name in by_verdict:
                # What runs is not to be started again, but waited for.
                waits = {} if verdict_name == "fail" else {"waits": self._is_shadowed()}
                return make(message, features=", ".join(by_verdict[verdict_name]), **waits)
        oldest = min(one.window[1] for one in found.values() if one is not None)
        digests = sorted(one.digest for one in found.values() if one is not None)
        evidence = done("compared", count=len(found), oldest=moment(oldest))
        return replace(evidence, taken_at=oldest, digest=digest(digests))

    def flags(self) -> Evidence:
        if not self.config.features:
            return still_open("no-features")
        left = behind(moved_percents(self.table), (one.name for one in self.config.features))
        if left:
            shown = ", ".join(f"{name} ({percent:g} %)" for name, percent in left.items())
            first = next(iter(left))
            return still_open("not-moved", features=shown, first=first, tenant=self._lagging(first))
        return done("moved", count=len(self.config.features))

    def runbook(self) -> Evidence:
        path = runbook_path(self.config)
        if not path.is_file():
            return still_open("not-there", what=str(path))
        if config_digest(self.config)[:12] not in path.read_text(encoding="utf-8"):
            return still_open("outdated", what=str(path))
        return done("there", what=str(path))

    def plan_api(self) -> Evidence:
        return self._planned({self.config.api.id})

    def plan_tables(self) -> Evidence:
        return self._planned({one.name for one in self.config.tables if one.role == "connections"})

    def plan_functions(self) -> Evidence:
        return self._planned({one.name for one in self.config.functions})

    def cost(self) -> Evidence:
        item = next(self.table.query(cost_key(self.config), newest_first=True), None)
        if item is None:
            return still_open("not-there", what="migrate cost")
        before, after = float(item["before_usd"]), float(item["after_usd"])
        if missing := item.get("not_measured"):
            if self.config.is_local:
                return still_open("cost-unmeasurable", what=", ".join(missing))
            return still_open("cost-unmeasured", what=", ".join(missing))
        make, message = (done, "cost-known") if after < before else (failing, "cost-higher")
        evidence = make(message, before=f"{before:.2f}", after=f"{after:.2f}")
        return replace(evidence, taken_at=float(item["made_at"]), digest=str(item.get("digest", "")))

    def archive(self) -> Evidence:
        item = next(self.table.query(report_key(self.config), newest_first=True), None)
        if item is None:
            return still_open("not-there", what="migrate report")
        return replace(done("there", what=str(item["path"])), digest=str(item.get("digest", "")))

    def _standing(self, verdict: StoredVerdict) -> str:
        gates = self.config.gates
        judged, _ = verdict.under(gates)
        return judged if judged != "pass" or verdict.capture_suffices(gates) else "inconclusive"

    def _doubt(self, verdict: StoredVerdict) -> str:
        """What an inconclusive verdict lacks: how far it is, where it is only too early."""
        gates = self.config.gates
        if verdict.expected < gates.min_samples:
            return f"{verdict.expected:,} of {gates.min_samples:,} deliveries so far"
        if verdict.capture_suffices(gates):
            return "; ".join(verdict.under(gates)[1]) or "see its report"
        return "the capture is incomplete"

    def _is_shadowed(self) -> bool:
        control = ShadowState(self.table, self.config.project.name).control()
        return control is not None and control.state == "running"

    def _lagging(self, feature: str) -> str:
        """The tenant that has to move; empty: everybody, or those without a flag of their own."""
        percents = percents_by_tenant(self.table).get(feature, {})
        if percents.get(EVERY_TENANT, 0.0) < 100:
            return ""
        return next((tenant for tenant, percent in sorted(percents.items()) if percent < 100), "")

    def _planned(self, wanted: set[str]) -> Evidence:
        item = next(self.table.query(plan_key(self.config), newest_first=True), None)
        if item is None:
            return still_open("no-plan")
        lacking = sorted(wanted - {str(one) for one in item["covers"]})
        if lacking:
            return still_open("plan-lacks", what=", ".join(lacking))
        evidence = done("plan-covers", at=moment(float(item["made_at"])), count=len(wanted))
        return replace(evidence, digest=str(item.get("digest", "")))
