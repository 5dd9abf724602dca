"""legacy_ws.apps.direct: a message is stored, delivered and confirmed (DC2). until phase 3"""

from __future__ import annotations

import json
from typing import Any

import pytest

from legacy_ws.apps.direct import send_message

from .direct_support import ANN, BOB, ROOM, Clock, rows, to_bob


def test_a_message_is_stored_delivered_to_all_of_the_receivers_connections_and_confirmed(
    join: Any, dynamodb: Any, poster: Any, client: Any
) -> None:
    """DC2"""
    join("a")
    join("a2")
    join("b1", BOB)
    join("b2", BOB)
    join("c", "carol@example.com")
    (confirmed,) = client(to_bob("안녕하세요"))
    message = {
        "type": "message",
        "roomId": ROOM,
        "messageId": confirmed["messageId"],
        "senderEmail": ANN,
        "receiverEmail": BOB,
        "message": "안녕하세요",
        "timestamp": "2024-06-18T06:13:40.123000Z",
        "read": False,
    }
    assert confirmed == {**message, "type": "messageSent", "delivered": 2, "failed": 0}
    assert poster.frames("b1") == poster.frames("b2") == [message]
    assert list(poster.frames("b1")[0]) == list(message)
    assert poster.frames("a2") == poster.frames("c") == []
    (row,) = rows(dynamodb, "messages")
    assert row == {
        "roomId": {"S": ROOM},
        "timestamp": {"S": "2024-06-18T06:13:40.123000Z"},
        "messageId": {"S": message["messageId"]},
        "senderEmail": {"S": ANN},
        "receiverEmail": {"S": BOB},
        "message": {"S": "안녕하세요"},
        "read": {"BOOL": False},
    }


def test_both_directions_share_a_room(join: Any, client: Any) -> None:
    """DC2: the two sorted addresses."""
    join("a")
    join("b", BOB)
    one = client(to_bob("1"))[0]
    other = client({"action": "sendMessage", "receiverEmail": ANN, "message": "2"}, "b")[-1]
    assert one["roomId"] == other["roomId"] == ROOM


def test_addresses_that_differ_in_case_are_different_people(join: Any, poster: Any, client: Any) -> None:
    """Fault 18"""
    join("a")
    join("b", BOB)
    join("big", "Bob@example.com")
    (confirmed,) = client(to_bob(receiverEmail="Bob@example.com"))
    assert (confirmed["roomId"], confirmed["delivered"]) == (f"Bob@example.com#{ANN}", 1)
    assert poster.frames("b") == []


def test_a_message_to_nobody_who_is_connected_is_kept(join: Any, dynamodb: Any, client: Any) -> None:
    join("a")
    (confirmed,) = client(to_bob())
    assert (confirmed["delivered"], confirmed["failed"]) == (0, 0)
    assert len(rows(dynamodb, "messages")) == 1


def test_the_sender_is_who_the_row_says_else_who_the_authorizer_says(join: Any, client: Any) -> None:
    """The row wins: under its address the sender is found; without a row the verified context counts."""
    join("a")
    assert client(to_bob(), email="stale@example.com")[0]["senderEmail"] == ANN
    assert client(to_bob(), "ghost", email="carol@example.com")[0]["senderEmail"] == "carol@example.com"
    assert client(to_bob(senderEmail="mallory@example.com"))[0]["senderEmail"] == ANN


def test_a_message_to_oneself_is_stored_and_delivered_once(join: Any, dynamodb: Any, poster: Any, client: Any) -> None:
    join("a")
    join("a2")
    got = client(to_bob("note", receiverEmail=ANN))
    assert [frame["type"] for frame in got] == ["message", "messageSent"]
    assert got[0]["messageId"] == got[1]["messageId"]
    assert (got[1]["roomId"], got[1]["delivered"]) == (f"{ANN}#{ANN}", 2)
    assert [frame["type"] for frame in poster.frames("a2")] == ["message"]
    assert len(rows(dynamodb, "messages")) == 1
    # The index may not know the connection yet; that it is open is known all the same.
    got = client(to_bob("note", receiverEmail="new@example.com"), "new", email="new@example.com")
    assert [frame["type"] for frame in got] == ["message", "messageSent"]


def test_only_the_gone_connection_loses_its_row_and_failures_are_counted(
    join: Any, dynamodb: Any, poster: Any, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fault 6; what failed is told to the sender and in the log, without anybody's address."""
    join("a")
    for name in ("b1", "b2", "b3", "b4"):
        join(name, BOB)
    poster.gone("b1")
    poster.refuse("b2", "LimitExceededException", retryable=True, times=1)
    poster.refuse("b3", "ForbiddenException", retryable=False)
    (confirmed,) = client(to_bob())
    assert (confirmed["delivered"], confirmed["failed"]) == (2, 1)
    assert sorted(row["connectionId"]["S"] for row in rows(dynamodb, "connections")) == ["a", "b2", "b3", "b4"]
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (record["level"], record["event"]) == ("WARNING", "message_sent")
    assert (record["delivered"], record["gone"], record["failedCount"]) == (2, 1, 1)
    assert record["failed"] == [{"connectionId": "b3", "reason": "ForbiddenException"}]
    assert record["messageId"] == confirmed["messageId"]
    assert "@" not in json.dumps(record)


def test_a_stored_message_is_confirmed_even_when_nobody_can_be_looked_up(
    join: Any, dynamodb: Any, client: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stored first: an error would make the client send it again."""
    join("a")
    client(to_bob("before"))

    def broken(*_: object) -> None:
        raise RuntimeError("no index today")

    monkeypatch.setattr("legacy_ws.manager.ConnectionManager.of_user", broken)
    (confirmed,) = client(to_bob("during"))
    assert (confirmed["type"], confirmed["delivered"], confirmed["failed"]) == ("messageSent", 0, 1)
    assert len(rows(dynamodb, "messages")) == 2
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (record["level"], record["event"], record["errorMessage"]) == ("ERROR", "not_delivered", "no index today")


def test_a_message_that_cannot_be_stored_reaches_nobody(join: Any, dynamodb: Any, poster: Any, client: Any) -> None:
    join("a")
    join("b", BOB)
    dynamodb.delete_table(TableName="direct-messages")
    (frame,) = client(to_bob())
    assert frame["code"] == "internal"
    assert "ResourceNotFound" not in json.dumps(frame)
    assert poster.frames("b") == []


def test_slow_receivers_leave_time_for_the_confirmation(join: Any, poster: Any, client: Any) -> None:
    """A receiver that is throttled to the end does not cost the sender the answer."""
    join("a")
    join("b", BOB)
    poster.refuse("b", "LimitExceededException", retryable=True)
    left = Clock(29)
    post = poster.post

    def slow(connection_id: str, data: bytes) -> None:
        left.seconds -= 1 if connection_id == "b" else 0
        post(connection_id, data)

    poster.post = slow
    left.seconds = 4
    (confirmed,) = client(to_bob(), context=left)
    assert (confirmed["type"], confirmed["delivered"], confirmed["failed"]) == ("messageSent", 0, 1)
    assert left.seconds < 4


def test_every_page_of_the_receivers_connections_is_read(
    join: Any, poster: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 5"""
    from legacy_ws.dynamo import Table

    whole = Table.__init__

    def by_two(self: Table, client: Any, name: str, **_: object) -> None:
        whole(self, client, name, page_rows=2)

    join("a")
    for number in range(7):
        join(f"b{number}", BOB)
    monkeypatch.setattr(Table, "__init__", by_two)
    send_message.services.clear()
    assert client(to_bob())[0]["delivered"] == 7
