"""legacy_ws.handling (WL3, WL5): every failure is answered by a code and a request id, and told to the log.
until phase 3
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from legacy_ws.errors import ClientInputError, ConnectionGoneError, MalformedEventError, SendFailedError
from legacy_ws.events import WebSocketEvent
from legacy_ws.handling import handle_life_cycle, handle_message, remaining_of
from legacy_ws.router import Call, Router

EventMaker = Callable[..., dict[str, Any]]


class Sender:
    """Remembers frames, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[Any] = []
        self.error = error

    def send(self, connection_id: str, frame: Any, *, remaining: Callable[[], float]) -> None:
        if self.error:
            raise self.error
        self.sent.append(frame)


router = Router(field="action")


@router.route("boom")
def boom(call: Call) -> None:
    raise RuntimeError("table arn:aws:dynamodb:x holds token=abc123")


@router.route("hello")
def hello(call: Call) -> dict[str, object]:
    return {"type": "hello", "echo": call.frame.get("x")}


def run(event: dict[str, Any], sender: Sender) -> dict[str, object]:
    return handle_message(router, event, None, sender_of=lambda _: sender)


def test_an_answer_goes_to_the_asking_connection(event: EventMaker) -> None:
    sender = Sender()
    assert run(event("message", body='{"action":"hello","x":1}'), sender) == {"statusCode": 200}
    assert sender.sent == [{"type": "hello", "echo": 1}]


@pytest.mark.parametrize(
    ("body", "code"),
    [("nope", "bad_request"), (None, "bad_request"), ("{}", "bad_request"), ('{"action":"x"}', "unknown_action")],
)
def test_the_clients_mistakes_get_an_error_frame(event: EventMaker, body: str | None, code: str) -> None:
    sender = Sender()
    assert run(event("message", body=body), sender)["statusCode"] == 200
    (frame,) = sender.sent
    assert frame["type"] == "error"
    assert frame["code"] == code
    assert frame["requestId"] == "L0SM9FqNNjMF1Pw="


def test_our_failure_is_internal_for_the_client_and_complete_in_the_log(
    event: EventMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fault 12: the exception's text stays here, and even here without its token."""
    sender = Sender()
    assert run(event("message", body='{"action":"boom"}'), sender) == {"statusCode": 500}
    (frame,) = sender.sent
    assert frame["code"] == "internal"
    assert "dynamodb" not in json.dumps(frame)
    record = json.loads(capsys.readouterr().out)
    assert record["errorType"] == "RuntimeError"
    assert "arn:aws:dynamodb" in record["errorMessage"]
    assert "in boom" in record["stack"]
    assert record["requestId"] == frame["requestId"]
    assert "abc123" not in json.dumps(record)


@pytest.mark.parametrize(
    "error",
    [ConnectionGoneError("c"), SendFailedError("c", "LimitExceededException", retryable=True), OSError("disk")],
)
def test_an_error_frame_that_cannot_be_sent_is_only_logged(
    event: EventMaker, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    """WL5"""
    assert run(event("message", body="nope"), Sender(error))["statusCode"] == 200
    assert "error_frame_not_sent" in capsys.readouterr().out


def test_an_answer_that_cannot_be_sent_is_our_failure_unless_the_client_is_gone(event: EventMaker) -> None:
    body = '{"action":"hello"}'
    assert run(event("message", body=body), Sender(ConnectionGoneError("c")))["statusCode"] == 200
    failed = SendFailedError("c", "LimitExceededException", retryable=True)
    assert run(event("message", body=body), Sender(failed))["statusCode"] == 500


def test_what_is_no_websocket_event_is_not_answered() -> None:
    with pytest.raises(MalformedEventError):
        run({"Records": []}, Sender())


def test_life_cycle_handlers_answer_with_a_status(event: EventMaker, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(_: WebSocketEvent) -> int:
        raise ClientInputError("bad_request", "userName is odd")

    def fail(_: WebSocketEvent) -> int:
        raise RuntimeError("no table")

    assert handle_life_cycle(lambda _: 200, event("connect")) == {"statusCode": 200}
    assert handle_life_cycle(refuse, event("connect")) == {"statusCode": 400}
    assert handle_life_cycle(fail, event("connect")) == {"statusCode": 500}
    assert "no table" in capsys.readouterr().out


def test_the_time_left_is_lambdas_less_a_reserve() -> None:
    class Context:
        def get_remaining_time_in_millis(self) -> int:
            return 29_000

    assert remaining_of(Context())() == 28.0
    assert remaining_of(None)() > 0
