"""The dashboard over HTTP: who is answered, and with what. until phase 3 (MG18)"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from sse_starlette.sse import AppStatus

from migrate.dashboard.actions import Operator
from migrate.dashboard.app import MOST_BODY, Access, create_app
from migrate.dashboard.hub import Hub
from migrate.dashboard.model import Change
from migrate.dashboard.server import address, listen, serve
from migrate.errors import UsageError

TOKEN = "an operator's token"
WAIT_S = 20.0
ECHO = (sys.executable, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))")


@dataclass
class Running:
    hub: Hub
    url: str
    http: httpx.AsyncClient
    serving: asyncio.Task[None]

    async def act(self, body: Any = None, **headers: str) -> httpx.Response:
        given = {
            "authorization": f"Bearer {TOKEN}", "content-type": "application/json", "origin": self.url.rstrip("/"),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }  # fmt: skip
        content = body if isinstance(body, bytes) else json.dumps(body or {"action": "drain-start"}).encode()
        return await self.http.post("/actions", content=content, headers={k: v for k, v in given.items() if v})


@contextlib.asynccontextmanager
async def running(token: str | None, folder: Path) -> AsyncIterator[Running]:
    (folder / "index.html").write_text("<!doctype html><title>page</title>")
    (folder / "x.js").write_text("export {};")
    hub = Hub({"project": "p", "read_only": token is None}, gap_s=0.0)
    listening = listen("127.0.0.1", 0)
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    app = create_app(hub, Operator((), ECHO), Access("127.0.0.1", token), static=folder)
    serving = asyncio.create_task(serve(app, hub, listening, "127.0.0.1", started.set_result))
    url = await asyncio.wait_for(started, WAIT_S)
    try:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=WAIT_S) as http:
            yield Running(hub, url, http, serving)
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        listening.close()


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(TOKEN, tmp_path) as found:
        yield found


async def events(response: httpx.Response, count: int) -> list[tuple[str, str, Any]]:
    """(type, id, data) of the next events of a stream."""
    found: list[tuple[str, str, Any]] = []
    fields: dict[str, str] = {}
    async with asyncio.timeout(WAIT_S):
        async for line in response.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                found.append((fields["event"], fields["id"], json.loads(fields["data"])))
                fields = {}
            if len(found) == count:
                break
    return found


async def test_the_page_its_parts_and_its_headers(here: Running) -> None:
    page = await here.http.get("/")
    assert page.status_code == 200 and "page" in page.text and page.headers["content-type"].startswith("text/html")
    part = await here.http.get("/static/x.js")
    assert part.text == "export {};" and "javascript" in part.headers["content-type"]
    state = await here.http.get("/state")
    assert state.headers["cache-control"] == "no-store"
    for answer in (page, part, state, await here.http.get("/nothing"), await here.http.get("/static/../app.py")):
        assert answer.headers["content-security-policy"].startswith("default-src 'self';")
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers


async def test_nothing_else_is_served(here: Running) -> None:
    for path in ("/nothing", "/static/", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/app.py"):
        assert (await here.http.get(path)).status_code == 404, path
    wrong = await here.http.post("/state")
    assert wrong.status_code == 405 and wrong.headers["content-type"] == "application/problem+json"


async def test_a_stream_that_goes_on_where_it_was_cut(here: Running) -> None:
    async with here.http.stream("GET", "/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store, no-transform"
        [(kind, _, data)] = await events(response, 1)
        assert kind == "snapshot" and data["project"] == "p" and data["sections"]["jobs"] == []
    here.hub.tell([Change("cutover", [1])])
    async with here.http.stream("GET", "/events") as response:
        [(_, seen, data)] = await events(response, 1)
        assert data == (await here.http.get("/state")).json()
    here.hub.tell([Change("mismatches", items=[{"id": "m1", "legacy": "\u2028"}])])
    async with here.http.stream("GET", "/events", headers={"last-event-id": seen}) as response:
        [(kind, _, data)] = await events(response, 1)
        assert kind == "append" and data == {"section": "mismatches", "items": [{"id": "m1", "legacy": "\u2028"}]}


async def test_streams_end_in_order_when_the_program_ends(tmp_path: Path) -> None:
    """No stream is cut in the middle, and none keeps the program from ending."""
    async with running(None, tmp_path) as here:
        async with here.http.stream("GET", "/events") as response:
            lines = response.aiter_lines()
            await anext(lines)
            here.serving.cancel()
            async with asyncio.timeout(WAIT_S):
                # A stream without its last chunk would raise here.
                assert "event: snapshot" in [line async for line in lines]
        assert here.hub.readers == 0


async def test_the_readers_are_counted_and_limited(here: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("migrate.dashboard.app.MOST_READERS", 1)
    async with here.http.stream("GET", "/events") as response:
        await events(response, 1)
        assert here.hub.readers == 1
        refused = await here.http.get("/events")
        assert refused.status_code == 503 and refused.headers["retry-after"]
    async with asyncio.timeout(WAIT_S):
        while here.hub.readers:
            await asyncio.sleep(0.01)


async def test_of_many_that_come_at_once_no_more_are_let_in(here: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("migrate.dashboard.app.MOST_READERS", 3)

    async def status() -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.http.base_url.port)
        open_.append(writer)
        writer.write(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        return (await reader.readline()).decode().split()[1]

    open_: list[asyncio.StreamWriter] = []
    async with asyncio.timeout(WAIT_S):
        assert sorted(await asyncio.gather(*(status() for _ in range(40)))) == ["200"] * 3 + ["503"] * 37
        for writer in open_:
            writer.close()
        while (await status()) != "200":
            await asyncio.sleep(0.05)
    for writer in open_:
        writer.close()


def test_the_import_leaves_uvicorn_as_it_was() -> None:
    """See docs/decisions/0002: else every later server of a process would end its streams at once."""
    assert uvicorn.Server.handle_exit is AppStatus.original_handler


# Who is answered -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "", "127.0.0.1.evil.example", "localhost@evil:1", "["]
)
async def test_another_name_that_leads_here_is_refused(here: Running, host: str) -> None:
    for path in ("/", "/state", "/events", "/static/x.js"):
        answer = await here.http.get(path, headers={"host": host})
        # An empty Host or a broken one is refused before, by the server itself.
        assert answer.status_code in {400, 403}
        assert "p" not in answer.text or answer.json()["status"] == 403


@pytest.mark.parametrize(
    ("listens", "host", "answers"),
    [
        ("127.0.0.1", "127.0.0.1:9", True),
        ("127.0.0.1", "localhost:9000", True),
        ("127.0.0.1", "LOCALHOST", True),
        ("127.0.0.1", "[::1]:9", True),
        ("127.0.0.1", "10.0.0.7", False),
        ("10.0.0.7", "10.0.0.7:80", True),
        ("10.0.0.7", "10.0.0.8:80", False),
        ("0.0.0.0", "10.0.0.8:80", True),
        ("0.0.0.0", "name.example:80", False),
        ("::", "[fd00::1]:80", True),
    ],
)
def test_which_names_are_ours(listens: str, host: str, answers: bool) -> None:
    assert Access(listens).is_us(host) is answers


async def test_an_operator_gets_what_the_command_says(here: Running) -> None:
    body = {"action": "cutover", "arguments": {"feature": "chat", "percent": 5}, "execute": True}
    answer = await here.act(body)
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    words = ["cutover", "--execute", "--percent=5.0", "--json", "--", "chat"]
    assert answer.json() == {
        "command": ["migrate", *words], "running": False, "exit_code": 0, "stdout": words, "stderr": "",
    }  # fmt: skip
    assert (await here.act({**body, "execute": False})).json()["stdout"] == [
        word for word in words if word != "--execute"
    ]


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (401, {"authorization": ""}),
        (401, {"authorization": "Bearer"}),
        (401, {"authorization": "Bearer wrong"}),
        (401, {"authorization": f"Basic {TOKEN}"}),
        (401, {"authorization": f"Bearer {TOKEN}x"}),
        (401, {"authorization": "Bearer \xe9"}),
        (403, {"origin": ""}),
        (403, {"origin": "null"}),
        (403, {"origin": "http://evil.example"}),
        (403, {"origin": "http://127.0.0.1:1"}),
        (403, {"origin": "http://["}),
        (415, {"content_type": "text/plain"}),
        (415, {"content_type": ""}),
        (415, {"content_type": "application/x-www-form-urlencoded"}),
    ],
)
async def test_an_action_of_anybody_else_is_refused(here: Running, status: int, headers: dict[str, str]) -> None:
    raw = {name: value.encode("latin-1").decode("latin-1") for name, value in headers.items()}
    request = {
        "authorization": f"Bearer {TOKEN}", "content-type": "application/json", "origin": here.url.rstrip("/"),
        **{name.replace("_", "-"): value for name, value in raw.items()},
    }  # fmt: skip
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in request.items() if value]
    answer = await here.http.post("/actions", content=b'{"action": "drain-start"}', headers=encoded)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status and TOKEN not in answer.text
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b""),
        (400, b"{"),
        (400, b"[]"),
        (400, b"[" * 9000),
        (400, b'{"action": "rm"}'),
        (400, b'{"action": "drain-start", "execute": "yes"}'),
        (400, b'{"action": "drain-start", "arguments": "all"}'),
        (400, b'{"action": "cutover", "arguments": {"feature": "chat", "percent": 101}}'),
        (400, b'{"action": "sweep-throttle", "execute": true, "arguments": {"delete_per_s": 1' + b"0" * 400 + b"}}"),
        (400, rb'{"action": "rollback", "execute": true, "arguments": {"feature": "chat", "tenant": "\ud800"}}'),
        (413, b" " * (MOST_BODY + 1)),
    ],
)
async def test_a_request_that_is_none(here: Running, status: int, body: bytes) -> None:
    answer = await here.act(body)
    assert (answer.status_code, answer.json()["status"]) == (status, status)


async def test_a_token_is_checked_without_an_action(here: Running) -> None:
    headers = {"authorization": f"Bearer {TOKEN}", "origin": here.url.rstrip("/")}
    right = await here.http.post("/actions/check", headers=headers)
    assert (right.status_code, right.content, right.headers["cache-control"]) == (204, b"", "no-store")
    wrong = await here.http.post("/actions/check", headers={**headers, "authorization": f"Bearer {TOKEN}x"})
    assert wrong.status_code == 401 and wrong.headers["content-type"] == "application/problem+json"
    assert (
        await here.http.post("/actions/check", headers={**headers, "origin": "http://a.example"})
    ).status_code == 403
    assert (await here.http.get("/actions/check")).status_code == 405


async def test_without_a_token_nobody_may_do_anything(tmp_path: Path) -> None:
    async with running(None, tmp_path) as here:
        for token in (TOKEN, "None"):
            answer = await here.act(authorization=f"Bearer {token}")
            assert answer.status_code == 403 and "read-only" in answer.json()["detail"]
        assert (await here.http.post("/actions/check", headers={"authorization": "Bearer None"})).status_code == 403
        assert (await here.http.get("/state")).json()["read_only"] is True


def test_the_token_is_not_in_what_is_printed() -> None:
    assert TOKEN not in repr(Access("127.0.0.1", TOKEN))


# Listening -----------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_a_line_and_no_traceback() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(UsageError, match="the dashboard cannot listen on"):
        listen("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:8/"), ("::1", "http://[::1]:8/"), ("0.0.0.0", "http://127.0.0.1:8/")],
)
def test_the_address_is_one_that_a_browser_takes(host: str, url: str) -> None:
    assert address(host, 8) == url
