"""The drop-in client and `sse-service serve`: the same behaviours as against the server with faults (MG5, MG19)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from client_support import node
from service_support import WAIT_S, Service, serve

pytestmark = pytest.mark.integration

SCRIPT = Path(__file__).parent / "against_service.mjs"


async def start(url: str, what: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(node(), str(SCRIPT), url, what), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def run(service: Service, what: str, token: str = "good") -> dict[str, Any]:
    process = await start(f"{service.ws}?token={token}", what)
    async with asyncio.timeout(WAIT_S):
        output, errors = await process.communicate()
    assert errors == b""
    report: dict[str, Any] = json.loads(output)
    return report


async def test_everything_arrives_while_answers_are_dropped_and_streams_are_cut(tmp_path: Path) -> None:
    async with serve(tmp_path) as service:
        report = await run(service, "echo")
    assert report["right"], report
    assert report["close"] == [4000, "done", True]
    assert report["events"] == [["open", ""], ["close", 4000]]
    assert report["counts"]["cut"] >= 3


async def test_ends_are_those_of_a_websocket_of_api_gateway(tmp_path: Path) -> None:
    """Refused, kicked by @connections DELETE, too big, binary where it is not passed."""
    async with serve(tmp_path) as service:
        refused, kicked, big, binary, protocol = await asyncio.gather(
            run(service, "echo", token="bad"),
            run(service, "kicked"),
            run(service, "big"),
            run(service, "binary"),
            run(service, "protocol"),
        )
    assert refused["close"] == [1006, "", False]
    assert refused["events"] == [["error", "the handshake was answered with 403"], ["close", 1006]]
    assert kicked["close"][0] == 1000 and kicked["close"][2] is True
    assert big["close"] == [1009, "Message too big", True]
    assert binary["close"][0] == 1003
    assert protocol["close"] == [1006, "", False]  # $connect chose none of those offered


async def test_binary_where_it_is_passed(tmp_path: Path) -> None:
    async with serve(tmp_path, SSE_VIRTUAL_BINARY="pass") as service:
        report = await run(service, "binary")
    assert report["first"] == [0, 255, 13, 10]


async def test_a_service_that_goes_down_closes_its_connections(tmp_path: Path) -> None:
    """In memory they cannot be resumed elsewhere: the application hears of it and reconnects."""
    async with serve(tmp_path) as service:
        process = await start(f"{service.ws}?token=good", "wait")
        assert process.stdout is not None
        assert (await process.stdout.readline()).strip() == b"open"
        service.process.terminate()
        async with asyncio.timeout(WAIT_S):
            report = json.loads(await process.stdout.readline())
            await process.wait()
    assert report["close"][0] in {1001, 1006}
