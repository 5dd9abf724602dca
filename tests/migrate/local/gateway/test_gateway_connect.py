"""Handshakes: authorizers, `$connect`, subprotocols, addresses (issue 2, "Bad input"; WL4). until phase 3"""

import asyncio
import io
import json
import logging
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from gateway_support import ACCOUNT, REGION, Api, FakeInvoker, HandlerError, build_chat, function_arn, say
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from migrate.local.gateway import LocalGateway


async def refused(handshake: Any) -> tuple[int, dict[str, Any]]:
    """Status and JSON body of a handshake that must fail."""
    with pytest.raises(InvalidStatus) as caught:
        await handshake
    response = caught.value.response
    return response.status_code, json.loads(response.body or b"{}")


def allow(event: dict[str, Any], effect: str = "Allow", **context: Any) -> dict[str, Any]:
    return {
        "principalId": "alice",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": "execute-api:Invoke", "Effect": effect, "Resource": event["methodArn"]}],
        },
        "context": context,
    }


async def guarded(api: Api, invoker: FakeInvoker, authorizer: Any, sources: list[str]) -> Api:
    invoker.functions.update(
        auth=authorizer, connect=lambda event: {"statusCode": 200}, echo=lambda event: {"statusCode": 200, "body": "ok"}
    )
    api.route(
        "$connect", api.integration("connect"), AuthorizationType="CUSTOM", AuthorizerId=api.authorizer("auth", sources)
    )
    api.route("echo", api.integration("echo"), two_way=True)
    await api.deploy()
    return api


