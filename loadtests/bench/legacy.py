"""The three historical applications on the local AWS: fan-out, many senders, and what one message costs in API calls.

The counts are what AWS bills, and they do not depend on the machine; the rates do, and an emulated AWS says little
about AWS's own. Only the stack's own commands and the network are used.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection

from loadtests.bench.processes import local_aws
from loadtests.bench.report import Table, percentile, save, spread

__all__ = ["run"]

RECEIVERS = 1000
BROADCASTS = 5
SENDERS = 50
MESSAGES_PER_SENDER = 10
COUNTED = 20
ANSWER_WORDS = 5
SETTLE_S = 60.0


@dataclass(frozen=True)
class Stack:
    """One deployed application; `environment` reaches the local AWS."""

    name: str
    url: str
    environment: Mapping[str, str]
    aws_url: str

    def token(self, user: str) -> str:
        """A token of `user`, as the command line makes it."""
        arguments = ["token", self.name, user, *(["--tenant", "bench"] if self.name != "direct" else [])]
        return _legacy_ws(self.environment, *arguments).strip()

    async def connect(self, token: str) -> ClientConnection:
        return await websockets.connect(f"{self.url}?token={token}", proxy=None, open_timeout=60, max_queue=None)

    def usage(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.aws_url + "/_local/usage", timeout=10) as answer:
            counted: dict[str, Any] = json.load(answer)
        return counted


Frame = Mapping[str, object]


@dataclass(frozen=True)
class Scenario:
    """How a person uses one application.

    Args:
        message: the frame of message `n` to `to`.
        is_delivery: whether a frame is message `n` at its receiver.
        is_end: whether a frame ends what message `n` brought about at its sender.
        people: user names; whoever sends is the first.
    """

    app: str
    what: str
    message: Callable[[int, str], Frame]
    is_delivery: Callable[[Frame, int], bool]
    is_end: Callable[[Frame, int], bool]
    people: tuple[str, str]


def _rooms_message(number: int, _: str) -> Frame:
    return {"action": "sendMessage", "message": f"m{number}", "userName": "ann"}


def _is_room_message(frame: Frame, number: int) -> bool:
    return frame.get("type") == "message" and frame.get("message") == f"m{number}"


SCENARIOS = (
    Scenario(
        "rooms", "message to a room of 2", _rooms_message, _is_room_message, _is_room_message, ("ann", "ben"),
    ),
    Scenario(
        "direct",
        "message to 1 person",
        lambda number, to: {"action": "sendMessage", "receiverEmail": to, "message": f"m{number}"},
        lambda frame, number: frame.get("type") == "message" and frame.get("message") == f"m{number}",
        lambda frame, number: frame.get("type") == "messageSent" and frame.get("message") == f"m{number}",
        ("ann@example.com", "ben@example.com"),
    ),
    Scenario(
        "layers",
        f"chat in a tenant of 2, answer of {ANSWER_WORDS} chunks",
        lambda number, _: {
            "type": "chat", "chat_id": "bench", "message_id": f"m{number}", "message": "three more words",
        },
        lambda frame, number: frame.get("type") == "chat_message" and frame.get("message_id") == f"m{number}",
        lambda frame, number: frame.get("type") == "chat_stream_end" and frame.get("message_id") == f"m{number}",
        ("ann", "ben"),
    ),
)  # fmt: skip


def _legacy_ws(environment: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "legacy_ws", *arguments],
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"legacy-ws {' '.join(arguments[:2])}: {done.stderr[-400:]}")
    return done.stdout


async def _until(client: ClientConnection, wanted: Callable[[Frame], bool]) -> float:
    """Read until a frame is the wanted one. Returns when it came. Raises RuntimeError on an error frame."""
    while True:
        frame = json.loads(await asyncio.wait_for(client.recv(), SETTLE_S))
        if wanted(frame):
            return time.perf_counter()
        if frame.get("type") == "error" or "connectionId" in frame:
            raise RuntimeError(f"the stack answered {frame}")


async def count_calls(stack: Stack, scenario: Scenario) -> dict[str, float]:
    """Calls per message: COUNTED messages one after the other, by the difference of two readings."""
    sender, receiver = [await stack.connect(stack.token(person)) for person in scenario.people]
    to = scenario.people[1]

    async def one(number: int) -> None:
        await sender.send(json.dumps(scenario.message(number, to)))
        await asyncio.gather(
            _until(receiver, lambda frame: scenario.is_delivery(frame, number)),
            _until(sender, lambda frame: scenario.is_end(frame, number)),
        )

    try:
        await one(0)
        await asyncio.sleep(1.0)  # what the handshakes brought about is counted by now
        before = stack.usage()
        for number in range(1, COUNTED + 1):
            await one(number)
        await asyncio.sleep(1.0)
        after = stack.usage()
    finally:
        await asyncio.gather(sender.close(), receiver.close(), return_exceptions=True)
    return _difference(before, after, COUNTED)


def _difference(before: dict[str, Any], after: dict[str, Any], messages: int) -> dict[str, float]:
    counted: dict[str, float] = {}
    for service, operations in after["calls"].items():
        for operation, count in operations.items():
            grown = count - before["calls"].get(service, {}).get(operation, 0)
            if grown and service in ("dynamodb", "sqs", "execute-api"):
                counted[f"{service} {operation}"] = grown / messages
    for name, part in (("lambda", "invocations"), ("websocket", "message_units")):
        total = sum(one[part] for one in after[name].values()) - sum(one[part] for one in before[name].values())
        counted[f"{name} {part}"] = total / messages
    return counted


async def fan_out(stack: Stack, receivers: int, messages: int) -> list[float]:
    """Seconds from sending one message until the last of `receivers` has it, for each message."""
    token = stack.token("ann")
    gate = asyncio.Semaphore(32)

    async def connect() -> ClientConnection:
        async with gate:
            return await stack.connect(token)

    clients = await asyncio.gather(*(connect() for _ in range(receivers)))
    try:
        took = []
        for number in range(messages):
            began = time.perf_counter()
            await clients[0].send(json.dumps(_rooms_message(number, "")))
            ends = await asyncio.gather(
                *(_until(client, lambda frame, n=number: _is_room_message(frame, n)) for client in clients)  # type: ignore[misc]
            )
            took.append(max(ends) - began)
        return took
    finally:
        await asyncio.gather(*(client.close() for client in clients), return_exceptions=True)


async def many_senders(stack: Stack, senders: int, each: int) -> tuple[float, list[float]]:
    """Everybody sends `each` messages one after the other, everybody gets all. Returns messages/s and latencies."""
    token = stack.token("ann")
    clients = await asyncio.gather(*(stack.connect(token) for _ in range(senders)))
    latencies: list[float] = []

    async def one(index: int, client: ClientConnection) -> None:
        left = senders * each
        mine, sent_at = 0, time.perf_counter()

        async def send() -> None:
            nonlocal mine, sent_at
            sent_at = time.perf_counter()
            await client.send(
                json.dumps({"action": "sendMessage", "userName": f"u{index}", "message": f"{index}/{mine}"})
            )
            mine += 1

        await send()
        while left:
            frame = json.loads(await asyncio.wait_for(client.recv(), SETTLE_S))
            if frame.get("type") != "message":
                raise RuntimeError(f"the stack answered {frame}")
            left -= 1
            if str(frame["message"]).startswith(f"{index}/"):
                latencies.append(time.perf_counter() - sent_at)
                if mine < each:
                    await send()

    began = time.perf_counter()
    try:
        await asyncio.gather(*(one(index, client) for index, client in enumerate(clients)))
        return senders * each / (time.perf_counter() - began), latencies
    finally:
        await asyncio.gather(*(client.close() for client in clients), return_exceptions=True)


def run() -> None:
    """Deploy the three side by side, measure, print two tables and keep the figures."""
    with tempfile.TemporaryDirectory() as folder, local_aws(Path(folder)) as aws:
        url = aws["aws_endpoint_url"]
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "LEGACY_WS_"))}
        environment = {
            **kept,
            "AWS_ENDPOINT_URL": url,
            "AWS_DEFAULT_REGION": aws["region"],
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        stacks = {}
        for scenario in SCENARIOS:
            deployed = json.loads(_legacy_ws(environment, "deploy", scenario.app, "--json"))
            stacks[scenario.app] = Stack(scenario.app, deployed["websocket_url"], environment, url)
        asyncio.run(_measure(stacks))


async def _measure(stacks: Mapping[str, Stack]) -> None:
    result: dict[str, object] = {}
    counts = {scenario: await count_calls(stacks[scenario.app], scenario) for scenario in SCENARIOS}
    columns = sorted({name for counted in counts.values() for name in counted})
    table = Table(
        f"calls per message, mean of {COUNTED} (what AWS bills; its own polling of queues is not in it)",
        "call", *(f"{scenario.app}: {scenario.what}" for scenario in SCENARIOS),
    )  # fmt: skip
    for name in columns:
        table.add(name, *(f"{counts[scenario].get(name, 0):.2f}" for scenario in SCENARIOS))
    table.show()
    result["calls_per_message"] = {scenario.app: counts[scenario] for scenario in SCENARIOS}
    took = await fan_out(stacks["rooms"], RECEIVERS, BROADCASTS)
    rounds = [await many_senders(stacks["rooms"], SENDERS, MESSAGES_PER_SENDER) for _ in range(3)]
    rates = [rate for rate, _ in rounds]
    latency = [value for _, values in rounds for value in values]
    table = Table("rooms on the local AWS", "scenario", "rate", "p50 ms", "p99 ms")
    table.add(
        f"one message to {RECEIVERS:,} connections, deliveries/s", spread([RECEIVERS / one for one in took]),
        f"{statistics.median(took) * 1e3:.0f}", f"{max(took) * 1e3:.0f}",
    )  # fmt: skip
    table.add(
        f"{SENDERS} senders to {SENDERS} connections, messages/s", spread(rates),
        f"{percentile(latency, 0.5) * 1e3:.0f}", f"{percentile(latency, 0.99) * 1e3:.0f}",
    )  # fmt: skip
    table.show()
    result["fan_out_s"] = took
    result["many_senders_per_s"] = rates
    print(f"  kept in {save('legacy', result)}")
