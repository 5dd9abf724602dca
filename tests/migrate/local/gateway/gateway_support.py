"""Helpers of the gateway tests: functions that are Python callables, an API built call by call. until phase 3"""

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from websockets.asyncio.client import ClientConnection, connect

from migrate.local.gateway import LocalGateway
from migrate.local.ports import FunctionNotFoundError, InvokeResult, InvokeTimeoutError

REGION = "ap-northeast-1"
ACCOUNT = "000000000000"


def function_arn(name: str) -> str:
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"


def lambda_uri(name: str) -> str:
    return f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function_arn(name)}/invocations"


Handler = Callable[[dict[str, Any]], Any]


class HandlerError(Exception):
    """A handler's exception, reported as the runtime reports it."""


@dataclass
class FakeInvoker:
    """Functions by name; each gets the event and returns its answer, awaits, or raises
    HandlerError(message)."""

    functions: dict[str, Handler] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    running: int = 0
    most_running: int = 0

    async def invoke(
        self, function_arn: str, payload: bytes, *, timeout_s: float, asynchronous: bool = False
    ) -> InvokeResult:
        name = function_arn.rpartition(":")[2]
        event = json.loads(payload)
        self.calls.append((name, event))
        handler = self.functions.get(name)
        if handler is None:
            raise FunctionNotFoundError(name)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            answer = handler(event)
            if isinstance(answer, Awaitable):
                answer = await asyncio.wait_for(answer, timeout_s)
        except TimeoutError as error:
            raise InvokeTimeoutError(name, timeout_s) from error
        except HandlerError as error:
            failure = {"errorMessage": str(error), "errorType": "Exception"}
            return InvokeResult(json.dumps(failure).encode(), "Unhandled")
        finally:
            self.running -= 1
        return InvokeResult(answer if isinstance(answer, bytes) else json.dumps(answer).encode(), None)

    def events(self, name: str) -> list[dict[str, Any]]:
        return [event for called, event in self.calls if called == name]

    async def wait_for(self, name: str, count: int = 1, timeout_s: float = 5.0) -> list[dict[str, Any]]:
        """The events of a function once there are `count`."""
        deadline = time.monotonic() + timeout_s
        while len(self.events(name)) < count:
            assert time.monotonic() < deadline, f"{name} was called {len(self.events(name))} times, not {count}"
            await asyncio.sleep(0.005)
        return self.events(name)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def aws_client(service: str, url: str, **options: Any) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=options.pop("region_name", REGION),
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"max_attempts": 1}, **options.pop("config", {})),
        **options,
    )


@dataclass
class Api:
    """A WebSocket API built as a user would build it."""

    client: Any
    gateway: LocalGateway
    api_id: str
    stage: str = "prod"

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.gateway.port}/{self.api_id}/{self.stage}"

    @property
    def tls_url(self) -> str:
        return f"wss://127.0.0.1:{self.gateway.tls_port}/{self.api_id}/{self.stage}"

    def connect(self, query: str = "", **options: Any) -> connect:
        return connect(f"{self.url}{query}", **options)

    def management(self, **options: Any) -> Any:
        """A client as a back end would build it, on the plain port."""
        return aws_client("apigatewaymanagementapi", f"http://127.0.0.1:{self.gateway.port}/{self.stage}", **options)

    def integration(self, function: str, **options: Any) -> str:
        options.setdefault("IntegrationType", "AWS_PROXY")
        made = self.client.create_integration(ApiId=self.api_id, IntegrationUri=lambda_uri(function), **options)
        return f"integrations/{made['IntegrationId']}"

    def route(self, key: str, target: str | None, *, two_way: bool = False, **options: Any) -> None:
        if target is not None:
            options["Target"] = target
        made = self.client.create_route(ApiId=self.api_id, RouteKey=key, **options)
        if two_way:
            self.client.create_route_response(ApiId=self.api_id, RouteId=made["RouteId"], RouteResponseKey="$default")

    def authorizer(self, function: str, sources: list[str]) -> str:
        made = self.client.create_authorizer(
            ApiId=self.api_id,
            Name="auth",
            AuthorizerType="REQUEST",
            AuthorizerUri=lambda_uri(function),
            IdentitySource=sources,
        )
        return str(made["AuthorizerId"])

    async def deploy(self, *, create_stage: bool = True, **stage: Any) -> None:
        if create_stage:
            self.client.create_stage(ApiId=self.api_id, StageName=self.stage, **stage)
        made = self.client.create_deployment(ApiId=self.api_id, StageName=self.stage)
        await self.gateway.deployed(self.api_id, self.stage, made["DeploymentId"])


async def build_chat(api: Api, invoker: FakeInvoker) -> Api:
    invoker.functions.update(
        connect=lambda event: {"statusCode": 200},
        disconnect=lambda event: {"statusCode": 200},
        default=lambda event: {"statusCode": 200, "body": "default:" + event["body"]},
        echo=lambda event: {"statusCode": 200, "body": json.loads(event["body"])["text"]},
    )
    for key in ("$connect", "$disconnect"):
        api.route(key, api.integration(key.removeprefix("$")))
    api.route("$default", api.integration("default"), two_way=True)
    api.route("echo", api.integration("echo"), two_way=True)
    await api.deploy()
    return api


async def say(client: ClientConnection, **message: Any) -> str:
    """Send a JSON message and take one answer."""
    await client.send(json.dumps(message))
    return str(await asyncio.wait_for(client.recv(), 5))
