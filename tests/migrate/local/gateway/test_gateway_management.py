"""@connections through boto3, and what the client sees of it (CL3, MG11; issue 2, "Bad input"). until phase 3"""

import asyncio
import datetime
import http.client
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from gateway_support import REGION, Api, FakeInvoker, aws_client, build_chat, say
from websockets.exceptions import ConnectionClosedOK

from migrate.local.gateway import LocalGateway
from migrate.local.gateway.management import as_text

CLOSED_ID = "AAAAAAAAAAAAAAA="


async def call(function: Callable[..., Any], **arguments: Any) -> Any:
    return await asyncio.to_thread(function, **arguments)


async def refused(function: Callable[..., Any], **arguments: Any) -> ClientError:
    with pytest.raises(ClientError) as caught:
        await call(function, **arguments)
    return caught.value


def only_connection(invoker: FakeInvoker) -> str:
    return str(invoker.events("connect")[-1]["requestContext"]["connectionId"])


async def test_post(chat: Api, invoker: FakeInvoker) -> None:
    """Posted data arrives as a text frame, also from `https://{domainName}/{stage}` as handlers build it."""
    async with chat.connect() as client:
        connection = only_connection(invoker)
        await call(chat.management().post_to_connection, ConnectionId=connection, Data=b'{"a": 1}')
        assert await client.recv() == '{"a": 1}'


async def test_post_over_tls_to_the_events_domain(chat: Api, invoker: FakeInvoker, certificate: Any) -> None:
    """`https://{domainName}/{stage}` unmodified."""
    async with chat.connect() as client:
        context = invoker.events("connect")[-1]["requestContext"]
        management = aws_client(
            "apigatewaymanagementapi", f"https://{context['domainName']}/{context['stage']}", verify=str(certificate[0])
        )
        await call(management.post_to_connection, ConnectionId=context["connectionId"], Data="日本".encode())
        assert await client.recv() == "日本"


async def test_post_through_the_apis_own_path(chat: Api, invoker: FakeInvoker, gateway: LocalGateway) -> None:
    """`/{api}/{stage}/@connections/{id}`, as a script would build it from ApiEndpoint."""
    async with chat.connect() as client:
        management = aws_client(
            "apigatewaymanagementapi", f"http://127.0.0.1:{gateway.port}/{chat.api_id}/{chat.stage}"
        )
        await call(management.post_to_connection, ConnectionId=only_connection(invoker), Data=b"x")
        assert await client.recv() == "x"


async def test_large_posts_come_in_frames_of_32_kb(chat: Api, invoker: FakeInvoker) -> None:
    """128 KB pass, in four frames; a byte more is 413 PayloadTooLargeException and sends nothing."""
    async with chat.connect(max_size=None) as client:
        connection, management = only_connection(invoker), chat.management()
        await call(management.post_to_connection, ConnectionId=connection, Data=b"x" * 131072)
        frames = [len(part) async for part in client.recv_streaming()]
        assert frames == [32768] * 4
        too_long = await refused(management.post_to_connection, ConnectionId=connection, Data=b"x" * 131073)
        assert isinstance(too_long, management.exceptions.PayloadTooLargeException)
        assert too_long.response["ResponseMetadata"]["HTTPStatusCode"] == 413
        assert await say(client, action="echo", text="still here") == "still here"


async def test_a_body_of_many_megabytes_is_413_too(chat: Api, invoker: FakeInvoker) -> None:
    """Read to its end and refused."""
    async with chat.connect():
        management = chat.management()
        error = await refused(
            management.post_to_connection, ConnectionId=only_connection(invoker), Data=b"x" * 12_000_000
        )
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 413


