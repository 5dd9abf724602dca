"""Single deliveries that are not the same on both stacks: who is to blame, which of them are shown. Pure.
until phase 3
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from migrate.compare.recorded import Offence

__all__ = ["chosen", "not_as_sent", "offence", "parsed"]


def offence(
    kind: str,
    stack: str,
    blame: str,
    feature: str,
    at: float,
    detail: str,
    legacy: Mapping[str, Any] | None,
    sse: Mapping[str, Any] | None,
    fields: Mapping[str, tuple[Any, Any]] | None = None,
) -> Offence:
    """One offence.

    Args:
        legacy, sse: the records of the delivery on either stack, by column; None: it is not there.
        fields: path -> both values.
    """
    row = legacy or sse or {}
    return Offence(
        kind=kind,
        stack=stack,
        blame=blame,
        feature=feature,
        tenant=row.get("tenant") or "",
        recipient=row.get("recipient") or "",
        sender=row.get("sender") or "",
        stream=row.get("stream") or "",
        message_id=row.get("message_id"),
        cause=row.get("cause"),
        at=at,
        detail=detail,
        legacy=legacy["payload"] if legacy else None,
        sse=sse["payload"] if sse else None,
        fields=fields or {},
    )


def not_as_sent(one: Offence, frame: Any) -> str:
    """Whom to blame for a change: the stack whose values are not those of the entering frame, where it has them."""
    if not isinstance(frame, Mapping):
        return one.blame
    wrong = set()
    for path, values in one.fields.items():
        name = path.rpartition(".")[2]
        if name in frame and frame[name] in values:
            wrong |= {stack for stack, value in zip(("legacy", "sse"), values, strict=True) if value != frame[name]}
    return wrong.pop() if len(wrong) == 1 else one.blame


def chosen(offences: Sequence[Offence], limit: int) -> list[Offence]:
    """The first of every kind in turn, those that SSE is to blame for first, up to the limit; in order of time."""
    groups: dict[tuple[str, str], list[Offence]] = {}
    for one in sorted(offences, key=lambda one: one.at):
        groups.setdefault((one.kind, one.blame), []).append(one)
    order = sorted(groups, key=lambda key: (key[1] != "sse", key))
    chosen: list[Offence] = []
    while len(chosen) < limit and any(groups.values()):
        for key in order:
            if groups[key] and len(chosen) < limit:
                chosen.append(groups[key].pop(0))
    return sorted(chosen, key=lambda one: (one.blame != "sse", one.at))


def parsed(payload: str) -> Any:
    """A payload as JSON, or as the text that it is."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return payload
