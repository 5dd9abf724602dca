"""legacy_ws.apps.direct: the handlers, called as Lambda calls them (DC1, DC2, read receipts of DC5). until phase 3"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from legacy_ws import aws, dynamo
from legacy_ws.apps.direct import connect, default, disconnect, get_history, messages, read, send_message
from legacy_ws.deploy.apps.direct import DIRECT
from legacy_ws.deploy.spec import StackNames
from legacy_ws.deploy.tables import ensure_table

EventMaker = Callable[..., dict[str, Any]]
HANDLERS = {"sendMessage": send_message, "getHistory": get_history, "read": read}
ANN, BOB = "ann@example.com", "bob@example.com"
ROOM = f"{ANN}#{BOB}"
AT_MS = 1718691220123


@pytest.fixture(autouse=True)
def dynamodb(poster: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The tables as `legacy-ws deploy` makes them, in moto."""
    names = StackNames("direct", "ap-northeast-1", "123456789012")
    with mock_aws():
        client = boto3.client("dynamodb")
        for table in DIRECT.tables:
            ensure_table(client, names, table)
            monkeypatch.setenv(table.env, names.table(table))
        monkeypatch.setattr(aws, "management", lambda _: poster)
        yield client


@pytest.fixture
def join(event: EventMaker) -> Callable[..., dict[str, object]]:
    """Connects `connection` as somebody whom the authorizer has verified."""

    def connect_(connection: str, email: object = ANN, **fields: Any) -> dict[str, object]:
        context = {"connectionId": connection, "authorizer": authorizer(email)}
        return connect.handler(event("connect", context=context, **fields), None)

    return connect_


@pytest.fixture
def client(event: EventMaker, poster: Any) -> Callable[..., list[dict[str, Any]]]:
    """Sends one frame as one connection; returns what that connection got for it."""

    def send(frame: Any, connection: str = "a", at_ms: int = AT_MS, email: object = None, context: Any = None) -> Any:
        body = frame if isinstance(frame, str) else json.dumps(frame)
        action = frame.get("action") if isinstance(frame, dict) else None
        handler: Any = HANDLERS.get(action, default) if isinstance(action, str) else default
        fields = {
            "connectionId": connection,
            "routeKey": action if action in HANDLERS else "$default",
            "requestTimeEpoch": at_ms,
            "authorizer": authorizer(email),
        }
        before = len(poster.frames(connection))
        handler.handler(event("message", body=body, context=fields), context)
        return poster.frames(connection)[before:]

    return send


def authorizer(email: object) -> dict[str, Any]:
    more = {} if email is None else {"email": email}
    return {"userId": "sub-1", "principalId": "sub-1", "integrationLatency": 41, **more}


def rows(dynamodb: Any, table: str) -> list[dict[str, Any]]:
    return list(dynamodb.scan(TableName=f"direct-{table}")["Items"])


def to_bob(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"action": "sendMessage", "receiverEmail": BOB, "message": text, **more}


class Clock:
    """A Lambda context with so many seconds left."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return self.seconds * 1000


def test_entry_points_are_synchronous() -> None:
    """Fault 1: AWS's Python runtime never awaits a handler."""
    modules = (connect, disconnect, default, *HANDLERS.values())
    assert not any(inspect.iscoroutinefunction(module.handler) for module in modules)


def test_connect_stores_the_verified_address(join: Any, dynamodb: Any) -> None:
    """DC1: { connectionId, email, connectedAt } with a TTL; an address in the query string counts for nothing."""
    assert join("a", queryStringParameters={"token": "t", "email": "mallory@example.com"}) == {"statusCode": 200}
    (row,) = rows(dynamodb, "connections")
    ttl = int(row.pop("ttl")["N"])
    assert row == {
        "connectionId": {"S": "a"},
        "email": {"S": ANN},
        "connectedAt": {"S": "2024-06-18T06:13:20+00:00"},
    }
    assert ttl > 1718691200 + 2 * 3600
    query = {"ExpressionAttributeValues": {":e": {"S": ANN}}, "KeyConditionExpression": "email = :e"}
    found = dynamodb.query(TableName="direct-connections", IndexName="email-index", **query)["Items"]
    assert [one["connectionId"]["S"] for one in found] == ["a"]


