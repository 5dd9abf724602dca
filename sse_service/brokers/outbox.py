"""What waits to be told to the other instances: bounded, and never a reason to wait. Pure.

A batch that finds no room, or that could not be sent, is not kept: the position it reached is, one per tenant,
and goes out when there is room again. Whoever receives it reads the log, so a slow or absent broker costs a
read, not an event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from sse_service.brokers.notice import SMALL_BYTES, Notice
from sse_service.events import EventId
from sse_service.ports import Batch

__all__ = ["Outbox"]


class Outbox:
    """max_batches, max_bytes: what is kept of events; positions are bounded by the number of tenants."""

    def __init__(self, max_batches: int = 2000, max_bytes: int = 8 << 20) -> None:
        self._max_batches = max_batches
        self._max_bytes = max_bytes
        self._batches: deque[tuple[Batch, int]] = deque()
        self._bytes = 0
        self._positions: dict[str, EventId] = {}

    def __bool__(self) -> bool:
        return bool(self._batches or self._positions)

    def put(self, batch: Batch) -> bool:
        """False: there was no room, only its position is kept."""
        size = _size(batch)
        if len(self._batches) >= self._max_batches or self._bytes + size > self._max_bytes:
            self._keep_position(batch.tenant, batch.end)
            return False
        self._batches.append((batch, size))
        self._bytes += size
        return True

    def take(self, limit: int = 100) -> list[Notice]:
        """At most `limit` notices: batches in their order, those of one tenant that follow each other as one while
        they are small; then positions."""
        notices: list[Notice] = []
        last: dict[str, int] = {}
        while self._batches and len(notices) < limit:
            batch, size = self._batches.popleft()
            self._bytes -= size
            at = last.get(batch.tenant)
            merged = _merge(notices[at].batch, batch) if at is not None else None
            if at is not None and merged is not None:
                notices[at] = Notice.of(merged)
            else:
                last[batch.tenant] = len(notices)
                notices.append(Notice.of(batch))
        while self._positions and len(notices) < limit:
            tenant, position = self._positions.popitem()
            notices.append(Notice(tenant, position))
        return notices

    def restore(self, notices: Iterable[Notice]) -> int:
        """They could not be sent: keep where they led. Returns how many had events with them."""
        count = 0
        for notice in notices:
            count += notice.batch is not None
            self._keep_position(notice.tenant, notice.position)
        return count

    def _keep_position(self, tenant: str, position: EventId) -> None:
        known = self._positions.get(tenant)
        if known is None or known.epoch != position.epoch or known.seq < position.seq:
            self._positions[tenant] = position


def _merge(first: Batch | None, second: Batch) -> Batch | None:
    """Both as one, or None: they do not follow each other, or would be too large."""
    if first is None or first.end.epoch != second.end.epoch or second.events[0].id.seq != first.end.seq + 1:
        return None
    if _size(first) + _size(second) > SMALL_BYTES // 2:  # JSON text of JSON text: every quote is escaped
        return None
    return Batch(first.tenant, (*first.events, *second.events), "", min(first.trusted_until, second.trusted_until))


def _size(batch: Batch) -> int:
    return sum(len(event.data) + len(event.topic) + len(event.key) + 100 for event in batch.events)
