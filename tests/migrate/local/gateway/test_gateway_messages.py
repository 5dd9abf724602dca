"""Routes and messages through real sockets (issue 2, "Bad input"; rows RC, CL6). until phase 3"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from gateway_support import Api, FakeInvoker, HandlerError, lambda_uri, say
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from migrate.local.gateway import LocalGateway
from sse_service.connections.limits import AWS_LIMITS


async def test_routes_and_default(chat: Api, invoker: FakeInvoker) -> None:
    """A message takes the route its action names, anything else `$default`; text that is no JSON, too
    (CL6)."""
    async with chat.connect() as client:
        assert await say(client, action="echo", text="hi") == "hi"
        assert json.loads((await say(client, action="other")).removeprefix("default:")) == {"action": "other"}
        await client.send("no json at all")
        assert await client.recv() == "default:no json at all"


@pytest.mark.parametrize("action", ["$connect", "$disconnect"])
async def test_a_body_cannot_choose_connect(chat: Api, invoker: FakeInvoker, action: str) -> None:
    """`{"action": "$connect"}` goes to `$default`; the connect function runs once per connection."""
    async with chat.connect() as client:
        assert (await say(client, action=action)).startswith("default:")
    await invoker.wait_for("disconnect")
    assert len(invoker.events("connect")) == 1
    assert len(invoker.events("disconnect")) == 1


async def test_unknown_action_without_default_is_forbidden(new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """No route and no `$default`: an error frame with connection and request id; the connection lives on."""
    invoker.functions["echo"] = lambda event: {"statusCode": 200, "body": "pong"}
    api = new_api()
    api.route("echo", api.integration("echo"), two_way=True)
    await api.deploy()
    async with api.connect() as client:
        for message in (json.dumps({"action": "nope"}), "no json"):
            await client.send(message)
            frame = json.loads(await client.recv())
            assert frame["message"] == "Forbidden"
            assert set(frame) == {"message", "connectionId", "requestId"}
        assert await say(client, action="echo") == "pong"


async def test_message_event(chat: Api, invoker: FakeInvoker, gateway: LocalGateway) -> None:
    """The complete requestContext; connectedAt is the same in every event of the connection."""
    async with chat.connect(
        "?x=1", additional_headers={"Authorization": "Bearer t"}, user_agent_header="me/1"
    ) as client:
        await say(client, action="echo", text="a")
        await say(client, action="echo", text="b")
    await invoker.wait_for("disconnect")
    connected, (first, second) = invoker.events("connect")[0], invoker.events("echo")
    context = first["requestContext"]
    assert set(first) == {"requestContext", "body", "isBase64Encoded"}
    assert set(context) == {
        "routeKey",
        "messageId",
        "eventType",
        "extendedRequestId",
        "requestTime",
        "messageDirection",
        "stage",
        "connectedAt",
        "requestTimeEpoch",
        "identity",
        "requestId",
        "domainName",
        "connectionId",
        "apiId",
    }
    assert context["domainName"] == f"127.0.0.1:{gateway.tls_port}"
    assert (context["apiId"], context["stage"], context["routeKey"]) == (chat.api_id, "prod", "echo")
    assert context["identity"] == {"userAgent": "me/1", "sourceIp": "127.0.0.1"}
    assert connected["headers"]["Authorization"] == "Bearer t"
    assert connected["queryStringParameters"] == {"x": "1"}
    every = [connected, first, second, invoker.events("disconnect")[0]]
    assert len({event["requestContext"]["connectedAt"] for event in every}) == 1
    assert len({event["requestContext"]["connectionId"] for event in every}) == 1
    assert len({event["requestContext"]["requestId"] for event in every}) == 4
    assert first["requestContext"]["messageId"] != second["requestContext"]["messageId"]


async def test_without_a_route_response_nothing_comes_back(new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """One-way route: a body stays inside, whatever its status."""
    invoker.functions.update(
        one=lambda event: {"statusCode": 200, "body": "inside"}, bad=lambda event: {"statusCode": 500, "body": "inside"}
    )
    invoker.functions["two"] = lambda event: {"statusCode": 418, "body": "outside"}
    api = new_api()
    for name in ("one", "bad", "two"):
        api.route(name, api.integration(name), two_way=name == "two")
    await api.deploy()
    async with api.connect() as client:
        await client.send('{"action": "one"}')
        await client.send('{"action": "bad"}')
        assert await say(client, action="two") == "outside"


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        ("raises", "Internal server error"),
        ("none", "Internal server error"),
        ("text", "Internal server error"),
        ("object_body", "Internal server error"),
        ("missing", "Internal server error"),
        ("slow", "Endpoint request timed out"),
    ],
)
async def test_failing_integrations(new_api: Callable[..., Api], invoker: FakeInvoker, handler: str, text: str) -> None:
    """An error frame without a word of the handler's; also on a one-way route; the connection lives on."""

    def raises(event: dict[str, Any]) -> None:
        raise HandlerError("secret: password=1234")

    invoker.functions.update(
        raises=raises,
        none=lambda event: None,
        text=lambda event: "Hello",
        object_body=lambda event: {"statusCode": 200, "body": {"a": 1}},
        slow=lambda event: asyncio.sleep(30, {"statusCode": 200}),
        fine=lambda event: {"statusCode": 200, "body": "fine"},
    )
    api = new_api()
    api.route("go", api.integration(handler, TimeoutInMillis=100 if handler == "slow" else 29000))
    api.route("fine", api.integration("fine"), two_way=True)
    await api.deploy()
    async with api.connect() as client:
        raw = await say(client, action="go")
        assert json.loads(raw)["message"] == text
        assert "secret" not in raw
        assert await say(client, action="fine") == "fine"


