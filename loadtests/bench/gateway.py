"""The local gateway and Lambda execution against MiniStack's own data plane: same function, same client, one run."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import websockets
from websockets.asyncio.client import ClientConnection

from loadtests.bench.echo_stack import deploy_echo
from loadtests.bench.processes import local_aws, ministack
from loadtests.bench.report import Table, percentile, save, spread

__all__ = ["run"]

ROUNDS = 3
# One round takes so long, seconds; the peer is slow enough that shorter rounds would count single messages.
SECONDS = 4.0
WARM_UP_S = 4.0
BROADCAST_TO = 200


@dataclass
class Round:
    """One round of one scenario: messages, seconds, each message's latency in seconds."""

    count: int
    seconds: float
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.count / self.seconds


async def echo(url: str, connections: int, window: int, seconds: float) -> Round:
    """`connections` clients, each with `window` messages in flight, for `seconds`."""
    clients = [await websockets.connect(url, max_size=None, proxy=None) for _ in range(connections)]
    latencies: list[float] = []
    began = time.perf_counter()
    end = began + seconds

    async def one(client: ClientConnection) -> None:
        sent: dict[str, float] = {}
        number = 0

        async def send() -> None:
            nonlocal number
            number += 1
            sent[str(number)] = time.perf_counter()
            await client.send(json.dumps({"action": "echo", "data": str(number)}))

        for _ in range(window):
            await send()
        while sent:
            reply = await asyncio.wait_for(client.recv(), 30)
            now = time.perf_counter()
            latencies.append(now - sent.pop(str(reply)))
            if now < end:
                await send()

    try:
        await asyncio.gather(*(one(client) for client in clients))
        took = time.perf_counter() - began
    finally:
        await asyncio.gather(*(client.close() for client in clients), return_exceptions=True)
    return Round(len(latencies), took, latencies)


async def broadcast(url: str, receivers: int, messages: int) -> Round:
    """One message after the other, each to everybody; latency until the last has it."""
    clients = [await websockets.connect(url, proxy=None) for _ in range(receivers)]
    try:
        ids = []
        for client in clients:
            await client.send(json.dumps({"action": "who", "data": "whoami"}))
            ids.append(json.loads(await asyncio.wait_for(client.recv(), 30))["connectionId"])
        latencies = []
        began = time.perf_counter()
        for number in range(messages):
            sent = time.perf_counter()
            await clients[0].send(json.dumps({"action": "all", "data": f"b{number}", "to": ids}))
            await asyncio.gather(*(asyncio.wait_for(client.recv(), 60) for client in clients))
            latencies.append(time.perf_counter() - sent)
        return Round(messages * receivers, time.perf_counter() - began, latencies)
    finally:
        await asyncio.gather(*(client.close() for client in clients), return_exceptions=True)


async def connects(url: str, count: int, at_once: int) -> Round:
    """`count` handshakes through the $connect Lambda, `at_once` at a time."""
    gate = asyncio.Semaphore(at_once)
    latencies: list[float] = []
    clients: list[ClientConnection] = []

    async def one() -> None:
        async with gate:
            began = time.perf_counter()
            clients.append(await websockets.connect(url, open_timeout=60, proxy=None))
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(count)))
    took = time.perf_counter() - began
    await asyncio.gather(*(client.close() for client in clients), return_exceptions=True)
    return Round(count, took, latencies)


# Name, connections, messages in flight on each.
SCENARIOS = (
    ("echo, 1 connection, 1 in flight", 1, 1),
    ("echo, 1 connection, 16 in flight", 1, 16),
    ("echo, 50 connections, 1 in flight each", 50, 1),
)


def run() -> None:
    """Both gateways in one run, round by round in turn; prints a table and keeps the figures."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "peer").mkdir()
        with local_aws(Path(folder)) as ours, ministack(Path(folder) / "peer") as peer:
            _, our_url = deploy_echo(ours["aws_endpoint_url"])
            peer_api, _ = deploy_echo(
                peer["aws_endpoint_url"], {"ENDPOINT_BASE": peer["aws_endpoint_url"] + "/_aws/execute-api"}
            )
            peer_url = peer["aws_endpoint_url"].replace("http", "ws") + f"/_aws/execute-api/{peer_api}/prod"
            asyncio.run(_measure(our_url, peer_url))


async def _measure(our_url: str, peer_url: str) -> None:
    await echo(our_url, 50, 1, WARM_UP_S)
    await echo(peer_url, 1, 1, 1.0)
    table = Table(
        f"local gateway + Lambda, messages/s, median of {ROUNDS} rounds (range)",
        "scenario", "ours", "MiniStack", "ratio", "ours p50 ms", "ours p99 ms", "MiniStack p99 ms",
    )  # fmt: skip
    result: dict[str, object] = {}
    for name, connections, window in SCENARIOS:
        our_rounds, peer_rounds = [], []
        for _ in range(ROUNDS):
            our_rounds.append(await echo(our_url, connections, window, SECONDS))
            peer_rounds.append(await echo(peer_url, connections, window, SECONDS))
        ours, peers = [r.rate for r in our_rounds], [r.rate for r in peer_rounds]
        latency = [value for r in our_rounds for value in r.latencies]
        peer_latency = [value for r in peer_rounds for value in r.latencies]
        ratio = statistics.median(ours) / statistics.median(peers)
        p50, p99 = percentile(latency, 0.5) * 1e3, percentile(latency, 0.99) * 1e3
        table.add(
            name, spread(ours), spread(peers), f"{ratio:.0f}x", f"{p50:.1f}", f"{p99:.1f}",
            f"{percentile(peer_latency, 0.99) * 1e3:.0f}",
        )  # fmt: skip
        result[name] = {"ours": ours, "ministack": peers, "ratio": ratio, "p50_ms": p50, "p99_ms": p99}
    fan_out = [await broadcast(our_url, BROADCAST_TO, 10) for _ in range(ROUNDS)]
    handshakes = [await connects(our_url, 200, 50) for _ in range(ROUNDS)]
    for name, rounds in (
        (f"broadcast to {BROADCAST_TO}, deliveries/s", fan_out),
        ("new connections/s", handshakes),
    ):
        rates = [r.rate for r in rounds]
        latency = [value for r in rounds for value in r.latencies]
        p50, p99 = percentile(latency, 0.5) * 1e3, percentile(latency, 0.99) * 1e3
        table.add(name, spread(rates), "-", "-", f"{p50:.1f}", f"{p99:.1f}", "-")
        result[name] = {"ours": rates, "p50_ms": p50, "p99_ms": p99}
    table.show()
    print(f"  kept in {save('gateway', result)}")