async def test_get(chat: Api, invoker: FakeInvoker) -> None:
    """ConnectedAt, LastActiveAt and Identity in the shape that boto3 parses."""
    async with chat.connect(user_agent_header="me/1") as client:
        connection, management = only_connection(invoker), chat.management()
        first = await call(management.get_connection, ConnectionId=connection)
        event = invoker.events("connect")[-1]["requestContext"]
        assert first["ConnectedAt"] == datetime.datetime.fromtimestamp(event["connectedAt"] / 1000, datetime.UTC)
        assert first["Identity"] == {"SourceIp": "127.0.0.1", "UserAgent": "me/1"}
        await asyncio.sleep(0.01)
        await say(client, action="echo", text="x")
        second = await call(management.get_connection, ConnectionId=connection)
        assert second["ConnectedAt"] == first["ConnectedAt"]
        assert second["LastActiveAt"] > first["LastActiveAt"]


async def test_delete(chat: Api, invoker: FakeInvoker) -> None:
    """The client sees a normal close, `$disconnect` says 1000, and the id is gone."""
    async with chat.connect() as client:
        connection, management = only_connection(invoker), chat.management()
        answer = await call(management.delete_connection, ConnectionId=connection)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
        with pytest.raises(ConnectionClosedOK):
            await client.recv()
        gone = await refused(management.get_connection, ConnectionId=connection)
        assert isinstance(gone, management.exceptions.GoneException)
    context = (await invoker.wait_for("disconnect"))[0]["requestContext"]
    assert (context["disconnectStatusCode"], context["disconnectReason"]) == (1000, "Connection Closed Normally")


async def test_gone(chat: Api, invoker: FakeInvoker) -> None:
    """410 GoneException for an id that was, and for one that never was; each operation."""
    async with chat.connect():
        connection = only_connection(invoker)
    await invoker.wait_for("disconnect")
    management = chat.management()
    for identifier in (connection, CLOSED_ID):
        for operation, more in (
            ("post_to_connection", {"Data": b"x"}),
            ("get_connection", {}),
            ("delete_connection", {}),
        ):
            error = await refused(getattr(management, operation), ConnectionId=identifier, **more)
            assert isinstance(error, management.exceptions.GoneException)
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 410


