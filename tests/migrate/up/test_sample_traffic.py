"""The sample traffic: people of several languages on both stacks, through restarts. until phase 3 (MG2)"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from migrate.errors import UsageError
from migrate.up import sample_traffic

_spec = importlib.util.spec_from_file_location("two_stacks", Path(__file__).parents[1] / "two_stacks.py")
assert _spec is not None and _spec.loader is not None
if "two_stacks" not in sys.modules:
    sys.modules["two_stacks"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["two_stacks"])

from two_stacks import two_stacks  # noqa: E402


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_traffic, "REFUSED_WAIT_S", 0.05)
    monkeypatch.setattr(sample_traffic, "BACKOFF", sample_traffic.Backoff(base_s=0.02, max_s=0.1))


@pytest.mark.integration
async def test_everybody_talks_on_both_stacks() -> None:
    """All four talk, half over WebSocket, half over REST, in both rooms; `stop` ends it with nothing left
    open.
    """
    stop = asyncio.Event()
    async with two_stacks() as stacks:
        task = asyncio.create_task(sample_traffic.run(stacks.up, stop, messages_per_s=200))
        await until(lambda: len(stacks.sent) >= 60)
        stop.set()
        await asyncio.wait_for(task, 5)
        said = {(path, message["userName"]) for path, message in stacks.sent}
        assert said == {(person.path.value, person.name) for person in sample_traffic.PEOPLE}
        assert {message["roomId"] for _, message in stacks.sent} == {"main", "random"}
        await until(lambda: not stacks.sockets)


@pytest.mark.integration
async def test_restart_and_refusal() -> None:
    """A stack that goes away, comes back on its port and lets nobody in for a while ends nobody."""
    stop = asyncio.Event()
    async with two_stacks() as stacks:
        port = stacks.port
        task = asyncio.create_task(sample_traffic.run(stacks.up, stop, messages_per_s=200))
        await until(lambda: len(stacks.sent) >= 8)
    await asyncio.sleep(0.1)
    async with two_stacks(port) as stacks:
        stacks.refuse_websocket = 403
        stacks.refuse_stream = 401
        stacks.refuse_send = 503
        await asyncio.sleep(0.3)
        stacks.refuse_websocket = stacks.refuse_stream = stacks.refuse_send = 0
        await until(lambda: len({message["userName"] for _, message in stacks.sent}) == 4)
        assert not task.done()
        stop.set()
        await asyncio.wait_for(task, 5)


async def test_wrong_up() -> None:
    """What is no up.json is said at once."""
    with pytest.raises(UsageError):
        await sample_traffic.run({"sse_url": "http://x"}, asyncio.Event())


def test_command_without_stacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m migrate.up.sample_traffic` without stacks: 2 and a hint, no traceback."""
    assert sample_traffic.main(["--state-dir", str(tmp_path)]) == 2
    assert "hint: start both with `migrate up`" in capsys.readouterr().err