async def test_a_route_without_integration(new_api: Callable[..., Api]) -> None:
    """A target that is missing or dangling is the API's mistake: Internal server error."""
    api = new_api()
    api.route("none", None)
    api.route("dangling", "integrations/deadbeef")
    await api.deploy()
    async with api.connect() as client:
        for action in ("none", "dangling"):
            assert json.loads(await say(client, action=action))["message"] == "Internal server error"


async def test_messages_of_one_connection_run_at_the_same_time(chat: Api, invoker: FakeInvoker) -> None:
    """A slow message does not hold up the next one, as on AWS."""
    gate = asyncio.Event()

    async def slow(event: dict[str, Any]) -> dict[str, Any]:
        await gate.wait()
        return {"statusCode": 200, "body": "slow"}

    invoker.functions["default"] = slow
    async with chat.connect() as client:
        await client.send("wait")
        assert await say(client, action="echo", text="fast") == "fast"
        gate.set()
        assert await client.recv() == "slow"


async def test_back_pressure(start_gateway: Any, new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """No more invocations at once than allowed; what waits is not lost."""
    gateway = await start_gateway(limits=replace(AWS_LIMITS, in_flight=3))
    release = asyncio.Event()

    async def held(event: dict[str, Any]) -> dict[str, Any]:
        await release.wait()
        return {"statusCode": 200, "body": event["body"]}

    invoker.functions["held"] = held
    api = new_api(on=gateway)
    api.route("$default", api.integration("held"), two_way=True)
    await api.deploy()
    async with api.connect() as client:
        for number in range(200):
            await client.send(f"m{number}")
        await invoker.wait_for("held", 3)
        await asyncio.sleep(0.05)
        assert len(invoker.events("held")) == 3
        release.set()
        assert sorted([str(await client.recv()) for _ in range(200)]) == sorted(f"m{number}" for number in range(200))
    assert invoker.most_running == 3


# --- sizes and frame types -------------------------------------------------------------------------------


async def closed_with(client: Any) -> tuple[int, str]:
    with pytest.raises(ConnectionClosedError) as caught:
        await asyncio.wait_for(client.recv(), 5)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


def fragments(size: int, frame: int) -> list[str]:
    return ["x" * min(frame, size - start) for start in range(0, size, frame)]


@pytest.mark.parametrize("secure", [False, True])
async def test_message_over_128_kb_closes_with_1009(
    chat: Api, secure: bool, certificate: Any, invoker: FakeInvoker
) -> None:
    """In frames of 32 KB, 128 KB pass; one byte more closes with 1009, and `$disconnect` says so."""
    async with connect_to(chat, secure, certificate) as client:
        await client.send(fragments(131072, 32768))
        assert len(str(await client.recv())) == 131072 + len("default:")
        await client.send(fragments(131073, 32768))
        assert (await closed_with(client))[0] == 1009
    event = (await invoker.wait_for("disconnect"))[0]
    assert event["requestContext"]["disconnectStatusCode"] == 1009


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("size", [32769, 33 * 1024, 129 * 1024, 3_000_000])
async def test_frame_over_32_kb_closes_with_1009(chat: Api, size: int, secure: bool, certificate: Any) -> None:
    """A single frame of more than 32 KB, also one so large that the client is still sending when we
    object."""
    async with connect_to(chat, secure, certificate) as client:
        await client.send("x" * 32768)
        assert len(str(await client.recv())) == 32768 + len("default:")
        with contextlib.suppress(ConnectionClosedError):
            await client.send("x" * size)
        assert (await closed_with(client))[0] == 1009


def connect_to(api: Api, secure: bool, certificate: Any) -> Any:
    if not secure:
        return connect(api.url, max_size=None)
    return connect(api.tls_url, max_size=None, ssl=ssl.create_default_context(cafile=certificate[0]))


async def test_binary_frame_closes_with_1003(chat: Api, invoker: FakeInvoker) -> None:
    """ "If a client app sends a binary frame, API Gateway rejects it and disconnects the client with code
    1003"."""
    async with chat.connect() as client:
        await client.send(b"\x00\x01")
        assert (await closed_with(client))[0] == 1003
    assert not invoker.events("default")


async def test_invalid_utf8_closes_with_1007(chat: Api) -> None:
    """RFC 6455, 8.1."""
    async with chat.connect() as client:
        await client.send(b"\xff\xfe", text=True)
        assert (await closed_with(client))[0] == 1007


async def test_protocol_error_closes_with_1002(chat: Api) -> None:
    """An unmasked frame is a protocol error."""
    async with chat.connect() as client:
        client.transport.write(b"\x81\x01a")
        assert (await closed_with(client))[0] == 1002


async def test_ping_is_answered(chat: Api) -> None:
    """A ping of the client's gets its pong."""
    async with chat.connect(ping_interval=None) as client:
        await asyncio.wait_for(await client.ping(b"abc"), 5)


async def test_fragmented_text_is_one_message(chat: Api) -> None:
    """Frames may split a character."""
    async with chat.connect() as client:
        encoded = "日本語".encode()
        await client.send([encoded[:2], encoded[2:4], encoded[4:]], text=True)
        assert await client.recv() == "default:日本語"


async def test_compression_is_not_negotiated(chat: Api) -> None:
    """permessage-deflate is declined."""
    async with chat.connect(compression="deflate") as client:
        assert client.response is not None
        assert "Sec-WebSocket-Extensions" not in client.response.headers
        assert await say(client, action="echo", text="a" * 1000) == "a" * 1000


# --- other integrations ----------------------------------------------------------------------------------


async def test_mock_integration(new_api: Callable[..., Api]) -> None:
    """A mock answers from its templates, without a back end; without a request template it is
    misconfigured."""
    api = new_api()
    good = api.client.create_integration(
        ApiId=api.api_id, IntegrationType="MOCK", RequestTemplates={"$default": '{"statusCode": 200}'}
    )["IntegrationId"]
    api.client.create_integration_response(
        ApiId=api.api_id,
        IntegrationId=good,
        IntegrationResponseKey="$default",
        ResponseTemplates={"$default": '{"pong":"$context.connectionId"}'},
    )
    bad = api.client.create_integration(ApiId=api.api_id, IntegrationType="MOCK")["IntegrationId"]
    api.route("$connect", f"integrations/{good}")
    api.route("ping", f"integrations/{good}", two_way=True)
    api.route("bad", f"integrations/{bad}")
    await api.deploy()
    async with api.connect() as client:
        assert set(json.loads(await say(client, action="ping"))) == {"pong"}
        assert json.loads(await say(client, action="bad"))["message"] == "Internal server error"


async def test_lambda_custom_integration(new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """Without a proxy the message itself is the function's event, and its answer is passed on as it is."""
    invoker.functions["custom"] = lambda event: {"got": event}
    api = new_api()
    api.route("$default", api.integration("custom", IntegrationType="AWS"), two_way=True)
    await api.deploy()
    async with api.connect() as client:
        assert json.loads(await say(client, a=1)) == {"got": {"a": 1}}
        await client.send("no json")
        assert json.loads(await client.recv())["message"] == "Internal server error"


async def test_http_proxy_integration(new_api: Callable[..., Api]) -> None:
    """The message is posted to the URL; connection ids go along as mapped headers."""
    seen: list[tuple[str, str]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(
            next(line.split(":")[1] for line in head.splitlines() if line.lower().startswith("content-length"))
        )
        seen.append((head, (await reader.readexactly(length)).decode()))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nthere")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    api = new_api()
    made = api.client.create_integration(
        ApiId=api.api_id,
        IntegrationType="HTTP_PROXY",
        IntegrationMethod="POST",
        IntegrationUri="http://127.0.0.1:${stageVariables.port}/hook",
        RequestParameters={"integration.request.header.X-Connection": "context.connectionId"},
    )
    api.route("$default", f"integrations/{made['IntegrationId']}", two_way=True)
    await api.deploy(StageVariables={"port": str(port)})
    async with api.connect() as client:
        await client.send("hello")
        assert await client.recv() == "there"
    assert seen[0][0].startswith("POST /hook HTTP/1.1")
    assert "X-Connection: " in seen[0][0]
    assert seen[0][1] == "hello"
    server.close()


async def test_stage_variables_choose_the_function(new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """`${stageVariables.name}` in a Lambda URI, and stageVariables in the event."""
    invoker.functions["chosen"] = lambda event: {"statusCode": 200, "body": json.dumps(event["stageVariables"])}
    api = new_api()
    made = api.client.create_integration(
        ApiId=api.api_id, IntegrationType="AWS_PROXY", IntegrationUri=lambda_uri("${stageVariables.fn}")
    )
    api.route("$default", f"integrations/{made['IntegrationId']}", two_way=True)
    await api.deploy(StageVariables={"fn": "chosen"})
    async with api.connect() as client:
        await client.send("x")
        assert json.loads(await client.recv()) == {"fn": "chosen"}


async def test_throttling(new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """A route's own burst: the message beyond it is answered with an error frame, connects beyond it with
    429."""
    invoker.functions["echo"] = lambda event: {"statusCode": 200, "body": "ok"}
    api = new_api()
    api.route("echo", api.integration("echo"), two_way=True)
    await api.deploy(
        RouteSettings={
            "echo": {"ThrottlingRateLimit": 0.001, "ThrottlingBurstLimit": 2},
            "$connect": {"ThrottlingRateLimit": 0.001, "ThrottlingBurstLimit": 1},
        }
    )
    async with api.connect() as client:
        answers = [await say(client, action="echo") for _ in range(3)]
        assert answers[:2] == ["ok", "ok"]
        assert json.loads(answers[2])["message"] == "Too Many Requests"
        with pytest.raises(InvalidStatus) as caught:
            await api.connect()
        assert caught.value.response.status_code == 429


async def test_an_unexpected_failure_is_answered(
    chat: Api, invoker: FakeInvoker, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake of ours (here: of the invoker's) becomes an error frame or a 500, and a line in the log."""
    async with chat.connect() as client:
        invoker.functions["echo"] = lambda event: 1 / 0
        assert json.loads(await say(client, action="echo"))["message"] == "Internal server error"
        invoker.functions["connect"] = lambda event: 1 / 0
        with pytest.raises(InvalidStatus) as caught:
            await chat.connect()
        assert caught.value.response.status_code == 500
        assert (await say(client, action="other")).startswith("default:")
    assert [record.getMessage().split(",")[0] for record in caplog.records if record.exc_info] == [
        "a message failed",
        "a handshake failed",
    ]


async def test_many_clients(chat: Api, invoker: FakeInvoker) -> None:
    """A hundred connections at once, each gets its own answers in full."""

    async def one(number: int) -> list[str]:
        async with chat.connect() as client:
            return [await say(client, action="echo", text=f"{number}-{turn}") for turn in range(5)]

    answers = await asyncio.gather(*(one(number) for number in range(100)))
    assert answers == [[f"{number}-{turn}" for turn in range(5)] for number in range(100)]
    await invoker.wait_for("disconnect", 100)
    assert chat.gateway.connection_count == 0
