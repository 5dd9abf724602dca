"""legacy_ws.apps.direct: what is refused, and by which error frame (DC2). until phase 3"""

from __future__ import annotations

from typing import Any

import pytest

from .direct_support import BOB, rows, to_bob


def test_without_any_address_nothing_is_sent_read_or_shown(dynamodb: Any, client: Any) -> None:
    for frame in (to_bob(), {"action": "getHistory", "with": BOB}, {"action": "read", "with": BOB}):
        (answer,) = client(frame, "ghost")
        assert answer["code"] == "unauthorized"
    assert rows(dynamodb, "messages") == []


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
