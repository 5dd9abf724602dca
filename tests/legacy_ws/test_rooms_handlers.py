"""legacy_ws.apps.rooms: the handlers, called as Lambda calls them. until phase 3 (RC1-RC5)"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from legacy_ws import aws
from legacy_ws.apps import authorize
from legacy_ws.apps.rooms import connect, default, disconnect, get_history, send_message, services

EventMaker = Callable[..., dict[str, Any]]
HANDLERS = (connect, disconnect, default, send_message, get_history, authorize)


@pytest.fixture(autouse=True)
def stack(dynamodb: Any, poster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGACY_WS_CONNECTIONS_TABLE", "Connections")
    monkeypatch.setenv("LEGACY_WS_MESSAGES_TABLE", "ChatMessages")
    monkeypatch.setattr(aws, "management", lambda _: poster)


@pytest.fixture
def client(event: EventMaker, poster: Any) -> Callable[..., list[dict[str, Any]]]:
    """Sends one frame as one connection; returns what that connection got for it."""
    handlers = {"sendMessage": send_message, "getHistory": get_history}

    def send(frame: Any, connection: str = "a", at_ms: int = 1718691220123, user: str | None = "u-alice") -> Any:
        body = frame if isinstance(frame, str) else json.dumps(frame)
        action = frame.get("action") if isinstance(frame, dict) else None
        handler = handlers.get(action, default)
        context: dict[str, Any] = {
            "connectionId": connection,
            "routeKey": action if action in handlers else "$default",
            "requestTimeEpoch": at_ms,
            "authorizer": {"userId": user, "tenantId": "demo"} if user else {},
        }
        before = len(poster.frames(connection))
        handler.handler(event("message", body=body, context=context), None)
        return poster.frames(connection)[before:]

    return send


def rows(dynamodb: Any, table: str) -> list[dict[str, Any]]:
    return list(dynamodb.scan(TableName=table)["Items"])


def join(event: EventMaker, connection: str, name: str | None = None) -> dict[str, object]:
    query = {"userName": name} if name is not None else None
    return connect.handler(event("connect", queryStringParameters=query, context={"connectionId": connection}), None)


def test_entry_points_are_synchronous() -> None:
    """Fault 1: AWS's Python runtime never awaits a handler."""
    assert not any(inspect.iscoroutinefunction(module.handler) for module in HANDLERS)


