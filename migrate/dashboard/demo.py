"""The dashboard with made-up findings, without AWS or stacks: `python -m migrate.dashboard.demo`. until phase 3

For the page's tests and for a look at it. So many findings a second go the way of real ones (board, hub); with
`--raw` each is told at once and alone, and nobody is left behind: what a page takes is what sets the pace.
At the end one JSON line on stdout says how many were fed. Actions are carried out by a stand-in that changes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from migrate.dashboard import action_table
from migrate.dashboard.actions import Operator
from migrate.dashboard.app import Access, create_app
from migrate.dashboard.hub import Hub
from migrate.dashboard.model import LATENCY_EDGES_MS, Board, Finding
from migrate.dashboard.server import listen, serve, tell

__all__ = ["Feeder", "findings", "main"]

STAND_IN = (sys.executable, "-c", "import json, sys; print(json.dumps({'would': sys.argv[1:]}))")
FEATURES = ("chat", "agent-run", "library")
KINDS = ("missing", "changed", "duplicate", "extra", "reordered")
TICK_S = 0.05
# So far a reader may be behind a raw feed.
BEHIND = 500
AT_ONCE = 10
START_S = 30.0


Found = tuple[str, Finding, float]


def findings(seed: int = 1, began: float = 1_800_000_000.0, step_s: float = 0.01) -> Iterator[Found]:
    """Findings without end: source, what it found, and when (epoch seconds, `step_s` apart); the same for a seed."""
    draw = random.Random(seed)  # noqa: S311 - nothing secret
    # In what proportion: most of what happens is traffic.
    makers = [_deliveries] * 4 + [_mismatch] * 3 + [_connections, _comparison, _latency, _journal, _jobs, _cutover]
    yield "phases", Finding({"phases": [_phase(number) for number in (1, 2, 3)]}), began
    number = 0
    while True:
        number += 1
        at = began + number * step_s
        source, found = makers[number % len(makers)](draw, number, at)
        yield source, found, at


def _deliveries(draw: random.Random, _: int, at: float) -> tuple[str, Finding]:
    wave = 40 + 20 * math.sin(at / 20)
    counts = {"legacy": {int(at): round(wave)}, "sse": {int(at): round(wave + draw.uniform(-3, 3), 1)}}
    return "demo", Finding({"deliveries": counts})


def _connections(draw: random.Random, _: int, at: float) -> tuple[str, Finding]:
    moved = int(at) % 100
    rows = [
        {"stack": stack, "feature": feature, "open": max(0, count + draw.randint(-5, 5))}
        for feature in FEATURES
        for stack, count in (("legacy", 1000 - 10 * moved), ("sse", 9 * moved), ("virtual", moved))
    ]
    return "sse-metrics", Finding({"connections": rows}, why="http://127.0.0.1:8000")


def _mismatch(draw: random.Random, number: int, at: float) -> tuple[str, Finding]:
    kind = draw.choice(KINDS)
    frame = {
        "type": "message",
        "roomId": f"room{number % 5}",
        "message": f"message {number} はい <b>&",
        "userName": "葵",
    }
    item = {
        "id": f"m{number}", "at": at, "feature": draw.choice(FEATURES), "kind": kind, "stack": "sse",
        "blame": draw.choice(("sse", "sse", "legacy", "capture")), "recipient": f"user{number % 40}", "sender": "user1",
        "stream": frame["roomId"], "message": f"req-{number}", "detail": "userName" if kind == "changed" else "",
        "legacy": None if kind == "extra" else frame,
        "sse": None if kind == "missing" else {**frame, "userName": "Aoi"} if kind == "changed" else frame,
        "fields": {"userName": ["葵", "Aoi"]} if kind == "changed" else {},
    }  # fmt: skip
    return "records", Finding(items={"mismatches": [item]}, why="run demo")


def _comparison(_: random.Random, number: int, at: float) -> tuple[str, Finding]:
    verdicts = ("pass", "fail", "inconclusive")
    rows = [
        {
            "feature": feature, "expected": number * 10, "matched": number * 10 - place, "missing": place, "extra": 0,
            "duplicate": 0, "changed": place // 2, "reordered": 0, "missing_legacy": 3,
            "verdict": verdicts[(place + number // 5000) % 3], "reasons": [f"{place} of {number * 10} deliveries"],
            "notes": [], "window": [at - 3600, at - 10], "loss_upper": 0.0003 * (place + 1), "source": "live",
        }
        for place, feature in enumerate(FEATURES)
    ]  # fmt: skip
    return "records", Finding({"comparison": rows}, why="run demo")


def _latency(draw: random.Random, _: int, at: float) -> tuple[str, Finding]:
    bins = len(LATENCY_EDGES_MS) + 1
    counts = {
        stack: [round(1000 * math.exp(-(((place - middle) / 1.6) ** 2))) + draw.randint(0, 3) for place in range(bins)]
        for stack, middle in (("legacy", 6), ("sse", 3))
    }
    quantiles = {"legacy_p": {"p50": 61.0, "p99": 420.0}, "sse_p": {"p50": 8.0, "p99": 49.0}}
    return "records", Finding({"latency": {"at": at, "edges_ms": list(LATENCY_EDGES_MS), **counts, **quantiles}})


def _journal(_: random.Random, number: int, at: float) -> tuple[str, Finding]:
    entry = {
        "id": f"{at:.6f}#{number}", "at": at, "ended_at": at + 1, "actor": "ann@desk", "action": "cutover",
        "outcome": ("done", "refused", "failed")[number % 3], "digest": f"{number:064x}",
        "arguments": {"feature": FEATURES[number % 3], "percent": number % 101}, "facts": {},
    }  # fmt: skip
    return "journal", Finding(items={"journal": [entry]})


def _jobs(_: random.Random, number: int, _at: float) -> tuple[str, Finding]:
    segments = 400
    job = {
        "kind": "sweep", "id": "sweep-connections-demo", "status": "running", "done": number // 50 % (segments + 1),
        "total": segments, "per_s": 48.5, "throttle_reason": "ask 50.0/s: the limit that is set", "owner": "ann@desk",
        "counts": {"rows": number, "deleted": number // 3},
    }  # fmt: skip
    return "sweep", Finding({"jobs": [job]})


def _cutover(_: random.Random, number: int, at: float) -> tuple[str, Finding]:
    rows = [
        {
            "feature": feature, "percent": float(number // 100 % 101), "tenants": {"acme": 100.0} if place else {},
            "epoch": number // 100, "state": "moving",
            "gate": _gate(("open", "shut", "unsure")[place]),
            "changed_at": at, "by": "ann@desk", "note": "", "running": "",
        }
        for place, feature in enumerate(FEATURES)
    ]  # fmt: skip
    return "cutover", Finding({"cutover": rows})


def _gate(state: str) -> dict[str, Any]:
    reason = {"open": "it passed", "shut": "the last comparison failed", "unsure": "nothing was compared"}[state]
    gate = {"name": "comparison", "state": state, "reason": reason}
    return {"open": state == "open", "reasons": [] if state == "open" else [f"comparison: {reason}"], "gates": [gate]}


def _phase(number: int) -> dict[str, Any]:
    statuses = ("done", "open", "failing", "waived")
    items = [
        {
            "id": f"item-{number}-{place}", "title": f"Item {place} of phase {number}", "status": statuses[place % 4],
            "evidence": f"{place} of 6", "taken_at": 1_800_000_000.0, "stale": place == 1,
            "next_command": f"migrate phase{number} sign item-{number}-{place}" if place % 4 in {1, 2} else "",
        }
        for place in range(6)
    ]  # fmt: skip
    closed = {"by": "Ann Lee", "at": 1_800_000_000.0} if number == 1 else None
    return {"phase": number, "title": f"Phase {number}", "closed": closed, "items": items}


class Feeder:
    """Feeds a hub.

    Args:
        told: takes a finding; see server.tell.
        feed: findings.
    """

    def __init__(self, hub: Hub, told: Callable[[str, Finding, float], None], feed: Iterator[Found]) -> None:
        self._hub, self._told, self._feed = hub, told, feed
        self.fed = 0

    async def at_rate(self, per_s: float, seconds: float) -> None:
        """So many a second, for so long; 0: without end."""
        began = time.monotonic()
        while not seconds or time.monotonic() - began < seconds:
            await self._up_to(int((time.monotonic() - began) * per_s))
            await asyncio.sleep(TICK_S)
        await self._up_to(round(per_s * seconds))

    async def all(self, count: int) -> None:
        """So many, as quickly as the slowest reader takes them."""
        while self.fed < count:
            await self._up_to(min(self.fed + BEHIND // 10, count))
            await self._hub.read_up_to(BEHIND)

    async def _up_to(self, count: int) -> None:
        """A few at a time: on a machine that cannot keep the pace, requests are answered all the same."""
        while self.fed < count:
            for source, found, at in (next(self._feed) for _ in range(min(AT_ONCE, count - self.fed))):
                self._told(source, found, at)
                self.fed += 1
            await asyncio.sleep(0)


async def _run(options: argparse.Namespace) -> None:
    token = options.operator_token or None
    about = {"read_only": token is None, "project": "demo", "version": "demo", "actions": action_table.told()}
    hub = Hub(about, gap_s=0.0) if options.raw else Hub(about)
    board = Board(("demo", "records", "journal"))
    hub.tell(board.first())
    listening = listen("127.0.0.1", options.port)
    app = create_app(hub, Operator((), STAND_IN), Access("127.0.0.1", token))
    feeder = Feeder(hub, tell(board, hub), findings(options.seed, time.time(), options.step_s))
    tasks: list[asyncio.Task[None]] = []

    async def feed() -> None:
        if options.wait:
            end = time.monotonic() + START_S
            while not hub.readers and time.monotonic() < end:
                await asyncio.sleep(0.01)
        began = time.monotonic()
        await (feeder.all(options.total) if options.total else feeder.at_rate(options.rate, options.seconds))
        _say({"fed": feeder.fed, "seconds": round(time.monotonic() - began, 3)})

    def ready(url: str) -> None:
        _say({"url": url})
        tasks.append(asyncio.create_task(feed()))

    await serve(app, hub, listening, "127.0.0.1", ready)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _say(value: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> None:
    """Serve it until SIGINT or SIGTERM; the first line on stdout is {"url": ...}."""
    parser = argparse.ArgumentParser(
        prog="python -m migrate.dashboard.demo", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--rate", type=float, default=100.0, help="findings a second")
    parser.add_argument("--seconds", type=float, default=0.0, help="how long; 0: until it is ended")
    parser.add_argument("--total", type=int, default=0, help="so many, as quickly as the readers take them")
    parser.add_argument("--raw", action="store_true", help="each is told at once and alone")
    parser.add_argument("--wait", action="store_true", help="begin with the first reader")
    parser.add_argument("--step-s", type=float, default=0.01, help="simulated seconds from one to the next")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--operator-token", default="", help="of the stand-in for actions; empty: read-only")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
