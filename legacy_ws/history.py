"""Messages of conversations in one table: unique, ordered keys, and pages of history. until phase 3

One store for every application; a `Layout` says how its table names things and which form its times have. A plain
timestamp as sort key would overwrite a message of the same tick (REQUIREMENTS.md, fault 7): a put demands that its key
is free, and moves on by one microsecond until it is. The steps stay single on purpose: everything between the tick and
a stored message is then taken, so that what somebody sends afterwards cannot end up before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Generic, Protocol, TypeVar

from legacy_ws.errors import ItemExistsError
from legacy_ws.frames import MAX_FRAME_BYTES, encode
from legacy_ws.schema import Item

__all__ = ["MAX_MESSAGE_FRAME_BYTES", "HistoryPage", "HistoryStore", "HistoryTable", "Layout"]

MAX_MESSAGE_FRAME_BYTES = MAX_FRAME_BYTES - 8192
"""Most bytes of one message's frame: a history frame carries a message together with its own fields."""

Sort = TypeVar("Sort", Decimal, str)
"""Form of a sort value in the table."""

# More messages than API Gateway takes in (5,000/s for a whole account by default) within one tick of its clock, 1 ms.
_MAX_TRIES = 1000
# Room in a history frame for everything but the messages: type, roomId, before.
_PAGE_OVERHEAD_BYTES = 4096
_PAGE_ROWS = 100


class HistoryTable(Protocol):
    """What the store needs of a table (`dynamo.Table` has it)."""

    def put(self, item: Item, *, if_absent: str | None = None) -> None:
        """Raises: ItemExistsError."""

    def range_pages(
        self,
        equals: Item,
        sort_key: str,
        low: Decimal | str,
        high: Decimal | str,
        *,
        newest_first: bool,
        page_rows: int | None,
    ) -> Iterator[list[Item]]:
        """Rows of one partition, page by page."""


@dataclass(frozen=True)
class Layout(Generic[Sort]):
    """Names in one messages table, and the form of its times.

    Args:
        partition, sort, message_id: attributes of the conversation, of the time (together the key), of the id.
        fields: attributes that clients see, in the order of their frames.
        sort_of: a time, in microseconds since the epoch, in the table's form; later times compare greater.
        read_sort: a stored time in that form.
        earliest, latest: bounds of what `sort_of` gives.
    """

    partition: str
    sort: str
    message_id: str
    fields: tuple[str, ...]
    sort_of: Callable[[int], Sort]
    read_sort: Callable[[object], Sort]
    earliest: Sort
    latest: Sort

    def visible(self, row: Item) -> dict[str, object]:
        """What clients see of a stored message."""
        # `get`: others may write to this table as well, and one odd row must not cost a room its history.
        return {name: row.get(name) for name in self.fields}


@dataclass(frozen=True)
class HistoryPage(Generic[Sort]):
    """Messages of one conversation, newest first; `before` continues further back, None when there is no more."""

    messages: list[dict[str, object]]
    before: Sort | None


class HistoryStore(Generic[Sort]):
    """Messages of every conversation of one table.

    Args:
        table: the messages table.
        layout: its names.
    """

    def __init__(self, table: HistoryTable, layout: Layout[Sort]) -> None:
        self._table = table
        self._layout: Layout[Sort] = layout

    def append(self, conversation: str, message_id: str, fields: Mapping[str, object], at_us: int) -> Item:
        """Store one message at `at_us` (microseconds since the epoch), or at the first free microsecond after it.

        Returns: the stored row: key, message id and `fields`.
        Raises: ItemExistsError: no free microsecond within many tries.
        """
        layout = self._layout
        for tries in range(_MAX_TRIES):
            row: Item = {
                layout.partition: conversation,
                layout.sort: layout.sort_of(at_us + tries),
                layout.message_id: message_id,
                **fields,
            }
            try:
                self._table.put(row, if_absent=layout.partition)
            except ItemExistsError as error:
                # The SDK tries a put again whose answer was lost: then what is there is this very message.
                if error.existing is not None and error.existing.get(layout.message_id) == message_id:
                    return row
                last = error
            else:
                return row
        raise last

    def page(
        self, conversation: str, *, limit: int, before: Sort | None = None, after: Sort | None = None
    ) -> HistoryPage[Sort]:
        """The latest `limit` messages with `after` < time < `before`, newest first.

        The page is cut short where its frame would outgrow 128 KB; `before` continues from there.
        """
        layout = self._layout
        low = layout.earliest if after is None else after
        high = layout.latest if before is None else before
        messages: list[dict[str, object]] = []
        if low > high:
            return HistoryPage(messages, None)
        # DynamoDB's BETWEEN includes both ends; they are passed over here. Two rows more than asked for: the one at
        # `before`, and the one that tells that there are more.
        pages = self._table.range_pages(
            {layout.partition: conversation},
            layout.sort,
            low,
            high,
            newest_first=True,
            page_rows=min(limit + 2, _PAGE_ROWS),
        )
        size = _PAGE_OVERHEAD_BYTES
        oldest = high
        for page in pages:
            for row in page:
                at = layout.read_sort(row[layout.sort])
                if at in (before, after):
                    continue
                frame = layout.visible(row)
                size += len(encode(frame)) + 1
                if len(messages) == limit or (messages and size > MAX_FRAME_BYTES):
                    return HistoryPage(messages, oldest)
                messages.append(frame)
                oldest = at
        return HistoryPage(messages, None)