def test_connect_stores_the_row(event: EventMaker, dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """RC1: connectionId, optional userName, connectedAt in epoch seconds; and user, tenant, TTL."""
    assert join(event, "a", "alice") == {"statusCode": 200}
    (row,) = rows(dynamodb, "Connections")
    ttl = int(row.pop("ttl")["N"])
    assert row == {
        "connectionId": {"S": "a"},
        "userName": {"S": "alice"},
        "connectedAt": {"N": "1718691200"},
        "userId": {"S": "u-alice"},
        "tenantId": {"S": "demo"},
    }
    assert ttl > 1718691200 + 2 * 3600


def test_connect_without_a_name_stores_none_and_a_bad_one_is_refused(event: EventMaker, dynamodb: Any) -> None:
    assert join(event, "a", "") == {"statusCode": 200}
    assert join(event, "b") == {"statusCode": 200}
    assert join(event, "c", "n" * 300) == {"statusCode": 400}
    assert sorted(row["connectionId"]["S"] for row in rows(dynamodb, "Connections")) == ["a", "b"]
    assert all("userName" not in row for row in rows(dynamodb, "Connections"))


def test_connect_refuses_the_handshake_when_the_row_cannot_be_stored(event: EventMaker, dynamodb: Any) -> None:
    dynamodb.delete_table(TableName="Connections")
    assert join(event, "a") == {"statusCode": 500}


def test_disconnect_deletes_the_row_and_may_come_twice(event: EventMaker, dynamodb: Any) -> None:
    """RC2; fault 15."""
    join(event, "a")
    join(event, "b")
    for _ in range(2):
        gone = event("disconnect", context={"connectionId": "a"})
        assert disconnect.handler(gone, None) == {"statusCode": 200}
    assert [row["connectionId"]["S"] for row in rows(dynamodb, "Connections")] == ["b"]


def test_a_message_is_stored_and_reaches_everybody_once(
    event: EventMaker, dynamodb: Any, poster: Any, client: Any
) -> None:
    """RC3, and RC5: every connected client gets it, whatever its room, the sender included."""
    for name in ("a", "b", "c"):
        join(event, name)
    got = client({"action": "sendMessage", "userName": "alice", "message": "こんにちは", "roomId": "random"})
    (frame,) = got
    assert list(frame) == ["type", "roomId", "messageId", "userName", "message", "timestamp"]
    assert frame["type"] == "message"
    assert (frame["roomId"], frame["userName"], frame["message"]) == ("random", "alice", "こんにちは")
    assert frame["timestamp"] == 1718691220.123
    assert sorted(poster.posts, key=lambda post: str(post[0])) == [(name, frame) for name in ("a", "b", "c")]
    (row,) = rows(dynamodb, "ChatMessages")
    assert row == {
        "roomId": {"S": "random"},
        "timestamp": {"N": "1718691220.123"},
        "messageId": {"S": frame["messageId"]},
        "userName": {"S": "alice"},
        "message": {"S": "こんにちは"},
    }


def test_the_room_is_main_by_default_and_the_name_the_rows_or_the_users(event: EventMaker, client: Any) -> None:
    join(event, "a", "alice")
    join(event, "b")
    assert client({"action": "sendMessage", "message": "1"}, "a")[0]["userName"] == "alice"
    frame = client({"action": "sendMessage", "message": "2", "roomId": None}, "b")[0]
    assert (frame["userName"], frame["roomId"]) == ("u-alice", "main")


def test_a_message_without_any_name_is_refused(event: EventMaker, client: Any) -> None:
    (frame,) = client({"action": "sendMessage", "message": "x"}, user=None)
    assert frame["code"] == "bad_request"
    assert "userName" in frame["message"]


def test_a_name_given_only_in_a_message_is_written_back(event: EventMaker, dynamodb: Any, client: Any) -> None:
    """RC3"""
    join(event, "a")
    client({"action": "sendMessage", "message": "x", "userName": "first"})
    client({"action": "sendMessage", "message": "x", "userName": "second"})
    (row,) = rows(dynamodb, "Connections")
    assert row["userName"] == {"S": "first"}
    assert client({"action": "sendMessage", "message": "x"})[0]["userName"] == "first"


def test_a_deleted_row_is_not_made_again_by_a_name(event: EventMaker, dynamodb: Any, poster: Any, client: Any) -> None:
    """Fault 4: the row goes (`$disconnect`) while the message is on its way; the sender still gets the
    message.
    """
    join(event, "a")
    disconnect.handler(event("disconnect", context={"connectionId": "a"}), None)
    assert len(client({"action": "sendMessage", "message": "x", "userName": "alice"})) == 1
    assert rows(dynamodb, "Connections") == []

    join(event, "a")
    delete_on_post = poster.post

    def post(connection_id: str, data: bytes) -> None:
        dynamodb.delete_item(TableName="Connections", Key={"connectionId": {"S": "a"}})
        delete_on_post(connection_id, data)

    poster.post = post
    client({"action": "sendMessage", "message": "x", "userName": "alice"})
    assert rows(dynamodb, "Connections") == []


def test_two_messages_of_one_tick_are_both_kept_in_order(dynamodb: Any, client: Any) -> None:
    """Fault 7: a plain timestamp would overwrite the first."""
    for text in ("1", "2", "3"):
        client({"action": "sendMessage", "message": text, "userName": "a"})
    (page,) = client({"action": "getHistory"})
    assert [message["message"] for message in page["messages"]] == ["1", "2", "3"]
    assert [message["timestamp"] for message in page["messages"]] == [
        1718691220.123,
        1718691220.123001,
        1718691220.123002,
    ]


def test_only_the_gone_client_loses_its_row(event: EventMaker, dynamodb: Any, poster: Any, client: Any) -> None:
    """Fault 6"""
    for name in ("a", "b", "c", "d"):
        join(event, name)
    poster.gone("b")
    poster.refuse("c", "LimitExceededException", retryable=True, times=1)
    poster.refuse("d", "ForbiddenException", retryable=False)
    client({"action": "sendMessage", "message": "x", "userName": "alice"})
    assert sorted(row["connectionId"]["S"] for row in rows(dynamodb, "Connections")) == ["a", "c", "d"]
    assert len(poster.frames("c")) == 1


def test_a_send_that_failed_is_in_the_log(
    event: EventMaker, poster: Any, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    join(event, "a")
    poster.refuse("a", "ForbiddenException", retryable=False)
    client({"action": "sendMessage", "message": "x", "userName": "alice"})
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert record["level"] == "WARNING"
    assert record["failed"] == [{"connectionId": "a", "reason": "ForbiddenException"}]


def test_history_is_the_latest_oldest_first_and_pages_back(event: EventMaker, poster: Any, client: Any) -> None:
    """RC4"""
    for number in range(7):
        client({"action": "sendMessage", "message": str(number), "userName": "a"}, "writer", 1718691220000 + number)
    seen: list[str] = []
    before = None
    for expected in (["4", "5", "6"], ["1", "2", "3"], ["0"]):
        (page,) = client({"action": "getHistory", "limit": 3, "before": before})
        assert list(page) == ["type", "roomId", "messages", "before"]
        assert [message["message"] for message in page["messages"]] == expected
        assert all("type" not in message for message in page["messages"])
        seen = expected + seen
        before = page["before"]
    assert before is None
    assert seen == list("0123456")
    (page,) = client({"action": "getHistory", "after": 1718691220.004, "before": 1718691220.006})
    assert [message["message"] for message in page["messages"]] == ["5"]
    assert poster.frames("writer") == [frame for frame in poster.frames("writer") if frame["type"] == "message"]


def test_each_room_has_its_own_history(client: Any) -> None:
    """RC5"""
    for room in ("main", "random"):
        client({"action": "sendMessage", "message": room, "userName": "a", "roomId": room})
    (page,) = client({"action": "getHistory", "roomId": "random"})
    assert page["roomId"] == "random"
    assert [message["message"] for message in page["messages"]] == ["random"]
    assert client({"action": "getHistory", "roomId": "empty"})[0]["messages"] == []


def test_a_history_frame_never_outgrows_128_kb(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        client({"action": "sendMessage", "message": "x" * 60_000, "userName": "a"}, at_ms=1718691220000 + number)
    before, sizes = None, []
    while True:
        (page,) = client({"action": "getHistory", "limit": 5, "before": before})
        assert len(json.dumps(page).encode()) <= 128 * 1024
        sizes.append(len(page["messages"]))
        before = page["before"]
        if before is None:
            break
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("nope", "bad_request"),
        ("[]", "bad_request"),
        ("", "bad_request"),
        ({}, "bad_request"),
        ({"action": 5}, "bad_request"),
        ({"action": "unknown"}, "unknown_action"),
        ({"action": "$connect"}, "unknown_action"),
        ({"action": "sendMessage"}, "bad_request"),
        ({"action": "sendMessage", "message": ""}, "bad_request"),
        ({"action": "sendMessage", "message": ["x"]}, "bad_request"),
        ({"action": "sendMessage", "message": "\ud800"}, "bad_request"),
        ({"action": "sendMessage", "message": "x" * 65_537}, "message_too_long"),
        ({"action": "sendMessage", "message": "\x00" * 30_000}, "message_too_long"),
        ({"action": "sendMessage", "message": "x", "roomId": ""}, "bad_request"),
        ({"action": "sendMessage", "message": "x", "roomId": "r" * 300}, "message_too_long"),
        ({"action": "sendMessage", "message": "x", "userName": 5}, "bad_request"),
        ({"action": "sendMessage", "message": "x", "userName": "n" * 300}, "message_too_long"),
        ({"action": "getHistory", "limit": 0}, "bad_request"),
        ({"action": "getHistory", "limit": 501}, "bad_request"),
        ({"action": "getHistory", "limit": "5"}, "bad_request"),
        ({"action": "getHistory", "limit": True}, "bad_request"),
        ({"action": "getHistory", "limit": 2.5}, "bad_request"),
        ({"action": "getHistory", "before": "yesterday"}, "bad_request"),
        ({"action": "getHistory", "before": -1}, "bad_request"),
        ('{"action":"getHistory","before":1e400}', "bad_request"),
        ('{"action":"getHistory","after":1e-400}', None),
    ],
)
def test_bad_input_gets_its_error_frame_and_stores_nothing(
    dynamodb: Any, client: Any, event: EventMaker, poster: Any, frame: Any, code: str | None
) -> None:
    if isinstance(frame, str) and "getHistory" in frame:
        get_history.handler(event("message", body=frame, context={"connectionId": "a"}), None)
        got = poster.frames("a")
    else:
        got = client(frame)
    assert [one.get("code") for one in got] == [code]
    if code:
        assert list(got[0]) == ["type", "code", "message", "requestId"]
    assert rows(dynamodb, "ChatMessages") == []


def test_the_limit_of_a_message_is_a_setting(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGACY_WS_MAX_MESSAGE_BYTES", "5")
    assert client({"action": "sendMessage", "message": "123456", "userName": "a"})[0]["code"] == "message_too_long"
    assert client({"action": "sendMessage", "message": "12345", "userName": "a"})[0]["type"] == "message"


def test_the_time_of_a_message_is_the_gateways(event: EventMaker) -> None:
    from legacy_ws.events import parse_event

    assert send_message._sent_at(parse_event(event("message"))) == Decimal("1718691220.123")
    late = parse_event(event("message", context={"requestTimeEpoch": None}))
    assert send_message._sent_at(late) > Decimal("1718691220.123")


def test_a_store_that_fails_is_internal_and_reaches_nobody(
    event: EventMaker, dynamodb: Any, poster: Any, client: Any
) -> None:
    join(event, "a")
    join(event, "b")
    dynamodb.delete_table(TableName="ChatMessages")
    (frame,) = client({"action": "sendMessage", "message": "x", "userName": "a"})
    assert frame["code"] == "internal"
    assert "ResourceNotFound" not in json.dumps(frame)
    assert poster.frames("b") == []


def test_missing_settings_are_internal_for_the_client_and_named_in_the_log(
    client: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LEGACY_WS_MESSAGES_TABLE")
    assert client({"action": "sendMessage", "message": "x", "userName": "a"})[0]["code"] == "internal"
    assert "LEGACY_WS_MESSAGES_TABLE" in capsys.readouterr().out


def test_the_management_address_comes_from_the_event_or_the_settings(
    event: EventMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 2"""
    from legacy_ws.events import parse_event

    asked: list[str] = []
    monkeypatch.setattr(aws, "management", asked.append)
    message = parse_event(event("message"))
    services.manager_for(message)
    monkeypatch.setenv("LEGACY_WS_MANAGEMENT_URL", "http://127.0.0.1:9/prod")
    services.manager_for(message)
    assert asked == ["https://abc123.execute-api.ap-northeast-1.amazonaws.com/prod", "http://127.0.0.1:9/prod"]
