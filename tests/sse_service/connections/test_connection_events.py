"""Shape of the events, against ones recorded from real APIs (see events.py for where they come from)."""

import re
from dataclasses import replace

import pytest

from sse_service.connections.events import (
    ConnectionFacts,
    Handshake,
    authorizer_event,
    clf_time,
    connect_event,
    disconnect_event,
    format_id,
    is_id,
    message_event,
    method_arn,
)
from sse_service.connections.lifecycle import CloseCause, CloseStatus, client_close_status

FACTS = ConnectionFacts(
    api_id="asasasas",
    stage="prod",
    connection_id="BFaT_fALIAMCKug=",
    connected_at_ms=1731332735513,
    domain_name="asasasas.execute-api.us-east-1.amazonaws.com",
    source_ip="166.90.225.1",
)


def test_message_event_is_the_recorded_one() -> None:
    """tests/events/apiGatewayWebSocketApiMessage.json of aws-powertools."""
    event = message_event(FACTS, "chat", '{"action": "chat"}', message_id="M=", request_id="R=", now_ms=1731332746514)
    assert event == {
        "requestContext": {
            "routeKey": "chat",
            "messageId": "M=",
            "eventType": "MESSAGE",
            "extendedRequestId": "R=",
            "requestTime": "11/Nov/2024:13:45:46 +0000",
            "messageDirection": "IN",
            "stage": "prod",
            "connectedAt": 1731332735513,
            "requestTimeEpoch": 1731332746514,
            "identity": {"sourceIp": "166.90.225.1"},
            "requestId": "R=",
            "domainName": "asasasas.execute-api.us-east-1.amazonaws.com",
            "connectionId": "BFaT_fALIAMCKug=",
            "apiId": "asasasas",
        },
        "body": '{"action": "chat"}',
        "isBase64Encoded": False,
    }


def test_disconnect_event_is_the_recorded_one() -> None:
    """tests/events/apiGatewayWebSocketApiDisconnect.json of aws-powertools."""
    event = disconnect_event(FACTS, client_close_status(None, ""), request_id="R=", now_ms=1731333109875)
    host = "asasasas.execute-api.us-east-1.amazonaws.com"
    assert event["headers"] == {"Host": host, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""}
    assert event["multiValueHeaders"] == {
        "Host": [host],
        "x-api-key": [""],
        "X-Forwarded-For": [""],
        "x-restapi": [""],
    }
    assert event["isBase64Encoded"] is False
    assert "body" not in event
    context = event["requestContext"]
    assert context["routeKey"] == "$disconnect"
    assert context["eventType"] == "DISCONNECT"
    assert context["disconnectStatusCode"] == 1005
    assert context["disconnectReason"] == "Client-side close frame status not set"
    assert context["connectedAt"] == 1731332735513
    assert context["requestTime"] == "11/Nov/2024:13:51:49 +0000"
    assert "messageId" not in context


def test_connect_event_has_the_recorded_shape() -> None:
    """tests/events/apiGatewayWebSocketApiConnect.json of aws-powertools: no Connection, no Upgrade, no
    query."""
    handshake = Handshake(
        [
            ("Host", "127.0.0.1:9000"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "+W5xw47OHh3OTFsWKjGu9Q=="),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
            ("X-Forwarded-For", "forged"),
        ]
    )
    event = connect_event(FACTS, handshake, request_id="R=", trace_id="Root=1-a-b", now_ms=1731324924561)
    assert set(event) == {"headers", "multiValueHeaders", "requestContext", "isBase64Encoded"}
    assert event["headers"] == {
        "Host": "asasasas.execute-api.us-east-1.amazonaws.com",
        "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
        "Sec-WebSocket-Key": "+W5xw47OHh3OTFsWKjGu9Q==",
        "Sec-WebSocket-Version": "13",
        "X-Amzn-Trace-Id": "Root=1-a-b",
        "X-Forwarded-For": "166.90.225.1",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
    }
    assert event["multiValueHeaders"] == {name: [value] for name, value in event["headers"].items()}
    assert list(event["headers"]) == sorted(event["headers"], key=str.lower)
    assert event["requestContext"]["eventType"] == "CONNECT"
    assert event["requestContext"]["routeKey"] == "$connect"
    assert "authorizer" not in event["requestContext"]


def test_connect_event_keeps_spelling_and_repetition() -> None:
    """Header names keep the client's spelling; a repeated name has its last value, and all of them."""
    handshake = Handshake(
        [("authorization", "Bearer a"), ("Cookie", "a=1"), ("Cookie", "b=2")], "room=a&room=b&blank=&q=x%20y+z"
    )
    event = connect_event(FACTS, handshake, request_id="R=", trace_id="T", now_ms=0)
    assert event["headers"]["authorization"] == "Bearer a"
    assert event["headers"]["Cookie"] == "b=2"
    assert event["multiValueHeaders"]["Cookie"] == ["a=1", "b=2"]
    assert event["queryStringParameters"] == {"room": "b", "blank": "", "q": "x y z"}
    assert event["multiValueQueryStringParameters"] == {"room": ["a", "b"], "blank": [""], "q": ["x y z"]}


