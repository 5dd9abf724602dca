"""Fixtures of the legacy stack's tests: payloads, fakes, tables in moto, a MiniStack of our own. until
phase 3
"""

from __future__ import annotations

import copy
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from legacy_ws.apps.rooms import services
from legacy_ws.errors import ConnectionGoneError, SendFailedError

EVENTS = Path(__file__).parent / "events"
REGION = "ap-northeast-1"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No test sees this machine's AWS settings, or the clients of another test."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "LEGACY_WS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    services.clear()
    yield
    services.clear()


@pytest.fixture
def event() -> Callable[..., dict[str, Any]]:
    """A payload as AWS sends it: `event("message", body=..., context={...})`."""

    def load(name: str, *, context: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
        payload: dict[str, Any] = copy.deepcopy(json.loads((EVENTS / f"{name}.json").read_text()))
        payload.update(fields)
        payload["requestContext"].update(context or {})
        return payload

    return load


class FakePoster:
    """`@connections` that remembers what was posted; `fail` maps a connection to the errors of its next
    posts.
    """

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.fail: dict[str, list[Exception | None]] = {}
        self.attempts: list[str] = []

    def post(self, connection_id: str, data: bytes) -> None:
        self.attempts.append(connection_id)
        errors = self.fail.get(connection_id)
        if errors:
            error = errors.pop(0) if len(errors) > 1 else errors[0]
            if error is not None:
                raise error
        self.posts.append((connection_id, json.loads(data)))

    def gone(self, connection_id: str, times: int | None = None) -> None:
        """410 for good, or `times` times and then no more."""
        self._plan(connection_id, ConnectionGoneError(connection_id), times)

    def refuse(self, connection_id: str, reason: str, *, retryable: bool, times: int | None = None) -> None:
        """Another error for good, or `times` times and then no more."""
        self._plan(connection_id, SendFailedError(connection_id, reason, retryable=retryable), times)

    def frames(self, connection_id: str) -> list[dict[str, Any]]:
        """What one connection got."""
        return [frame for receiver, frame in self.posts if receiver == connection_id]

    def _plan(self, connection_id: str, error: Exception, times: int | None) -> None:
        self.fail[connection_id] = [error] if times is None else [*[error] * times, None]


@pytest.fixture
def poster() -> FakePoster:
    return FakePoster()


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    """A DynamoDB in moto with the tables of rooms; the settings name them."""
    with mock_aws():
        client = boto3.client("dynamodb")
        client.create_table(
            TableName="Connections",
            KeySchema=[{"AttributeName": "connectionId", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "connectionId", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        client.create_table(
            TableName="ChatMessages",
            KeySchema=[
                {"AttributeName": "roomId", "KeyType": "HASH"},
                {"AttributeName": "timestamp", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "roomId", "AttributeType": "S"},
                {"AttributeName": "timestamp", "AttributeType": "N"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        yield client


@pytest.fixture(scope="session")
def ministack() -> Iterator[str]:
    """Address of a MiniStack that belongs to this test session."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
    }
    command = str(Path(sys.executable).parent / "ministack")
    process = subprocess.Popen([command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_healthy(process, address)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_healthy(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, "MiniStack ended before it was ready"
        try:
            with urllib.request.urlopen(f"{address}/_ministack/health", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("MiniStack was not ready within 30 s")
