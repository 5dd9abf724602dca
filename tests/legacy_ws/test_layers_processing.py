"""legacy_ws.apps.layers.processing, .answer and .deadline (WL6): from a job to the connections. until phase 3"""

from __future__ import annotations

import json
import sys
import threading
import types
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from legacy_ws import aws
from legacy_ws.apps.layers import answer, processing
from legacy_ws.apps.layers.deadline import OutOfTimeError, RaisedError, outputs
from legacy_ws.apps.layers.jobs import Job, answer_body, parse_job
from legacy_ws.apps.layers.schema import CONNECTIONS
from legacy_ws.deploy.apps.layers import LAYERS
from legacy_ws.deploy.spec import StackNames
from legacy_ws.deploy.tables import ensure_table
from legacy_ws.dynamo import Table
from legacy_ws.errors import HandOffError, MalformedEventError

EventMaker = Callable[..., dict[str, Any]]
TABLE = "layers-websocket-connections"
EVENTS = Path(__file__).parent / "events"
IDS = {"chat_id": "c1", "message_id": "m1"}


class Context:
    """Lambda's context with this much time left."""

    def __init__(self, seconds: float = 60) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


@pytest.fixture(autouse=True)
def queue(poster: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Table and queue in moto; returns a function that receives the queue's messages as Lambda gets them."""
    names = StackNames("layers", "ap-northeast-1", "123456789012")
    with mock_aws():
        ensure_table(boto3.client("dynamodb"), names, LAYERS.tables[0])
        sqs = boto3.client("sqs")
        url = sqs.create_queue(QueueName="layers-answers.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        monkeypatch.setenv("LEGACY_WS_CONNECTIONS_TABLE", TABLE)
        monkeypatch.setenv("LEGACY_WS_ANSWERS_QUEUE_URL", url)
        monkeypatch.setattr(aws, "management", lambda _: poster)

        def receive() -> list[dict[str, Any]]:
            records = []
            while batch := sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
            ).get("Messages", []):
                for message in batch:
                    records.append(record(message["Body"], message["Attributes"], message["MessageId"]))
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return records

        yield receive


def record(body: str, attributes: dict[str, Any], message_id: str) -> dict[str, Any]:
    return {
        "messageId": message_id,
        "receiptHandle": "AQEB",
        "body": body,
        "attributes": attributes,
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:ap-northeast-1:123456789012:layers-answers.fifo",
        "awsRegion": "ap-northeast-1",
    }


def frames_of(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [json.loads(one["body"])["frame"] for one in records]


def job(feature: str = "chat", **changes: Any) -> dict[str, Any]:
    given = {
        "chat": {"chat_id": "c1", "message": "hello world"},
        "agent_run": {"agent_id": "w", "input": {"a": 1}},
        "library_processing": {"library_id": "l", "documents": ["d1", "d2"]},
    }[feature]
    return {
        "feature": feature,
        "id": "m1",
        "input": given,
        "user_id": "ann",
        "tenant_id": "acme",
        "connection_id": "a",
        "management_url": "https://abc123.execute-api.ap-northeast-1.amazonaws.com/prod",
        "request_id": "r1",
    } | changes


@pytest.fixture
def respond(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Makes a function the responder."""

    def install(function: Any) -> None:
        module = types.ModuleType("my_logic")
        module.reply = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "my_logic", module)
        monkeypatch.setenv("LEGACY_WS_RESPONDER", "my_logic:reply")

    return install


def connect(connection: str, user: str = "ann", tenant: str = "acme") -> None:
    row = {"connection_id": connection, "user_id": user, "tenant_id": tenant, "connected_at": "2024-01-01T00:00:00"}
    Table(boto3.client("dynamodb"), TABLE).put(row)


def connected() -> list[str]:
    return sorted(str(row["connection_id"]) for page in Table(boto3.client("dynamodb"), TABLE).pages() for row in page)


# ---- processing


def test_an_answer_goes_into_the_queue_in_order(queue: Any) -> None:
    assert processing.handler(job(), Context()) == {"id": "m1", "status": "completed"}
    records = queue()
    frames = frames_of(records)
    assert frames.pop(0)["type"] == "chat_stream_start"
    assert frames == [
        *(
            {"type": "chat_stream_chunk", **IDS, "index": index, "text": text}
            for index, text in enumerate(["You ", "said: ", "hello ", "world"])
        ),
        {"type": "chat_stream_end", **IDS, "chunks": 4, "status": "completed"},
    ]
    assert len({one["attributes"]["MessageGroupId"] for one in records}) == 1


def test_a_job_that_lambda_runs_twice_is_answered_once(queue: Any) -> None:
    """AWS Lambda: "your function may receive the same event multiple times"."""
    processing.handler(job(), Context())
    processing.handler(job(), Context())
    assert len(queue()) == 6


def test_a_client_that_asks_again_is_answered_again(queue: Any) -> None:
    processing.handler(job(), Context())
    processing.handler(job(request_id="r2"), Context())
    assert len(queue()) == 12


def test_another_users_message_with_the_same_id_is_answered(queue: Any) -> None:
    """Ids are the clients' own: one cannot swallow another's answer."""
    processing.handler(job(), Context())
    processing.handler(job(user_id="eve", tenant_id="other"), Context())
    assert len(queue()) == 12


def test_a_responder_that_fails_ends_the_stream_and_is_in_the_log(
    queue: Any, respond: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fault 12"""

    def reply(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield {"text": "one "}
        raise RuntimeError("db.internal refused token=abc123")

    respond(reply)
    assert processing.handler(job(), Context())["status"] == "failed"
    records = queue()
    assert frames_of(records)[-1] == {"type": "chat_stream_end", **IDS, "chunks": 1, "status": "failed"}
    assert "db.internal" not in json.dumps(records)
    entry = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (entry["level"], entry["event"], entry["errorType"]) == ("ERROR", "responder_failed", "RuntimeError")
    assert "db.internal" in entry["errorMessage"] and "in reply" in entry["stack"]
    assert "abc123" not in json.dumps(entry)
    assert (entry["requestId"], entry["userId"]) == ("r1", "ann")


@pytest.mark.parametrize(
    "reply",
    [
        lambda request: None,
        lambda request: [{"progress": 5}],
        lambda request: ["text"],
        lambda request: (_ for _ in ()).throw(SystemExit(1)),
        lambda request: exec("raise StopIteration"),
        lambda request: exec("raise HandOffError('x', 'y')", {"HandOffError": HandOffError}),
    ],
    ids=["nothing", "progress", "text", "exit", "stop", "hand-off"],
)
def test_a_responder_that_breaks_its_contract_fails(queue: Any, respond: Any, reply: Any) -> None:
    respond(reply)
    assert processing.handler(job(), Context())["status"] == "failed"
    assert frames_of(queue())[-1]["status"] == "failed"


def test_a_responder_that_cannot_be_loaded_fails(
    queue: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEGACY_WS_RESPONDER", "no_such_module_here:f")
    assert processing.handler(job("agent_run"), Context())["status"] == "failed"
    assert [frame["status"] for frame in frames_of(queue())] == ["failed"]
    assert "LEGACY_WS_RESPONDER" in capsys.readouterr().out


def test_a_responder_that_hangs_is_not_waited_for(queue: Any, respond: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The stream ends as failed before Lambda ends the function without a word."""
    free = threading.Event()

    def reply(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield {"text": "one "}
        free.wait()
        yield {"text": "unheard"}

    respond(reply)
    try:
        assert processing.handler(job(), Context(6.3))["status"] == "failed"
    finally:
        free.set()
    assert [frame["type"] for frame in frames_of(queue())] == [
        "chat_stream_start",
        "chat_stream_chunk",
        "chat_stream_end",
    ]
    assert "responder_out_of_time" in capsys.readouterr().out


def test_a_responder_that_never_ends_is_stopped(queue: Any, respond: Any) -> None:
    stopped = threading.Event()

    def reply(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        try:
            while True:
                yield {"text": "x"}
        finally:
            stopped.set()

    respond(reply)
    times = iter([60.0] * 20)
    context = Context()
    context.get_remaining_time_in_millis = lambda: int(next(times, 0) * 1000)  # type: ignore[method-assign]
    assert processing.handler(job(), context)["status"] == "failed"
    frames = frames_of(queue())
    assert frames[-1] == {"type": "chat_stream_end", **IDS, "chunks": len(frames) - 2, "status": "failed"}
    assert stopped.wait(10), "the responder's generator was not closed"


def test_no_time_at_all_ends_the_stream_at_once(queue: Any) -> None:
    assert processing.handler(job(), Context(2))["status"] == "failed"
    assert [frame["type"] for frame in frames_of(queue())] == ["chat_stream_start", "chat_stream_end"]


def test_an_async_responder_is_run_as_well(queue: Any, respond: Any) -> None:
    async def reply(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        yield {"text": "one "}
        yield {"text": request["input"]["message"]}

    respond(reply)
    assert processing.handler(job(), Context())["status"] == "completed"
    assert [frame.get("text") for frame in frames_of(queue())] == [None, "one ", "hello world", None]


def test_outputs_stop_with_their_reader() -> None:
    produced = []

    def reply(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for number in range(10_000):
            produced.append(number)
            yield {"text": str(number)}

    stream = outputs(reply, {}, lambda: 60.0)
    assert next(stream) == {"text": "0"}
    stream.close()  # type: ignore[attr-defined]
    assert len(produced) < 200
    with pytest.raises(OutOfTimeError):
        next(outputs(reply, {}, lambda: 0.0))
    with pytest.raises(RaisedError):
        next(outputs(lambda request: 1 / 0, {}, lambda: 60.0))  # type: ignore[arg-type, return-value]


class BrokenQueue:
    """Takes some messages, then no more."""

    def __init__(self, takes: int) -> None:
        self.takes = takes
        self.bodies: list[str] = []

    def send(self, body: str, *, group: str, deduplication: str) -> None:
        if len(self.bodies) == self.takes:
            raise HandOffError("the answers queue", "AccessDenied")
        self.bodies.append(body)


@pytest.mark.parametrize("takes", [0, 1, 3, 5])
def test_a_queue_that_takes_no_more_fails_the_function_so_that_lambda_tries_again(
    takes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = BrokenQueue(takes)
    with pytest.raises(HandOffError):
        processing.process(parse_job(job()), answer_words, broken, lambda: 60.0)
    (entry,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (entry["event"], entry["reason"], entry["parts"]) == ("answer_not_queued", "AccessDenied", takes)


def answer_words(request: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"text": word} for word in "abcd"]


@pytest.mark.parametrize("raw", [{}, {"Records": []}, None, job(management_url="http://169.254.169.254/latest")])
def test_what_is_no_job_is_not_worked_on(raw: Any, queue: Any) -> None:
    with pytest.raises(MalformedEventError):
        processing.handler(raw, Context())
    assert queue() == []


# ---- answer


def deliver(records: list[dict[str, Any]], seconds: float = 15) -> list[str]:
    """Ids of the messages that the function wants to have again."""
    failures: Any = answer.handler({"Records": records}, Context(seconds))["batchItemFailures"]
    return [one["itemIdentifier"] for one in failures]


def one_job(feature: str = "chat", **changes: Any) -> Job:
    return parse_job(job(feature, **changes))


def message(number: int, one: Job | None = None, frame: Any = None, group: str | None = None) -> dict[str, Any]:
    one = one or one_job()
    body = answer_body(one, frame or {"type": "chat_stream_chunk", **IDS, "index": number, "text": "x"})
    return record(body, {"MessageGroupId": group or one.group, "ApproximateReceiveCount": "1"}, f"{one.id}-{number}")


@pytest.mark.parametrize(
    ("feature", "hears", "last"),
    [
        ("chat", ["a", "a2"], {"type": "chat_stream_end", **IDS, "chunks": 4, "status": "completed"}),
        (
            "agent_run",
            ["a", "a2"],
            {
                "type": "agent_run_notification",
                "run_id": "m1",
                "agent_id": "w",
                "status": "completed",
                "progress": 100,
                "result": {"summary": "w: 8 characters of input"},
                "index": 4,
            },
        ),
        (
            "library_processing",
            ["a", "a2", "b"],
            {
                "type": "library_processing_notification",
                "job_id": "m1",
                "library_id": "l",
                "status": "completed",
                "progress": 100,
                "result": {"processed": 2},
                "index": 2,
            },
        ),
    ],
)
def test_an_answer_reaches_every_connection_it_is_for_in_order(
    feature: str, hears: list[str], last: dict[str, Any], queue: Any, poster: Any
) -> None:
    """WL6, WL8, WL9"""
    connect("a")
    connect("a2")
    connect("b", "bob")
    connect("x", "ann", "other")
    processing.handler(job(feature), Context())
    records = queue()
    assert deliver(records) == []
    for connection in ("a", "a2", "b", "x"):
        assert poster.frames(connection) == (frames_of(records) if connection in hears else [])
    assert poster.frames("a")[-1] == last


def test_who_asked_gets_the_answer_even_when_the_index_lags(poster: Any) -> None:
    assert deliver([message(0)]) == []
    assert len(poster.frames("a")) == 1


def test_nobody_there_any_more_is_no_error(poster: Any) -> None:
    poster.gone("a")
    poster.gone("a2")
    connect("a2")
    assert deliver([message(0), message(1)]) == []
    assert connected() == [], "a 410 removes the row"


def test_a_message_that_fails_takes_the_later_ones_of_its_group_along(
    poster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Delivered now, they would overtake it; other groups go on."""
    monkeypatch.setenv("LEGACY_WS_SEND_ATTEMPTS", "1")
    other = one_job(id="m2", user_id="bob", connection_id="b")
    poster.refuse("a", "LimitExceededException", retryable=True, times=1)
    records = [message(0), message(0, other), message(1), message(1, other), message(2)]
    assert deliver(records) == ["m1-0", "m1-1", "m1-2"]
    assert [frame["index"] for frame in poster.frames("b")] == [0, 1]
    assert poster.frames("a") == []
    assert deliver([one for one in records if one["messageId"].startswith("m1")]) == []
    assert [frame["index"] for frame in poster.frames("a")] == [0, 1, 2]


def test_a_stuck_connection_does_not_hold_up_the_users_other_ones(
    poster: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEGACY_WS_SEND_ATTEMPTS", "1")
    connect("a")
    connect("a2")
    poster.refuse("a2", "LimitExceededException", retryable=True)
    assert deliver([message(0), message(1)]) == []
    assert [frame["index"] for frame in poster.frames("a")] == [0, 1]
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["failed"] for one in records] == [[{"connectionId": "a2", "reason": "LimitExceededException"}]] * 2
    assert connected() == ["a", "a2"]


def test_what_no_repeat_can_deliver_is_given_up(poster: Any) -> None:
    poster.refuse("a", "ForbiddenException", retryable=False)
    assert deliver([message(0)]) == []


def test_without_time_nothing_is_started_and_everything_comes_again(poster: Any) -> None:
    assert deliver([message(0), message(1)], seconds=0) == ["m1-0", "m1-1"]
    assert poster.posts == []


@pytest.mark.parametrize("body", ["nope", "{}", '{"frame": {}, "audience": "user"}'])
def test_a_message_of_somebody_else_ends_in_the_dead_letter_queue(
    body: str, poster: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = record(body, {"MessageGroupId": "g"}, "odd")
    assert deliver([odd, message(0)]) == ["odd"]
    assert len(poster.frames("a")) == 1
    assert "queue_message_failed" in capsys.readouterr().out


def test_without_groups_every_message_stands_for_itself(poster: Any) -> None:
    """A queue that is not FIFO keeps no order that one failure could break."""
    one, two = message(0), message(1)
    for each in (one, two):
        del each["attributes"]["MessageGroupId"]
    one["body"] = "nope"
    assert deliver([one, two]) == ["m1-0"]


def test_an_event_as_lambda_sends_it(event: EventMaker, poster: Any) -> None:
    payload = json.loads((EVENTS / "sqs_fifo.json").read_text())
    payload["Records"][0]["body"] = answer_body(one_job(), {"type": "x"})
    assert answer.handler(payload, Context()) == {"batchItemFailures": []}
    assert poster.frames("a") == [{"type": "x"}]


@pytest.mark.parametrize(
    "raw",
    [None, {}, {"Records": {}}, {"Records": [5]}, {"Records": [{"body": "x"}]}, {"Records": [{"messageId": "1"}]}],
)
def test_what_is_no_batch_fails_as_a_whole(raw: Any) -> None:
    with pytest.raises(MalformedEventError):
        answer.handler(raw, Context())


def test_answers_are_posted_to_the_stage_of_the_job_or_where_the_settings_say(
    poster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 2"""
    asked: list[str] = []

    def management(url: str) -> Any:
        asked.append(url)
        return poster

    monkeypatch.setattr(aws, "management", management)
    deliver([message(0)])
    monkeypatch.setenv("LEGACY_WS_MANAGEMENT_URL", "http://127.0.0.1:9/prod")
    deliver([message(0)])
    assert asked == ["https://abc123.execute-api.ap-northeast-1.amazonaws.com/prod", "http://127.0.0.1:9/prod"]


def test_the_schema_names_the_indexes_that_deploy_makes() -> None:
    """WL2: UserIndex, TenantIndex."""
    (table,) = LAYERS.tables
    assert table.indexes == {
        "UserIndex": (("user_id", "S"), ("tenant_id", "S")),
        "TenantIndex": (("tenant_id", "S"),),
    }
    assert (CONNECTIONS.user_index, CONNECTIONS.tenant_index) == tuple(table.indexes)