def test_authorizer_event_is_the_documented_one() -> None:
    """ "Control access to WebSocket APIs with AWS Lambda REQUEST authorizers" shows this input."""
    handshake = Handshake([("HeaderAuth1", "headerValue1")], "QueryString1=queryValue1")
    facts = replace(FACTS, stage_variables={"StageVar1": "stageValue1"})
    arn = method_arn("us-east-1", "123456789012", "abcdef123", "default")
    event = authorizer_event(facts, handshake, arn=arn, request_id="R=", trace_id="T", now_ms=5)
    assert event["type"] == "REQUEST"
    assert event["methodArn"] == "arn:aws:execute-api:us-east-1:123456789012:abcdef123/default/$connect"
    assert event["headers"]["Connection"] == "upgrade"
    assert event["headers"]["Upgrade"] == "websocket"
    assert event["headers"]["content-length"] == "0"
    assert event["headers"]["HeaderAuth1"] == "headerValue1"
    assert event["queryStringParameters"] == {"QueryString1": "queryValue1"}
    assert event["multiValueQueryStringParameters"] == {"QueryString1": ["queryValue1"]}
    assert event["stageVariables"] == {"StageVar1": "stageValue1"}
    assert event["requestContext"]["routeKey"] == "$connect"


def test_authorizer_event_without_a_query_has_an_empty_one() -> None:
    """The page's own handler reads `queryStringParameters.QueryString1` without asking whether there is
    any."""
    event = authorizer_event(FACTS, Handshake([]), arn="a", request_id="R=", trace_id="T", now_ms=0)
    assert event["queryStringParameters"] == {}
    assert event["stageVariables"] == {}


def test_every_event_carries_authorizer_user_agent_and_stage_variables() -> None:
    """What the connection knows goes into each of its events."""
    facts = replace(
        FACTS, authorizer={"principalId": "user", "tenant": "t"}, user_agent="curl/8", stage_variables={"v": "1"}
    )
    events = [
        connect_event(facts, Handshake([]), request_id="R=", trace_id="T", now_ms=1),
        message_event(facts, "$default", "x", message_id="M=", request_id="R=", now_ms=1),
        disconnect_event(facts, CloseStatus(1000, "bye"), request_id="R=", now_ms=1),
    ]
    for event in events:
        assert event["requestContext"]["authorizer"] == {"principalId": "user", "tenant": "t"}
        assert event["requestContext"]["identity"] == {"userAgent": "curl/8", "sourceIp": "166.90.225.1"}
        assert event["stageVariables"] == {"v": "1"}
        assert event["requestContext"]["connectedAt"] == FACTS.connected_at_ms


@pytest.mark.parametrize(
    ("epoch_ms", "text"),
    [
        (0, "01/Jan/1970:00:00:00 +0000"),
        (1707502303420, "09/Feb/2024:18:11:43 +0000"),
        (1735689599999, "31/Dec/2024:23:59:59 +0000"),
    ],
)
def test_clf_time(epoch_ms: int, text: str) -> None:
    """$context.requestTime is dd/MMM/yyyy:HH:mm:ss +hhmm."""
    assert clf_time(epoch_ms) == text


def test_ids_have_awss_form() -> None:
    """As in recorded events: 15 characters of URL-safe base64 and one `=`."""
    made = format_id(bytes(range(200, 211)))
    assert re.fullmatch(r"[\w-]{15}=", made)
    assert is_id(made)
    for other in ("", "x", "cjy8i76bx002884le6n17d49b", "BFaT_fALIAMCKug", "BFaT/fALIAMCKug=", "BFaT_fALIAMCKug=\n"):
        assert not is_id(other)


def test_close_status_of_clients_and_of_ours() -> None:
    """Codes that `$disconnect` reports."""
    assert client_close_status(4001, "bye") == CloseStatus(4001, "bye")
    assert client_close_status(1001, "") == CloseStatus(1001, "")
    assert client_close_status(1005, "").code == 1005
    assert CloseCause.DELETED.status.reason == "Connection Closed Normally"
    assert {cause: cause.status.code for cause in CloseCause} == {
        CloseCause.DELETED: 1000,
        CloseCause.IDLE: 1001,
        CloseCause.LIFETIME: 1001,
        CloseCause.SHUTDOWN: 1001,
        CloseCause.API_DELETED: 1001,
        CloseCause.BINARY: 1003,
        CloseCause.INVALID_TEXT: 1007,
        CloseCause.TOO_BIG: 1009,
        CloseCause.PROTOCOL_ERROR: 1002,
    }
