"""The bridge between any stack and the service: direct messages, tenants, answers; killed in the middle (MG8).
until phase 3
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from e2e_support import MIGRATE, Stacks, frame

pytestmark = pytest.mark.integration


@contextlib.contextmanager
def bridge(stacks: Stacks, name: str) -> Iterator[subprocess.Popen[str]]:
    """`migrate bridge run --config NAME`, live inside the block."""
    status = stacks.state_dir / f"bridge-{name}.json"
    status.unlink(missing_ok=True)
    with subprocess.Popen(
        [MIGRATE, "bridge", "run", "--config", name, "--state-dir", str(stacks.state_dir)],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while not (status.exists() and json.loads(status.read_text())["live"]):
                assert process.poll() is None, process.stderr.read() if process.stderr else ""
                assert time.monotonic() < deadline, status.read_text() if status.exists() else "no status"
                time.sleep(0.05)
            yield process
        finally:
            process.terminate()
            process.wait(30)


@contextlib.asynccontextmanager
async def client(stacks: Stacks, app: str, user: str) -> AsyncIterator[websockets.ClientConnection]:
    if app == "direct":
        token = (await asyncio.to_thread(stacks.legacy_ws, "token", "direct", user)).stdout.strip()
    else:
        token = await asyncio.to_thread(stacks.token, user)
    url = stacks.info["legacy_ws_url"][app]
    async with websockets.connect(f"{url}?token={token}", proxy=None, max_size=None) as socket:
        yield socket


async def post(stacks: Stacks, user: str, path: str, body: dict[str, Any]) -> None:
    token = await asyncio.to_thread(stacks.token, user)
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(stacks.sse_url + path, json=body, headers={"Authorization": f"Bearer {token}"})
    answer.raise_for_status()


async def say(socket: websockets.ClientConnection, kind: str, **fields: Any) -> None:
    await socket.send(json.dumps({"type": kind, **fields}))


async def test_direct_messages_reach_whoever_has_moved_and_whoever_has_not(stacks: Stacks) -> None:
    """MG8, DC2: nobody else is connected to the old stack, so it posts the message to nobody."""
    ann, bob = "ann@example.com", "bob@example.com"
    with bridge(stacks, "direct"):
        async with client(stacks, "direct", ann) as old, stacks.stream(bob) as new:
            await new.next("ready")
            await old.send(json.dumps({"action": "sendMessage", "receiverEmail": bob, "message": "héllo"}))
            receipt = await frame(old, "messageSent")
            arrived = (await new.next()).data
            told = ("roomId", "messageId", "senderEmail", "receiverEmail", "message", "timestamp", "read", "type")
            assert arrived == {**{name: receipt[name] for name in told if name != "type"}, "type": "message"}
            await post(stacks, bob, "/api/chat/send", {"with": ann, "message": "back"})
            answer = await frame(old)
            assert (answer["message"], answer["senderEmail"], answer["receiverEmail"]) == ("back", bob, ann)
            # Once each: what comes next on either side is the next message, not the last one again.
            await post(stacks, bob, "/api/chat/send", {"with": ann, "message": "again"})
            assert (await frame(old))["message"] == "again"
            await old.send(json.dumps({"action": "sendMessage", "receiverEmail": bob, "message": "last"}))
            while (event := await new.next()).data["senderEmail"] == bob:
                assert event.data["message"] in {"back", "again"}
            assert event.data["message"] == "last"


async def test_a_tenants_chat_its_answers_and_notifications_cross(stacks: Stacks) -> None:
    """MG8, WL9: chat, what the responder says, agent runs and library jobs, started on the old stack, seen on the new;
    and back."""
    with bridge(stacks, "layers"):
        async with client(stacks, "layers", "ann") as old, stacks.stream("bob") as bob, stacks.stream("ann") as ann:
            await bob.next("ready")
            await ann.next("ready")
            await say(old, "chat", chat_id="c1", message="hello", message_id="m1")
            said = (await bob.next("chat_message")).data
            assert (said["user_id"], said["message"], said["message_id"]) == ("ann", "hello", "m1")
            assert (await ann.next("chat_stream_start")).data["message_id"] == "m1"
            words = []
            while (event := await ann.next(None)).type != "chat_stream_end":
                if event.type == "chat_stream_chunk":
                    words.append(event.data["text"])
            assert "".join(words) == "You said: hello"
            await say(old, "message", message="to all of you")
            assert (await bob.next("message")).data["message"] == "to all of you"
            await say(old, "library_process", library_id="l1", documents=["a", "b"], job_id="j1")
            seen = [(await bob.next("library_processing_notification")).data["index"] for _ in range(3)]
            assert seen == [0, 1, 2]
            await post(
                stacks, "bob", "/api/chat/message", {"chat_id": "c1", "message": "over REST", "message_id": "m2"}
            )
            back = await frame(old, "chat_message")
            assert (back["user_id"], back["message"], back["message_id"]) == ("bob", "over REST", "m2")


async def test_killed_in_the_middle_of_a_burst_it_loses_nothing_and_doubles_nothing(
    stacks: Stacks, tmp_path: Path
) -> None:
    """MG8: kill -9 twice while 300 messages cross each way; each client has each of them once."""
    count = 300
    async with client(stacks, "layers", "carl") as old, stacks.stream("dora") as new:
        await new.next("ready")
        got_old: Counter[str] = Counter()
        got_new: list[str] = []

        async def read_old() -> None:
            async for text in old:
                value = json.loads(text)
                if value.get("type") == "chat_message" and value["message_id"].startswith("rest-"):
                    got_old[value["message_id"]] += 1

        async def read_new() -> None:
            while True:
                data = (await new.next("chat_message", within=90)).data
                if data["message_id"].startswith("ws-"):
                    got_new.append(data["message_id"])

        async def send_old() -> None:
            for number in range(count):
                await say(old, "chat", chat_id="burst", message="x", message_id=f"ws-{number:03}")
                await asyncio.sleep(0.01)

        async def send_new() -> None:
            token = await asyncio.to_thread(stacks.token, "dora")
            headers = {"Authorization": f"Bearer {token}"}
            async with httpx.AsyncClient(trust_env=False, base_url=stacks.sse_url, headers=headers, timeout=30) as http:
                for number in range(count):
                    body = {"chat_id": "burst", "message": "x", "message_id": f"rest-{number:03}"}
                    while (answer := await http.post("/api/chat/message", json=body)).status_code == 429:
                        await asyncio.sleep(float(answer.headers.get("retry-after", 1)))
                    answer.raise_for_status()
                    await asyncio.sleep(0.01)

        with bridge(stacks, "layers"):
            # The room must be there, and open, before somebody writes into it over REST.
            await say(old, "chat", chat_id="burst", message="x", message_id="first")
            while (await new.next("chat_message")).data["message_id"] != "first":
                pass
        work = [asyncio.create_task(one()) for one in (read_old, read_new)]
        sending = [asyncio.create_task(one()) for one in (send_old, send_new)]
        try:
            for pause in (1.5, 1.5):
                with bridge(stacks, "layers") as running:
                    await asyncio.sleep(pause)
                    os.kill(running.pid, signal.SIGKILL)
                    running.wait()
            with bridge(stacks, "layers"):
                await asyncio.gather(*sending)
                deadline = time.monotonic() + 60
                while (len(got_old) < count or len(set(got_new)) < count) and time.monotonic() < deadline:
                    await asyncio.sleep(0.1)
                await asyncio.sleep(1)  # for what should not come
        finally:
            for task in (*work, *sending):
                task.cancel()
            await asyncio.gather(*work, *sending, return_exceptions=True)
    # The old stack runs frames of one client at the same time: their order is not the bridge's to keep.
    assert sorted(got_new) == [f"ws-{number:03}" for number in range(count)]
    assert sorted(got_old) == [f"rest-{number:03}" for number in range(count)]
    # What was posted in the very moment of a kill may come again: at most one batch's answers on the wire, twice.
    assert sum(got_old.values()) - count <= 2
