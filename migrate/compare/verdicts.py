"""Verdicts that the team shares: the gates of a cut-over ask for the last one. until phase 3

Item of the control table: pk `verdict#FEATURE`, sk time of the comparison (ISO 8601, UTC, microseconds); `project` says
whose: a verdict on another project's feature of the same name opens no gate.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from migrate.compare.recorded import FeatureReport, RecordedReport
from migrate.compare.recorded_render import recorded_json
from migrate.config.model import Gates
from migrate.control.journal import actor, digest
from migrate.control.table import ControlTable

__all__ = ["StoredVerdict", "keep_report", "last_verdict", "save_verdict"]

REASONS_KEPT = 10


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """The outcome of one comparison for one feature.

    Args:
        verdict: pass, fail or inconclusive.
        tenant: the only one that was compared, None: all.
        made_at: when it was compared, epoch seconds.
        window: the time whose deliveries were judged, epoch seconds.
        complete: whether nothing was missing in the capture.
        digest: sha256 of the report's canonical JSON.
        report: where the report lies, "" when it was not kept.
        age_s: of what was judged, not of the comparison: an old record compared today is old.
    """

    feature: str
    verdict: str
    tenant: str | None
    run_id: str
    made_at: float
    window: tuple[float, float]
    expected: int
    loss_upper: float
    complete: bool
    reasons: tuple[str, ...]
    digest: str
    report: str
    actor: str

    def age_s(self, now: float) -> float:
        return now - self.window[1]

    def under(self, gates: Gates) -> tuple[str, tuple[str, ...]]:
        """The verdict by a configuration's own gates, and its reasons: the comparison may have been told others.

        A pass on too few deliveries, or that leaves too high a loss possible, is inconclusive, as for the comparison
        itself: nothing was seen to be wrong. The capture is asked about apart (`capture_suffices`), the age as well.
        """
        if self.verdict != "pass":
            return self.verdict, self.reasons
        doubts = []
        if self.expected < gates.min_samples:
            doubts.append(f"{self.expected} deliveries were compared, gates.min_samples is {gates.min_samples}")
        if self.loss_upper > gates.max_loss:
            doubts.append(f"up to {self.loss_upper:.4%} may be lost, gates.max_loss is {gates.max_loss:.4%}")
        return ("inconclusive", tuple(doubts)) if doubts else ("pass", self.reasons)

    def capture_suffices(self, gates: Gates) -> bool:
        return self.complete or not gates.complete_capture


def keep_report(directory: Path, report: RecordedReport) -> Path:
    """Write the JSON report beside the records of its run, for the owner only."""
    folder = directory / "reports"
    folder.mkdir(mode=0o700, exist_ok=True)
    name = datetime.fromtimestamp(report.made_at, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    path = folder / f"{name}.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(recorded_json(report), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return path


def save_verdict(table: ControlTable, report: RecordedReport, kept: str = "") -> str:
    """Store the verdict on every feature of a report. Returns the report's digest.

    Raises: MigrateError: the table cannot be used.
    """
    value = recorded_json(report)
    sum_ = digest(value)
    for one in report.features:
        table.put(
            {
                "pk": f"verdict#{one.name}",
                "sk": datetime.fromtimestamp(report.made_at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "verdict": one.verdict.value,
                "tenant": report.tenant,
                "run_id": report.run.run_id,
                "made_at": report.made_at,
                "window": list(report.run.window),
                "expected": one.counts["expected"],
                "loss_upper": one.loss[2],
                "complete": is_complete(report, one),
                "reasons": [reason[:500] for reason in one.reasons[:REASONS_KEPT]],
                "digest": sum_,
                "report": kept,
                "actor": actor(),
                "project": table.project or None,
            }
        )
    return sum_


def is_complete(report: RecordedReport, one: FeatureReport) -> bool:
    """Whether nothing is known to be missing in the capture."""
    return not (report.run.flaws or report.run.lost or one.unjudged.get("capture") or one.unjudged.get("incomplete"))


def last_verdict(table: ControlTable, feature: str, tenant: str | None = None) -> StoredVerdict | None:
    """The last verdict on a feature: on all tenants, or (when asked for a tenant) on that one or on all.

    A comparison of one tenant says nothing about the others. Raises: MigrateError: the table cannot be used.
    """
    for item in table.query(f"verdict#{feature}", newest_first=True):
        if table.is_ours(item) and item.get("tenant") in (None, tenant):
            return _stored(feature, item)
    return None


def _stored(feature: str, item: dict[str, Any]) -> StoredVerdict:
    start, stop = item["window"]
    return StoredVerdict(
        feature=feature,
        verdict=str(item["verdict"]),
        tenant=item.get("tenant"),
        run_id=str(item["run_id"]),
        made_at=float(item["made_at"]),
        window=(float(start), float(stop)),
        expected=int(item["expected"]),
        loss_upper=float(item["loss_upper"]),
        complete=bool(item["complete"]),
        reasons=tuple(str(reason) for reason in item["reasons"]),
        digest=str(item["digest"]),
        report=str(item.get("report", "")),
        actor=str(item.get("actor", "")),
    )
