"""legacy_ws.events. until phase 3"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from legacy_ws.errors import MalformedEventError
from legacy_ws.events import parse_event, text_body

EventMaker = Callable[..., dict[str, Any]]


def test_a_message_event_as_aws_sends_it(event: EventMaker) -> None:
    parsed = parse_event(event("message"))
    assert parsed.connection_id == "L0SM9cOFvHcCIhw="
    assert parsed.route_key == "sendMessage"
    assert parsed.management_url == "https://abc123.execute-api.ap-northeast-1.amazonaws.com/prod"
    assert parsed.authorized("userId") == "u-alice"
    assert parsed.authorized("integrationLatency") is None  # no text: not from the authorizer's context
    assert parsed.request_time_ms == 1718691220123


def test_a_disconnect_event_has_its_code(event: EventMaker) -> None:
    parsed = parse_event(event("disconnect"))
    assert parsed.disconnect_code == 1001
    assert parsed.query == {}


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ([], "object"),
        ({}, "requestContext"),
        ({"requestContext": {"requestId": "r"}}, "requestContext.connectionId"),
        ({"requestContext": {"connectionId": 5}}, "requestContext.connectionId"),
    ],
)
def test_what_is_no_websocket_event_is_named(raw: object, path: str) -> None:
    with pytest.raises(MalformedEventError) as caught:
        parse_event(raw)
    assert caught.value.path == path


def test_a_body_of_another_type_is_malformed(event: EventMaker) -> None:
    with pytest.raises(MalformedEventError):
        parse_event(event("message", body={"already": "parsed"}))


def test_binary_frames_are_text_when_they_are_utf8(event: EventMaker) -> None:
    binary = base64.b64encode("こんにちは".encode()).decode()
    assert text_body(parse_event(event("message", body=binary, isBase64Encoded=True))) == "こんにちは"
    no_text = base64.b64encode(b"\xff\xfe").decode()
    assert text_body(parse_event(event("message", body=no_text, isBase64Encoded=True))) is None
    assert text_body(parse_event(event("message", body="%%%", isBase64Encoded=True))) is None
