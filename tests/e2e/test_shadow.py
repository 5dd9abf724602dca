"""`migrate shadow` on running stacks: the same is delivered on both sides, and nobody notices (MG6). until phase 3"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import websockets
from e2e_support import Stacks, start

from migrate.control.table import ControlTable
from migrate.shadow.state import ShadowState
from migrate.tee.consumers import consumer_queue

pytestmark = pytest.mark.integration

PASSING = ("RevisionId", "LastModified", "ResponseMetadata", "LastUpdateStatus")


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    with start(tmp_path_factory.mktemp("shadow") / "state", "--no-traffic") as running:
        yield running


def shadow(stacks: Stacks, *arguments: str) -> str:
    done = stacks.migrate("shadow", *arguments, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def status(stacks: Stacks, app: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shadow(stacks, "status", "--config", app, "--json"))
    return found


def worker(stacks: Stacks, app: str) -> dict[str, Any]:
    """What the worker says of itself, without starting a command for it."""
    table = ControlTable(stacks.client("dynamodb"), f"ws2sse-migration-{app}")
    return ShadowState(table, app).worker()


def queued(stacks: Stacks, app: str) -> int:
    sqs, api = stacks.client("sqs"), stacks.info["stacks"][app]["api_id"]
    url = consumer_queue(sqs, api, "shadow")
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])


def until(reached: Callable[[], object], within: float = 60) -> Any:
    deadline = time.monotonic() + within
    while not (found := reached()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def rows(stacks: Stacks, app: str, kind: str) -> list[dict[str, Any]]:
    """Rows of the newest run, without the headers."""
    run = sorted((stacks.state_dir / "records" / "shadow" / app).iterdir())[-1]
    found = []
    for file in (run / kind).iterdir():
        found += [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()[1:]]
    return found


def delivered(stacks: Stacks, app: str, stack: str, *ignored: str) -> Counter[tuple[str, str]]:
    """(recipient, frame) of one side."""
    found: Counter[tuple[str, str]] = Counter()
    for row in rows(stacks, app, "deliveries"):
        if row["stack"] == stack:
            frame = {name: value for name, value in json.loads(row["payload"]).items() if name not in ignored}
            found[row["recipient"], json.dumps(frame, sort_keys=True)] += 1
    return found


async def client(stacks: Stacks, inside: AsyncExitStack, app: str, user: str) -> websockets.ClientConnection:
    token = await asyncio.to_thread(stacks.token, user)
    url = f"{stacks.info['legacy_ws_url'][app]}?token={token}"
    return await inside.enter_async_context(websockets.connect(url, proxy=None))


async def heard(socket: websockets.ClientConnection, texts: set[str]) -> list[str]:
    """Messages until all of these were there."""
    found: list[str] = []
    async with asyncio.timeout(60):
        while not texts <= set(found):
            frame = json.loads(await socket.recv())
            if frame.get("type") == "message":
                found.append(frame["message"])
    return found


def configurations(stacks: Stacks, prefix: str) -> dict[str, str]:
    functions = stacks.client("lambda").list_functions()["Functions"]
    return {
        one["FunctionName"]: json.dumps(
            {key: value for key, value in one.items() if key not in PASSING and not key.startswith("State")}
        )
        for one in functions
        if one["FunctionName"].startswith(prefix)
    }


async def test_rooms_are_delivered_the_same_also_when_the_worker_is_killed(stacks: Stacks) -> None:
    """MG6: before, while and after a kill -9 and a pause; nothing twice, nothing to users, nothing to their tables."""
    async with AsyncExitStack() as inside:
        early = [await client(stacks, inside, "rooms", user) for user in ("ann", "ben")]
        await asyncio.to_thread(shadow, stacks, "start", "--config", "rooms")
        late = await client(stacks, inside, "rooms", "cleo")
        everybody = [*early, late]
        texts: set[str] = set()

        async def chat(part: str) -> None:
            for number, socket in enumerate([*everybody, *everybody]):
                texts.add(text := f"{part} {number} こんにちは")
                room = {"roomId": "random"} if number % 2 else {}
                await socket.send(json.dumps({"action": "sendMessage", "message": text, **room}))

        def arrived(of: int) -> bool:
            sides = [sum(delivered(stacks, "rooms", side).values()) for side in ("legacy", "sse")]
            return sides == [of, of]

        await chat("first")
        await asyncio.to_thread(until, lambda: arrived(18))
        pid = worker(stacks, "rooms")["pid"]
        await chat("killed")
        os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(until, lambda: arrived(36))
        assert worker(stacks, "rooms")["pid"] != pid

        await asyncio.to_thread(shadow, stacks, "pause", "--config", "rooms")
        await asyncio.to_thread(until, lambda: worker(stacks, "rooms")["state"] == "paused")
        await chat("paused")
        await asyncio.to_thread(until, lambda: queued(stacks, "rooms") >= 6)
        assert arrived(36)
        await asyncio.to_thread(shadow, stacks, "resume", "--config", "rooms", "--max-per-s", "50")
        await asyncio.to_thread(until, lambda: arrived(54))

        for socket in everybody:
            assert Counter(await heard(socket, texts)) == Counter(texts)

    ignored = ("messageId", "timestamp")
    legacy, sse = (delivered(stacks, "rooms", side, *ignored) for side in ("legacy", "sse"))
    assert legacy == sse
    assert set(legacy.values()) == {1}
    sends = rows(stacks, "rooms", "sends")
    assert Counter(json.loads(row["payload"])["message"] for row in sends) == Counter(texts)
    assert {row["replayed"] for row in sends} == {"ok"}
    # Only what users said is in the application's table, once; the shadow has tables of its own.
    stored = stacks.client("dynamodb").scan(TableName="rooms-ChatMessages", ConsistentRead=True)["Items"]
    assert Counter(item["message"]["S"] for item in stored) == Counter(texts)

    before = configurations(stacks, "rooms-")
    await asyncio.to_thread(shadow, stacks, "stop", "--config", "rooms")
    # The bridge was there first, and still reads.
    assert configurations(stacks, "rooms-") == before
    pids = json.loads(stacks.migrate("status", "--json").stdout)["pids"]
    assert not [name for name in pids if name.startswith("shadow")]


async def test_layers_with_answers_from_a_queue_and_the_configuration_comes_back(stacks: Stacks) -> None:
    """MG6: chat with its streamed answer, agent runs, library jobs; functions byte for byte as before."""
    before = configurations(stacks, "layers-")
    await asyncio.to_thread(shadow, stacks, "start", "--config", "layers")
    await asyncio.to_thread(shadow, stacks, "start", "--config", "layers")  # twice is once
    assert configurations(stacks, "layers-") != before
    frames = [
        {"type": "chat", "chat_id": "c1", "message": "three more words"},
        {"type": "agent_run", "agent_id": "a1", "input": {"text": "run"}},
        {"type": "library_process", "library_id": "l1", "documents": ["one", "two"], "job_id": "job-1"},
    ]
    async with AsyncExitStack() as inside:
        ann = await client(stacks, inside, "layers", "ann")
        await client(stacks, inside, "layers", "ben")
        for frame in frames:
            await ann.send(json.dumps(frame))

        def complete() -> bool:
            legacy, sse = (delivered(stacks, "layers", side, "timestamp") for side in ("legacy", "sse"))
            kinds = {json.loads(frame)["type"] for _, frame in legacy}
            ends = [frame for _, frame in legacy if json.loads(frame).get("status") == "completed"]
            return legacy == sse and len(kinds) == 6 and len(ends) == 4

        await asyncio.to_thread(until, complete)
    answers = [row for row in rows(stacks, "layers", "deliveries") if row["cause"] is None]
    assert answers == []
    await asyncio.to_thread(shadow, stacks, "stop", "--config", "layers")
    assert configurations(stacks, "layers-") == before
    assert status(stacks, "layers")["state"] == "stopped"


def test_mistakes_are_one_line(stacks: Stacks, tmp_path: Path) -> None:
    """MG6: exit code 2 and a hint, nothing changed."""
    for arguments in (("pause", "--config", "direct"), ("status", "--config", str(tmp_path / "no.toml"))):
        done = stacks.migrate("shadow", *arguments)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
        assert "hint:" in done.stderr
