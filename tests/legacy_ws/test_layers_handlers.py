"""legacy_ws.apps.layers: the handlers, called as Lambda calls them (WL1-WL3, WL5, WL8, WL9). until phase 3"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from legacy_ws import aws
from legacy_ws.apps.layers import answer, chat, connect, default, disconnect, ping, processing, schema
from legacy_ws.deploy.apps.layers import LAYERS
from legacy_ws.deploy.spec import StackNames
from legacy_ws.deploy.tables import ensure_table
from legacy_ws.dynamo import Table
from legacy_ws.errors import ConnectionGoneError, HandOffError, SendFailedError

EventMaker = Callable[..., dict[str, Any]]
NAMES = StackNames("layers", "ap-northeast-1", "123456789012")
TABLE = "layers-websocket-connections"
AT_MS = 1718691220123
AT = "2024-06-18T06:13:40.123000Z"


class Function:
    """A processing function that remembers its jobs, or refuses them."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.error: Exception | None = None

    def hand_over(self, payload: bytes) -> None:
        if self.error:
            raise self.error
        self.jobs.append(json.loads(payload))


@pytest.fixture
def processing_function(monkeypatch: pytest.MonkeyPatch) -> Function:
    function = Function()
    monkeypatch.setenv("LEGACY_WS_PROCESSING_FUNCTION", "layers-processing")
    monkeypatch.setattr(aws, "function", lambda name: function)
    return function


