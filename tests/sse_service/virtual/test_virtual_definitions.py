"""Where an API comes from: a file, or API Gateway; what is wrong with it is a sentence at the start."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from sse_service.adapters.apigateway_definition import read_api
from sse_service.adapters.lambda_invoker import LambdaInvoker
from sse_service.connections.definition import AuthorizationType
from sse_service.errors import SettingsError, StartupError
from sse_service.settings import Secret, Settings
from sse_service.virtual.errors import CallError, FailureKind
from sse_service.virtual.files import read_file
from sse_service.virtual.handlers import load_handler
from sse_service.virtual.plan import target_of

ROUTES = {"$connect": {"handler": "a:b"}, "send": {"function": "my-function", "answers": True, "timeout_s": 3}}


def write(folder: Path, value: object) -> str:
    path = folder / "api.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return str(path)


def test_a_file_has_everything_a_route_needs(tmp_path: Path) -> None:
    path = write(tmp_path, {"id": "chat", "routes": ROUTES, "stage_variables": {"n": 1}})
    api, stage = read_file(path, "dev")
    assert (api.api_id, api.route_selection, stage.name, stage.variables) == (
        "chat",
        "$request.body.action",
        "dev",
        {"n": "1"},
    )
    send = api.routes["send"]
    assert send.integration is not None
    assert (target_of(send.integration.uri), send.two_way, send.integration.timeout_s) == ("my-function", True, 3)
    assert api.routes["$connect"].authorization is AuthorizationType.NONE


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({}, "routes: there is none"),
        ({"routes": []}, "routes: must be a table"),
        ({"routes": {"x": {}}}, 'routes."x": must have either handler or function'),
        ({"routes": {"x": {"handler": "a:b", "function": "c"}}}, "either"),
        ({"routes": {"x": {"handler": "a:b", "speed": 1}}}, 'routes."x".speed: is not known'),
        ({"routes": {"x": {"handler": "a:b", "authorizer": "t"}}}, "only $connect"),
        ({"routes": {"$connect": {"handler": "a:b", "authorizer": "t"}}}, "there is no authorizer 't'"),
        ({"routes": {"x": {"handler": "a:b", "timeout_s": "1"}}}, "timeout_s"),
        ({"routes": ROUTES, "authorizers": {"t": {"handler": "a:b", "identity_sources": "x"}}}, "list of text"),
    ],
)
def test_a_wrong_file_says_where(tmp_path: Path, value: object, said: str) -> None:
    with pytest.raises(StartupError) as caught:
        read_file(write(tmp_path, value), "prod")
    assert said in str(caught.value)
    assert caught.value.hint


def test_a_file_that_is_missing_or_no_toml(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("nonsense", encoding="utf-8")
    for name in ("missing.toml", "x.toml"):
        with pytest.raises(StartupError):
            read_file(str(tmp_path / name), "prod")


@pytest.mark.parametrize("spec", ["json", "json:nothing", "no_such_module:x", "json:__name__", ":x"])
def test_a_handler_that_is_none_is_said_at_the_start(spec: str) -> None:
    with pytest.raises(StartupError):
        load_handler(spec)


@pytest.fixture
def aws(settings: Settings, moto_url: str) -> Settings:
    return settings.replace(aws_endpoint_url=moto_url, region="ap-northeast-1")


async def test_a_stage_that_is_not_there_is_named(aws: Settings) -> None:
    """moto lists no authorizers: a whole API is read in tests/e2e/test_virtual_connections.py."""
    client = boto3.client("apigatewayv2", endpoint_url=aws.aws_endpoint_url, region_name=aws.region)
    api_id = client.create_api(Name="chat", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.type")
    with pytest.raises(StartupError) as caught:
        await read_api(aws.replace(virtual_api_id=api_id["ApiId"], virtual_stage="dev"))
    assert "stage dev" in str(caught.value)


async def test_an_api_that_is_not_there_or_not_of_websockets(aws: Settings) -> None:
    with pytest.raises(StartupError) as caught:
        await read_api(aws.replace(virtual_api_id="nothere000"))
    assert "nothere000" in str(caught.value)
    client = boto3.client("apigatewayv2", endpoint_url=aws.aws_endpoint_url, region_name=aws.region)
    api_id = client.create_api(Name="rest", ProtocolType="HTTP")["ApiId"]
    with pytest.raises(StartupError) as caught:
        await read_api(aws.replace(virtual_api_id=api_id))
    assert "WEBSOCKET" in str(caught.value)


async def test_a_function_that_cannot_be_invoked_is_a_failure_of_execution(aws: Settings) -> None:
    invoker = LambdaInvoker(aws)
    with pytest.raises(CallError):
        await invoker.invoke("f", b"{}", 5)
    await invoker.start()
    try:
        with pytest.raises(CallError) as caught:
            await invoker.invoke("no-such-function", b"{}", 5)
        assert caught.value.kind is FailureKind.EXECUTION
    finally:
        await invoker.close()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"virtual_api_id": "x", "virtual_definition": "y"}, "SSE_VIRTUAL_API_ID"),
        ({"virtual_store": "dynamodb"}, "SSE_VIRTUAL_STORE"),
        ({"virtual_store": "redis"}, "SSE_REDIS_URL"),
        ({"virtual_stage": "a/b"}, "SSE_VIRTUAL_STAGE"),
        ({"virtual_stage": "api"}, "SSE_VIRTUAL_STAGE: /api"),
        ({"virtual_path": "chat"}, "SSE_VIRTUAL_PATH"),
        ({"virtual_path": "/chat/x"}, "belongs to the service"),
        (
            {"virtual_management_keys": ("a", "b"), "virtual_management_secrets": Secret("s3cr3t")},
            "one secret for each",
        ),
        ({"virtual_management_bind": "8081"}, "SSE_VIRTUAL_MANAGEMENT_BIND"),
        ({"virtual_definition": "y", "virtual_message_bytes": 1 << 20}, "SSE_MAX_BODY_BYTES"),
    ],
)
def test_settings_that_do_not_fit_are_said(settings: Settings, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.replace(**changes)
    assert said in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_an_api_whose_functions_cannot_post_is_doubted(settings: Settings) -> None:
    assert any("SSE_VIRTUAL_MANAGEMENT" in one for one in settings.replace(virtual_api_id="x").warnings())
    handlers = settings.replace(virtual_definition="x.toml")
    assert not any("SSE_VIRTUAL_MANAGEMENT" in one for one in handlers.warnings())


async def test_without_an_api_there_are_no_routes(start_service: Callable[..., Any], settings: Settings) -> None:
    service = await start_service(settings)
    assert (await service.client.post("/prod", json={})).status_code == 404
