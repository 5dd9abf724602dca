"""The `@connections` API as boto3 uses it: post, get, delete; 410, 413, 429, 403 (MG19)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from sse_service.settings import Secret, Settings

KEY, KEY_SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
Start = Callable[..., Any]


def boto(url: str, key: str = KEY, secret: str = KEY_SECRET, token: str | None = None) -> Any:
    return boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}),
    )


async def refused(call: Callable[..., Any], **arguments: Any) -> tuple[int, str]:
    with pytest.raises(ClientError) as caught:
        await asyncio.to_thread(call, **arguments)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


@pytest.fixture
async def service(start_service: Start, virtual_settings: Settings) -> Any:
    return await start_service(virtual_settings)


async def test_boto3_posts_asks_and_deletes(service: Any, connect: Any, app: Any, eventually: Any) -> None:
    made = await connect(service.client)
    client = boto(f"{service.url}/prod")
    async with made.stream() as stream:
        await asyncio.to_thread(client.post_to_connection, ConnectionId=made.id, Data="안녕 \r\n\0")
        assert await stream.texts(1) == ["안녕 \r\n\0"]
        seen = await asyncio.to_thread(client.get_connection, ConnectionId=made.id)
        assert seen["Identity"]["SourceIp"] == "127.0.0.1"
        assert seen["Identity"]["UserAgent"].startswith("python-httpx")
        assert isinstance(seen["ConnectedAt"], datetime)
        assert seen["LastActiveAt"] >= seen["ConnectedAt"]
        await asyncio.to_thread(client.delete_connection, ConnectionId=made.id)
        assert (await stream.frame("close")).json == {"code": 1000, "reason": ""}
    await eventually(lambda: app.disconnects)
    assert app.ends() == [(made.id, 1000, "Connection Closed Normally")]
    for call, more in ((client.post_to_connection, {"Data": b"x"}), (client.get_connection, {})):
        assert await refused(call, ConnectionId=made.id, **more) == (410, "GoneException")
    assert await refused(client.delete_connection, ConnectionId="AAAAAAAAAAAAAAA=") == (410, "GoneException")
    assert (await refused(client.get_connection, ConnectionId="nonsense"))[0] == 400


async def test_too_large_is_413_and_leaves_the_connection_alone(service: Any, connect: Any) -> None:
    made = await connect(service.client)
    client = boto(f"{service.url}/prod")
    largest = "x" * (128 << 10)
    answer = await refused(client.post_to_connection, ConnectionId=made.id, Data=largest + "x")
    assert answer == (413, "PayloadTooLargeException")
    async with made.stream() as stream:
        await asyncio.to_thread(client.post_to_connection, ConnectionId=made.id, Data=largest)
        assert await stream.texts(1) == [largest]


async def test_what_nobody_takes_is_429(start_service: Start, virtual_settings: Settings, connect: Any) -> None:
    service = await start_service(virtual_settings.replace(virtual_buffer_bytes=1 << 18))
    made = await connect(service.client)
    client = boto(f"{service.url}/prod")
    text = "x" * 100_000
    for _ in range(2):
        await asyncio.to_thread(client.post_to_connection, ConnectionId=made.id, Data=text)
    full = await refused(client.post_to_connection, ConnectionId=made.id, Data=text)
    assert full == (429, "LimitExceededException")
    async with made.stream() as stream:
        await stream.texts(2)
    # What was written may go, and still nothing that was not: the next stream gets the rest.
    for _ in range(2):
        await asyncio.to_thread(client.post_to_connection, ConnectionId=made.id, Data=text)
    async with made.stream() as stream:
        assert await stream.texts(2) == [text, text]


async def test_the_rate_is_429(start_service: Start, virtual_settings: Settings, connect: Any) -> None:
    service = await start_service(virtual_settings.replace(virtual_management_rate=1.0))
    made = await connect(service.client)
    client = boto(f"{service.url}/prod")
    await asyncio.to_thread(client.get_connection, ConnectionId=made.id)
    assert await refused(client.get_connection, ConnectionId=made.id) == (429, "LimitExceededException")


async def test_only_a_known_key_may_call(service: Any, connect: Any) -> None:
    made = await connect(service.client)
    url = f"{service.url}/prod"
    for client, code in (
        (boto(url, secret="wrong"), "InvalidSignatureException"),
        (boto(url, key="AKIDUNKNOWN"), "UnrecognizedClientException"),
    ):
        assert await refused(client.post_to_connection, ConnectionId=made.id, Data=b"x") == (403, code)
    with_token = boto(url, token="a session token")
    await asyncio.to_thread(with_token.post_to_connection, ConnectionId=made.id, Data=b"x")
    plain = await service.client.post(f"/prod/@connections/{made.id}", content=b"x")
    assert (plain.status_code, plain.json()["message"]) == (403, "Missing Authentication Token")
    assert plain.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"
    assert (await service.client.post(f"/dev/@connections/{made.id}", content=b"x")).status_code == 404


async def test_without_keys_nobody_may(start_service: Start, virtual_settings: Settings, connect: Any) -> None:
    changed = virtual_settings.replace(virtual_management_keys=(), virtual_management_secrets=Secret(""))
    service = await start_service(changed)
    made = await connect(service.client)
    client = boto(f"{service.url}/prod")
    assert (await refused(client.get_connection, ConnectionId=made.id))[0] == 403


async def test_the_second_listener_believes_everybody_and_serves_nothing_else(
    start_service: Start, virtual_settings: Settings, connect: Any
) -> None:
    service = await start_service(virtual_settings.replace(virtual_management_bind="127.0.0.1:0"))
    made = await connect(service.client)
    trusted = f"http://127.0.0.1:{service.app.state.services.virtual.listener.port}"
    client = boto(f"{trusted}/prod", key="ASIATEMPORARY", secret="whatever", token="whatever")
    async with made.stream() as stream:
        await asyncio.to_thread(client.post_to_connection, ConnectionId=made.id, Data=b"hello")
        assert await stream.texts(1) == ["hello"]
    async with httpx.AsyncClient() as plain:
        for path in ("/healthz", "/prod", "/dev/@connections/x", made.opened["streamPath"]):
            assert (await plain.get(trusted + path)).status_code == 403
        assert (await plain.post(f"{trusted}/prod/@connections/{made.id}", content=b"x")).status_code == 200
    # The service's own port still wants a signature.
    assert (await service.client.post(f"/prod/@connections/{made.id}", content=b"x")).status_code == 403


async def test_while_connect_runs_a_post_is_gone_and_in_a_message_it_arrives(
    service: Any, connect: Any, app: Any
) -> None:
    """The connection is pending until `$connect` has answered."""
    made = await connect(service.client)
    assert app.early == 1
    await made.send(json.dumps({"action": "echo"}))
    async with made.stream() as stream:
        assert len(await stream.texts(2)) == 2


async def test_connections_that_are_elsewhere(
    start_service: Start, virtual_settings: Settings, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While some clients are still on API Gateway, handlers post to one address: what is not here goes there."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY_SECRET)
    other = await start_service(virtual_settings)
    gone = "AAAAAAAAAAAAAAA="
    here = await start_service(virtual_settings.replace(virtual_management_forward_url=f"{other.url}/prod"))
    there, own = await connect(other.client, "bob"), await connect(here.client)
    client = boto(f"{here.url}/prod")
    async with there.stream() as far, own.stream() as near:
        await asyncio.to_thread(client.post_to_connection, ConnectionId=there.id, Data="over there")
        await asyncio.to_thread(client.post_to_connection, ConnectionId=own.id, Data="here")
        assert await far.texts(1) == ["over there"]
        assert await near.texts(1) == ["here"]
        seen = await asyncio.to_thread(client.get_connection, ConnectionId=there.id)
        assert isinstance(seen["ConnectedAt"], datetime)
        assert seen["Identity"]["SourceIp"] == "127.0.0.1"
        assert await refused(client.post_to_connection, ConnectionId=gone, Data="x") == (410, "GoneException")
        await asyncio.to_thread(client.delete_connection, ConnectionId=there.id)
        await far.frame("close")
    await other.stop()
    status, _ = await refused(client.post_to_connection, ConnectionId=gone, Data="x")
    assert status == 503  # not 410: the row of somebody who is there would be deleted
