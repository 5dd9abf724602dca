"""legacy_ws.history: keys that never collide and keep the order, for numbers and for ISO text. until phase 3"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier, Lock
from typing import Any

import pytest

from legacy_ws.apps.direct.messages import LAYOUT as ISO
from legacy_ws.apps.rooms.messages import LAYOUT as NUMBERS
from legacy_ws.dynamo import Table
from legacy_ws.errors import ItemExistsError
from legacy_ws.history import HistoryStore, Layout
from legacy_ws.schema import Item

AT_US = 1718700020_123000
LAYOUTS = pytest.mark.parametrize("layout", [NUMBERS, ISO], ids=["numbers", "iso"])


class Memory:
    """A table that judges a condition and writes in one step, as DynamoDB does."""

    def __init__(self) -> None:
        self.rows: dict[tuple[object, object], Item] = {}
        self.lose_answers_of: set[object] = set()
        self._lock = Lock()

    def put(self, item: Item, *, if_absent: str | None = None) -> None:
        key = (item["roomId"], item["timestamp"])
        with self._lock:
            existing = self.rows.get(key)
            if existing is not None:
                raise ItemExistsError(existing)
            self.rows[key] = item
            if item["messageId"] in self.lose_answers_of:
                # What the SDK's second try of the very same put is answered.
                raise ItemExistsError(item)

    def range_pages(
        self, equals: Mapping[str, object], sort_key: str, low: Any, high: Any, *, newest_first: bool, page_rows: Any
    ) -> Iterator[list[Item]]:
        rows: list[Any] = [row for (room, _), row in self.rows.items() if room == equals["roomId"]]
        rows = sorted((row for row in rows if low <= row[sort_key] <= high), key=lambda row: row[sort_key])
        if newest_first:
            rows.reverse()
        for start in range(0, len(rows), page_rows):
            yield rows[start : start + page_rows]


@LAYOUTS
def test_fifty_writers_of_one_tick_keep_every_message_and_their_own_order(layout: Layout[Any]) -> None:
    """Fault 7: nothing is overwritten, and whoever sends one after the other finds it in that order."""
    table = Memory()
    store = HistoryStore(table, layout)
    together = Barrier(50)

    def write(writer: int) -> list[Any]:
        together.wait(timeout=30)
        return [store.append("r", f"{writer}-{n}", {}, AT_US)["timestamp"] for n in range(4)]

    with ThreadPoolExecutor(50) as pool:
        times = list(pool.map(write, range(50)))
    assert len({time for own in times for time in own}) == 200
    assert len(table.rows) == 200
    assert all(own == sorted(own) for own in times)
    # No gaps: 200 messages take exactly the first 200 microseconds of the tick.
    assert {time for own in times for time in own} == {layout.sort_of(AT_US + n) for n in range(200)}


@LAYOUTS
def test_a_put_whose_answer_was_lost_is_stored_once(layout: Layout[Any]) -> None:
    table = Memory()
    table.lose_answers_of = {"m1"}
    row = HistoryStore(table, layout).append("r", "m1", {"message": "x"}, AT_US)
    assert row["timestamp"] == layout.sort_of(AT_US)
    assert len(table.rows) == 1


@LAYOUTS
def test_it_gives_up_when_no_microsecond_is_free(layout: Layout[Any]) -> None:
    table = Memory()
    for n in range(1500):
        table.put({"roomId": "r", "timestamp": layout.sort_of(AT_US + n), "messageId": "other"})
    with pytest.raises(ItemExistsError):
        HistoryStore(table, layout).append("r", "m1", {}, AT_US)
    assert len(table.rows) == 1500


@LAYOUTS
def test_paging_back_and_forth_meets_every_message_once(layout: Layout[Any]) -> None:
    store = HistoryStore(Memory(), layout)
    for n in range(25):
        # Three ticks, several messages in each.
        store.append("r", f"m{n}", {}, AT_US + n // 9 * 1000)
    seen: list[object] = []
    before = None
    while True:
        page = store.page("r", limit=4, before=before)
        assert len(page.messages) <= 4
        seen += [message["messageId"] for message in page.messages]
        before = page.before
        if before is None:
            break
    assert seen == [f"m{n}" for n in reversed(range(25))]
    between = store.page("r", limit=50, after=layout.sort_of(AT_US + 2), before=layout.sort_of(AT_US + 5)).messages
    assert [message["messageId"] for message in between] == ["m4", "m3"]


@LAYOUTS
def test_a_page_that_ends_exactly_with_the_history_says_so(layout: Layout[Any]) -> None:
    store = HistoryStore(Memory(), layout)
    for n in range(4):
        store.append("r", f"m{n}", {}, AT_US)
    assert store.page("r", limit=4).before is None
    last = store.page("r", limit=2, before=store.page("r", limit=2).before)
    assert ([message["messageId"] for message in last.messages], last.before) == (["m1", "m0"], None)


@LAYOUTS
def test_an_empty_range_is_an_empty_page(layout: Layout[Any]) -> None:
    store = HistoryStore(Memory(), layout)
    store.append("r", "m", {}, AT_US)
    at, later = layout.sort_of(AT_US), layout.sort_of(AT_US + 1)
    for after, before in ((at, at), (later, at)):
        page = store.page("r", limit=5, after=after, before=before)
        assert (page.messages, page.before) == ([], None)


def test_rows_between_two_microseconds_are_not_passed_over() -> None:
    """Another writer of the same table may be finer, or coarser, than a microsecond."""
    table = Memory()
    for n, at in enumerate(("1.0000001", "1.0000002", "1.0000003")):
        table.put({"roomId": "r", "timestamp": Decimal(at), "messageId": f"m{n}"})
    store = HistoryStore(table, NUMBERS)
    page = store.page("r", limit=1)
    assert page.messages[0]["messageId"] == "m2"
    assert store.page("r", limit=5, before=page.before).messages[0]["messageId"] == "m1"


def test_conditions_and_filters_of_the_table(dynamodb: Any) -> None:
    """`only_if` and `where` of legacy_ws.dynamo, which read receipts stand on."""
    table = Table(dynamodb, "ChatMessages")
    for second in range(4):
        table.put({"roomId": "r", "timestamp": second, "read": second % 2 == 0, "to": "ann"})
    pages = table.range_pages(
        {"roomId": "r"},
        "timestamp",
        Decimal(0),
        Decimal(2),
        newest_first=False,
        page_rows=1,
        where={"read": False, "to": "ann"},
    )
    assert [row["timestamp"] for page in pages for row in page] == [1]
    key = {"roomId": "r", "timestamp": 1}
    assert table.update_existing(key, {"read": True}, only_if={"read": False, "to": "bob"}) is False
    assert table.update_existing(key, {"read": True}, only_if={"read": False, "to": "ann"}) is True
    assert table.update_existing(key, {"read": True}, only_if={"read": False, "to": "ann"}) is False
    missing = {"roomId": "r", "timestamp": 9}
    assert table.update_existing(missing, {"read": True}, only_if={"read": False}) is False
    assert table.get(missing) is None
