"""legacy_ws.apps.direct: read receipts (DC5). until phase 3"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from legacy_ws import dynamo
from legacy_ws.apps.direct import messages

from .direct_support import ANN, AT_MS, BOB, ROOM, Clock, rows, to_bob


def sorted_rows(dynamodb: Any) -> list[dict[str, Any]]:
    return sorted(rows(dynamodb, "messages"), key=lambda row: str(row["timestamp"]["S"]))


def every_row(dynamodb: Any) -> list[dict[str, Any]]:
    pages = dynamodb.get_paginator("scan").paginate(TableName="direct-messages")
    return [row for page in pages for row in page["Items"]]


def test_read_marks_what_the_reader_got_and_tells_the_partner(
    join: Any, dynamodb: Any, poster: Any, client: Any
) -> None:
    """DC5: only the reader's unread messages; both of the partner's devices learn of it."""
    join("a1")
    join("a2")
    join("b", BOB)
    first, second = (client(to_bob(str(n)), "a1", AT_MS + n)[0]["timestamp"] for n in range(2))
    client({"action": "sendMessage", "receiverEmail": ANN, "message": "from bob"}, "b", AT_MS + 5)
    receipt = {"roomId": ROOM, "readerEmail": BOB, "upTo": second, "count": 2}
    assert client({"action": "read", "with": ANN}, "b") == [{"type": "readDone", **receipt}]
    for device in ("a1", "a2"):
        assert poster.frames(device)[-1] == {"type": "read", **receipt}
    assert [row["read"]["BOOL"] for row in sorted_rows(dynamodb)] == [True, True, False]
    assert first < second


def test_read_up_to_a_time_includes_it_and_leaves_the_rest(join: Any, dynamodb: Any, client: Any) -> None:
    join("a")
    join("b", BOB)
    times = [client(to_bob(str(n)), "a", AT_MS + n)[0]["timestamp"] for n in range(3)]
    (done,) = client({"action": "read", "with": ANN, "upTo": times[1]}, "b")
    assert (done["count"], done["upTo"]) == (2, times[1])
    assert [row["read"]["BOOL"] for row in sorted_rows(dynamodb)] == [True, True, False]
    (done,) = client({"action": "read", "with": ANN}, "b")
    assert (done["count"], done["upTo"]) == (1, times[2])


def test_reading_ahead_of_time_is_not_told_to_the_partner(join: Any, poster: Any, client: Any) -> None:
    """`upTo` is the newest message that was there: else the partner would take later ones for read as well."""
    join("a")
    join("b", BOB)
    at = client(to_bob())[0]["timestamp"]
    client({"action": "read", "with": ANN, "upTo": "9999-12-31T23:59:59.999999Z"}, "b")
    assert poster.frames("a")[-1]["upTo"] == at


def test_with_nothing_to_mark_the_partner_is_left_alone(join: Any, poster: Any, client: Any) -> None:
    """Otherwise anybody could send frames to any address."""
    join("a")
    join("m", "mallory@example.com")
    (done,) = client({"action": "read", "with": ANN}, "m")
    assert (done["type"], done["count"], done["upTo"]) == ("readDone", 0, None)
    assert poster.frames("a") == []


def test_a_row_deleted_meanwhile_is_not_made_again(
    join: Any, dynamodb: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 4"""
    join("a")
    join("b", BOB)
    times = [client(to_bob(str(n)), "a", AT_MS + n)[0]["timestamp"] for n in range(2)]
    mark = messages.DirectMessages._mark

    def deleted_first(self: Any, room: str, timestamp: str) -> bool:
        if timestamp == times[0]:
            key = {"roomId": {"S": room}, "timestamp": {"S": timestamp}}
            dynamodb.delete_item(TableName="direct-messages", Key=key)
        return mark(self, room, timestamp)

    monkeypatch.setattr(messages.DirectMessages, "_mark", deleted_first)
    (done,) = client({"action": "read", "with": ANN}, "b")
    assert done["count"] == 1
    assert [row["timestamp"]["S"] for row in rows(dynamodb, "messages")] == [times[1]]


def test_a_row_that_two_devices_read_at_once_counts_once(
    join: Any, dynamodb: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    join("a")
    join("b", BOB)
    client(to_bob())
    mark = messages.DirectMessages._mark
    marked: list[bool] = []

    def twice(self: Any, room: str, timestamp: str) -> bool:
        marked.append(mark(self, room, timestamp))
        return mark(self, room, timestamp)

    monkeypatch.setattr(messages.DirectMessages, "_mark", twice)
    (done,) = client({"action": "read", "with": ANN}, "b")
    assert marked == [True]
    assert done["count"] == 0


def test_read_stops_when_the_time_is_up_says_how_far_it_came_and_can_be_continued(
    join: Any, dynamodb: Any, poster: Any, client: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    join("a")
    join("b", BOB)
    times = [client(to_bob(str(n)), "a", AT_MS + n)[0]["timestamp"] for n in range(5)]
    monkeypatch.setattr(messages, "_BATCH", 2)
    left = Clock(29)
    mark = messages.DirectMessages._mark

    def slow(self: Any, room: str, timestamp: str) -> bool:
        # The time is nearly up after the second batch: 29 - 4 * 6 s.
        left.seconds -= 6
        return mark(self, room, timestamp)

    monkeypatch.setattr(messages.DirectMessages, "_mark", slow)
    (done,) = client({"action": "read", "with": ANN}, "b", context=left)
    assert (done["count"], done["upTo"]) == (4, times[3])
    assert poster.frames("a")[-1] == {**done, "type": "read"}
    assert [row["read"]["BOOL"] for row in sorted_rows(dynamodb)] == [True, True, True, True, False]
    assert '"read_out_of_time"' in capsys.readouterr().out
    (done,) = client({"action": "read", "with": ANN}, "b")
    assert (done["count"], done["upTo"]) == (1, times[4])


def test_read_answers_in_time_though_a_long_conversation_holds_nothing_unread(
    join: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DynamoDB reads what is read already, page by page, and shows nothing of it: that takes time too."""
    join("b", BOB)
    left = Clock(29)
    pages = 0

    def empty_pages(*_: object, **__: object) -> Iterator[list[Any]]:
        nonlocal pages
        while left.seconds > -60:
            left.seconds -= 6
            pages += 1
            yield []

    monkeypatch.setattr(dynamo.Table, "range_pages", empty_pages)
    (done,) = client({"action": "read", "with": ANN}, "b", context=left)
    assert (done["count"], done["upTo"]) == (0, None)
    assert pages == 4


def test_receipts_reach_beyond_one_page(join: Any, dynamodb: Any, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 5, by DynamoDB's own limit of 1 MB a page: 30 messages of 60,000 bytes."""
    join("a")
    join("b", BOB)
    for number in range(30):
        client(to_bob("x" * 60_000), "a", AT_MS + number)
    (done,) = client({"action": "read", "with": ANN}, "b")
    assert done["count"] == 30
    assert all(row["read"]["BOOL"] for row in every_row(dynamodb))
