"""Two instances and one Redis: what arrives at one reaches the stream at the other (MG19)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sse_service.errors import UnavailableError
from sse_service.settings import Secret, Settings

from ..redis_support import RedisServer, door_to

Start = Callable[..., Any]


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
def shared(virtual_settings: Settings, redis_url: str, request: pytest.FixtureRequest) -> Settings:
    prefix = f"t{abs(hash(request.node.name))}"
    return virtual_settings.replace(virtual_store="redis", redis_url=Secret(redis_url), table_prefix=prefix)


@pytest.fixture
async def pair(start_service: Start, shared: Settings) -> tuple[Any, Any]:
    return await start_service(shared), await start_service(shared)


def connections(service: Any) -> Any:
    return service.app.state.services.virtual.connections


async def test_a_post_at_one_reaches_the_stream_at_the_other(pair: Any, connect: Any, app: Any) -> None:
    one, other = pair
    made = await connect(one.client)
    async with made.stream() as stream:
        await stream.frame("ready")
        for number in range(100):
            await connections(other if number % 2 else one).post(made.id, f"m{number}")
        assert await stream.texts(100) == [f"m{number}" for number in range(100)]
        made.client = other.client
        await made.send(json.dumps({"action": "echo"}))
        await stream.frame("text", 102)
    assert len(app.connects) == 1


async def test_posts_from_everywhere_at_once_are_all_there_once(pair: Any, connect: Any) -> None:
    made = await connect(pair[0].client)
    async with made.stream() as stream:
        texts = [f"m{number}" for number in range(200)]
        await asyncio.gather(*(connections(pair[n % 2]).post(made.id, text) for n, text in enumerate(texts)))
        assert sorted(await stream.texts(200)) == sorted(texts)


async def test_what_waits_survives_the_move_of_the_stream(pair: Any, connect: Any) -> None:
    one, other = pair
    made = await connect(one.client)
    async with made.stream() as stream:
        await connections(other).post(made.id, "a")
        await connections(one).post(made.id, "b")
        await stream.texts(2)
    await connections(one).post(made.id, "c")
    made.client, made.last_id = other.client, 1  # b did not arrive
    async with made.stream() as stream:
        assert await stream.texts(2) == ["b", "c"]


async def test_a_repeated_post_at_another_instance_is_handled_once(pair: Any, connect: Any, app: Any) -> None:
    one, other = pair
    made = await connect(one.client)
    batch = [{"seq": 1, "text": "a"}, {"seq": 2, "text": "b"}]
    first = await made.post(*batch)
    made.client = other.client
    again = await made.post(*batch, {"seq": 3, "text": "c"})
    assert (first.json(), again.json()) == ({"acked": 2}, {"acked": 3})
    assert sorted(app.texts) == ["a", "b", "c"]
    assert (await made.post({"seq": 9, "text": "x"})).status_code == 409


async def test_one_after_another_also_over_instances(
    start_service: Start, shared: Settings, connect: Any, app: Any, eventually: Any
) -> None:
    """A request is cut off while its messages are handled; repeated and gone on with elsewhere: still in order."""
    one, other = [await start_service(shared.replace(virtual_ordered=1)) for _ in range(2)]
    app.gate = asyncio.Event()
    made = await connect(one.client)
    batch = [{"seq": 1, "text": "a"}, {"seq": 2, "text": "b"}]
    first = asyncio.create_task(made.post(*batch))
    await eventually(lambda: app.texts == ["a"])
    first.cancel()
    made.client = other.client
    again = asyncio.create_task(made.post(*batch))
    later = asyncio.create_task(made.post({"seq": 3, "text": "c"}))
    await asyncio.sleep(0.3)  # in which it would begin, if it did not wait
    assert app.texts == ["a"] and not again.done() and not later.done()
    app.gate.set()
    answers = [await again, await later]
    assert all(answer.is_success for answer in answers)
    assert answers[1].json() == {"acked": 3}
    assert app.texts == ["a", "b", "c"]


async def test_what_an_instance_took_with_it_is_not_waited_for_for_ever(
    start_service: Start, shared: Settings, connect: Any, app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sse_service.virtual.turns.MARGIN_S", 0.2)
    service = await start_service(shared.replace(virtual_ordered=1, virtual_integration_s=1.0))
    made = await connect(service.client)
    # Accepted by an instance that died before it handled it.
    await connections(service).store.change(made.id, lambda session: session.accept([1], None, time.time()))
    assert (await made.post({"seq": 2, "text": "b"})).json() == {"acked": 2}
    assert app.texts == ["b"]


async def test_more_than_may_wait_that_an_instance_took_with_it_does_not_close_the_way(
    start_service: Start, shared: Settings, connect: Any, app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """429 for as long as a handler may take, not for ever."""
    monkeypatch.setattr("sse_service.virtual.turns.MARGIN_S", 0.2)
    service = await start_service(shared.replace(virtual_ordered=1, virtual_integration_s=0.5, virtual_in_flight=4))
    made = await connect(service.client)
    await connections(service).store.change(made.id, lambda session: session.accept([1, 2, 3, 4], None, time.time()))
    answer = await made.post({"seq": 5, "text": "b"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    async with asyncio.timeout(10):
        while answer.status_code == 429:
            await asyncio.sleep(0.1)
            answer = await made.post({"seq": 5, "text": "b"})
    assert answer.json() == {"acked": 5}
    assert app.texts == ["b"]


async def test_one_after_another_from_now_on(start_service: Start, shared: Settings, connect: Any, app: Any) -> None:
    """A connection from before the setting was changed: nothing of it is waited for, however much it has sent."""
    one, other = await start_service(shared), await start_service(shared.replace(virtual_ordered=1))
    made = await connect(one.client)
    await made.post(*[{"seq": number, "text": "a"} for number in range(1, 101)])
    made.client = other.client
    async with asyncio.timeout(10):
        assert (await made.post({"seq": 101, "text": "b"})).json() == {"acked": 101}
    assert app.texts[-1] == "b"


async def test_disconnect_is_the_last_in_turn(
    start_service: Start, shared: Settings, connect: Any, app: Any, eventually: Any
) -> None:
    """Else a handler would store something for a connection whose row `$disconnect` has just deleted."""
    one, other = [await start_service(shared.replace(virtual_ordered=1)) for _ in range(2)]
    app.gate = asyncio.Event()
    made = await connect(one.client)
    first = asyncio.create_task(made.post({"seq": 1, "text": "a"}, {"seq": 2, "text": "b"}))
    await eventually(lambda: app.texts == ["a"])
    closed = await other.client.request("DELETE", made.path, json={"seq": 2}, headers=made.headers)
    assert closed.status_code == 204
    await asyncio.sleep(0.3)  # in which it would begin, if it did not wait
    assert app.disconnects == []
    app.gate.set()
    await first
    await eventually(lambda: app.disconnects)
    assert app.texts == ["a", "b"]


async def test_a_newer_stream_elsewhere_ends_the_older(pair: Any, connect: Any) -> None:
    one, other = pair
    made = await connect(one.client)
    async with made.stream() as old:
        await old.frame("ready")
        made.client = other.client
        async with made.stream() as new:
            await new.frame("ready")
            await old.end()
            await connections(one).post(made.id, "x")
            assert await new.texts(1) == ["x"]


async def test_it_is_closed_and_disconnected_once(pair: Any, connect: Any, app: Any, eventually: Any) -> None:
    one, other = pair
    made = await connect(one.client)
    async with made.stream() as stream:
        await stream.frame("ready")
        made.client = other.client
        answers = await asyncio.gather(*(made.close(code=3000, reason="x") for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [204, 410, 410, 410, 410]
        assert (await stream.frame("close")).json["code"] == 3000
    await eventually(lambda: app.disconnects)
    assert app.ends() == [(made.id, 3000, "x")]


async def test_a_deploy_moves_connections_and_disconnects_nobody(pair: Any, connect: Any, app: Any) -> None:
    one, other = pair
    made = await connect(one.client)
    async with made.stream() as stream:
        await stream.frame("ready")
        one.server.leave()
        assert (await stream.frame("rotate")).json == {"reason": "shutdown"}
        await stream.end()
        assert stream.clean
    await one.stop()
    await connections(other).post(made.id, "meanwhile")
    made.client = other.client
    async with made.stream() as stream:
        assert await stream.texts(1) == ["meanwhile"]
    assert app.disconnects == []


HANDLERS = """
def authorize(event, context):
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": event["methodArn"]}
    return {"principalId": "x", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
def connect(event, context):
    return {"statusCode": 200}
disconnect = default = echo = connect
"""


async def test_after_the_death_of_an_instance_another_runs_disconnect(
    start_service: Start, shared: Settings, app: Any, tmp_path: Path, eventually: Any
) -> None:
    settings = shared.replace(virtual_resume_s=0.8)
    (tmp_path / "virtual_app.py").write_text(HANDLERS, encoding="utf-8")
    environ = {
        **os.environ,
        "SSE_JWT_SECRET": str.__str__(settings.jwt_secret),
        "SSE_VIRTUAL_DEFINITION": settings.virtual_definition,
        "SSE_VIRTUAL_STORE": "redis",
        "SSE_REDIS_URL": str.__str__(settings.redis_url),
        "SSE_TABLE_PREFIX": settings.table_prefix,
        "SSE_VIRTUAL_RESUME_S": "0.8",
    }
    log = tmp_path / "dying.log"
    program = str(Path(sys.executable).parent / "sse-service")
    with (
        log.open("wb") as output,
        subprocess.Popen([program, "serve", "--port", "0"], cwd=tmp_path, env=environ, stderr=output) as dying,
    ):
        try:
            url = await asyncio.to_thread(_url, dying, log)
            other = await start_service(settings)
            async with httpx.AsyncClient(base_url=url) as client:
                opened = (await client.post("/prod", json={"query": "token=x"})).json()
                headers = {"authorization": f"Connection {opened['secret']}"}
                async with client.stream("GET", opened["streamPath"], headers=headers) as response:
                    chunks = response.aiter_raw()
                    await anext(chunks)
                    # Longer than lease and window together: it is renewed as long as it lives.
                    for _ in range(3):
                        await asyncio.sleep(0.6)
                        assert app.disconnects == []
                    dying.send_signal(signal.SIGKILL)
            await eventually(lambda: app.disconnects)
            assert app.ends() == [(opened["connectionId"], 1006, "Connection Closed Abnormally")]
            gone = await other.client.get(opened["streamPath"], headers=headers)
            assert gone.status_code == 410
        finally:
            dying.kill()


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text(encoding="utf-8").splitlines():
            if '"url"' in line and line.endswith("}"):
                url: str = json.loads(line)["url"]
                return url
        time.sleep(0.02)
    raise AssertionError(log.read_text(encoding="utf-8"))


async def test_a_store_that_is_away_is_503_and_nothing_is_lost(
    start_service: Start, virtual_settings: Settings, tmp_path: Path, connect: Any, app: Any, eventually: Any
) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        async with door_to("127.0.0.1", server.port) as door:
            url = Secret(f"redis://127.0.0.1:{door.port}/0")
            service = await start_service(virtual_settings.replace(virtual_store="redis", redis_url=url))
            made = await connect(service.client)
            await door.shut()
            assert (await made.post({"seq": 1, "text": "a"})).status_code == 503
            assert (await service.client.post("/prod", json={"query": "token=ann"})).status_code == 503
            door.open()
            assert (await made.post({"seq": 1, "text": "a"})).json() == {"acked": 1}
            assert app.texts == ["a"]
            # The handler had let somebody in who then could not be kept.
            await eventually(lambda: app.ends())
            assert [code for _, code, _ in app.ends()] == [1006]
    finally:
        server.stop()


async def test_a_store_that_was_away_at_the_end_of_a_handler_stops_nobody(
    start_service: Start,
    virtual_settings: Settings,
    tmp_path: Path,
    connect: Any,
    app: Any,
    eventually: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That the message was handled is said once the store is back: the next one does not wait in vain."""
    server = RedisServer(tmp_path)
    server.start()
    try:
        async with door_to("127.0.0.1", server.port) as door:
            url = Secret(f"redis://127.0.0.1:{door.port}/0")
            settings = virtual_settings.replace(virtual_store="redis", redis_url=url, virtual_ordered=1)
            service = await start_service(settings)
            made = await connect(service.client)
            app.gate = asyncio.Event()
            first = asyncio.create_task(made.post({"seq": 1, "text": "a"}))
            await eventually(lambda: app.texts == ["a"])
            store, failed = connections(service).store, []
            change = store.change

            async def watched(*arguments: Any) -> Any:
                try:
                    return await change(*arguments)
                except UnavailableError:
                    failed.append(arguments)
                    raise

            monkeypatch.setattr(store, "change", watched)
            await door.shut()
            app.gate.set()
            await eventually(lambda: len(failed) >= 2)  # the handler has ended, and could not say so
            door.open()
            async with asyncio.timeout(15):
                assert (await first).json() == {"acked": 1}
                assert (await made.post({"seq": 2, "text": "b"})).json() == {"acked": 2}
    finally:
        server.stop()
