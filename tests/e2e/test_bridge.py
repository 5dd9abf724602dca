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


async def test_killed_in_the_middle_of_a_burst_it_loses_nothing_and_doubles_nothing(stacks: Stacks) -> None:
    """MG8: kill -9 twice while 200 messages cross each way; `migrate up` starts it again; each client has each once."""
    count = 200
    room = f"burst-{time.time_ns()}"
    async with stacks.websocket("carl") as old, stacks.stream("dora") as new:
        await new.next("ready")
        got_old: Counter[str] = Counter()
        got_new: Counter[str] = Counter()

        async def read_old() -> None:
            async for text in old:
                value = json.loads(text)
                if value.get("roomId") == room and value["message"].startswith("rest-"):
                    got_old[value["message"]] += 1

        async def read_new() -> None:
            while True:
                data = (await new.next("message", within=100)).data
                if data["roomId"] == room and data["message"].startswith("ws-"):
                    got_new[data["message"]] += 1

        async def send_old() -> None:
            for number in range(count):
                await old.send(json.dumps({"action": "sendMessage", "roomId": room, "message": f"ws-{number:03}"}))
                await asyncio.sleep(0.02)

        async def send_new() -> None:
            token = await asyncio.to_thread(stacks.token, "dora")
            headers = {"Authorization": f"Bearer {token}"}
            async with httpx.AsyncClient(trust_env=False, base_url=stacks.sse_url, headers=headers, timeout=30) as http:
                for number in range(count):
                    body = {"conversationId": room, "message": f"rest-{number:03}"}
                    while (answer := await http.post("/api/chat/send", json=body)).status_code == 429:
                        await asyncio.sleep(float(answer.headers.get("retry-after", 1)))
                    answer.raise_for_status()
                    await asyncio.sleep(0.02)

        # The room must be there, and open, before somebody writes into it over REST.
        await old.send(json.dumps({"action": "sendMessage", "roomId": room, "message": "first"}))
        while (await new.next()).data["message"] != "first":
            pass
        tasks = [asyncio.create_task(one()) for one in (read_old, read_new)]
        sending = [asyncio.create_task(one()) for one in (send_old, send_new)]
        try:
            for _ in range(2):
                await asyncio.sleep(1.5)
                os.kill(await asyncio.to_thread(bridge_pid, stacks), signal.SIGKILL)
            await asyncio.gather(*sending)
            deadline = time.monotonic() + 60
            while (len(got_old) < count or len(got_new) < count) and time.monotonic() < deadline:
                # Traffic goes on: what a worker could not send, its queue being slow, goes with its next message.
                for _ in range(6):
                    await old.send(json.dumps({"action": "sendMessage", "roomId": room, "message": "later"}))
                await asyncio.sleep(1)
            await asyncio.sleep(1)  # for what should not come
        finally:
            for task in (*tasks, *sending):
                task.cancel()
            await asyncio.gather(*tasks, *sending, return_exceptions=True)
    # The old stack runs frames of one client at the same time: their order is not the bridge's to keep.
    assert got_new == Counter(f"ws-{number:03}" for number in range(count))
    assert sorted(got_old) == [f"rest-{number:03}" for number in range(count)]
    # What was being posted in the very moment of a kill may come again; nothing else may.
    assert sum(got_old.values()) - count <= 2


def bridge_pid(stacks: Stacks) -> int:
    """Of the bridge that runs now."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        bridge = json.loads(stacks.migrate("status", "--json").stdout)["bridge"]
        if bridge["state"] == "running" and bridge["pid"]:
            return int(bridge["pid"])
        time.sleep(0.1)
    raise AssertionError("the bridge did not come back")
