"""`sse-service serve` as a process of its own, for clients that are none of Python's."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

SECRET = "a-key-for-tests-only-0123456789abcdef"
WAIT_S = 30.0
API = """
[authorizers.token]
handler = "drop_in_app:authorize"
identity_sources = ["route.request.querystring.token"]
[routes."$connect"]
handler = "drop_in_app:connect"
authorizer = "token"
[routes."$default"]
handler = "drop_in_app:default"
"""


class Service:
    """A running service. url: `http://127.0.0.1:port`."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    @property
    def ws(self) -> str:
        return f"{self.url.replace('http', 'ws')}/ws/prod"


@asynccontextmanager
async def serve(tmp_path: Path, **settings: str) -> AsyncIterator[Service]:
    definition = tmp_path / "api.toml"
    definition.write_text(API, encoding="utf-8")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SSE_", "AWS_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sse_service", "serve", "--port", "0"),
        env={
            **clean,
            "PYTHONPATH": str(Path(__file__).parent),
            "SSE_JWT_SECRET": SECRET,
            "SSE_GRACE_S": "3",
            "SSE_DRAIN_DELAY_S": "0",
            "SSE_VIRTUAL_DEFINITION": str(definition),
            "SSE_VIRTUAL_PATH": "/ws/prod",
            "SSE_VIRTUAL_ORDERED": "1",
            **settings,
        },
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    log = process.stderr
    url = ""
    async with asyncio.timeout(WAIT_S):
        while not url:
            line = await log.readline()
            assert line, "the service did not start"
            url = json.loads(line).get("url", "")

    async def drop() -> None:
        while await log.read(1 << 16):
            pass

    dropping = asyncio.create_task(drop())
    try:
        yield Service(process, url)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
        await dropping
