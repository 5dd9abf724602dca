"""People chat while `migrate cutover` moves them step by step, a failure at 50 % brings all back, and they go again to
100 %: their own records miss nothing and have nothing twice (MG9). until phase 3
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from e2e_support import MIGRATE, Stacks, start

from migrate.control.flags import Flags
from migrate.control.table import ControlTable

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

PEOPLE = [f"p{n}" for n in range(10)]
SCRIPT = Path(__file__).parent / "switching_people.mjs"
TABLE = "ws2sse-migration-rooms"


class People:
    """The running clients."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.transports: list[str] = []
        self.records: list[dict[str, Any]] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            value = json.loads(line)
            self.transports = value.get("transports", self.transports)
            self.records = value.get("records", self.records)

    async def on(self, kind: str, count: int, within: float = 40) -> None:
        """Until so many of them are on a transport."""
        async with asyncio.timeout(within):
            while self.transports.count(kind) < count:
                assert not self._reading.done(), "the clients have ended"
                await asyncio.sleep(0.05)

    async def finish(self) -> list[dict[str, Any]]:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        async with asyncio.timeout(60):
            await self._reading
            await self.process.wait()
        return self.records


def _point_functions_at_the_service(stacks: Stacks) -> None:
    """The one change of configuration: docs/guides/cutover.md, "Before"."""
    client = stacks.client("lambda")
    for name in stacks.info["stacks"]["rooms"]["functions"].values():
        variables = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        changed = {**variables, "LEGACY_WS_MANAGEMENT_URL": f"{stacks.sse_url}/prod"}
        client.update_function_configuration(FunctionName=name, Environment={"Variables": changed})


def _compared(stacks: Stacks, verdict: str) -> None:
    """As `migrate compare` stores it."""
    now = time.time()
    ControlTable(stacks.client("dynamodb"), TABLE).put(
        {
            "pk": "verdict#chat",
            "sk": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{time.time_ns() // 1000 % 10**6:06d}Z",
            "verdict": verdict,
            "run_id": "trial",
            "made_at": now,
            "window": [now - 60, now],
            "expected": 5000,
            "loss_upper": 0.0001 if verdict == "pass" else 0.01,
            "complete": True,
            "reasons": [] if verdict == "pass" else ["SSE drops 1 in 500"],
            "digest": "trial",
            "actor": "test",
        }
    )


async def _steps(stacks: Stacks) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(MIGRATE, "cutover", "chat", "--steps", "--hold", "5", "--execute", "--state-dir", str(stacks.state_dir)),
        stderr=asyncio.subprocess.PIPE,
    )


async def test_people_chat_while_they_are_moved_and_brought_back(tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node, "no Node.js on PATH"
    with start(tmp_path / "state", "--no-traffic") as stacks:
        await asyncio.to_thread(_point_functions_at_the_service, stacks)
        _compared(stacks, "pass")
        plan = {
            "ws": stacks.websocket_url,
            "sse": f"{stacks.sse_url}/prod",
            "people": [{"name": name, "token": stacks.token(name)} for name in PEOPLE],
            "everyMs": 900,
        }
        process = await asyncio.create_subprocess_exec(
            *(node, str(SCRIPT), json.dumps(plan)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 26,
            env={**os.environ, "NODE_OPTIONS": "--experimental-websocket --no-warnings"},
        )
        people = People(process)
        try:
            await people.on("websocket", len(PEOPLE))
            first = await _steps(stacks)
            await people.on("sse", 1)
            flags = Flags(ControlTable(stacks.client("dynamodb"), TABLE))
            async with asyncio.timeout(40):
                while (flag := flags.get("chat")) is None or flag.percent < 50:
                    await asyncio.sleep(0.1)
            _compared(stacks, "fail")
            broken = time.monotonic()
            await people.on("websocket", len(PEOPLE), within=10)
            took = time.monotonic() - broken
            _, told = await first.communicate()
            assert first.returncode == 3, told
            assert b"SSE drops 1 in 500" in told

            _compared(stacks, "pass")
            second = await _steps(stacks)
            await people.on("sse", len(PEOPLE), within=60)
            _, told = await second.communicate()
            assert second.returncode == 0, told
            records = await people.finish()
        finally:
            if process.returncode is None:
                process.kill()
        entries = json.loads(stacks.migrate("journal", "--json").stdout)["entries"]
        assert stacks.migrate("rollback", "chat").returncode == 0

    assert took < 10
    everything = sorted(f"{one['name']} {n}" for one in records for n in range(1, one["said"] + 1))
    assert len(everything) > 150
    for one in records:
        assert one["events"] == [], one["name"]
        assert sorted(text for _, text in one["heard"]) == everything, one["name"]
        assert len({message for message, _ in one["heard"]}) == len(one["heard"])
    assert all(one["moves"][-1] == "sse" for one in records)
    assert any(one["moves"] == ["sse", "websocket", "sse"] for one in records)
    actions = [(entry["action"], entry["outcome"]) for entry in entries][::-1]
    assert ("cutover-return", "done") in actions
    assert actions.count(("cutover-steps", "failed")) == 1
    assert actions.count(("cutover-steps", "done")) == 1
