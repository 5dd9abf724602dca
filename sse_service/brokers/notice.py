"""What one instance tells another: how far a tenant's log has come, and the new events where they are small. Pure.

JSON, one object: {"tenant", "epoch", "end", "origin", "sent", "until", "events"?: [[topic, type, data, time,
origin, key, until, exclude], ...]}. end: number of the last event; events: the ones that end there; until:
Batch.trusted_until (null: for ever); origin: the instance that sent it; sent: its UNIX seconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

from sse_service.events import Event, EventId
from sse_service.ports import Batch

__all__ = ["SMALL_BYTES", "Notice", "Received", "decode", "encode"]

SMALL_BYTES = 64 << 10
"""Above this only the position is told and the log is read. SQS bills a request per 64 KB (SQS pricing page)."""


@dataclass(frozen=True, slots=True)
class Notice:
    """The log of `tenant` has reached `position`; batch: the events up to it, or None (read the log)."""

    tenant: str
    position: EventId
    batch: Batch | None = None

    @classmethod
    def of(cls, batch: Batch) -> Notice:
        return cls(batch.tenant, batch.end, batch)


@dataclass(frozen=True, slots=True)
class Received:
    """A notice as it came: from which instance, and when it was sent (its UNIX seconds)."""

    notice: Notice
    origin: str
    sent_at: float


def encode(notice: Notice, origin: str, now: float) -> str:
    """The notice as JSON text; without its events where the text would be larger than SMALL_BYTES."""
    facts: dict[str, Any] = {
        "tenant": notice.tenant,
        "epoch": notice.position.epoch,
        "end": notice.position.seq,
        "origin": origin,
        "sent": now,
    }
    batch = notice.batch
    if batch is not None and sum(len(event.data) for event in batch.events) <= SMALL_BYTES:
        until = batch.trusted_until if isfinite(batch.trusted_until) else None
        rows = [[e.topic, e.type, e.data, e.time, e.origin, e.key, e.until, e.exclude] for e in batch.events]
        text = _json({**facts, "until": until, "events": rows})
        if len(text.encode()) <= SMALL_BYTES:
            return text
    return _json(facts)


def _json(facts: Mapping[str, Any]) -> str:
    text = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    # The two characters that JSON text may contain and an SQS message may not (SQS API reference, SendMessage).
    return text.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def decode(text: str | bytes) -> Received:
    """Raises ValueError for anything that `encode` does not make."""
    try:
        facts = json.loads(text)
    except RecursionError:
        raise ValueError("not a notice") from None
    if not isinstance(facts, dict):
        raise ValueError("not a notice")  # noqa: TRY004 - one kind of error for whatever came
    tenant, origin = _text(facts, "tenant"), _text(facts, "origin")
    position = EventId.parse(f"{_text(facts, 'epoch')}-{facts.get('end')}")
    if position is None:
        raise ValueError("not a position")
    sent_at = _number(facts.get("sent"))
    rows = facts.get("events")
    if rows is None:
        return Received(Notice(tenant, position), origin, sent_at)
    if not isinstance(rows, list) or not 1 <= len(rows) <= position.seq:
        raise ValueError("not a list of events")
    until = facts.get("until")
    first = position.seq - len(rows) + 1
    events = tuple(_event(tenant, EventId(position.epoch, first + i), row) for i, row in enumerate(rows))
    batch = Batch(tenant, events, "", inf if until is None else _number(until))
    return Received(Notice(tenant, position, batch), origin, sent_at)


def _event(tenant: str, event_id: EventId, row: object) -> Event:
    if not isinstance(row, list) or len(row) != 8:
        raise ValueError("not an event")
    topic, kind, data, time, origin, key, until, exclude = row
    if not all(isinstance(part, str) for part in (topic, kind, data, origin, key, exclude)):
        raise ValueError("not an event")
    return Event(event_id, tenant, topic, kind, data, _number(time), origin, key, _number(until), exclude)


def _text(facts: Mapping[str, Any], name: str) -> str:
    value = facts.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"no {name}")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError("not a number")
    return float(value)
