"""The page's own server: what it gives to whom. until phase 3 (MG2)"""

from __future__ import annotations

import asyncio
import socket

import jwt
import pytest
from aiohttp.test_utils import TestClient, TestServer
from two_stacks import SECRET, TwoStacks

from migrate import live
from migrate.errors import UsageError


@pytest.fixture
def config() -> live.PageConfig:
    return live.PageConfig.from_up(TwoStacks(port=4711).up, SECRET)


async def test_tokens(config: live.PageConfig) -> None:
    """Short-lived tokens for the viewer and each user, minted at each request; never the secret."""
    async with TestClient(TestServer(live.create_app(config))) as client:
        answer = await client.get("/config.json", headers={"Host": "127.0.0.1:1"})
        text = await answer.text()
        document = await answer.json()
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert SECRET not in text + repr(config)
    for user in [document["viewer"], *document["users"]]:
        claims = jwt.decode(user["token"], SECRET, algorithms=["HS256"])
        assert (claims["sub"], claims["tenant_id"]) == (user["name"], "demo")
        assert claims["exp"] - claims["iat"] == 600
        assert "scope" not in claims
    assert {"葵", "민준", "Zoë", "you"} <= {user["name"] for user in document["users"]}


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "", "[", "169.254.1.1"])
async def test_other_names_are_refused(config: live.PageConfig, host: str) -> None:
    """DNS rebinding: a name that only resolves to this machine gets nothing."""
    async with TestClient(TestServer(live.create_app(config))) as client:
        for path in ("/", "/config.json", "/app.js"):
            answer = await client.get(path, headers={"Host": host})
            assert answer.status in (400, 403)
            assert "token" not in await answer.text()


async def test_other_sites_are_refused(config: live.PageConfig) -> None:
    """What the browser marks as another site's request gets no tokens."""
    async with TestClient(TestServer(live.create_app(config))) as client:
        for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
            answer = await client.get("/config.json", headers={"Host": "localhost:1", "Sec-Fetch-Site": site})
            assert answer.status == status


async def test_headers_and_paths(config: live.PageConfig) -> None:
    """A strict policy on everything, errors included; nothing but the listed files; only reading."""
    async with TestClient(TestServer(live.create_app(config))) as client:
        for path, status in (("/", 200), ("/app.js", 200), ("/style.css", 200), ("/../server.py", 404), ("/x", 404)):
            answer = await client.get(path, headers={"Host": "127.0.0.1"})
            assert answer.status == status
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy
            assert "connect-src 'self' ws://127.0.0.1:4711 http://127.0.0.1:4711" in policy
        assert (await client.post("/config.json", headers={"Host": "127.0.0.1"})).status == 405


async def test_serve_until_stopped(config: live.PageConfig) -> None:
    """`serve` ends with its event; a taken port is one clear sentence."""
    stop = asyncio.Event()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port}"):
            await live.serve("127.0.0.1", port, config, stop)
    task = asyncio.create_task(live.serve("127.0.0.1", port, config, stop))
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
    writer.close()
    stop.set()
    await asyncio.wait_for(task, 5)
