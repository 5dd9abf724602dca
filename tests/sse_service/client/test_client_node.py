"""The drop-in client in Node.js: its own tests, sse_service/client/test, against the server with faults (MG5)."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest
from client_support import CLIENT, node

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("name", sorted(path.name for path in (CLIENT / "test").glob("*.test.mjs")))
async def test_in_node(name: str) -> None:
    """A failing case's report is the message."""
    process = await asyncio.create_subprocess_exec(
        node(),
        "--test",
        str(CLIENT / "test" / name),
        env={**os.environ, "PYTHON": sys.executable, "NODE_OPTIONS": "--experimental-websocket", "NO_COLOR": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(100):
            report, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = report.decode()
    assert process.returncode == 0, text
    assert "# pass 0" not in text, text
