"""legacy_ws.dynamo: conditions and pages. until phase 3"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from legacy_ws.dynamo import Table, from_attributes, to_attribute
from legacy_ws.errors import ItemExistsError


def test_values_survive_the_way_there_and_back() -> None:
    item = {
        "s": "こん",
        "i": 5,
        "d": Decimal("1718700020.123456"),
        "b": True,
        "n": None,
        "m": {"x": [1, "2"]},
    }
    assert from_attributes({name: to_attribute(value) for name, value in item.items()}) == item  # type: ignore[misc]


def test_floats_are_refused() -> None:
    with pytest.raises(TypeError, match="float"):
        to_attribute(1.5)


def test_a_conditional_put_keeps_what_is_there(dynamodb: Any) -> None:
    table = Table(dynamodb, "ChatMessages")
    key = {"roomId": "main", "timestamp": Decimal("1.000001")}
    table.put({**key, "messageId": "first"}, if_absent="roomId")
    with pytest.raises(ItemExistsError) as caught:
        table.put({**key, "messageId": "second"}, if_absent="roomId")
    assert caught.value.existing is None or caught.value.existing["messageId"] == "first"
    assert (table.get(key) or {})["messageId"] == "first"


def test_an_update_needs_a_row(dynamodb: Any) -> None:
    """Fault 4."""
    table = Table(dynamodb, "Connections")
    key = {"connectionId": "a"}
    assert table.update_existing(key, {"userName": "x"}) is False
    assert table.get(key) is None
    table.put(key)
    assert table.update_existing(key, {"userName": "x", "ttl": 5}, only_if_absent=["userName"]) is True
    assert table.update_existing(key, {"userName": "y"}, only_if_absent=["userName"]) is False
    assert table.get(key) == {"connectionId": "a", "userName": "x", "ttl": 5}
    table.delete(key)
    table.delete(key)
    assert table.get(key) is None


def test_every_page_is_read(dynamodb: Any) -> None:
    """Fault 5, by pages of three rows."""
    table = Table(dynamodb, "Connections", page_rows=3)
    for number in range(10):
        table.put({"connectionId": f"c{number}", "userName": "x", "ttl": 1})
    pages = list(table.pages(attributes=["connectionId", "ttl"]))
    assert max(map(len, pages)) == 3
    rows = [row for page in pages for row in page]
    assert len(rows) == 10
    assert all(set(row) == {"connectionId", "ttl"} for row in rows)


@pytest.mark.timeout(60)
def test_a_table_beyond_one_megabyte_is_read_whole(dynamodb: Any) -> None:
    """Fault 5, by DynamoDB's own limit of 1 MB a page."""
    table = Table(dynamodb, "Connections")
    for number in range(20):
        table.put({"connectionId": f"c{number}", "metadata": "x" * 100_000})
    pages = list(table.pages())
    assert len(pages) > 1
    assert sum(map(len, pages)) == 20


def test_ranges_are_read_from_both_ends(dynamodb: Any) -> None:
    table = Table(dynamodb, "ChatMessages")
    for second in range(5):
        table.put({"roomId": "main", "timestamp": second})
    table.put({"roomId": "other", "timestamp": 2})
    for newest_first, expected in ((True, [3, 2, 1]), (False, [1, 2, 3])):
        pages = table.range_pages(
            {"roomId": "main"}, "timestamp", Decimal(1), Decimal(3), newest_first=newest_first, page_rows=2
        )
        assert [row["timestamp"] for page in pages for row in page] == expected
