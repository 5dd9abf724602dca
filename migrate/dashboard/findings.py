"""The toolkit's own facts as the page's JSON. Pure. until phase 3 (MG18)

Frames are other people's texts: what looks like a secret in them is replaced, and a long one is cut.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from migrate.compare.recorded import BIN_S, FeatureReport, Offence, RecordedReport, distribution
from migrate.compare.recorded_render import offence_json
from migrate.compare.verdicts import StoredVerdict
from migrate.control.flags import EVERY_TENANT, CutoverFlag
from migrate.control.journal import Entry, digest, without_secrets
from migrate.cutover.gates import Gate, State
from migrate.dashboard.model import LATENCY_EDGES_MS
from migrate.phases.commands import next_command
from migrate.phases.model import Row
from migrate.phases.texts import said_of
from migrate.redact import redact

__all__ = [
    "closed_items",
    "compared",
    "epoch",
    "feature_flags",
    "journal_item",
    "latency",
    "mismatch",
    "phase_items",
    "redacted",
    "stored",
]

# Both payloads of 500 mismatches at this size are 8 MB.
LONGEST = 8000
# Python ends at some hundreds.
MOST_LEVELS = 64
_DIGEST = re.compile(r"[0-9a-f]{64}")


def redacted(value: Any) -> Any:
    """The value without what is named or looks like a secret, as the journal and the scanner leave it out."""
    return _texts(without_secrets(_shallow(value, MOST_LEVELS)))


def _shallow(value: Any, levels: int) -> Any:
    """The value down to so many levels: whoever sends a frame decides how deep it is."""
    if not isinstance(value, Mapping | list):
        return value
    if not levels:
        return "..."
    if isinstance(value, Mapping):
        return {key: _shallow(one, levels - 1) for key, one in value.items()}
    return [_shallow(one, levels - 1) for one in value]


def _texts(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {redact(str(key)): _texts(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_texts(one) for one in value]
    return redact(value) if isinstance(value, str) else value


def _with_digests(value: Any, name: str = "") -> Any:
    """As `redacted`, but for a sha256 that is named as one: it says what was meant, and opens nothing."""
    if isinstance(value, Mapping):
        return {redact(str(key)): _with_digests(one, str(key)) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_digests(one, name) for one in value]
    if isinstance(value, str) and _DIGEST.fullmatch(value) and "digest" in name.lower():
        return value
    return redact(value) if isinstance(value, str) else value


def _payload(value: Any) -> Any:
    """A frame to be shown; as the beginning of its text where it is too long."""
    if value is None:
        return None
    shown = redacted(value)
    size = len(whole := json.dumps(shown, ensure_ascii=False, default=str))
    return shown if size <= LONGEST else f"{whole[:LONGEST]}... ({size:,} characters)"


def epoch(moment: str) -> float | None:
    """Epoch seconds of a time of ISO 8601; None for an empty text."""
    return datetime.fromisoformat(moment).timestamp() if moment else None


def mismatch(one: Offence) -> dict[str, Any]:
    """A delivery that is not the same on both stacks. `id` is the same whenever it is found again."""
    value = offence_json(one)
    return {
        "id": digest(one.key)[:16],
        "at": one.at,
        **{name: value[name] for name in ("feature", "kind", "stack", "blame", "recipient", "sender", "stream")},
        "message": one.message_id or one.cause or "",
        "detail": redact(one.detail),
        "legacy": _payload(value["legacy"]),
        "sse": _payload(value["sse"]),
        "fields": redacted(value["fields"]),
    }


def compared(report: RecordedReport) -> list[dict[str, Any]]:
    """Each feature of a comparison."""
    return [_compared(one, report) for one in report.features]


def _compared(one: FeatureReport, report: RecordedReport) -> dict[str, Any]:
    counts = one.counts
    return {
        "feature": one.name,
        "expected": counts["expected"],
        "matched": counts["matched"],
        "missing": counts["missing_sse"],
        "extra": counts["extra_sse"],
        "duplicate": counts["duplicate_sse"],
        "changed": counts["changed"],
        "reordered": counts["reordered_sse"],
        "missing_legacy": counts["missing_legacy"],
        "verdict": one.verdict.value,
        "reasons": list(one.reasons),
        "notes": list(one.notes),
        "window": list(report.run.window),
        "loss_upper": one.loss[2] if counts["expected"] else None,
        "source": "live",
    }


def stored(one: StoredVerdict, now: float) -> dict[str, Any]:
    """A verdict that was stored for the gates: how many of which kind, its report says."""
    unknown = ("matched", "missing", "extra", "duplicate", "changed", "reordered", "missing_legacy")
    return {
        "feature": one.feature,
        "expected": one.expected,
        **dict.fromkeys(unknown),
        "verdict": one.verdict,
        "reasons": list(one.reasons),
        "notes": [] if one.tenant is None else [f"of tenant {one.tenant} only"],
        "window": list(one.window),
        "loss_upper": one.loss_upper if one.expected else None,
        "source": "stored",
        "age_s": round(one.age_s(now)),
    }


def latency(report: RecordedReport, at: float) -> dict[str, Any]:
    """From sending to delivery, all features together."""
    value: dict[str, Any] = {"at": at, "edges_ms": list(LATENCY_EDGES_MS)}
    for stack in ("legacy", "sse"):
        bins: dict[int, int] = {}
        for one in report.features:
            for edge, count in one.latency[stack].bins if stack in one.latency else ():
                bins[edge] = bins.get(edge, 0) + count
        quantiles = {f"p{100 * one.share:g}": one.value * 1000 for one in distribution(bins).quantiles}
        value[stack] = _binned(bins)
        value[f"{stack}_p"] = {name: quantiles.get(name) for name in ("p50", "p99")}
    return value


def _binned(bins: Mapping[int, int]) -> list[int]:
    counts = [0] * (len(LATENCY_EDGES_MS) + 1)
    for edge, count in bins.items():
        milliseconds = (edge + 0.5) * BIN_S * 1000
        counts[sum(milliseconds > upper for upper in LATENCY_EDGES_MS)] += count
    return counts if bins else []


def feature_flags(
    feature: str, flags: Sequence[CutoverFlag], gates: Sequence[Gate], running: str | None
) -> dict[str, Any]:
    """Where a feature's users are, and what its gates say.

    Args:
        flags: of this feature.
        running: who moves it just now.
    """
    whole = next((flag for flag in flags if flag.tenant == EVERY_TENANT), None)
    last = max(flags, key=lambda flag: flag.updated_at, default=None)
    return {
        "feature": feature,
        "percent": whole.percent if whole else 0.0,
        "tenants": {flag.tenant: flag.percent for flag in flags if flag.tenant != EVERY_TENANT},
        "epoch": max((flag.epoch for flag in flags), default=0),
        "state": whole.state if whole else "off",
        "gate": {
            "open": bool(gates) and all(gate.state is State.OPEN for gate in gates),
            "reasons": [f"{gate.name}: {gate.reason}" for gate in gates if gate.state is not State.OPEN],
            "gates": [{"name": gate.name, "state": gate.state.value, "reason": gate.reason} for gate in gates],
        },
        "changed_at": last.updated_at if last else None,
        "by": last.updated_by if last else "",
        "note": last.note if last else "",
        "running": running or "",
    }


def journal_item(entry: Entry) -> dict[str, Any]:
    """An action, as far as it has come."""
    value = asdict(entry)
    return {
        "id": entry.id,
        "at": epoch(entry.started_at),
        "ended_at": epoch(entry.ended_at),
        **{name: value[name] for name in ("actor", "action", "outcome", "digest")},
        "arguments": _with_digests(without_secrets(value["arguments"])),
        "facts": _with_digests(without_secrets(value["facts"])),
    }


def phase_items(rows: Sequence[Row], config: Path, source: Path) -> list[dict[str, Any]]:
    """The items of an open phase."""
    return [
        {
            "id": row.item.id,
            "title": row.item.title["en"],
            "status": row.status.value,
            "evidence": redact("; ".join(said_of(row, "en"))),
            "taken_at": row.evidence.taken_at if row.evidence else row.signature.at if row.signature else None,
            "stale": row.is_stale,
            "next_command": next_command(row, config, source),
        }
        for row in rows
    ]


def closed_items(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The items of a phase as they were when it was closed (`migrate phaseN --json`)."""
    return [
        {
            "id": row["id"],
            "title": row["title"],
            "status": row["status"],
            "evidence": redact("; ".join(row.get("said") or ())),
            "taken_at": epoch((row.get("evidence") or row.get("signature") or {}).get("taken_at", "")),
            "stale": bool(row.get("stale")),
            "next_command": "",
        }
        for row in rows
    ]
