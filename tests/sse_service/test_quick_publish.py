"""Publishing past the framework: answers what the path operation answers, and only what that would accept."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sse_service.addresses import TrustedProxies
from sse_service.api.context import BODY_BEGAN, RequestContext
from sse_service.api.quick import QuickPublish
from sse_service.api.quick_asgi import QuickPublishes
from sse_service.publish_uvicorn import Answers
from sse_service.settings import Settings

pytestmark = pytest.mark.integration

SCOPE = {"scope": "events:publish"}
EVENT: dict[str, Any] = {"topic": "user:ann", "type": "note", "data": {"a": [1, "ü\u2028\n"]}}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each publish that was looked at: whether it was answered past the framework."""
    seen: list[bool] = []
    publish = QuickPublish.publish

    def watched(self: QuickPublish, *arguments: Any) -> tuple[bytes, bytes] | None:
        found = publish(self, *arguments)
        seen.append(found is not None)
        return found

    monkeypatch.setattr(QuickPublish, "publish", watched)
    return seen


async def exchange(port: int, *parts: bytes, answers: int = 1) -> list[tuple[bytes, bytes]]:
    """Write the parts, each on its own, to one connection; heads and bodies of the answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)  # parts that arrive together are another test
        async with asyncio.timeout(10):
            for _ in range(answers):
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head)
                assert length is not None
                found.append((head, await reader.readexactly(int(length[1]))))
    finally:
        writer.close()
    return found


def request(headers: dict[str, str], body: object, **more: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"host": "x", **headers, "content-type": "application/json", "content-length": str(len(data)), **more}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST /api/events HTTP/1.1\r\n{head}\r\n".encode() + data


def without_id(head: bytes) -> bytes:
    return re.sub(rb"(x-request-id|date): [^\r]+", rb"\1: -", head)


async def test_all_ways_answer_alike_and_store_alike(
    start_service: Any, settings: Settings, bearer: Callable[..., dict[str, str]], taken: list[bool]
) -> None:
    """Byte for byte except for id and date: past the server's parser (the second request is recognised by the bytes of
    its head), in front of the framework, and by the path operation.
    """
    quick, plain = await start_service(settings), await start_service(settings.replace(transport="portable"))
    ordinary = await start_service(settings.replace(transport="portable"))
    events = {"events": [EVENT, {**EVENT, "origin": "nightly"}]}
    sent, unusual = (request(bearer("job", **SCOPE), events, **more) for more in ({}, {"connection": "keep-alive"}))
    answers = [await exchange(service.port, sent, sent, answers=2) for service in (quick, plain)]
    assert taken == [True] * 4
    answers.append(await exchange(ordinary.port, unusual, unusual, answers=2))
    assert taken == [True] * 4
    epochs = [json.loads(answer[0][1])["ids"][0].partition("-")[0].encode() for answer in answers]
    shown = [
        [(without_id(head), body.replace(epoch, b"epoch")) for head, body in answer]
        for answer, epoch in zip(answers, epochs, strict=True)
    ]
    assert shown[0] == shown[1] == shown[2]
    stored = []
    for service in (quick, plain, ordinary):
        async with service.stream("bridge", "/api/streams?topic=*", scope="streams:tenant") as stream:
            # Everything again, from the beginning.
            start = stream.frames[0].id.partition("-")[0] + "-0"
        async with service.stream("bridge", "/api/streams?topic=*", scope="streams:tenant", cursor=start) as stream:
            await stream.frame("note", 4)
            stored.append([{**f.json, "id": "", "time": 0} for f in stream.of_type("note")])
    assert stored[0] == stored[1] == stored[2]


@pytest.mark.parametrize("transport", ["auto", "portable"])
async def test_what_is_not_plain_goes_the_ordinary_way(
    start_service: Any, settings: Settings, bearer: Callable[..., dict[str, str]], taken: list[bool], transport: str
) -> None:
    """Each of these is answered as ever: by the application, with its status."""
    service = await start_service(settings.replace(transport=transport))
    back_end = bearer("job", **SCOPE)
    one = {"events": [EVENT]}
    cases: list[tuple[int, bytes]] = [
        (401, request({}, one)),
        (401, request({"authorization": "Bearer x.y.z"}, one)),
        (401, request({"authorization": "Basic eA=="}, one)),
        (401, request(bearer("job", ttl_s=-5, **SCOPE), one)),
        (403, request(bearer("job"), one)),
        (403, request(back_end, {"events": [{**EVENT, "topic": "tenant:other"}]})),
        (400, request(back_end, {"events": [{**EVENT, "topic": "nothing"}]})),
        (400, request(back_end, {"events": [{**EVENT, "type": "ready"}]})),
        (400, request(back_end, {"events": [{**EVENT, "type": "a b"}]})),
        (400, request(back_end, {"events": [{**EVENT, "origin": ""}]})),
        (400, request(back_end, {"events": [{**EVENT, "origin": 1}]})),
        (400, request(back_end, {"events": []})),
        (400, request(back_end, {"events": [EVENT] * 501})),
        (400, request(back_end, b'{"events":[{"topic":"user:a","type":"x","data":NaN}]}')),
        (400, request(back_end, b'{"events":[{"topic":"user:a","type":"x","data":"\\ud800"}]}')),
        (400, request(back_end, b'{"events":[')),
        (400, request(back_end, b"[" * 100_000)),
        (413, request(back_end, {"events": [{**EVENT, "data": "x" * (129 << 10)}]})),
        (201, request(back_end, {"events": [{**EVENT, "key": "once"}]})),
        (201, request(back_end, {"events": [{**EVENT, "ensureConversation": {"conversationId": "c"}}]})),
        (400, request(back_end, {"events": [EVENT], "more": 1})),
        (400, request(back_end, {"events": [{**EVENT, "excludeUsr": "ann"}]})),
        (400, request(back_end, one).replace(b"/api/events", b"/api/events?access_token=x.y.z", 1)),
        (400, request(back_end, one).replace(b"/api/events", b"/api/events?token=", 1)),
        (201, request(back_end, one).replace(b"/api/events", b"/api/events?a=b", 1)),
        (414, request(back_end, one).replace(b"/api/events", b"/api/events?a=" + b"b" * (50 << 10), 1)),
        (431, request(back_end, one, **{"x-" + "n" * (66 << 10): "1"})),
        (201, request(back_end, one, connection="close")),
        (201, request(back_end, b"\xef\xbb\xbf" + json.dumps(one).encode())),
    ]
    for status, sent in cases:
        ((head, body),) = await exchange(service.port, sent)
        assert head.startswith(b"HTTP/1.1 %d " % status), (sent[:600], head, body[:200])
        if status >= 400:
            assert b"application/problem+json" in head and json.loads(body)["requestId"]
    assert True not in taken


@pytest.mark.parametrize("transport", ["auto", "portable"])
async def test_requests_in_pieces_and_in_a_row(
    start_service: Any, settings: Settings, bearer: Callable[..., dict[str, str]], taken: list[bool], transport: str
) -> None:
    """The head in two parts, the body in three, several requests in one packet, a request of another kind between."""
    service = await start_service(settings.replace(transport=transport))
    sent = request(bearer("job", **SCOPE), {"events": [EVENT]}, **{"x-request-id": "mine"})
    health = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    end = sent.index(b"\r\n\r\n") + 4
    pieces = sent[:40], sent[40 : end + 5], sent[end + 5 : end + 9], sent[end + 9 :]
    for parts in (pieces, (sent + sent + sent,), (sent + health + sent,), (health + sent, sent)):
        count = b"".join(parts).count(b" HTTP/1.1\r\n")
        answers = await exchange(service.port, *parts, answers=count)
        for head, body in answers:
            assert head.startswith((b"HTTP/1.1 201", b"HTTP/1.1 200"))
            assert b"201" not in head[:14] or (b"x-request-id: mine" in head and json.loads(body)["ids"])
    events = service.app.state.services.metrics.registry.get_sample_value("sse_events_total")
    assert events == 1 + 3 + 2 + 2
    assert True in taken


async def test_a_body_that_does_not_come_is_waited_for_once(
    memory_api: Any, bearer: Callable[..., dict[str, str]]
) -> None:
    """Not here, and then as long again by the application, whose own time is an hour in this test."""
    services = memory_api.app.state.services
    sent: list[Any] = []

    async def reading(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    ordinary = RequestContext(reading, services.metrics, 1 << 20, TrustedProxies(()), 3600.0)

    async def later(scope: Any, receive: Any, send: Any) -> None:
        scope[BODY_BEGAN] -= 3600  # an hour has gone by
        await ordinary(scope, receive, send)

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    headers = {**bearer("job", **SCOPE), "content-type": "application/json", "content-length": "100"}
    scope = {
        **dict.fromkeys(("query_string", "raw_path"), b""), "type": "http", "method": "POST", "path": "/api/events",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    async with asyncio.timeout(10):
        await QuickPublishes(later, quick=QuickPublish(services), body_timeout_s=0.05)(scope, receive, send)
    assert sent[0]["status"] == 408


async def test_metrics_and_limits_count_it(
    start_service: Any, settings: Settings, bearer: Callable[..., dict[str, str]], taken: list[bool]
) -> None:
    service = await start_service(settings.replace(publish_per_s=0.001, publish_burst=2))
    sent = request(bearer("job", **SCOPE), {"events": [EVENT]})
    answers = await exchange(service.port, sent, sent, sent, answers=3)
    assert [head[9:12] for head, _ in answers] == [b"201", b"201", b"429"]
    assert taken == [True, True, False]
    sample = service.app.state.services.metrics.registry.get_sample_value
    assert sample("sse_http_requests_total", {"method": "POST", "status": "201"}) == 2
    assert sample("sse_http_requests_total", {"method": "POST", "status": "429"}) == 1
    assert sample("sse_publish_seconds_count") == sample("sse_events_total") == 2


async def test_an_expired_token_is_refused_although_its_head_was_seen(
    start_service: Any, settings: Settings, bearer: Callable[..., dict[str, str]], taken: list[bool]
) -> None:
    service = await start_service(settings)
    now = service.app.state.services.clock()
    sent = request(bearer("job", **SCOPE), {"events": [EVENT]})
    quick: Any = service.server.config.http_protocol_class.quick
    await exchange(service.port, sent)
    quick._services.clock = lambda: now + 4000
    ((head, _),) = await exchange(service.port, sent)
    assert head.startswith(b"HTTP/1.1 401 ")
    assert taken == [True, False]


async def test_heads_are_remembered_within_bounds(service: Any, bearer: Callable[..., dict[str, str]]) -> None:
    quick = service.server.config.http_protocol_class.quick
    headers = bearer("job", **SCOPE)
    sent = [request(headers, {"events": [EVENT]}, **{"x-request-id": f"r{n}"}) for n in range(1100)]
    await exchange(service.port, b"".join(sent[:550]), b"".join(sent[550:]), *sent[:3], answers=1103)
    for n in range(1100):
        quick.remember(b"%d" % n, quick.heads[next(iter(quick.heads))])
    assert len(quick.heads) <= 1024


async def test_an_idle_connection_is_closed_and_a_used_one_is_not(
    service: Any, bearer: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.server.config, "timeout_keep_alive", 0.4)
    sent = request(bearer("job", **SCOPE), {"events": [EVENT]})
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    for _ in range(4):
        writer.write(sent)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        await reader.readexactly(int(length[1]))
        await asyncio.sleep(0.15)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["topic", "type", "data", "origin", "key", "ttlSeconds", "excludeUser", "x"])
VALUES = JSON | st.sampled_from(
    ["user:ann", "tenant:demo", "tenant:other", "room:a\n", "note", "ready", "job", "", 5.0]
)
GOOD = st.fixed_dictionaries({"topic": st.just("user:ann"), "type": st.just("note"), "data": JSON})
ITEMS = st.tuples(GOOD, st.dictionaries(NAMES, VALUES, max_size=2)).map(lambda two: {**two[0], **two[1]}) | VALUES
LISTS = st.lists(GOOD, min_size=1, max_size=3) | st.lists(ITEMS, max_size=3)
BODIES = st.fixed_dictionaries({"events": LISTS}) | st.fixed_dictionaries({"events": VALUES}) | VALUES


async def test_nothing_is_accepted_that_the_path_operation_refuses(
    memory_api: Any, bearer: Callable[..., dict[str, str]]
) -> None:
    """And what both accept is stored alike."""
    services = memory_api.app.state.services
    quick = QuickPublish(services)
    headers = bearer("job", **SCOPE)
    loop = asyncio.get_running_loop()
    bodies: list[bytes] = []

    @hypothesis_settings(max_examples=150, deadline=None, database=None, derandomize=True)
    @given(BODIES)
    def collect(body: object) -> None:
        bodies.append(json.dumps(body).encode())

    await loop.run_in_executor(None, collect)
    both = 0
    for body in bodies:
        fields = [
            *((name.encode(), value.encode()) for name, value in headers.items()),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        head = quick.head(fields)
        assert head is not None
        before = len(await memory_api.events())
        if quick.answer(head, body, []) is None:
            assert len(await memory_api.events()) == before
            continue
        mine = (await memory_api.events())[before:]
        answer = await memory_api.client.post(
            "/api/events", content=body, headers={**headers, "content-type": "application/json"}
        )
        assert answer.status_code == 201, body
        theirs = (await memory_api.events())[before + len(mine) :]
        assert [e._replace(id=e.id, time=0.0)[1:] for e in mine] == [e._replace(time=0.0)[1:] for e in theirs]
        both += 1
    assert both > 10


class _Connection:
    """As much of a protocol as `Answers` uses."""

    def __init__(self) -> None:
        self.is_answered, self.is_closing, self.written = True, False, b""
        self.transport: Any = SimpleNamespace(is_closing=lambda: self.is_closing, write=self._write)

    def _write(self, data: bytes) -> None:
        self.written += data


async def test_answers_wait_for_the_end_of_the_iteration_and_for_nothing_else() -> None:
    """What follows on a connection never overtakes its answer, and who has gone is left alone."""
    answers, loop = Answers(), asyncio.get_running_loop()
    plain, pipelined, gone = made = [_Connection() for _ in range(3)]
    for number, one in enumerate(made):
        answers.soon(loop)
        answers.add(one, b"%d" % number)  # type: ignore[arg-type]  # stands for a protocol
    assert not any(one.is_answered or one.written for one in made)
    answers.write_now(pipelined)  # type: ignore[arg-type]
    pipelined.written += b" next"
    gone.is_closing = True
    await asyncio.sleep(0)
    assert [one.written for one in made] == [b"0", b"1 next", b""]
    assert all(one.is_answered for one in (plain, pipelined))
    answers.soon(loop)
    answers.add(plain, b"+")  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert plain.written == b"0+", "and again"
