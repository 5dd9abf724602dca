"""The messages table: `roomId`, `timestamp` (ISO 8601 text), and what was read of it. until phase 3

How keys stay unique and in order: `legacy_ws.history`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Protocol

from legacy_ws.apps.direct.times import EARLIEST, LATEST, iso_time
from legacy_ws.history import HistoryPage, HistoryStore, HistoryTable, Layout
from legacy_ws.schema import Item

__all__ = ["DirectMessages", "MessagesTable", "Receipt", "message_frame"]

LAYOUT = Layout(
    partition="roomId",
    sort="timestamp",
    message_id="messageId",
    fields=("roomId", "messageId", "senderEmail", "receiverEmail", "message", "timestamp", "read"),
    sort_of=iso_time,
    read_sort=str,
    earliest=EARLIEST,
    latest=LATEST,
)

# Rows marked between two looks at the clock.
_BATCH = 64


class MessagesTable(HistoryTable, Protocol):
    """What the messages need of their table (`dynamo.Table` has it)."""

    def update_existing(
        self, key: Item, values: Mapping[str, object], *, only_if: Mapping[str, object] | None = None
    ) -> bool:
        """Set attributes of a row that exists and has the values of `only_if`."""

    def range_pages(
        self,
        equals: Item,
        sort_key: str,
        low: Decimal | str,
        high: Decimal | str,
        *,
        newest_first: bool,
        page_rows: int | None,
        where: Mapping[str, object] | None = None,
    ) -> Iterator[list[Item]]:
        """Rows of one partition with the values of `where`, page by page."""


@dataclass(frozen=True)
class Receipt:
    """How many messages were marked as read, the time of the newest of them, and whether that was all there was."""

    count: int
    up_to: str | None
    complete: bool


class DirectMessages:
    """Messages of every pair of addresses.

    Args:
        table: the messages table.
        workers: rows marked at once.
    """

    def __init__(self, table: MessagesTable, *, workers: int = 16) -> None:
        self._table = table
        self._history = HistoryStore(table, LAYOUT)
        self._workers = workers

    def append(self, room: str, message_id: str, sender: str, receiver: str, message: str, at_us: int) -> Item:
        """Store one unread message at `at_us` (microseconds since the epoch), or at the first free one after it.

        Returns: the stored row {"roomId", "timestamp", "messageId", "senderEmail", "receiverEmail", "message", "read"}.
        Raises: ItemExistsError: no free microsecond within many tries.
        """
        fields = {"senderEmail": sender, "receiverEmail": receiver, "message": message, "read": False}
        return self._history.append(room, message_id, fields, at_us)

    def page(self, room: str, *, limit: int, before: str | None = None) -> HistoryPage[str]:
        """The latest `limit` messages with a timestamp before `before`, newest first, in one frame's size."""
        return self._history.page(room, limit=limit, before=before)

    def mark_read(self, room: str, reader: str, up_to: str | None, *, remaining: Callable[[], float]) -> Receipt:
        """Mark what `reader` got in `room` until `up_to` (included; None: all of it) as read, the oldest first.

        Whatever ends it early, everything until the receipt's `up_to` is marked, and calling again continues.

        Args:
            remaining: seconds that are left; at 0 it stops.
        """
        count, newest = 0, None
        pages = self._table.range_pages(
            {"roomId": room},
            "timestamp",
            EARLIEST,
            LATEST if up_to is None else up_to,
            newest_first=False,
            page_rows=None,
            where={"receiverEmail": reader, "read": False},
        )
        with ThreadPoolExecutor(self._workers, thread_name_prefix="read") as pool:
            for page in pages:
                # A page of rows that were read before is empty, and takes its time all the same.
                if not page and remaining() <= 0:
                    return Receipt(count, newest, complete=False)
                for start in range(0, len(page), _BATCH):
                    if remaining() <= 0:
                        return Receipt(count, newest, complete=False)
                    times = [str(row["timestamp"]) for row in page[start : start + _BATCH]]
                    marked = list(pool.map(partial(self._mark, room), times))
                    count += sum(marked)
                    newest = times[-1]
        return Receipt(count, newest, complete=True)

    def _mark(self, room: str, timestamp: str) -> bool:
        # The condition keeps a deleted row deleted, and counts a row once when two devices read at the same time.
        key: Item = {"roomId": room, "timestamp": timestamp}
        return self._table.update_existing(key, {"read": True}, only_if={"read": False})


def message_frame(row: Item) -> dict[str, object]:
    """The frame of one stored message, as every connection of the receiver gets it."""
    return {"type": "message"} | LAYOUT.visible(row)
