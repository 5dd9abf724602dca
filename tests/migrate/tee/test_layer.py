"""The tee inside a Lambda: it copies what passes and never changes what the application does."""

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import boto3
import pytest

import migrate.tee

LAYER = Path(migrate.tee.__file__).parent / "layer" / "ws2sse_tee.py"

APPLICATION = """
import boto3, json

def handler(event, context):
    body = json.loads(event["body"])
    if body.get("fail"):
        raise ValueError("the application's own")
    client = boto3.client("apigatewaymanagementapi", endpoint_url=body["endpoint"])
    for connection in body["to"]:
        try:
            client.post_to_connection(ConnectionId=connection, Data=body["text"].encode())
        except client.exceptions.GoneException:
            pass
    return {"statusCode": 200, "body": "the application's answer"}
"""


class Management(BaseHTTPRequestHandler):
    """`@connections`: ids that begin with `gone` answer 410."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(410 if "gone" in self.path else 200)
        self.send_header("Content-Length", "0")
        if "gone" in self.path:
            self.send_header("x-amzn-ErrorType", "GoneException")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def management() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Management)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/prod"
    server.shutdown()
    server.server_close()


class Queue:
    """Stands for SQS: keeps what is sent, or fails as told."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.broken = False

    def send_message(self, **message: Any) -> None:
        if self.broken:
            raise ConnectionError("the queue is away")
        self.sent.append(message)

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(message["MessageBody"]) for message in self.sent]


@pytest.fixture
def tee(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModuleType, Queue]]:
    (tmp_path / "teed_app.py").write_text(APPLICATION)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, value in {
        "WS2SSE_TEE_HANDLER": "teed_app.handler",
        "WS2SSE_TEE_QUEUE_URL": "http://127.0.0.1:9/queue",
        "WS2SSE_TEE_PAUSE_S": "0",
        "AWS_DEFAULT_REGION": "ap-northeast-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.DEFAULT_SESSION = None
    spec = importlib.util.spec_from_file_location("ws2sse_tee_under_test", LAYER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    queue = Queue()
    module._client = queue  # type: ignore[attr-defined]
    boto3.DEFAULT_SESSION = None
    yield module, queue
    sys.modules.pop("teed_app", None)
    boto3.DEFAULT_SESSION = None
    import botocore

    botocore.unregister_initializer(module._watch)


def message_event(**body: Any) -> dict[str, Any]:
    return {
        "requestContext": {
            "requestId": "r-1",
            "apiId": "api",
            "stage": "prod",
            "routeKey": "sendMessage",
            "eventType": "MESSAGE",
            "connectionId": "sender",
            "connectedAt": 1,
            "authorizer": {"userId": "alice", "tenantId": "demo", "secretClaim": "x"},
        },
        "headers": {"Authorization": "Bearer abc"},
        "queryStringParameters": {"token": "abc"},
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }


def test_the_answer_of_the_application_is_passed_on(tee: Any, management: str) -> None:
    """MG6: nothing changes for the legacy stack."""
    module, _ = tee
    answer = module.handler(message_event(endpoint=management, to=["a"], text="hi"), None)
    assert answer == {"statusCode": 200, "body": "the application's answer"}


def test_a_record_holds_what_entered_and_every_post_with_its_outcome(tee: Any, management: str) -> None:
    """MG6: the frame, and per payload who got it and who was gone."""
    module, queue = tee
    module.handler(message_event(endpoint=management, to=["a", "gone-b", "c"], text="hi"), None)
    [record] = queue.records()
    assert record["route_key"] == "sendMessage"
    assert (record["user"], record["tenant"]) == ("alice", "demo")
    assert json.loads(record["body"])["text"] == "hi"
    [post] = record["posts"]
    assert (post["data"], post["ok"], post["gone"], post["failed"]) == ("hi", ["a", "c"], ["gone-b"], [])
    assert queue.sent[0]["MessageGroupId"] == "sender"
    assert queue.sent[0]["MessageDeduplicationId"] == "r-1"


def test_no_token_is_copied(tee: Any, management: str) -> None:
    """Fault 13 of the documents: tokens in query strings and headers stay out of every copy."""
    module, queue = tee
    module.handler(message_event(endpoint=management, to=[], text="hi"), None)
    assert "abc" not in queue.sent[0]["MessageBody"]
    assert "secretClaim" not in queue.sent[0]["MessageBody"]


def test_an_exception_of_the_application_is_raised_and_recorded(tee: Any) -> None:
    """MG6: a failing handler fails exactly as before."""
    module, queue = tee
    with pytest.raises(ValueError, match="the application's own"):
        module.handler(message_event(fail=True), None)
    assert queue.records()[0]["failed"] is True


def test_a_dead_queue_fails_open_and_the_loss_is_counted(
    tee: Any, management: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """MG6: the queue away changes nothing for the user; the next record says how many are missing."""
    module, queue = tee
    queue.broken = True
    for _ in range(3):
        assert module.handler(message_event(endpoint=management, to=["a"], text="hi"), None)["statusCode"] == 200
    queue.broken = False
    module.handler(message_event(endpoint=management, to=["a"], text="hi"), None)
    assert queue.records()[0]["dropped_before"] == 3
    assert "ConnectionError" in capsys.readouterr().out


def test_a_record_too_large_for_the_queue_keeps_the_deliveries(tee: Any, management: str) -> None:
    """MG6: the payload is left out, said so, and who received it is still known."""
    module, queue = tee
    text = "x" * 130_000
    event = message_event(endpoint=management, to=["a"], text=text)
    event["body"] = json.dumps({"endpoint": management, "to": ["a"], "text": text, "more": "y" * 1000})
    module.handler(event, None)
    [record] = queue.records()
    assert record["truncated"] is True
    assert record["posts"][0]["ok"] == ["a"]


def test_what_is_no_gateway_event_passes_untouched(tee: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """MG6: a scheduled ping of the function is none of the tee's business."""
    module, queue = tee
    seen: list[Any] = []
    application: Callable[[Any, Any], str] = lambda event, context: seen.append(event) or "pong"  # noqa: E731
    monkeypatch.setattr(module, "_application", application)
    assert module.handler({"warm": True}, None) == "pong"
    assert seen == [{"warm": True}]
    assert queue.sent == []
