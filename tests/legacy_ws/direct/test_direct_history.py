"""legacy_ws.apps.direct: the history of two, newest first (DC2, DC3's order). until phase 3"""

from __future__ import annotations

import json
from typing import Any

from .direct_support import ANN, AT_MS, BOB, ROOM, to_bob


def test_messages_of_one_tick_are_kept_in_order(join: Any, client: Any) -> None:
    """Fault 7"""
    join("a")
    times = [client(to_bob(str(number)))[0]["timestamp"] for number in range(3)]
    assert times == [f"2024-06-18T06:13:40.12300{number}Z" for number in range(3)]
    (page,) = client({"action": "getHistory", "with": BOB})
    assert [message["message"] for message in page["messages"]] == ["2", "1", "0"]


def test_history_is_newest_first_and_pages_back(join: Any, poster: Any, client: Any) -> None:
    """DC3's order, on the socket: newest first, 50 unless asked otherwise."""
    join("a")
    join("b", BOB)
    for number in range(7):
        client(to_bob(str(number)), "a", AT_MS + number)
    client({"action": "sendMessage", "receiverEmail": "carol@example.com", "message": "not bob's"})
    seen, before = [], None
    for expected in (["6", "5", "4"], ["3", "2", "1"], ["0"]):
        (page,) = client({"action": "getHistory", "with": ANN, "limit": 3, "before": before}, "b")
        assert list(page) == ["type", "roomId", "messages", "before"]
        assert (page["type"], page["roomId"]) == ("history", ROOM)
        assert [message["message"] for message in page["messages"]] == expected
        seen += page["messages"]
        before = page["before"]
    assert before is None
    assert all("type" not in message and message["senderEmail"] == ANN for message in seen)
    assert "not bob's" not in json.dumps(seen)
    assert client({"action": "getHistory", "with": "nobody@example.com"}, "b")[0]["messages"] == []


def test_a_third_person_sees_nothing_of_two_others(join: Any, client: Any) -> None:
    join("a")
    join("m", "mallory@example.com")
    client(to_bob("secret"))
    for frame in ({"with": BOB}, {"with": ANN}, {"with": ANN, "roomId": ROOM}, {"with": ANN, "readerEmail": BOB}):
        (page,) = client({"action": "getHistory", **frame}, "m")
        assert page["messages"] == []
        (done,) = client({"action": "read", **frame}, "m")
        assert done["count"] == 0
    assert client({"action": "getHistory", "with": ROOM}, "m")[0]["code"] == "bad_request"


def test_fifty_messages_are_a_page_unless_asked_otherwise(join: Any, client: Any) -> None:
    join("a")
    for number in range(51):
        client(to_bob(str(number)))
    (page,) = client({"action": "getHistory", "with": BOB})
    assert len(page["messages"]) == 50
    assert page["before"] == page["messages"][-1]["timestamp"]


def test_an_odd_row_does_not_cost_a_conversation_its_history(join: Any, dynamodb: Any, client: Any) -> None:
    """A table that the document's own Lambdas have written: three digits, no messageId."""
    join("a")
    for digits in ("123", "456"):
        item = {"roomId": {"S": ROOM}, "timestamp": {"S": f"2024-06-18T06:13:40.{digits}Z"}, "message": {"S": digits}}
        dynamodb.put_item(TableName="direct-messages", Item=item)
    (page,) = client({"action": "getHistory", "with": BOB, "limit": 1})
    assert (page["messages"][0]["message"], page["before"]) == ("456", "2024-06-18T06:13:40.456Z")
    (page,) = client({"action": "getHistory", "with": BOB, "limit": 1, "before": page["before"]})
    assert (page["messages"][0]["message"], page["before"]) == ("123", None)
