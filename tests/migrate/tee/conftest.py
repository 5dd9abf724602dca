"""A tee to test: its layer loaded as a Lambda would load it, and stand-ins for its queue and `@connections`.
until phase 3
"""

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
import botocore
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
    botocore.unregister_initializer(module._watch)


@pytest.fixture
def message_event() -> Callable[..., dict[str, Any]]:
    """Makes the event of one frame: `message_event(field=value, ...)` with the fields of its body."""
    return _message_event


def _message_event(**body: Any) -> dict[str, Any]:
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