async def test_gone_until_connect_has_returned(new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """Posting from inside `$connect` is 410: "A message was posted ... before the connection was
    established"."""
    api = new_api()
    errors: list[ClientError] = []

    async def connect_handler(event: dict[str, Any]) -> dict[str, Any]:
        identifier = event["requestContext"]["connectionId"]
        errors.append(await refused(api.management().post_to_connection, ConnectionId=identifier, Data=b"x"))
        return {"statusCode": 200}

    invoker.functions["hello"] = connect_handler
    api.route("$connect", api.integration("hello"))
    await api.deploy()
    async with api.connect():
        pass
    assert [error.response["Error"]["Code"] for error in errors] == ["GoneException"]


async def test_invalid_id_is_a_bad_request(chat: Api) -> None:
    """What has not the form of an id: "Invalid connectionId"."""
    error = await refused(chat.management().post_to_connection, ConnectionId="not-an-id", Data=b"x")
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert error.response["Error"] == {"Message": "Invalid connectionId: not-an-id", "Code": "BadRequestException"}


async def test_wrong_stage_or_api_is_forbidden(
    chat: Api, new_api: Callable[..., Api], invoker: FakeInvoker, gateway: LocalGateway
) -> None:
    """A connection is reached through its own stage and API only."""
    other = await build_chat(new_api(), invoker)
    base = f"http://127.0.0.1:{gateway.port}"
    async with chat.connect():
        connection = only_connection(invoker)
        for path in ("/beta", f"/{other.api_id}/prod", "/nope1234/prod"):
            management = aws_client("apigatewaymanagementapi", base + path)
            error = await refused(management.post_to_connection, ConnectionId=connection, Data=b"x")
            assert isinstance(error, management.exceptions.ForbiddenException), path
        no_stage = await refused(
            aws_client("apigatewaymanagementapi", base).post_to_connection, ConnectionId=connection, Data=b"x"
        )
        assert no_stage.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def raw(gateway: LocalGateway, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=5)
    try:
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else {}
    finally:
        connection.close()


async def test_unsigned_requests_are_forbidden(chat: Api, invoker: FakeInvoker, gateway: LocalGateway) -> None:
    """ "These requests use IAM authorization, so you must sign them"."""
    async with chat.connect():
        path = f"/prod/@connections/{only_connection(invoker)}"
        assert await asyncio.to_thread(raw, gateway, "POST", path, b"x") == (
            403,
            {"message": "Missing Authentication Token"},
        )
        status, _ = await asyncio.to_thread(raw, gateway, "POST", path, b"x", Authorization="Basic eA==")
        assert status == 403


async def test_encoded_and_host_addresses(chat: Api, invoker: FakeInvoker, gateway: LocalGateway) -> None:
    """`%40connections` and `%3D`, as the page's awscurl example has them, and AWS's own host names."""
    signed = "AWS4-HMAC-SHA256 Credential=x"
    async with chat.connect() as client:
        connection = only_connection(invoker).replace("=", "%3D")
        assert (
            await asyncio.to_thread(
                raw, gateway, "POST", f"/prod/%40connections/{connection}", b"one", Authorization=signed
            )
        )[0] == 200
        assert (
            await asyncio.to_thread(
                raw,
                gateway,
                "POST",
                f"/prod/@connections/{connection}",
                b"two",
                Authorization=signed,
                Host=f"{chat.api_id}.execute-api.{REGION}.amazonaws.com",
            )
        )[0] == 200
        assert [await client.recv(), await client.recv()] == ["one", "two"]
        status, _ = await asyncio.to_thread(
            raw,
            gateway,
            "POST",
            f"/prod/@connections/{connection}",
            b"x",
            Authorization=signed,
            Host="zzz.execute-api.x",
        )
        assert status == 403


async def test_rate_limit(start_gateway: Any, new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """429 LimitExceededException beyond the configured rate."""
    gateway = await start_gateway(management_rate=1.0)
    api = await build_chat(new_api(on=gateway), invoker)
    async with api.connect():
        management = api.management()
        connection = only_connection(invoker)
        await call(management.get_connection, ConnectionId=connection)
        error = await refused(management.get_connection, ConnectionId=connection)
        assert isinstance(error, management.exceptions.LimitExceededException)
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 429


async def test_full_client_buffer_is_429(start_gateway: Any, new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """A client that does not read: "the WebSocket client side buffer is full"; it gets what fitted."""
    gateway = await start_gateway(client_buffer_bytes=100_000)
    api = await build_chat(new_api(on=gateway), invoker)
    async with api.connect(max_size=None, max_queue=1) as client:
        management, connection = api.management(), only_connection(invoker)
        deadline = time.monotonic() + 20
        sent = 0
        while True:
            assert time.monotonic() < deadline
            try:
                await call(management.post_to_connection, ConnectionId=connection, Data=b"x" * 131072)
                sent += 1
            except management.exceptions.LimitExceededException:
                break
        for _ in range(sent):
            assert len(str(await asyncio.wait_for(client.recv(), 5))) == 131072


async def test_keep_alive_and_pipelining(chat: Api, invoker: FakeInvoker, gateway: LocalGateway) -> None:
    """Several requests on one connection, also sent at once, are answered in order."""
    async with chat.connect() as client:
        path = f"/prod/@connections/{only_connection(invoker)}"
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: AWS4-x\r\nContent-Length: 1\r\n\r\n"
        writer.write("".join(head + str(number) for number in range(5)).encode())
        for _ in range(5):
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            assert answer.startswith(b"HTTP/1.1 200 ")
        assert [await client.recv() for _ in range(5)] == ["0", "1", "2", "3", "4"]
        writer.close()


async def test_health(gateway: LocalGateway) -> None:
    status, body = await asyncio.to_thread(raw, gateway, "GET", "/_gateway/health")
    assert (status, body) == (200, {"status": "running", "connections": 0})


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"ok", b"ok"), ("日本".encode(), "日本".encode()), (b"a\xffb", "a\ufffdb".encode()), (b"", b"")],
)
def test_posted_bytes_become_text(data: bytes, text: bytes) -> None:
    """There are no binary frames: what is no UTF-8 is replaced."""
    assert as_text(data) == text
