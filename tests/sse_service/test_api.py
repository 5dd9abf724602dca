"""What surrounds every request: tokens, request ids, limits, problems, logs, metrics, OpenAPI."""

from __future__ import annotations

import base64
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

import pytest

from sse_service.adapters.memory import MemoryEventLog
from sse_service.app import create_app, make_backends
from sse_service.errors import SettingsError
from sse_service.logs import JsonFormatter, redact, request_fields
from sse_service.settings import Settings

PROTECTED = [
    ("GET", "/api/chat/stream"),
    ("GET", "/api/chat/history?conversationId=main"),
    ("GET", "/api/streams?topic=user:ann"),
    ("POST", "/api/chat/send"),
    ("POST", "/api/conversations"),
    ("POST", "/api/events"),
]
BODIES: dict[str, object] = {
    "/api/chat/send": {"conversationId": "main", "message": "hi"},
    "/api/conversations": {"conversationId": "main"},
    "/api/events": {"events": [{"topic": "room:a", "type": "x", "data": 1}]},
}


@pytest.mark.parametrize(("method", "path"), PROTECTED)
async def test_without_a_token_nothing_is_answered(memory_api: Any, method: str, path: str) -> None:
    answer = await memory_api.client.request(method, path, json=BODIES.get(path))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="sse-service"'


@pytest.mark.parametrize(("method", "path"), PROTECTED)
async def test_an_expired_or_forged_token_is_refused_everywhere(
    memory_api: Any, bearer: Callable[..., Any], method: str, path: str
) -> None:
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    good = bearer("ann")["authorization"].removeprefix("Bearer ")
    body = good.split(".")[1]
    for token in (
        bearer("ann", ttl_s=-5)["authorization"].removeprefix("Bearer "),
        f"{none}.{body}.",
        good[:-4] + ("AAAA" if not good.endswith("AAAA") else "BBBB"),
    ):
        answer = await memory_api.client.request(
            method, path, json=BODIES.get(path), headers={"authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="sse-service", error="invalid_token"'
        assert token not in answer.text


@pytest.mark.parametrize(("method", "path"), PROTECTED)
async def test_a_token_in_the_url_is_refused_and_told_where_it_belongs(
    memory_api: Any, bearer: Callable[..., Any], method: str, path: str
) -> None:
    """REQUIREMENTS 13: tokens in query strings end up in logs. A good header does not excuse it."""
    token = bearer("ann")["authorization"].removeprefix("Bearer ")
    for name in ("token", "access_token", "authorization"):
        for headers in ({}, bearer("ann")):
            separator = "&" if "?" in path else "?"
            answer = await memory_api.client.request(
                method, f"{path}{separator}{name}={token}", json=BODIES.get(path), headers=headers
            )
            assert answer.status_code == 400
            assert answer.json()["field"] == name and "Authorization: Bearer" in answer.json()["detail"]
            assert token not in answer.text


async def test_a_request_id_is_taken_over_or_made(memory_api: Any) -> None:
    async def sent(value: str | bytes) -> str:
        headers = [(b"x-request-id", value if isinstance(value, bytes) else value.encode())]
        answer = await memory_api.client.get("/api/chat/stream", headers=headers)
        assert answer.json()["requestId"] == answer.headers["x-request-id"]
        found: str = answer.headers["x-request-id"]
        return found

    assert await sent("abc-1.2:3_4") == "abc-1.2:3_4"
    for bad in ("", "a b", "x" * 129, 'a"b', "<script>", b"\xff"):
        made = await sent(bad)
        assert len(made) == 32 and made.isalnum()


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/api/chat/send", 405)])
async def test_unknown_paths_and_methods_are_problems_too(memory_api: Any, path: str, status: int) -> None:
    answer = await memory_api.client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) >= {"type", "title", "status", "detail", "requestId"}


async def test_large_bodies_are_refused_declared_or_not(memory_api: Any, bearer: Callable[..., Any]) -> None:
    big = json.dumps({"conversationId": "main", "message": "x" * (10 << 20)}).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(big), 1 << 16):
            yield big[at : at + (1 << 16)]

    headers = {**bearer("ann"), "content-type": "application/json"}
    for content in (big, pieces()):
        answer = await memory_api.client.post("/api/chat/send", content=content, headers=headers)
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"conversationId": "main"},
        {"conversationId": "", "message": "x"},
        {"conversationId": "main", "message": ""},
        {"conversationId": "main", "message": 5},
        {"conversationId": ["main"], "message": "x"},
        {"conversationId": "a\nb", "message": "x"},
        {"conversationId": "main", "message": "x", "idempotencyKey": "a\x00"},
        {"conversationId": "main", "message": "x", "idempotencyKey": "k" * 257},
        {"conversationId": "main", "message": "x", "userName": "a\rb"},
        {"conversationId": "main", "message": "\ud800"},
        {"conversationId": "\udfff", "message": "x"},
    ],
    ids=repr,
)
async def test_a_send_that_is_none_is_a_400(memory_api: Any, bearer: Callable[..., Any], body: object) -> None:
    await memory_api.room("main", "ann")
    headers = {**bearer("ann"), "content-type": "application/json"}
    # As ASCII: httpx would not send halves of surrogate pairs.
    answer = await memory_api.client.post("/api/chat/send", content=json.dumps(body), headers=headers)
    assert answer.status_code == 400, answer.text


