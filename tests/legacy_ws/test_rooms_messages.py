"""legacy_ws.apps.rooms.messages: keys that never collide. until phase 3"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Lock
from typing import Any

import pytest

from legacy_ws.apps.rooms.messages import MessageStore
from legacy_ws.dynamo import Table
from legacy_ws.errors import ItemExistsError
from legacy_ws.schema import Item

AT = Decimal("1718700020.123456")


def test_a_redelivery_in_the_same_microsecond_does_not_overwrite(dynamodb: Any) -> None:
    """Fault 7"""
    store = MessageStore(Table(dynamodb, "ChatMessages"))
    first = store.append("main", "m1", "alice", "first", AT)
    second = store.append("main", "m2", "alice", "second", AT)
    other = store.append("other", "m3", "alice", "third", AT)
    assert [row["timestamp"] for row in (first, second, other)] == [AT, AT + Decimal("0.000001"), AT]
    assert [message["message"] for message in store.page("main", limit=10).messages] == ["first", "second"]


def test_many_writers_of_one_tick_keep_every_message(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 7"""
    # DynamoDB judges a condition and writes in one step; moto does so in two, between which another thread may write.
    one_at_a_time, put_item = Lock(), dynamodb.put_item

    def put(**call: Any) -> Any:
        with one_at_a_time:
            return put_item(**call)

    monkeypatch.setattr(dynamodb, "put_item", put)
    store = MessageStore(Table(dynamodb, "ChatMessages"))
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda n: store.append("main", f"m{n}", "a", "x", AT), range(60)))
    assert len({row["timestamp"] for row in rows}) == 60
    assert len(store.page("main", limit=100).messages) == 60


class Taken:
    """A table whose keys are all taken, by `existing`."""

    def __init__(self, existing: Item | None) -> None:
        self.existing = existing
        self.puts = 0

    def put(self, item: Item, *, if_absent: str | None = None) -> None:
        self.puts += 1
        raise ItemExistsError(self.existing)

    def range_pages(self, *_: object, **__: object) -> Iterator[list[Item]]:
        return iter([])


def test_a_put_that_the_sdk_tried_again_is_not_stored_twice() -> None:
    """The answer of the first try was lost: what is there is this very message."""
    table = Taken({"messageId": "m1"})
    row = MessageStore(table).append("main", "m1", "alice", "x", AT)
    assert row["timestamp"] == AT
    assert table.puts == 1


def test_it_gives_up_in_the_end() -> None:
    with pytest.raises(ItemExistsError):
        MessageStore(Taken(None)).append("main", "m1", "alice", "x", AT)


def test_an_empty_range_is_an_empty_page(dynamodb: Any) -> None:
    page = MessageStore(Table(dynamodb, "ChatMessages")).page("main", limit=5, before=AT, after=AT)
    assert (page.messages, page.before) == ([], None)


def test_an_odd_row_does_not_cost_a_room_its_history(dynamodb: Any) -> None:
    table = Table(dynamodb, "ChatMessages")
    table.put({"roomId": "main", "timestamp": 1, "somebody": "else's"})
    (message,) = MessageStore(table).page("main", limit=5).messages
    assert message["timestamp"] == 1
    assert message["message"] is None
