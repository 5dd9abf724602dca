"""Virtual connections over a real socket: open, stream, send, close (MG19)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sse_service.settings import Settings

Service = Any
Start = Callable[..., Any]


@pytest.fixture
async def service(start_service: Start, virtual_settings: Settings) -> Service:
    return await start_service(virtual_settings)


async def test_open_runs_authorizer_and_connect_with_the_events_of_api_gateway(
    service: Service, connect: Any, app: Any
) -> None:
    made = await connect(service.client, "ann", protocols=["chat.v1"])
    (event,) = app.connects
    context = event["requestContext"]
    assert (context["connectionId"], context["eventType"], context["stage"]) == (made.id, "CONNECT", "prod")
    assert context["authorizer"] == {"principalId": "ann", "userId": "ann"}
    assert context["domainName"] == event["headers"]["Host"] == "ws.example.com"
    assert event["queryStringParameters"] == {"token": "ann"}
    assert event["headers"]["Sec-WebSocket-Protocol"] == "chat.v1"
    assert event["headers"]["User-Agent"].startswith("python-httpx")
    assert "Content-Type" not in event["headers"]
    assert (made.opened["streamPath"], made.opened["sendPath"]) == (
        f"/prod/{made.id}/stream",
        f"/prod/{made.id}/messages",
    )
    assert made.opened["maxMessageBytes"] == 131072


@pytest.mark.parametrize(
    ("query", "status"),
    [("token=unknown", 401), ("", 401), ("token=", 401), ("token=denied", 403), ("token=" + "x" * 5000, 414)],
)
async def test_who_is_not_let_in_gets_the_gateways_status(service: Service, app: Any, query: str, status: int) -> None:
    answer = await service.client.post("/prod", json={"query": query})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert app.connects == [] and app.disconnects == []


async def test_a_connect_handler_that_refuses_decides_the_status(service: Service, app: Any) -> None:
    app.answer = {"statusCode": 418, "body": "internal words"}
    answer = await service.client.post("/prod", json={"query": "token=ann"})
    assert answer.status_code == 418
    assert "internal words" not in answer.text


async def test_the_subprotocol_is_the_one_connect_chose(service: Service, connect: Any, app: Any) -> None:
    app.answer = {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "b"}}
    assert (await connect(service.client, protocols=["a", "b"])).opened["protocol"] == "b"


async def test_a_token_in_the_url_and_a_simple_request_are_refused(service: Service, app: Any) -> None:
    assert (await service.client.post("/prod?token=ann", json={})).status_code == 400
    plain = {"content-type": "text/plain"}
    assert (await service.client.post("/prod", content='{"query":"token=ann"}', headers=plain)).status_code == 415
    assert app.connects == []


async def test_messages_reach_their_routes_and_answers_the_stream(service: Service, connect: Any, app: Any) -> None:
    made = await connect(service.client)
    async with made.stream() as stream:
        assert (await stream.frame("ready")).json == {"resumed": True, "acked": 0}
        text = json.dumps({"action": "echo", "text": "a\r\nb\0c\u2028 日本語"})
        assert (await made.send(text)).json() == {"acked": 1}
        assert await stream.texts(2) == [f"posted {text}", f"answered {text}"]
        await made.send("no JSON", json.dumps({"action": "other"}))
        assert app.texts == ["no JSON", '{"action": "other"}']
        event = app.messages[0]
        assert event["requestContext"]["routeKey"] == "$default"
        assert event["requestContext"]["authorizer"]["userId"] == "ann"
        assert "headers" not in event


async def test_repeated_messages_are_handled_once_and_a_gap_is_refused(
    service: Service, connect: Any, app: Any
) -> None:
    made = await connect(service.client)
    one, two, three = ({"seq": n, "text": f"m{n}"} for n in (1, 2, 3))
    assert (await made.post(one, two)).json() == {"acked": 2}
    assert (await made.post(one, two, three)).json() == {"acked": 3}
    assert app.texts == ["m1", "m2", "m3"]
    gap = await made.post({"seq": 5, "text": "m5"})
    assert (gap.status_code, gap.json()["acked"]) == (409, 3)
    assert (await made.post({"seq": 2, "text": "m2"})).json() == {"acked": 3}
    assert app.texts == ["m1", "m2", "m3"]


async def test_what_was_posted_without_a_stream_is_there_when_one_comes(
    service: Service, connect: Any, app: Any
) -> None:
    made = await connect(service.client)
    await made.send(json.dumps({"action": "echo", "n": 1}))
    connections = service.app.state.services.virtual.connections
    async with made.stream() as stream:
        assert len(await stream.texts(2)) == 2
        await connections.post(made.id, "three")
        await stream.frame("text", 3)
    await connections.post(made.id, "four")
    async with made.stream() as stream:
        assert await stream.texts(1) == ["four"]
    # What the cut stream wrote last may not have arrived: an earlier cursor gives the same events again.
    made.last_id = 3
    async with made.stream() as stream:
        assert await stream.texts(1) == ["four"]


async def test_a_newer_stream_ends_the_older(service: Service, connect: Any) -> None:
    made = await connect(service.client)
    async with made.stream() as old:
        await old.frame("ready")
        async with made.stream() as new:
            await new.frame("ready")
            await old.end()
            assert old.clean
            await made.send(json.dumps({"action": "echo"}))
            assert len(await new.texts(2)) == 2


async def test_close_runs_disconnect_once_with_code_and_reason(
    service: Service, connect: Any, app: Any, eventually: Any
) -> None:
    made = await connect(service.client)
    async with made.stream() as stream:
        await made.send("last")
        missing = await made.close(code=3001, reason="bye", seq=2)
        assert (missing.status_code, missing.json()["acked"]) == (409, 1)
        assert (await made.close(code=3001, reason="bye", seq=1)).status_code == 204
        assert (await stream.frame("close")).json == {"code": 3001, "reason": "bye"}
        await stream.end()
        assert stream.clean
    await eventually(lambda: app.disconnects)
    assert (await made.close(code=1000)).status_code == 410
    assert (await made.post({"seq": 2, "text": "late"})).status_code == 410
    assert app.ends() == [(made.id, 3001, "bye")]


async def test_a_beacon_brings_the_last_messages_and_closes(
    service: Service, connect: Any, app: Any, eventually: Any
) -> None:
    made = await connect(service.client)
    body = {"secret": made.opened["secret"], "code": 1001, "messages": [{"seq": 1, "text": "bye"}]}
    answer = await service.client.post(
        f"{made.path}/close", content=json.dumps(body), headers={"content-type": "text/plain;charset=UTF-8"}
    )
    assert answer.status_code == 204
    await eventually(lambda: app.disconnects)
    assert app.texts == ["bye"]
    assert app.ends() == [(made.id, 1001, "")]


async def test_only_the_secret_opens_a_connection(service: Service, connect: Any) -> None:
    made, other = await connect(service.client), await connect(service.client)
    for headers, status in (({}, 401), (other.headers, 403), ({"authorization": "Connection é"}, 403)):
        raw = {name: value.encode() for name, value in headers.items()}
        for method, path in (("GET", "stream"), ("POST", "messages")):
            answer = await service.client.request(method, f"{made.path}/{path}", headers=raw, json={"messages": []})
            assert answer.status_code == status
        assert (await service.client.delete(made.path, headers=raw)).status_code == status
    unknown = await service.client.get("/prod/AAAAAAAAAAAAAAA=/stream", headers=made.headers)
    assert unknown.status_code == 410
    wrong = json.dumps({"secret": "guess"})
    assert (await service.client.post(f"{made.path}/close", content=wrong)).status_code == 403


async def test_a_message_too_large_closes_with_1009(
    start_service: Start, virtual_settings: Settings, connect: Any, app: Any, eventually: Any
) -> None:
    service = await start_service(virtual_settings.replace(virtual_message_bytes=100))
    made = await connect(service.client)
    async with made.stream() as stream:
        answer = await made.post({"seq": 1, "text": "あ" * 33}, {"seq": 2, "text": "あ" * 34})
        assert answer.status_code == 413
        assert (await stream.frame("close")).json == {"code": 1009, "reason": "Message too big"}
    await eventually(lambda: app.disconnects)
    assert app.texts == ["あ" * 33]
    assert app.ends() == [(made.id, 1009, "Message too big")]


async def test_binary_is_refused_with_1003_as_on_api_gateway(
    service: Service, connect: Any, app: Any, eventually: Any
) -> None:
    made = await connect(service.client)
    async with made.stream() as stream:
        assert (await made.post({"seq": 1, "binary": "AAE="})).json() == {"acked": 1}
        assert (await stream.frame("close")).json["code"] == 1003
    await eventually(lambda: app.disconnects)
    assert app.messages == []


async def test_binary_passes_where_it_is_let_through(
    start_service: Start, virtual_settings: Settings, connect: Any, app: Any
) -> None:
    service = await start_service(virtual_settings.replace(virtual_binary="pass"))
    made = await connect(service.client)
    await made.post({"seq": 1, "binary": "AAH/"})
    assert (app.messages[0]["body"], app.messages[0]["isBase64Encoded"]) == ("AAH/", True)
    connections = service.app.state.services.virtual.connections
    async with made.stream() as stream:
        await connections.post(made.id, b"\x00\xff")
        await connections.post(made.id, b"")
        assert (await stream.frame("binary")).data == "AP8="
        assert await stream.texts(1) == [""]


async def test_without_a_stream_it_is_lost_after_the_resume_window(
    start_service: Start, virtual_settings: Settings, connect: Any, app: Any, eventually: Any
) -> None:
    service = await start_service(virtual_settings.replace(virtual_resume_s=0.3))
    made = await connect(service.client)
    async with made.stream() as stream:
        await stream.frame("ready")
    await eventually(lambda: app.disconnects)
    assert app.ends() == [(made.id, 1006, "Connection Closed Abnormally")]
    assert (await made.client.get(made.opened["streamPath"], headers=made.headers)).status_code == 410


async def test_idle_and_old_connections_are_closed_with_1001(
    start_service: Start, virtual_settings: Settings, connect: Any, app: Any, eventually: Any
) -> None:
    service = await start_service(virtual_settings.replace(virtual_idle_s=0.4, virtual_lifetime_s=30))
    made = await connect(service.client)
    async with made.stream() as stream:
        assert (await stream.frame("close")).json == {"code": 1001, "reason": "Going away"}
        await stream.end()
        assert stream.clean
    await eventually(lambda: app.disconnects)
    assert app.ends() == [(made.id, 1001, "Going away")]


async def test_sigterm_closes_connections_of_this_process_and_runs_disconnect(
    service: Service, connect: Any, app: Any
) -> None:
    made, without = await connect(service.client), await connect(service.client)
    async with made.stream() as stream:
        await stream.frame("ready")
        service.server.leave()
        assert (await stream.frame("close")).json == {"code": 1001, "reason": "Service is stopping"}
        await stream.end()
        assert stream.clean
    await service.stop()
    assert sorted(app.ends()) == sorted([(made.id, 1001, "Going away"), (without.id, 1001, "Going away")])


async def test_a_stream_is_rotated_and_goes_on(
    start_service: Start, virtual_settings: Settings, connect: Any, app: Any
) -> None:
    service = await start_service(virtual_settings.replace(max_age_s=0.3, heartbeat_s=0.1))
    made = await connect(service.client)
    async with made.stream() as stream:
        assert (await stream.frame("rotate")).json == {"reason": "max_age"}
        await stream.end()
        assert stream.clean
    async with made.stream() as stream:
        assert (await stream.frame("ready")).json["resumed"]
    assert app.disconnects == []


async def test_messages_of_one_connection_run_at_once_or_one_after_another(
    start_service: Start, virtual_settings: Settings, connect: Any, app: Any, eventually: Any
) -> None:
    for ordered in (0, 1):
        app.messages.clear()
        app.gate = asyncio.Event()
        service = await start_service(virtual_settings.replace(virtual_ordered=ordered))
        made = await connect(service.client)
        sending = asyncio.create_task(made.send("one", "two"))
        if ordered:
            await eventually(lambda: app.texts == ["one"])
            assert not sending.done()
        else:
            await eventually(lambda: app.texts == ["one", "two"])
            assert (await sending).json() == {"acked": 2}
        app.gate.set()
        await sending
        assert app.texts == ["one", "two"]


async def test_no_more_new_connections_a_second_than_allowed(
    start_service: Start, virtual_settings: Settings, app: Any
) -> None:
    service = await start_service(virtual_settings.replace(virtual_connects_per_s=1.0))
    answers = [await service.client.post("/prod", json={"query": "token=ann"}) for _ in range(3)]
    assert 429 in {answer.status_code for answer in answers}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"


async def test_the_token_of_the_query_is_in_no_log(
    service: Service, connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="sse_service")
    made = await connect(service.client, "s3cret-token")
    await made.send("x")
    assert "s3cret-token" not in caplog.text
    assert made.opened["secret"] not in caplog.text


async def test_the_openapi_document_has_the_routes(service: Service) -> None:
    paths = (await service.client.get("/openapi.json")).json()["paths"]
    assert {"/prod", "/prod/{connectionId}", "/prod/{connectionId}/stream"} <= set(paths)
    assert "text/event-stream" in paths["/prod/{connectionId}/stream"]["get"]["responses"]["200"]["content"]


async def test_nonsense_is_told_from_a_gone_connection(service: Service, connect: Any) -> None:
    made = await connect(service.client)
    for body in ("nonsense", "[]", '{"messages":1}', '{"messages":[{"seq":0,"text":"x"}]}', '{"messages":[{"seq":1}]}'):
        answer: httpx.Response = await service.client.post(made.opened["sendPath"], content=body, headers=made.headers)
        assert answer.status_code == 400, body
    for cursor in ("-1", "x", "7"):
        headers = {**made.headers, "last-event-id": cursor}
        assert (await service.client.get(made.opened["streamPath"], headers=headers)).status_code == 410