@pytest.mark.parametrize("email", [None, "", "no address", "a@b@c", "a" * 400 + "@example.com", 5])
def test_nobody_comes_in_without_an_address(join: Any, dynamodb: Any, email: object) -> None:
    assert join("a", email) == {"statusCode": 400}
    assert rows(dynamodb, "connections") == []


def test_connect_refuses_the_handshake_when_the_row_cannot_be_stored(join: Any, dynamodb: Any) -> None:
    dynamodb.delete_table(TableName="direct-connections")
    assert join("a") == {"statusCode": 500}


def test_disconnect_deletes_the_row_and_may_come_twice(event: EventMaker, join: Any, dynamodb: Any) -> None:
    """Fault 15."""
    join("a")
    join("b", BOB)
    for _ in range(2):
        gone = event("disconnect", context={"connectionId": "a"})
        assert disconnect.handler(gone, None) == {"statusCode": 200}
    assert [row["connectionId"]["S"] for row in rows(dynamodb, "connections")] == ["b"]


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


def test_without_any_address_nothing_is_sent_read_or_shown(dynamodb: Any, client: Any) -> None:
    for frame in (to_bob(), {"action": "getHistory", "with": BOB}, {"action": "read", "with": BOB}):
        (answer,) = client(frame, "ghost")
        assert answer["code"] == "unauthorized"
    assert rows(dynamodb, "messages") == []


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


def sorted_rows(dynamodb: Any) -> list[dict[str, Any]]:
    return sorted(rows(dynamodb, "messages"), key=lambda row: str(row["timestamp"]["S"]))


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


def every_row(dynamodb: Any) -> list[dict[str, Any]]:
    pages = dynamodb.get_paginator("scan").paginate(TableName="direct-messages")
    return [row for page in pages for row in page["Items"]]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("nope", "bad_request"),
        ("[]", "bad_request"),
        ({}, "bad_request"),
        ({"action": 5}, "bad_request"),
        ({"action": "unknown"}, "unknown_action"),
        ({"action": "$connect"}, "unknown_action"),
        (to_bob(""), "bad_request"),
        ({"action": "sendMessage", "receiverEmail": BOB}, "bad_request"),
        ({"action": "sendMessage", "message": "x"}, "bad_request"),
        (to_bob(receiverEmail=""), "bad_request"),
        (to_bob(receiverEmail="bob"), "bad_request"),
        (to_bob(receiverEmail="bob@x@y"), "bad_request"),
        (to_bob(receiverEmail="bob\n@example.com"), "bad_request"),
        (to_bob(receiverEmail=["bob@example.com"]), "bad_request"),
        (to_bob(receiverEmail="b" * 320 + "@example.com"), "message_too_long"),
        (to_bob("x" * 65_537), "message_too_long"),
        (to_bob("\x00" * 30_000), "message_too_long"),
        (to_bob("\ud800"), "bad_request"),
        ({"action": "getHistory"}, "bad_request"),
        ({"action": "getHistory", "with": "bob"}, "bad_request"),
        ({"action": "getHistory", "with": BOB, "limit": 0}, "bad_request"),
        ({"action": "getHistory", "with": BOB, "limit": 501}, "bad_request"),
        ({"action": "getHistory", "with": BOB, "before": "yesterday"}, "bad_request"),
        ({"action": "getHistory", "with": BOB, "before": 1718691220}, "bad_request"),
        ({"action": "read"}, "bad_request"),
        ({"action": "read", "with": BOB, "upTo": "now"}, "bad_request"),
    ],
)
def test_bad_input_gets_its_error_frame_and_stores_nothing(
    join: Any, dynamodb: Any, client: Any, frame: Any, code: str
) -> None:
    join("a")
    (got,) = client(frame)
    assert got["code"] == code
    assert list(got) == ["type", "code", "message", "requestId"]
    assert rows(dynamodb, "messages") == []


def test_an_unknown_action_names_the_known_ones(join: Any, client: Any) -> None:
    join("a")
    assert "getHistory, read, sendMessage" in client({"action": "unknown"})[0]["message"]


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
