"""From evidence and signatures to where each item stands. Pure. until phase 3"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from migrate.phases.model import Evidence, Item, Row, Signature, State, Status

__all__ = ["blocking", "counts", "judge"]


def judge(
    items: Sequence[Item],
    evidence: Mapping[str, Evidence],
    signatures: Mapping[str, Signature],
    config: str,
    now: float,
) -> list[Row]:
    """Where each item stands.

    What was found out beats what was said: a signature makes an item done only where no evidence can be gathered. A
    waiver holds whatever the evidence is, but not for another configuration.

    Args:
        evidence, signatures: by item id.
        config: digest of the configuration.
        now: epoch seconds.
    """
    return [_row(item, evidence.get(item.id), signatures.get(item.id), config, now) for item in items]


def counts(rows: Sequence[Row]) -> dict[str, int]:
    """How many items have each status."""
    found = Counter(row.status for row in rows)
    return {status.value: found.get(status, 0) for status in Status}


def blocking(rows: Sequence[Row]) -> list[Row]:
    """What keeps a phase from being closed."""
    return [row for row in rows if row.status in (Status.OPEN, Status.FAILING)]


def _row(item: Item, evidence: Evidence | None, signature: Signature | None, config: str, now: float) -> Row:
    if signature is not None and signature.config != config:
        if item.collector and evidence is not None and signature.kind != "waived":
            return _by_evidence(item, evidence, signature, now)
        return Row(item, Status.OPEN, evidence, signature, is_stale=True, reason="stale-signature")
    if signature is not None and signature.kind == "waived":
        return Row(item, Status.WAIVED, evidence, signature)
    if not item.collector:
        if signature is None:
            return Row(item, Status.OPEN, None, None, reason="needs-signature")
        return Row(item, Status.DONE, None, signature)
    if evidence is None:
        return Row(item, Status.OPEN, None, signature)
    return _by_evidence(item, evidence, signature, now)


def _by_evidence(item: Item, evidence: Evidence, signature: Signature | None, now: float) -> Row:
    too_old = item.stale_after_s > 0 and now - evidence.taken_at > item.stale_after_s
    if evidence.state is State.DONE and too_old:
        return Row(item, Status.OPEN, evidence, signature, is_stale=True, reason="stale-evidence")
    return Row(item, Status(evidence.state.value), evidence, signature)
