"""The ChatMessages table: `roomId`, `timestamp` (UNIX seconds with exactly microseconds). until phase 3

How keys stay unique and in order: `legacy_ws.history`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from legacy_ws.history import HistoryStore, HistoryTable, Layout
from legacy_ws.schema import Item

__all__ = ["LATEST", "MICROSECOND", "HistoryPage", "MessageStore", "message_frame"]

MICROSECOND = Decimal("0.000001")
# Bounds of `timestamp` for a page without `before` or `after`; far enough, and still exact in DynamoDB's 38
# digits.
EARLIEST = Decimal(0)
LATEST = Decimal(10**11)

LAYOUT = Layout(
    partition="roomId",
    sort="timestamp",
    message_id="messageId",
    fields=("roomId", "messageId", "userName", "message", "timestamp"),
    sort_of=lambda microseconds: microseconds * MICROSECOND,
    read_sort=lambda value: Decimal(str(value)),
    earliest=EARLIEST,
    latest=LATEST,
)


@dataclass(frozen=True)
class HistoryPage:
    """Messages of one room, oldest first; `before` continues further back, None when there is no more."""

    messages: list[dict[str, object]]
    before: Decimal | None


class MessageStore:
    """Messages of every room.

    Args:
        table: the ChatMessages table.
    """

    def __init__(self, table: HistoryTable) -> None:
        self._history = HistoryStore(table, LAYOUT)

    def append(self, room: str, message_id: str, user_name: str, message: str, at_s: Decimal) -> Item:
        """Store one message at `at_s`, or at the first free microsecond after it.

        Returns: the stored row {"roomId", "timestamp", "messageId", "userName", "message"}.
        Raises: ItemExistsError: no free microsecond within many tries.
        """
        at_us = int(at_s.quantize(MICROSECOND) / MICROSECOND)
        return self._history.append(room, message_id, {"userName": user_name, "message": message}, at_us)

    def page(
        self, room: str, *, limit: int, before: Decimal | None = None, after: Decimal | None = None
    ) -> HistoryPage:
        """The latest `limit` messages with `after` < timestamp < `before`, oldest first.

        The page is cut short where its frame would outgrow 128 KB; `before` continues from there.
        """
        page = self._history.page(room, limit=limit, before=before, after=after)
        return HistoryPage(page.messages[::-1], page.before)


def message_frame(row: Item) -> dict[str, object]:
    """The frame of one stored message, as every client gets it, and as the SSE event of the same message
    has it.
    """
    return {"type": "message"} | LAYOUT.visible(row)
