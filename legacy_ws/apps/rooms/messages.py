"""The ChatMessages table: unique, ordered keys, and pages of history. until phase 3

Keys: `roomId`, `timestamp` (UNIX seconds with exactly microseconds). A plain timestamp would overwrite a
message of the same tick (REQUIREMENTS.md, fault 7): a put demands that its key is free, and moves on by
microseconds until one is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from legacy_ws.errors import ItemExistsError
from legacy_ws.frames import MAX_FRAME_BYTES, encode
from legacy_ws.schema import Item

__all__ = ["LATEST", "MICROSECOND", "HistoryPage", "MessageStore", "MessageTable", "message_frame"]

MICROSECOND = Decimal("0.000001")
# Bounds of `timestamp` for a page without `before` or `after`; far enough, and still exact in DynamoDB's 38
# digits.
EARLIEST = Decimal(0)
LATEST = Decimal(10**11)

_FIELDS = ("roomId", "messageId", "userName", "message", "timestamp")
_MAX_TRIES = 200
# Room in a history frame for everything but the messages: type, roomId, before.
_PAGE_OVERHEAD_BYTES = 4096
_PAGE_ROWS = 100


class MessageTable(Protocol):
    """What the store needs of a table (`dynamo.Table` has it)."""

    def put(self, item: Item, *, if_absent: str | None = None) -> None:
        """Raises: ItemExistsError."""

    def range_pages(
        self,
        equals: Item,
        sort_key: str,
        low: Decimal,
        high: Decimal,
        *,
        newest_first: bool,
        page_rows: int,
    ) -> Iterator[list[Item]]:
        """Rows of one partition, page by page."""


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

    def __init__(self, table: MessageTable) -> None:
        self._table = table

    def append(self, room: str, message_id: str, user_name: str, message: str, at_s: Decimal) -> Item:
        """Store one message at `at_s`, or at the first free microsecond after it.

        Returns: the stored row {"roomId", "timestamp", "messageId", "userName", "message"}.
        Raises: ItemExistsError: no free microsecond within many tries.
        """
        timestamp = at_s.quantize(MICROSECOND)
        tries = 0
        while True:
            row: Item = {
                "roomId": room,
                "timestamp": timestamp,
                "messageId": message_id,
                "userName": user_name,
                "message": message,
            }
            try:
                self._table.put(row, if_absent="roomId")
            except ItemExistsError as error:
                # The SDK tries a put again whose answer was lost: then what is there is this very message.
                if error.existing is not None and error.existing.get("messageId") == message_id:
                    return row
                tries += 1
                if tries >= _MAX_TRIES:
                    raise
                # Wider steps when many writers meet in one tick and follow each other.
                step = 1 if tries <= 8 else random.randint(1, 32)  # noqa: S311 -- nothing secret
                timestamp += MICROSECOND * step
            else:
                return row

    def page(
        self, room: str, *, limit: int, before: Decimal | None = None, after: Decimal | None = None
    ) -> HistoryPage:
        """The latest `limit` messages with `after` < timestamp < `before`, oldest first.

        The page is cut short where its frame would outgrow 128 KB; `before` continues from there.
        """
        low = EARLIEST if after is None else after + MICROSECOND
        high = LATEST if before is None else before - MICROSECOND
        if low > high:
            return HistoryPage([], None)
        pages = self._table.range_pages(
            {"roomId": room}, "timestamp", low, high, newest_first=True, page_rows=min(limit + 1, _PAGE_ROWS)
        )
        messages: list[dict[str, object]] = []
        size = _PAGE_OVERHEAD_BYTES
        for page in pages:
            for row in page:
                frame = message_frame(row)
                del frame["type"]
                size += len(encode(frame)) + 1
                if len(messages) == limit or (messages and size > MAX_FRAME_BYTES):
                    oldest = messages[-1]["timestamp"]
                    messages.reverse()
                    return HistoryPage(messages, oldest if isinstance(oldest, Decimal) else Decimal(str(oldest)))
                messages.append(frame)
        messages.reverse()
        return HistoryPage(messages, None)


def message_frame(row: Item) -> dict[str, object]:
    """The frame of one stored message, as every client gets it, and as the SSE event of the same message
    has it.
    """
    # `get`: others may write to this table as well, and one odd row must not cost a room its history.
    return {"type": "message"} | {name: row.get(name) for name in _FIELDS}