async def test_missing_identity_source_is_401_without_a_call(new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """Token missing: 401, and the authorizer function is not invoked."""
    api = await guarded(new_api(), invoker, allow, ["route.request.querystring.token"])
    for query in ("", "?token="):
        status, body = await refused(api.connect(query))
        assert status == 401
        assert body["message"] == "Unauthorized"
    assert invoker.calls == []
    async with api.connect("?token=t") as client:
        assert await say(client, action="echo") == "ok"


async def test_authorizer_context_reaches_every_event(new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """Values arrive as strings, with principalId, in `$connect`'s event and in the messages'."""
    api = await guarded(new_api(), invoker, lambda event: allow(event, tenantId="t", n=1, flag=True), [])
    async with api.connect("?token=secret") as client:
        await say(client, action="echo")
    expected = {"principalId": "alice", "tenantId": "t", "n": "1", "flag": "true"}
    assert invoker.events("connect")[0]["requestContext"]["authorizer"] == expected
    assert invoker.events("echo")[0]["requestContext"]["authorizer"] == expected
    asked = invoker.events("auth")[0]
    assert asked["type"] == "REQUEST"
    assert asked["methodArn"] == f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api.api_id}/prod/$connect"
    assert asked["queryStringParameters"] == {"token": "secret"}


def _raise(message: str) -> Any:
    raise HandlerError(message)


@pytest.mark.parametrize(
    ("authorizer", "status"),
    [
        (lambda event: allow(event, "Deny"), 403),
        (lambda event: {**allow(event), "policyDocument": {"Statement": []}}, 403),
        (lambda event: _raise("Unauthorized"), 401),
        (lambda event: _raise("database password is hunter2"), 500),
        (lambda event: allow(event, nested={"a": 1}), 500),
        (lambda event: allow(event, big="x" * 9000), 500),
        (lambda event: None, 500),
    ],
)
async def test_authorizer_refusals(
    new_api: Callable[..., Api], invoker: FakeInvoker, authorizer: Any, status: int
) -> None:
    """Deny 403, "Unauthorized" 401, everything else 500; `$connect` does not run and nothing leaks."""
    api = await guarded(new_api(), invoker, authorizer, [])
    got, body = await refused(api.connect("?token=t"))
    assert got == status
    assert set(body) == {"message", "connectionId", "requestId"}
    assert "hunter2" not in json.dumps(body)
    assert invoker.events("connect") == []


async def test_authorizer_that_does_not_exist_is_500(new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """A function that was deleted."""
    api = await guarded(new_api(), invoker, allow, [])
    del invoker.functions["auth"]
    assert (await refused(api.connect()))[0] == 500


@pytest.mark.parametrize(
    ("handler", "status"),
    [
        (lambda event: {"statusCode": 400}, 400),
        (lambda event: {"statusCode": 403, "body": "inside"}, 403),
        (lambda event: {"statusCode": 500}, 500),
        (lambda event: _raise("boom"), 502),
        (lambda event: None, 502),
        (lambda event: asyncio.sleep(30, {"statusCode": 200}), 504),
    ],
)
async def test_connect_integration_decides(
    new_api: Callable[..., Api], invoker: FakeInvoker, handler: Any, status: int
) -> None:
    """No connection without a 2xx of `$connect`; nobody is told of a disconnect that had no connect."""
    invoker.functions.update(connect=handler, disconnect=lambda event: {"statusCode": 200})
    api = new_api()
    api.route("$connect", api.integration("connect", TimeoutInMillis=100))
    api.route("$disconnect", api.integration("disconnect"))
    await api.deploy()
    got, body = await refused(api.connect())
    assert got == status
    assert "inside" not in json.dumps(body) and "boom" not in json.dumps(body)
    assert api.gateway.connection_count == 0
    assert invoker.events("disconnect") == []


async def test_api_without_connect_route_accepts(new_api: Callable[..., Api]) -> None:
    """ "Setting up an integration for $connect is optional"."""
    api = new_api()
    await api.deploy()
    async with api.connect():
        assert api.gateway.connection_count == 1


async def test_subprotocol(new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """The page "Set up a $connect route that requires a WebSocket subprotocol", its handler in Python."""

    def handler(event: dict[str, Any]) -> dict[str, Any]:
        wanted = {name.lower(): value for name, value in event["headers"].items()}.get("sec-websocket-protocol", "")
        if "myprotocol" in [part.strip() for part in wanted.split(",")]:
            return {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "myprotocol"}}
        return {"statusCode": 400}

    invoker.functions["connect"] = handler
    api = new_api()
    api.route("$connect", api.integration("connect"))
    await api.deploy()
    async with api.connect(subprotocols=["other", "myprotocol"]) as client:  # type: ignore[list-item]
        assert client.subprotocol == "myprotocol"
    assert (await refused(api.connect(subprotocols=["chat1"])))[0] == 400  # type: ignore[list-item]


async def test_subprotocol_is_not_made_up(chat: Api) -> None:
    """A `$connect` that says nothing of a protocol leaves the header out."""
    async with chat.connect(subprotocols=["chat"]) as client:  # type: ignore[list-item]
        assert client.subprotocol is None


async def test_iam_authorization_needs_a_signature(new_api: Callable[..., Api]) -> None:
    """AWS_IAM: an unsigned handshake is refused (signatures themselves are not verified here)."""
    api = new_api()
    mock = api.client.create_integration(
        ApiId=api.api_id, IntegrationType="MOCK", RequestTemplates={"$default": '{"statusCode": 200}'}
    )
    api.route("$connect", f"integrations/{mock['IntegrationId']}", AuthorizationType="AWS_IAM")
    await api.deploy()
    status, body = await refused(api.connect())
    assert (status, body["message"]) == (403, "Missing Authentication Token")
    async with api.connect(additional_headers={"Authorization": "AWS4-HMAC-SHA256 Credential=x"}):
        pass
    async with api.connect("?X-Amz-Signature=abc"):
        pass


# --- addresses -------------------------------------------------------------------------------------------


async def test_addresses(chat: Api, certificate: Any, gateway: LocalGateway) -> None:
    """`/{api}/{stage}`, a trailing slash, TLS, and AWS's own form by Host header."""
    trusted = ssl.create_default_context(cafile=certificate[0])
    host = {"Host": f"{chat.api_id}.execute-api.{REGION}.amazonaws.com"}
    for attempt in (
        connect(chat.url),
        connect(chat.url + "/"),
        connect(chat.tls_url, ssl=trusted),
        connect(f"ws://127.0.0.1:{gateway.port}/prod", additional_headers=host),
    ):
        async with attempt as client:
            assert await say(client, action="echo", text="hi") == "hi"


@pytest.mark.parametrize(
    "path", ["/", "/{api}", "/{api}/nope", "/nope1234/prod", "/{api}/prod/more", "/{api}/%70rod/x"]
)
async def test_wrong_addresses_are_403(chat: Api, gateway: LocalGateway, path: str) -> None:
    """Neither an API nor a stage that does not exist is told apart from one that is forbidden."""
    status, body = await refused(connect(f"ws://127.0.0.1:{gateway.port}{path.format(api=chat.api_id)}"))
    assert (status, body["message"]) == (403, "Forbidden")


async def test_url_too_long_is_414(chat: Api) -> None:
    """4,096 characters at most (quotas page)."""
    assert (await refused(chat.connect("?token=" + "x" * 4096)))[0] == 414


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /{api}/prod HTTP/1.1\r\nHost: x\r\n\r\n", 403),
        ("POST /{api}/prod HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", 403),
        ("GET /{api}/prod HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 400),
        (
            "GET /{api}/prod HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Key: AAAA\r\nSec-WebSocket-Version: 13\r\n\r\n",
            400,
        ),
        (
            "GET /{api}/prod HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n",
            400,
        ),
        ("GET /{api}/prod HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 403),
        ("nonsense\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nX: " + "a" * 70_000, 431),
    ],
)
async def test_malformed_handshakes(
    chat: Api, gateway: LocalGateway, head: str, status: int, invoker: FakeInvoker
) -> None:
    """Refused before any function runs; the gateway goes on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(head.replace("{api}", chat.api_id).encode())
    line = await asyncio.wait_for(reader.readline(), 5)
    assert line.startswith(f"HTTP/1.1 {status} ".encode())
    writer.close()
    assert invoker.calls == []
    async with chat.connect() as client:
        assert await say(client, action="echo", text="hi") == "hi"


async def test_client_that_leaves_during_connect(new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """`$connect` succeeded for nobody: `$disconnect` runs, so that the handler's row goes."""
    release = asyncio.Event()

    async def slow(event: dict[str, Any]) -> dict[str, Any]:
        await release.wait()
        return {"statusCode": 200}

    invoker.functions.update(connect=slow, disconnect=lambda event: {"statusCode": 200})
    api = new_api()
    for key in ("$connect", "$disconnect"):
        api.route(key, api.integration(key.removeprefix("$")))
    await api.deploy()
    attempt = asyncio.create_task(_hold(api))
    await invoker.wait_for("connect")
    attempt.cancel()
    await asyncio.gather(attempt, return_exceptions=True)
    await asyncio.sleep(0.05)
    release.set()
    event = (await invoker.wait_for("disconnect"))[0]
    assert event["requestContext"]["disconnectStatusCode"] == 1006
    assert api.gateway.connection_count == 0


async def _hold(api: Api) -> None:
    async with api.connect():
        await asyncio.sleep(60)


async def test_frames_sent_before_the_answer_are_kept(chat: Api, invoker: FakeInvoker, gateway: LocalGateway) -> None:
    """A hasty client's first frame, in the same packet as its handshake, is not lost."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        f"GET /{chat.api_id}/prod HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        + b"\x81\x82\x00\x00\x00\x00hi"
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    assert await asyncio.wait_for(reader.readexactly(12), 5) == b"\x81\x0adefault:hi"
    writer.close()


async def test_log_has_no_query_string(start_gateway: Any, new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """A line per event with request ids; tokens of the query string, headers and bodies are in none of
    them."""
    stream = io.StringIO()
    gateway = await start_gateway(access_log=True, log_stream=stream)
    api = await build_chat(new_api(on=gateway), invoker)
    async with api.connect("?token=sekrit", additional_headers={"Authorization": "Bearer sekrit"}) as client:
        await say(client, action="echo", text="sekrit")
    await invoker.wait_for("disconnect")
    assert (await refused(connect(f"ws://127.0.0.1:{gateway.port}/nope/prod?token=sekrit")))[0] == 403
    await gateway.stop()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["CONNECT", "MESSAGE", "DISCONNECT", "CONNECT"]
    assert all(line["requestId"] for line in lines)
    assert "sekrit" not in stream.getvalue()


async def test_function_arn_alone_is_taken(new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """A bare function ARN as IntegrationUri works, too."""
    invoker.functions["f"] = lambda event: {"statusCode": 200, "body": "f"}
    api = new_api()
    made = api.client.create_integration(
        ApiId=api.api_id, IntegrationType="AWS_PROXY", IntegrationUri=function_arn("f")
    )
    api.route("$default", f"integrations/{made['IntegrationId']}", two_way=True)
    await api.deploy()
    async with api.connect() as client:
        assert await say(client, any="thing") == "f"


async def test_debug_logging_shows_no_token(
    start_gateway: Any, new_api: Callable[..., Api], invoker: FakeInvoker, caplog: pytest.LogCaptureFixture
) -> None:
    """Also with everything logged, the gateway's own loggers keep frames and headers to themselves."""
    caplog.set_level(logging.DEBUG)
    gateway = await start_gateway()
    api = await build_chat(new_api(on=gateway), invoker)
    client_log = logging.getLogger("test.client")
    client_log.setLevel(logging.WARNING)
    async with api.connect("?token=sekrit", logger=client_log) as client:
        await say(client, action="echo", text="sekrit")
    await invoker.wait_for("disconnect")
    ours = [record for record in caplog.records if record.name.startswith(("migrate", "websockets.server"))]
    assert not [record for record in ours if "sekrit" in record.getMessage()]


async def test_client_that_leaves_during_the_authorizer(new_api: Callable[..., Api], invoker: FakeInvoker) -> None:
    """`$connect` does not run for it, and so `$disconnect` does not either."""
    release = asyncio.Event()

    async def slow(event: dict[str, Any]) -> dict[str, Any]:
        await release.wait()
        return allow(event)

    invoker.functions["disconnect"] = lambda event: {"statusCode": 200}
    api = new_api()
    api.route("$disconnect", api.integration("disconnect"))
    await guarded(api, invoker, slow, [])
    attempt = asyncio.create_task(_hold(api))
    await invoker.wait_for("auth")
    attempt.cancel()
    await asyncio.gather(attempt, return_exceptions=True)
    await asyncio.sleep(0.05)
    release.set()
    await asyncio.sleep(0.05)
    assert [name for name, _ in invoker.calls] == ["auth"]
    assert api.gateway.connection_count == 0
