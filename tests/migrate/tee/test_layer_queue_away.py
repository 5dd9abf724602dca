"""The queue is away, slow or refuses: the user notices nothing, and what was said arrives later, in order.
until phase 3 (MG6)
"""

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError


def call(module: Any, message_event: Any, name: str, context: Any = None, body: str = "{}") -> None:
    """One invocation with the request id `name`."""
    event = {**message_event(), "body": body}
    event["requestContext"] = {**event["requestContext"], "requestId": name}
    assert module.handler(event, context) == "the answer"


@pytest.fixture
def quiet_app(tee: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The tee in front of an application that posts nothing, with a clock that stands still: (module, queue, clock)."""
    module, queue = tee
    clock = [1000.0]
    monkeypatch.setattr(module, "_application", lambda event, context: "the answer")
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0], time=time.time))
    monkeypatch.setenv("WS2SSE_TEE_PAUSE_S", "5")
    return module, queue, clock


def sent(queue: Any) -> list[tuple[str, int]]:
    return [(record["request_id"], record["dropped_before"]) for record in queue.records()]


def test_what_could_not_be_sent_is_sent_first_and_in_order(
    quiet_app: Any, message_event: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """MG6: a queue that is away for a while costs no record."""
    module, queue, clock = quiet_app
    queue.broken = True
    for name in ("r-1", "r-2"):
        call(module, message_event, name)
    queue.broken = False
    call(module, message_event, "r-3")
    assert queue.sent == []  # still within the pause
    clock[0] += 6
    call(module, message_event, "r-4")
    assert sent(queue) == [("r-1", 0), ("r-2", 0), ("r-3", 0), ("r-4", 0)]
    assert "ConnectionError" in capsys.readouterr().out


def test_a_connection_that_died_while_frozen_costs_no_time(quiet_app: Any, message_event: Any) -> None:
    """MG6: one failure is tried again at once, with the same deduplication id."""
    module, queue, _ = quiet_app
    attempts: list[str] = []
    send = queue.send_message

    def fails_once(**message: Any) -> None:
        attempts.append(message["MessageDeduplicationId"])
        if len(attempts) == 1:
            raise ConnectionError("closed by the other side")
        send(**message)

    queue.send_message = fails_once
    call(module, message_event, "r-1")
    assert sent(queue) == [("r-1", 0)]
    assert attempts == ["r-1-1", "r-1-1"]


def test_a_slow_queue_takes_half_of_the_limit_and_then_a_pause(quiet_app: Any, message_event: Any) -> None:
    """MG6: the time is bounded: a send that took its whole limit is not followed by another for five seconds."""
    module, queue, clock = quiet_app
    attempts: list[float] = []

    def slow(**message: Any) -> None:
        attempts.append(clock[0])
        clock[0] += 0.3
        raise TimeoutError("read timeout")

    queue.send_message = slow
    for name in ("r-1", "r-2", "r-3"):
        call(module, message_event, name)
    assert attempts == [1000.0]
    assert clock[0] == 1000.3


def test_a_backlog_is_sent_in_bounded_portions(quiet_app: Any, message_event: Any) -> None:
    """MG6: no send begins after half of the limit; the rest goes with the next invocation."""
    module, queue, clock = quiet_app
    queue.broken = True
    for number in range(8):
        call(module, message_event, f"r-{number}")
    queue.broken = False
    clock[0] += 6
    send = queue.send_message

    def takes_100_ms(**message: Any) -> None:
        clock[0] += 0.1
        send(**message)

    queue.send_message = takes_100_ms
    begun = clock[0]
    call(module, message_event, "r-8")
    assert clock[0] - begun <= 0.6
    assert 0 < len(queue.sent) < 9
    for number in range(9, 14):
        call(module, message_event, f"r-{number}")
    assert [name for name, _ in sent(queue)] == [f"r-{number}" for number in range(14)]


def test_nothing_is_begun_when_the_function_has_no_time_left(quiet_app: Any, message_event: Any) -> None:
    """MG6: the tee does not turn a slow success into a timeout of the function."""
    module, queue, _ = quiet_app

    class Context:
        left_ms = 200

        def get_remaining_time_in_millis(self) -> int:
            return self.left_ms

    context = Context()
    call(module, message_event, "r-1", context)
    assert queue.sent == []
    context.left_ms = 2000
    call(module, message_event, "r-2", context)
    assert sent(queue) == [("r-1", 0), ("r-2", 0)]


def test_what_no_longer_fits_is_counted(quiet_app: Any, message_event: Any) -> None:
    """MG6: what waits is bounded; the next record that is kept says how many are missing before it."""
    module, queue, clock = quiet_app
    queue.broken = True
    large = "x" * 120_000
    for number in range(10):
        call(module, message_event, f"r-{number}", body=large)
    queue.broken = False
    clock[0] += 6
    call(module, message_event, "last")
    assert sent(queue) == [(f"r-{number}", 0) for number in range(8)] + [("last", 2)]


def test_a_record_that_the_queue_refuses_does_not_hold_up_the_others(quiet_app: Any, message_event: Any) -> None:
    """MG6: it is dropped and counted; a queue that denies access is waited for instead."""
    module, queue, clock = quiet_app
    send = queue.send_message
    refuse = "AccessDenied"

    def picky(**message: Any) -> None:
        if json.loads(message["MessageBody"])["request_id"] == "r-1" and refuse:
            raise ClientError({"Error": {"Code": refuse, "Message": ""}}, "SendMessage")
        send(**message)

    queue.send_message = picky
    call(module, message_event, "r-1")
    call(module, message_event, "r-2")
    assert queue.sent == []
    clock[0] += 6
    refuse = "InvalidMessageContents"
    call(module, message_event, "r-3")
    call(module, message_event, "r-4")
    assert [name for name, _ in sent(queue)] == ["r-2", "r-3", "r-4"]
    assert sum(dropped for _, dropped in sent(queue)) == 1


def test_a_wrong_setting_does_not_stop_the_copying(
    quiet_app: Any, message_event: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MG6: what cannot be read as a number counts as not set."""
    module, queue, _ = quiet_app
    monkeypatch.setenv("WS2SSE_TEE_TIMEOUT_S", "quickly")
    call(module, message_event, "r-1")
    assert sent(queue) == [("r-1", 0)]


def test_the_connection_is_made_in_the_init_phase(tee: Any) -> None:
    """MG6: no user's message waits for it; an answer that denies is a connection all the same, none is survived."""
    module, queue = tee
    asked: list[dict[str, Any]] = []

    def denies(**request: Any) -> None:
        asked.append(request)
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "GetQueueAttributes")

    queue.get_queue_attributes = denies
    module._connect()
    assert len(asked) == 1

    def away(**request: Any) -> None:
        asked.append(request)
        raise ConnectionError("the queue is away")

    queue.get_queue_attributes = away
    module._connect()
    assert len(asked) == 3
