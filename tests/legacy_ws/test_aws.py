"""legacy_ws.aws: AWS's errors in our words. until phase 3"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from botocore.stub import Stubber

import legacy_ws
from legacy_ws import aws
from legacy_ws.errors import ConnectionGoneError, SendFailedError, UsageError


@pytest.fixture
def client() -> Any:
    return boto3.client("apigatewaymanagementapi", endpoint_url="https://example.invalid/prod")


@pytest.mark.parametrize(
    ("code", "status", "retryable"),
    [
        ("LimitExceededException", 429, True),
        ("ThrottlingException", 400, True),
        ("InternalServerError", 500, True),
        ("", 503, True),
        ("ForbiddenException", 403, False),
        ("PayloadTooLargeException", 413, False),
    ],
)
def test_what_can_be_tried_again(client: Any, code: str, status: int, retryable: bool) -> None:
    with Stubber(client) as stub:
        stub.add_client_error("post_to_connection", code, http_status_code=status)
        with pytest.raises(SendFailedError) as caught:
            aws.ManagementApi(client).post("c", b"{}")
    assert caught.value.retryable is retryable
    assert caught.value.reason == (code or str(status))


@pytest.mark.parametrize(("code", "status"), [("GoneException", 410), ("", 410)])
@pytest.mark.parametrize("operation", ["post", "get", "disconnect"])
def test_410_is_gone_however_it_is_dressed(client: Any, operation: str, code: str, status: int) -> None:
    method = {"post": "post_to_connection", "get": "get_connection", "disconnect": "delete_connection"}[operation]
    management = aws.ManagementApi(client)
    with Stubber(client) as stub:
        stub.add_client_error(method, code, http_status_code=status)
        with pytest.raises(ConnectionGoneError):
            management.post("c", b"{}") if operation == "post" else getattr(management, operation)("c")


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (EndpointConnectionError(endpoint_url="x"), True),
        (ReadTimeoutError(endpoint_url="x"), True),
        (ParamValidationError(report="x"), False),
    ],
)
def test_trouble_on_the_way(error: Exception, retryable: bool) -> None:
    class Broken:
        def post_to_connection(self, **_: object) -> None:
            raise error

    with pytest.raises(SendFailedError) as caught:
        aws.ManagementApi(Broken()).post("c", b"{}")
    assert caught.value.retryable is retryable


def test_what_the_gateway_says_about_an_id_is_passed_on_without_tokens() -> None:
    class Refuses:
        def post_to_connection(self, **_: object) -> None:
            message = "Invalid connectionId: c token=abc123"
            raise ClientError({"Error": {"Code": "BadRequestException", "Message": message}}, "PostToConnection")

    with pytest.raises(SendFailedError) as caught:
        aws.ManagementApi(Refuses()).post("c", b"{}")
    assert "BadRequestException: Invalid connectionId: c" in caught.value.message
    assert "abc123" not in caught.value.message
    assert caught.value.reason == "BadRequestException"


@pytest.mark.parametrize(
    "region", ["tokyo", "ap-northeast-l", "AP-NORTHEAST-1", "ap-northeast-1 ", "a b", "ap-northeast"]
)
def test_what_is_no_region_is_said_before_any_call(region: str) -> None:
    with pytest.raises(UsageError, match="is no AWS region") as caught:
        aws.AwsSession(region, None, None)
    assert "ap-northeast-1" in str(caught.value.hint)


@pytest.mark.parametrize("region", ["ap-northeast-1", "us-gov-west-1", "cn-north-1", "us-isob-east-1"])
def test_regions_of_every_partition_are_taken(region: str) -> None:
    assert aws.AwsSession(region, None, None).region == region


def test_clients_are_kept_and_leave_retrying_to_the_manager() -> None:
    assert aws.dynamodb() is aws.dynamodb()
    management = aws.management("https://example.invalid/prod")
    assert management._client is aws.management("https://example.invalid/prod")._client
    assert management._client is not aws.management("https://example.invalid/dev")._client
    assert management._client.meta.config.retries["total_max_attempts"] == 1
    assert management._client.meta.endpoint_url == "https://example.invalid/prod"


def api_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "it says token=abc123"}}, "GetApi")


@pytest.mark.parametrize(
    ("error", "exit_code", "words"),
    [
        (NoCredentialsError(), 2, "credentials"),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:1/"), 2, "http://127.0.0.1:1 does not answer"),
        (ConnectTimeoutError(endpoint_url="https://dynamodb.ap-northeast-1.amazonaws.com"), 2, "AWS does not answer"),
        (api_error("AccessDeniedException"), 2, "AccessDenied"),
        (api_error("NotFoundException"), 2, "NotFound"),
        (api_error("ValidationException"), 2, "Validation"),
        (api_error("InternalError"), 1, "InternalError"),
    ],
)
def test_errors_become_one_line(error: Exception, exit_code: int, words: str) -> None:
    explained = aws.explain(error)
    assert explained.exit_code == exit_code
    assert words in explained.message
    assert "abc123" not in explained.message


def test_a_session_says_what_is_wrong_with_its_settings() -> None:
    with pytest.raises(UsageError, match="nope"):
        aws.AwsSession(None, "nope", None)
    with pytest.raises(UsageError, match="no URL"):
        aws.AwsSession(None, None, "nope").client("dynamodb")
    with pytest.raises(UsageError, match="no AWS region"):
        aws.AwsSession("a b", None, None).client("dynamodb")


def test_the_region_is_tokyo_unless_something_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert aws.AwsSession(None, None, None).region == "ap-northeast-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert aws.AwsSession(None, None, None).region == "eu-west-1"
    assert aws.AwsSession("us-east-1", None, None).region == "us-east-1"


def test_only_this_module_imports_boto3() -> None:
    root = Path(legacy_ws.__file__).parent
    importers = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(name.split(".")[0] in ("boto3", "botocore") for name in names):
                importers.add(path.relative_to(root).as_posix())
    assert importers == {"aws.py"}


def test_a_proxy_is_not_asked_for_an_address_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY of a company's network knows nothing of the local AWS."""

    def proxies(endpoint_url: str | None) -> dict[str, str]:
        client = aws.AwsSession("eu-west-1", None, endpoint_url).client("dynamodb")
        found: dict[str, str] = client._endpoint.http_session._proxy_config._proxies
        return found

    for name in ("NO_PROXY", "no_proxy", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:3128")
    for local in ("http://127.0.0.1:4566", "http://localhost:4566", "http://[::1]:4566"):
        assert proxies(local) == {}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    assert proxies(None) == {}
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert proxies(None)["https"] == "http://proxy.invalid:3128"