@pytest.fixture(autouse=True)
def dynamodb(poster: Any, processing_function: Function, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The table as `legacy-ws deploy` makes it, in moto."""
    poster.closed = []
    poster.disconnect = poster.closed.append
    with mock_aws():
        client = boto3.client("dynamodb")
        for table in LAYERS.tables:
            ensure_table(client, NAMES, table)
            monkeypatch.setenv(table.env, NAMES.table(table))
        monkeypatch.setattr(aws, "management", lambda _: poster)
        yield client


def identity(user: str | None, tenant: str | None = "acme") -> dict[str, object]:
    return {"userId": user, "tenantId": tenant, "principalId": user} if user else {}


@pytest.fixture
def join(event: EventMaker) -> Callable[..., dict[str, object]]:
    def connect_(connection: str, user: str | None = "ann", tenant: str = "acme", **more: Any) -> dict[str, object]:
        context = {"connectionId": connection, "authorizer": identity(user, tenant), **more.pop("context", {})}
        return connect.handler(event("connect", context=context, **more), None)

    return connect_


@pytest.fixture
def client(event: EventMaker, poster: Any) -> Callable[..., list[dict[str, Any]]]:
    """Sends one frame as one connection, through the function that API Gateway would choose; returns what that
    connection got for it.
    """
    own = {"chat": chat, "ping": ping}

    def send(frame: Any, connection: str = "a", user: str | None = "ann", tenant: str = "acme", **more: Any) -> Any:
        body = frame if isinstance(frame, str) else json.dumps(frame)
        kind = frame.get("type") if isinstance(frame, dict) else None
        handler: Any = own.get(kind, default) if isinstance(kind, str) else default
        context = {
            "connectionId": connection,
            "routeKey": kind if handler is not default else "$default",
            "requestTimeEpoch": AT_MS,
            "authorizer": identity(user, tenant),
        }
        before = len(poster.frames(connection))
        send.status = (more.get("through") or handler).handler(event("message", body=body, context=context), None)
        return poster.frames(connection)[before:]

    return send


def rows(dynamodb: Any) -> dict[str, dict[str, Any]]:
    pages = Table(dynamodb, TABLE).pages()
    return {str(row["connection_id"]): row for page in pages for row in page}


def test_entry_points_are_synchronous() -> None:
    """Fault 1"""
    modules = (connect, disconnect, default, chat, ping, processing, answer)
    assert not any(inspect.iscoroutinefunction(module.handler) for module in modules)


def test_connect_stores_the_row_of_the_document(join: Any, dynamodb: Any) -> None:
    """WL2: user, tenant, times as ISO text, metadata, TTL beyond the longest connection (fault 3)."""
    headers = {"User-Agent": "Firefox/133.0", "X-Forwarded-For": "198.51.100.7"}
    assert join("a", headers=headers) == {"statusCode": 200}
    row = rows(dynamodb)["a"]
    ttl, active = row.pop("ttl"), row.pop("last_activity")
    assert row == {
        "connection_id": "a",
        "user_id": "ann",
        "tenant_id": "acme",
        "connected_at": "2024-06-18T06:13:20+00:00",
        "metadata": {"user_agent": "Firefox/133.0", "source_ip": "198.51.100.7"},
    }
    assert isinstance(ttl, int) and ttl > 1718691200 + 2 * 3600
    assert active > row["connected_at"]


def test_what_a_client_says_of_itself_is_bounded_and_storable(join: Any, dynamodb: Any) -> None:
    hostile = {"sourceIp": "1" * 500, "userAgent": "\ud800" + "x" * 5000}
    assert join("a", context={"identity": hostile}) == {"statusCode": 200}
    assert join("b", headers={}, context={"identity": {}}) == {"statusCode": 200}
    assert join("c", headers={"user-agent": 5}, context={"identity": None}) == {"statusCode": 200}
    stored = rows(dynamodb)
    assert len(stored["a"]["metadata"]["user_agent"]) == 256
    assert len(stored["a"]["metadata"]["source_ip"]) == 64
    assert stored["b"]["metadata"] == {} == stored["c"]["metadata"]


def test_a_handshake_that_nobody_authorized_is_refused(join: Any, dynamodb: Any) -> None:
    """Without user and tenant the row would be in no index."""
    assert join("a", user=None) == {"statusCode": 401}
    assert join("b", tenant="") == {"statusCode": 401}
    assert rows(dynamodb) == {}


def test_disconnect_deletes_the_row_and_may_come_twice(event: EventMaker, join: Any, dynamodb: Any) -> None:
    """WL1; fault 15."""
    join("a")
    join("b")
    for _ in range(2):
        assert disconnect.handler(event("disconnect", context={"connectionId": "a"}), None) == {"statusCode": 200}
    assert list(rows(dynamodb)) == ["b"]


def test_ping_gets_pong_and_pong_gets_nothing(join: Any, client: Any) -> None:
    """WL1"""
    join("a")
    assert client({"type": "ping"}) == [{"type": "pong"}]
    assert client({"type": "pong"}) == []
    assert client.status == {"statusCode": 200}


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "ping"},
        {"type": "pong"},
        {"type": "connect"},
        {"type": "chat", "chat_id": "c", "message": "x"},
        {"type": "chat_typing", "chat_id": "c", "typing": False},
        {"type": "agent_run", "agent_id": "w", "input": ""},
        {"type": "library_process", "library_id": "l", "documents": ["d"]},
        {"type": "message", "message": "x"},
    ],
    ids=lambda frame: frame["type"],
)
def test_every_frame_notes_the_activity_and_none_makes_a_row(
    frame: dict[str, Any], join: Any, client: Any, dynamodb: Any
) -> None:
    """WL2; fault 4: an update of a row that is gone leaves it gone, and the frame is served."""
    join("a")
    dynamodb.update_item(
        TableName=TABLE,
        Key={"connection_id": {"S": "a"}},
        UpdateExpression="SET last_activity = :old",
        ExpressionAttributeValues={":old": {"S": "2024-01-01T00:00:00+00:00"}},
    )
    client(frame)
    assert rows(dynamodb)["a"]["last_activity"] > "2024-06"
    client(frame, "ghost")
    assert list(rows(dynamodb)) == ["a"]
    assert client.status == {"statusCode": 200}


def test_a_frame_is_served_when_its_activity_cannot_be_noted(
    client: Any, dynamodb: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    dynamodb.delete_table(TableName=TABLE)
    assert client({"type": "ping"}) == [{"type": "pong"}]
    assert "activity_not_noted" in capsys.readouterr().out


def test_a_connection_can_ask_who_it_is(join: Any, client: Any) -> None:
    """WL1"""
    join("a")
    assert client({"type": "connect"}) == [
        {
            "type": "connect",
            "connection_id": "a",
            "user_id": "ann",
            "tenant_id": "acme",
            "connected_at": "2024-06-18T06:13:20.000000Z",
        }
    ]


def test_disconnect_has_the_server_close(join: Any, client: Any, poster: Any, dynamodb: Any) -> None:
    """WL1"""
    join("a")
    assert client({"type": "disconnect"}) == []
    assert poster.closed == ["a"]


def test_a_connection_that_is_gone_or_stays_open(join: Any, client: Any, poster: Any, dynamodb: Any) -> None:
    def fail(error: Exception) -> Callable[[str], None]:
        def disconnect_(_: str) -> None:
            raise error

        return disconnect_

    join("a")
    poster.disconnect = fail(SendFailedError("a", "ForbiddenException", retryable=False))
    (frame,) = client({"type": "disconnect"})
    assert frame["code"] == "internal" and "Forbidden" not in json.dumps(frame)
    assert list(rows(dynamodb)) == ["a"]
    poster.disconnect = fail(ConnectionGoneError("a"))
    assert client({"type": "disconnect"}) == []
    assert client.status == {"statusCode": 200}
    assert rows(dynamodb) == {}


def test_a_message_reaches_the_tenant_but_not_its_sender_and_nobody_else(join: Any, client: Any, poster: Any) -> None:
    """WL9, WL2: broadcast to a tenant with an excluded connection; the sender's other connection hears it."""
    join("a")
    join("a2")
    join("b", "bob")
    join("x", "eve", "other")
    (confirmation,) = client({"type": "message", "message": "こんにちは"})
    (frame,) = poster.frames("b")
    assert frame == {
        "type": "message",
        "message_id": frame["message_id"],
        "user_id": "ann",
        "message": "こんにちは",
        "timestamp": AT,
    }
    assert poster.frames("a2") == [frame]
    assert poster.frames("x") == []
    assert confirmation == {
        "type": "message_sent",
        "message_id": frame["message_id"],
        "delivered": 2,
        "failed": 0,
    }


def test_the_same_user_id_in_another_tenant_is_another_user(join: Any, client: Any, poster: Any) -> None:
    join("a")
    join("x", "ann", "other")
    client({"type": "message", "message": "x"})
    assert poster.frames("x") == []


def test_a_broadcast_goes_through_every_page(
    join: Any, client: Any, poster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 5"""
    pages = Table._paged

    def small(self: Any, operation: Any, arguments: dict[str, Any]) -> Any:
        return pages(self, operation, {"Limit": 3} | arguments)

    monkeypatch.setattr(Table, "_paged", small)
    for number in range(20):
        join(f"b{number}", f"user{number}")
    join("a")
    (confirmation,) = client({"type": "message", "message": "x"})
    assert confirmation["delivered"] == 20
    assert len({connection for connection, _ in poster.posts if connection != "a"}) == 20


def test_only_a_410_removes_a_row(join: Any, client: Any, poster: Any, dynamodb: Any) -> None:
    """Fault 6"""
    for name in ("a", "b", "c", "d"):
        join(name)
    poster.gone("b")
    poster.refuse("c", "ForbiddenException", retryable=False)
    poster.refuse("d", "LimitExceededException", retryable=True, times=1)
    (confirmation,) = client({"type": "message", "message": "x"})
    assert (confirmation["delivered"], confirmation["failed"]) == (1, 1)
    assert sorted(rows(dynamodb)) == ["a", "c", "d"]


def test_typing_goes_to_the_tenant(join: Any, client: Any, poster: Any) -> None:
    """WL1"""
    join("a")
    join("b", "bob")
    assert client({"type": "chat_typing", "chat_id": "c1", "typing": True}) == []
    assert poster.frames("b") == [{"type": "chat_typing", "chat_id": "c1", "typing": True, "user_id": "ann"}]


@pytest.mark.parametrize("kind", ["chat", "chat_message"])
def test_a_chat_message_is_accepted_shown_and_handed_over(
    kind: str, join: Any, client: Any, poster: Any, processing_function: Function
) -> None:
    """WL1, WL6"""
    join("a")
    join("b", "bob")
    assert client({"type": kind, "chat_id": "c1", "message": "hello", "message_id": "m1"}) == [
        {"type": "chat_response", "chat_id": "c1", "message_id": "m1", "status": "accepted", "timestamp": AT}
    ]
    assert poster.frames("b") == [
        {
            "type": "chat_message",
            "chat_id": "c1",
            "message_id": "m1",
            "user_id": "ann",
            "message": "hello",
            "timestamp": AT,
        }
    ]
    assert processing_function.jobs == [
        {
            "feature": "chat",
            "id": "m1",
            "input": {"chat_id": "c1", "message": "hello"},
            "user_id": "ann",
            "tenant_id": "acme",
            "connection_id": "a",
            "management_url": "https://abc123.execute-api.ap-northeast-1.amazonaws.com/prod",
            "request_id": "L0SM9FqNNjMF1Pw=",
        }
    ]


def test_a_message_without_an_id_gets_a_new_one(join: Any, client: Any, processing_function: Function) -> None:
    join("a")
    answers = [client({"type": "chat", "chat_id": "c1", "message": "x"})[0] for _ in range(2)]
    ids = [one["message_id"] for one in answers]
    assert len(set(ids)) == 2
    assert [one["id"] for one in processing_function.jobs] == ids


def test_the_tenant_hears_a_chat_message_whose_sender_is_gone(
    join: Any, client: Any, poster: Any, processing_function: Function
) -> None:
    join("a")
    join("b", "bob")
    poster.gone("a")
    client({"type": "chat", "chat_id": "c1", "message": "x"})
    assert [frame["type"] for frame in poster.frames("b")] == ["chat_message"]
    assert len(processing_function.jobs) == 1
    assert client.status == {"statusCode": 200}


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "chat", "chat_id": "c", "message": "x"},
        {"type": "agent_run", "agent_id": "w", "input": {}},
        {"type": "library_process", "library_id": "l", "documents": ["d"]},
    ],
    ids=lambda frame: frame["type"],
)
def test_what_cannot_be_handed_over_is_unavailable_and_nobody_else_hears_of_it(
    frame: dict[str, Any],
    join: Any,
    client: Any,
    poster: Any,
    processing_function: Function,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """WL5, WL6: the client can say the same thing again; it was not said yet."""
    join("a")
    join("b", "bob")
    processing_function.error = HandOffError("function layers-processing", "TooManyRequestsException")
    (error,) = client(frame)
    assert (error["type"], error["code"], error["requestId"]) == ("error", "unavailable", "L0SM9FqNNjMF1Pw=")
    assert "layers" not in json.dumps(error)
    assert poster.frames("b") == []
    assert client.status == {"statusCode": 500}
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (record,) = [one for one in records if one["event"] == "hand_off_failed"]
    assert record["reason"] == "TooManyRequestsException"


def test_an_agent_run_is_accepted_and_handed_over(join: Any, client: Any, processing_function: Function) -> None:
    """WL8"""
    join("a")
    given = {"topic": "SSE", "limit": 1.5, "deep": [{"x": [1, None, True]}]}
    (accepted,) = client({"type": "agent_run", "agent_id": "writer", "input": given})
    (job,) = processing_function.jobs
    assert accepted == {"type": "agent_run_response", "run_id": job["id"], "status": "accepted"}
    assert job["feature"] == "agent_run"
    assert job["input"] == {"agent_id": "writer", "input": given}
    (accepted,) = client({"type": "agent_run", "agent_id": "writer", "input": "", "run_id": "r1"})
    assert accepted["run_id"] == "r1" == processing_function.jobs[1]["id"]


def test_a_library_job_is_accepted_and_handed_over(join: Any, client: Any, processing_function: Function) -> None:
    """WL8"""
    join("a")
    frame = {"type": "library_process", "library_id": "l1", "documents": ["a.pdf", "b.pdf"], "job_id": "j1"}
    assert client(frame) == [{"type": "library_process_response", "job_id": "j1", "status": "accepted"}]
    (job,) = processing_function.jobs
    assert (job["feature"], job["input"]) == (
        "library_processing",
        {"library_id": "l1", "documents": ["a.pdf", "b.pdf"]},
    )


def deep(levels: int) -> str:
    return '{"type":"agent_run","agent_id":"w","input":' + '{"a":' * levels + "1" + "}" * levels + "}"


@pytest.mark.parametrize(
    ("frame", "code", "says"),
    [
        ("nope", "bad_request", "JSON"),
        ("[]", "bad_request", "object"),
        ({}, "bad_request", '"type" is missing'),
        ({"type": None}, "bad_request", '"type" is missing'),
        ({"type": ""}, "bad_request", '"type" is missing'),
        ({"type": 5}, "bad_request", '"type" is no'),
        ({"type": "dance"}, "unknown_type", "Known: agent_run, chat,"),
        ({"type": "$connect"}, "unknown_type", "No such type"),
        ({"action": "sendMessage", "message": "x"}, "bad_request", '"type" is missing'),
        ({"type": "chat", "message": "x"}, "bad_request", "chat_id"),
        ({"type": "chat", "chat_id": "c"}, "bad_request", "message"),
        ({"type": "chat", "chat_id": "c", "message": ["x"]}, "bad_request", "message"),
        ({"type": "chat", "chat_id": "c" * 129, "message": "x"}, "message_too_long", "chat_id"),
        ({"type": "chat", "chat_id": "c", "message": "x", "message_id": 5}, "bad_request", "message_id"),
        ({"type": "chat", "chat_id": "c", "message": "x", "message_id": "é" * 65}, "message_too_long", "message_id"),
        ({"type": "chat", "chat_id": "c", "message": "x" * 65537}, "message_too_long", "message"),
        ({"type": "chat", "chat_id": "c", "message": "\u0001" * 65000}, "message_too_long", "one frame"),
        ({"type": "chat", "chat_id": "\ud800", "message": "x"}, "bad_request", "Unicode"),
        ({"type": "message", "message": "\u0001" * 65000}, "message_too_long", "one frame"),
        ({"type": "message"}, "bad_request", "message"),
        ({"type": "chat_typing", "chat_id": "c"}, "bad_request", '"typing" is missing'),
        ({"type": "chat_typing", "chat_id": "c", "typing": 1}, "bad_request", "typing"),
        ({"type": "agent_run", "agent_id": "w"}, "bad_request", "input"),
        ({"type": "agent_run", "input": {}}, "bad_request", "agent_id"),
        ({"type": "agent_run", "agent_id": "w", "input": [1]}, "bad_request", "input"),
        ({"type": "agent_run", "agent_id": "w", "input": "x" * 65536}, "message_too_long", "input"),
        ({"type": "agent_run", "agent_id": "w", "input": {"a": "\ud800"}}, "bad_request", "Unicode"),
        (deep(40), "bad_request", "deeply"),
        (deep(100_000), "bad_request", ""),
        ('{"type":"agent_run","agent_id":"w","input":{"n":1e999999999}}', "bad_request", "too large"),
        ({"type": "library_process", "library_id": "l"}, "bad_request", '"documents" is missing'),
        ({"type": "library_process", "library_id": "l", "documents": []}, "bad_request", "documents"),
        ({"type": "library_process", "library_id": "l", "documents": ["d"] * 101}, "bad_request", "documents"),
        (
            {"type": "library_process", "library_id": "l", "documents": ["d", 5]},
            "bad_request",
            '"documents[1]" is not text',
        ),
        (
            {"type": "library_process", "library_id": "l", "documents": ["d", None]},
            "bad_request",
            '"documents[1]" is not',
        ),
        ({"type": "library_process", "library_id": "l", "documents": ["d" * 1025]}, "message_too_long", "documents[0]"),
    ],
    ids=lambda value: json.dumps(value)[:50] if isinstance(value, dict) else str(value)[:50],
)
def test_the_clients_mistakes_get_an_error_frame(
    frame: Any, code: str, says: str, join: Any, client: Any, poster: Any, processing_function: Function
) -> None:
    """WL3, WL5"""
    join("a")
    join("b", "bob")
    (error,) = client(frame)
    assert (error["type"], error["code"], error["requestId"]) == ("error", code, "L0SM9FqNNjMF1Pw=")
    assert says in error["message"]
    assert poster.frames("b") == []
    assert processing_function.jobs == []
    assert client.status == {"statusCode": 200}


@pytest.mark.parametrize("kind", schema.SERVER_ONLY)
def test_a_type_that_only_the_server_sends_is_refused(kind: str, join: Any, client: Any, poster: Any) -> None:
    """WL1: nobody can pretend that the server said something."""
    join("a")
    join("b", "bob")
    (error,) = client({"type": kind, "chat_id": "c", "message_id": "m", "text": "fake"})
    assert error["code"] == "server_only_type"
    assert poster.frames("b") == []


def test_an_api_that_sends_everything_to_default_is_served(
    join: Any, client: Any, processing_function: Function
) -> None:
    """Fault 17"""
    join("a")
    assert client({"type": "ping"}, through=default) == [{"type": "pong"}]
    assert client({"type": "chat", "chat_id": "c", "message": "x"}, through=default)[0]["type"] == "chat_response"


def test_a_failing_handler_is_internal_for_the_client(
    join: Any, client: Any, dynamodb: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """WL3; fault 12"""
    dynamodb.delete_table(TableName=TABLE)
    (error,) = client({"type": "message", "message": "x"})
    assert error["code"] == "internal"
    assert "dynamo" not in json.dumps(error).lower()
    assert "ResourceNotFoundException" in capsys.readouterr().out


def test_a_frame_that_nobody_authorized_is_our_mistake(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert client({"type": "ping"}, user=None)[0]["code"] == "internal"
    assert "names no userId" in capsys.readouterr().out


@pytest.mark.parametrize("setting", ["LEGACY_WS_PROCESSING_FUNCTION", "LEGACY_WS_CONNECTIONS_TABLE"])
def test_a_missing_setting_is_named_in_the_log_only(
    setting: str, client: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(setting)
    frames = client({"type": "agent_run", "agent_id": "w", "input": {}})
    assert setting not in json.dumps(frames)
    assert setting in capsys.readouterr().out
    assert client.status == {"statusCode": 500}