async def test_text_of_any_kind_goes_through(memory_api: Any) -> None:
    await memory_api.room("main", "ann")
    text = "a\r\nb\tc\0d 日本 \U0001f600 \u2028 </script>"
    assert (await memory_api.post("/api/chat/send", "ann", {"conversationId": "main", "message": text})).is_success
    rows = (await memory_api.get("/api/chat/history?conversationId=main", "ann")).json()["messages"]
    assert rows[0]["message"] == text


async def test_an_unexpected_error_shows_nothing_but_a_request_id(
    start_api: Any, settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """REQUIREMENTS 12: str(exception) never reaches a client."""
    api = await start_api(settings)

    async def explode(*_: object, **__: object) -> None:
        raise RuntimeError("internal secret detail")

    monkeypatch.setattr(api.backends.conversations, "get", explode)
    answer = await api.get("/api/chat/history?conversationId=main", "ann")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert answer.json()["requestId"] == answer.headers["x-request-id"]
    assert any(record.exc_info for record in caplog.records)


async def test_sq7_log_lines_have_request_user_and_conversation_and_no_token(
    memory_api: Any, bearer: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sse_service")
    await memory_api.room("main", "ann")
    token = bearer("ann")["authorization"].removeprefix("Bearer ")
    await memory_api.client.get(
        f"/api/chat/history?conversationId=main&ticket={token}",
        headers={"authorization": f"Bearer {token}", "x-request-id": "rid-1"},
    )
    lines = [JsonFormatter().format(record) for record in caplog.records if record.name.startswith("sse_service")]
    line = json.loads(next(line for line in lines if "rid-1" in line))
    assert (line["requestId"], line["userId"], line["conversationId"]) == ("rid-1", "ann", "main")
    assert line["status"] == 200
    assert not [one for one in lines if token in one or re.search(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}", one)]


def test_whatever_is_logged_is_redacted() -> None:
    jwt_like = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
    for text in (
        f"token {jwt_like} seen",
        f"Authorization: Bearer {jwt_like}",
        "authorization: bearer abc.def",
        "GET /x?token=abc&access_token=def&a=1",
    ):
        assert not {"abc", "def", jwt_like} & set(redact(text).replace("&", " ").replace("=", " ").split())
    record = logging.LogRecord("x", logging.INFO, "", 0, "see %s", (jwt_like,), None)
    record.url = f"/x?token={jwt_like}"
    token = request_fields.set({"requestId": "r"})
    try:
        line = json.loads(JsonFormatter().format(record))
    finally:
        request_fields.reset(token)
    assert line["requestId"] == "r" and jwt_like not in json.dumps(line)


async def test_cors_is_for_the_origins_that_are_set(start_api: Any, settings: Settings) -> None:
    api = await start_api(settings.replace(cors_origins=("https://app.example",)))
    ask = {"access-control-request-method": "GET", "access-control-request-headers": "authorization,last-event-id"}
    good = await api.client.options("/api/chat/stream", headers={"origin": "https://app.example", **ask})
    assert good.status_code == 200
    assert good.headers["access-control-allow-origin"] == "https://app.example"
    bad = await api.client.options("/api/chat/stream", headers={"origin": "https://evil.example", **ask})
    assert "access-control-allow-origin" not in bad.headers
    plain = await api.client.get("/healthz", headers={"origin": "https://app.example"})
    assert "x-request-id" in plain.headers["access-control-expose-headers"].lower()


async def test_health_readiness_metrics(memory_api: Any) -> None:
    assert (await memory_api.client.get("/healthz")).json() == {"status": "ok"}
    assert (await memory_api.client.get("/readyz")).status_code == 200
    await memory_api.room("main", "ann")
    await memory_api.post("/api/chat/send", "ann", {"conversationId": "main", "message": "x"})
    text = (await memory_api.client.get("/metrics")).text
    for name in (
        "sse_open_streams",
        "sse_events_total",
        "sse_deliveries_total",
        "sse_replayed_events_total",
        "sse_publish_seconds_bucket",
        "sse_http_requests_total",
    ):
        assert name in text
    memory_api.app.state.services.is_leaving = True
    assert (await memory_api.client.get("/readyz")).status_code == 503


async def test_new_streams_are_refused_while_the_service_goes_down(memory_api: Any) -> None:
    memory_api.app.state.services.hub.is_draining = True
    answer = await memory_api.get("/api/chat/stream", "ann")
    assert answer.status_code == 503 and answer.headers["retry-after"]
    assert memory_api.app.state.services.hub.limits.total == 0


async def test_openapi_declares_streams_errors_and_the_token(memory_api: Any) -> None:
    schema = (await memory_api.client.get("/openapi.json")).json()
    for path in ("/api/chat/stream", "/api/streams"):
        operation = schema["paths"][path]["get"]
        assert list(operation["responses"]["200"]["content"]) == ["text/event-stream"]
        assert {p["name"] for p in operation["parameters"]} >= {"Last-Event-ID", "lastEventId"}
        assert operation["security"] == [{"bearer": []}]
    for path in ("/api/chat/send", "/api/chat/history", "/api/conversations", "/api/events"):
        for operation in schema["paths"][path].values():
            assert {"400", "401", "403", "503"} <= set(operation["responses"])
            assert "422" not in operation["responses"]


def test_without_a_key_there_is_no_application() -> None:
    with pytest.raises(SettingsError):
        create_app(Settings())


async def test_the_memory_log_is_bounded(settings: Settings) -> None:
    """Bytes, per tenant: the oldest events go, and their cursors are answered with `expired`."""
    backends = make_backends(settings.replace(memory_log_bytes=20_000), time.time)
    log = backends.log
    assert isinstance(log, MemoryEventLog)
    from sse_service.errors import HistoryGoneError
    from sse_service.events import Draft

    start = (await log.tail("demo")).position
    for n in range(100):
        log.append_now("demo", [Draft("room:a", "m", f'"{n}{"x" * 500}"', time.time())])
    assert len(log._tenants["demo"].events) < 30
    with pytest.raises(HistoryGoneError) as caught:
        await log.read("demo", start, max_bytes=1000)
    assert caught.value.reason == "expired"


async def test_every_refusal_is_a_problem_with_a_request_id(start_api: Any, settings: Settings, bearer: Any) -> None:
    """404, 405 (with all methods of the path), 400, 413, 414, 431, a refused preflight."""
    api = await start_api(settings.replace(cors_origins=("https://app.example",), max_body_bytes=2048))
    json_body = {**bearer("ann"), "content-type": "application/json"}
    preflight = {"origin": "https://evil.example", "access-control-request-method": "DELETE"}
    cases: list[tuple[int, str, str, dict[str, Any]]] = [
        (404, "GET", "/nowhere", {}),
        (405, "DELETE", "/api/conversations", {}),
        (405, "PUT", "/healthz", {}),
        (400, "POST", "/api/chat/send", {"content": b"{", "headers": json_body}),
        (400, "POST", "/api/chat/send", {"content": b"\xff\xfe", "headers": json_body}),
        (413, "POST", "/api/chat/send", {"content": b"x" * 4096, "headers": json_body}),
        (414, "GET", "/api/streams?" + "topic=room:a&" * 4000, {"headers": bearer("ann")}),
        (431, "GET", "/healthz", {"headers": {"x-filler": "x" * 70_000}}),
        (400, "OPTIONS", "/api/chat/send", {"headers": preflight}),
    ]
    for status, method, path, more in cases:
        answer = await api.client.request(method, path, **more)
        assert answer.status_code == status, (method, path[:40], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        body = answer.json()
        assert body["status"] == status and body["type"].startswith("urn:sse-service:") and body["title"]
        assert body["requestId"] == answer.headers["x-request-id"]
    allowed = (await api.client.delete("/api/conversations")).headers["allow"]
    assert {"GET", "POST"} <= set(allowed.split(", "))


@pytest.mark.parametrize("bad", ["a\nid: 9", "a\rdata: x", "a\0b", "a\r\n\r\nevent: farewell"])
async def test_no_field_of_an_event_can_begin_another(memory_api: Any, bearer: Callable[..., Any], bad: str) -> None:
    """CR, LF and NUL in every field that reaches a header or the wire are refused, and nothing is stored."""
    event = {"topic": "room:a", "type": "x", "data": 1}
    for change in ({"topic": f"room:{bad}"}, {"type": bad}, {"key": bad}, {"origin": bad}):
        body = {"events": [{**event, **change}]}
        answer = await memory_api.post("/api/events", "worker", body, scope="events:publish")
        assert answer.status_code == 400, change
    for body in (
        {"conversationId": bad, "message": "x"},
        {"conversationId": "main", "message": "x", "userName": bad},
        {"conversationId": "main", "message": "x", "idempotencyKey": bad},
    ):
        assert (await memory_api.post("/api/chat/send", "ann", body)).status_code == 400, body
    body = {"conversationId": "main", "participants": [bad]}
    assert (await memory_api.post("/api/conversations", "ann", body)).status_code == 400
    for path in ("/api/streams?topic=room:", "/api/chat/stream?conversationId="):
        answer = await memory_api.client.get(f"{path}{quote(bad)}", headers=bearer("ann"))
        assert answer.status_code == 400
    assert await memory_api.events() == []


@pytest.mark.parametrize("what", ["publish", "subscribe", "replay"])
async def test_a_foreign_tenant_is_out_of_reach(memory_api: Any, what: str) -> None:
    """Tenants share names of users, rooms and topics, and see nothing of each other."""
    scopes = {"scope": "events:publish streams:tenant"}
    await memory_api.room("main", "ann")
    sent = await memory_api.post("/api/chat/send", "ann", {"conversationId": "main", "message": "ours"})
    assert sent.status_code == 201
    if what == "publish":
        body = {"events": [{"topic": "tenant:demo", "type": "x", "data": 1}]}
        answer = await memory_api.post("/api/events", "spy", body, tenant="other", **scopes)
        assert answer.status_code == 403
        body = {"events": [{"topic": "user:ann", "type": "x", "data": 1}]}
        assert (await memory_api.post("/api/events", "spy", body, tenant="other", **scopes)).status_code == 201
        assert not [event for event in await memory_api.events() if event.type == "x"]
    elif what == "subscribe":
        for topic in ("tenant:demo", "room:main"):
            answer = await memory_api.get(f"/api/streams?topic={topic}", "ann", tenant="other")
            assert answer.status_code == 403
    else:
        answer = await memory_api.get("/api/chat/history?conversationId=main", "ann", tenant="other")
        assert answer.status_code == 403
        cursor = str((await memory_api.events())[0].id)
        hub = memory_api.app.state.services.hub
        located = await (await hub.feed("other")).locate(cursor)
        assert located.recovery.reason == "unknown_log"


async def test_a_trailing_slash_is_not_found_and_no_redirect(memory_api: Any, bearer: Any) -> None:
    answer = await memory_api.client.get("/api/chat/history/?conversationId=main", headers=bearer("ann"))
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "location" not in answer.headers


@pytest.mark.parametrize("path", ["/api/chat/stream/", "/api/chat/stream", "/nowhere", "/healthz", "/openapi.json"])
async def test_a_token_in_the_url_of_any_path_is_refused_and_not_repeated(memory_api: Any, path: str) -> None:
    answer = await memory_api.client.get(f"{path}?x=1&token=very-secret")
    assert (answer.status_code, answer.json()["field"]) == (400, "token")
    assert "very-secret" not in answer.text + str(answer.headers)


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_a_body_that_does_not_say_json_is_415(memory_api: Any, bearer: Any, content_type: str | None) -> None:
    headers = {**bearer("ann"), **({"content-type": content_type} if content_type else {})}
    for path in ("/api/chat/send", "/api/streams/tickets"):
        answer = await memory_api.client.post(path, content=b'{"message": "hi"}', headers=headers)
        assert answer.status_code == 415
        assert answer.headers["content-type"] == "application/problem+json"
        assert "Content-Type: application/json" in answer.json()["detail"]


async def test_json_that_is_none_says_so_and_names_no_position_as_a_field(memory_api: Any, bearer: Any) -> None:
    headers = {**bearer("ann"), "content-type": "application/json"}
    answer = await memory_api.client.post("/api/chat/send", content=b'{"message": hi}', headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (400, "body")
    assert answer.json()["detail"] == "body: is not valid JSON: Expecting value, at character 13"
