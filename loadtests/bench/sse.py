"""The service's streams against the kernel's limit and two peers, in one run: nginx with nchan, and sse-starlette.

Server on one core, client on the other, each server fresh for each measurement, the servers in turn in each round,
medians of the rounds. Ratios within a run are what counts; where the machine is busy, CPU per delivery.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from loadtests.bench.report import Table, save
from loadtests.bench.sse_client import MissingError, Programs, compile_programs, run_client
from loadtests.bench.sse_dynamodb import measure_dynamodb
from loadtests.bench.sse_peers import FLOOR, NCHAN, PLAIN, PORTABLE, SERVICE, Target, find_nchan, serve
from loadtests.bench.sse_storm import measure_storm

__all__ = ["PARTS", "run"]

ROUNDS = 3
FAN_OUT = {"subscribers": 1000, "channels": 1}
CHAT = {"subscribers": 1000, "channels": 1000, "inflight": 16}
Found = dict[str, list[dict[str, Any]]]

# Name -> options of the load client, and the servers it is for with the messages each can do in a few seconds.
ONE, MANY, STEADY, SINGLE, BATCHES = "one", "many", "steady", "chat", "batches"
ONE_AWAKE, SINGLE_AWAKE = "one-awake", "chat-awake"
SCENARIOS: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    ONE: (
        {**FAN_OUT, "inflight": 1},
        {FLOOR: 600, SERVICE: 500, PORTABLE: 300, NCHAN: 300, PLAIN: 60},
    ),
    MANY: (
        {**FAN_OUT, "inflight": 16},
        {FLOOR: 600, SERVICE: 2000, PORTABLE: 1500, NCHAN: 300, PLAIN: 100},
    ),
    STEADY: (
        {**FAN_OUT, "inflight": 8, "rate": 50},
        {FLOOR: 150, SERVICE: 150, PORTABLE: 150, NCHAN: 150},
    ),
    SINGLE: (CHAT, {FLOOR: 40_000, SERVICE: 20_000, PORTABLE: 3_000, NCHAN: 20_000, PLAIN: 5_000}),
    BATCHES: ({**CHAT, "inflight": 4, "batch": 64}, {SERVICE: 60_000}),
    # What it costs a server to wake its client is left out (sse_load.c).
    ONE_AWAKE: (
        {**FAN_OUT, "inflight": 1, "awake": 1},
        {FLOOR: 600, SERVICE: 500, PORTABLE: 300, NCHAN: 300},
    ),
    SINGLE_AWAKE: ({**CHAT, "awake": 1}, {FLOOR: 40_000, SERVICE: 20_000, NCHAN: 20_000}),
}
IDLE = {"subscribers": 5000, "idle": 15}
IDLE_SERVERS = (SERVICE, PORTABLE, NCHAN)
PARTS = (*SCENARIOS, "idle", "storm", "dynamodb")


def run(parts: Collection[str] = PARTS) -> None:
    """Measure, print tables, keep the figures. Without a compiler it says so and does nothing.

    parts: of PARTS.
    """
    began = time.monotonic()
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            programs = compile_programs(folder)
        except MissingError as missing:
            print(f"\nsse: left out: {missing}")
            return
        left_out = find_nchan()
        if left_out:
            print(f"\nsse: {left_out}")
        scenarios = result["scenarios"] = {
            name: _measure(name, programs, folder, not left_out) for name in SCENARIOS if name in parts
        }
        _show_fan_out(scenarios)
        _show_chat(scenarios)
        if "idle" in parts:
            servers = [server for server in IDLE_SERVERS if not (left_out and server == NCHAN)]
            result["idle"] = {server: [_idle(server, programs, folder)] for server in servers}
            _show_idle(result["idle"])
        if "storm" in parts:
            result["storm"] = measure_storm(programs, folder)
        if "dynamodb" in parts:
            result["dynamodb"] = measure_dynamodb(folder)
    print(f"  took {time.monotonic() - began:.0f} s, kept in {save('sse', result)}")


def _measure(scenario: str, programs: Programs, folder: Path, has_nchan: bool) -> Found:
    options, servers = SCENARIOS[scenario]
    found: Found = {}
    for _ in range(ROUNDS):
        for server, messages in servers.items():
            if server == NCHAN and not has_nchan:
                continue
            with serve(server, programs, folder) as target:
                found.setdefault(server, []).append(_once(target, programs, {**options, "messages": messages}))
    return found


def _once(target: Target, programs: Programs, options: dict[str, Any]) -> dict[str, Any]:
    publish = {**target.publish, **(target.chat if options["channels"] > 1 else {})}
    reach = {"port": target.port, **target.subscribe, **publish}
    warm_up = {"subscribers": 10, "messages": 50, "channels": min(10, options["channels"])}
    run_client(programs, **{**reach, **warm_up, "timeout": 10})
    found = run_client(programs, pid=target.pid, **reach, **options)
    if found["delivered"] != found["expected"] or found["doubled"] or found["diverging"] or found["refused_publishes"]:
        counts = ("delivered", "expected", "doubled", "diverging", "refused_publishes")
        shown = ", ".join(f"{name} {found[name]}" for name in counts)
        print(f"  {target.name}: {shown} {found['trouble']}")
    return found


def _idle(server: str, programs: Programs, folder: Path) -> dict[str, Any]:
    with serve(server, programs, folder) as target:
        reach = {"port": target.port, **target.subscribe}
        # What the first requests bring with them belongs to no stream.
        run_client(programs, **reach, subscribers=64, idle=0.1)
        return run_client(programs, pid=target.pid, **reach, **IDLE)


def _median(rounds: list[dict[str, Any]], name: str) -> float:
    return statistics.median(float(one[name]) for one in rounds)


def _show_fan_out(scenarios: dict[str, Found]) -> None:
    for name, title in (
        (ONE, "1 in flight"),
        (ONE_AWAKE, "1 in flight, a client that never sleeps"),
        (MANY, "16 in flight"),
        (STEADY, "50 a second"),
    ):
        if name not in scenarios:
            continue
        found = scenarios[name]
        table = Table(
            f"1,000 subscribers of one topic, {title}, medians of {ROUNDS}",
            "server", "deliveries/s", "CPU us each", "of the limit", "p50 ms", "p99 ms",
        )  # fmt: skip
        limit = _median(found[FLOOR], "cpu_us_per_delivery")
        for server, rounds in found.items():
            cpu = _median(rounds, "cpu_us_per_delivery")
            table.add(
                server, f"{_median(rounds, 'deliveries_per_s'):,.0f}", f"{cpu:.2f}", f"{cpu / limit:.2f}x",
                f"{_median(rounds, 'p50_ms'):.1f}", f"{_median(rounds, 'p99_ms'):.1f}",
            )  # fmt: skip
        table.show()
        if name == STEADY:
            _ratio("p99 against nchan", found, "p99_ms")
        else:
            _ratio("deliveries/s against nchan", found, "deliveries_per_s")
            _ratio("CPU against nchan", found, "cpu_us_per_delivery")


def _show_chat(scenarios: dict[str, Found]) -> None:
    titles = {SINGLE: "", BATCHES: ", batches of 64", SINGLE_AWAKE: ", a client that never sleeps"}
    if not titles.keys() & scenarios.keys():
        return
    table = Table(
        f"chat: 1,000 topics of one subscriber, 16 publishers, medians of {ROUNDS}",
        "server",
        "messages/s",
        "CPU us each",
    )
    for name, title in titles.items():
        for server, rounds in scenarios.get(name, {}).items():
            rate, cpu = _median(rounds, "deliveries_per_s"), _median(rounds, "cpu_us_per_delivery")
            table.add(server + title, f"{rate:,.0f}", f"{cpu:.1f}")
    table.show()
    for name, title in ((SINGLE, "one by one"), (SINGLE_AWAKE, "one by one, a client that never sleeps")):
        if name in scenarios:
            _ratio(f"{title}, messages/s against nchan", scenarios[name], "deliveries_per_s")
            _ratio(f"{title}, CPU against nchan", scenarios[name], "cpu_us_per_delivery")
    if BATCHES in scenarios and NCHAN in scenarios.get(SINGLE, {}):
        batches = {**scenarios[BATCHES], NCHAN: scenarios[SINGLE][NCHAN]}
        _ratio("in batches against nchan one by one", batches, "deliveries_per_s")


def _show_idle(idle: Found) -> None:
    table = Table(
        "5,000 idle streams, one round",
        "server", "KB each", "CPU ms in 15 s", "heartbeats", "s to open all", "CPU us to open one",
    )  # fmt: skip
    for server, (found,) in idle.items():
        table.add(
            server,
            f"{found['kb_per_stream']:.2f}",
            f"{found['cpu_s'] * 1e3:.0f}",
            f"{found['comments']:,}",  # nchan's are events, which the client does not count
            f"{found['open_s']:.2f}",
            f"{found['open_cpu_s'] * 1e6 / max(1, found['open']):.0f}",
        )
    table.show()


def _ratio(what: str, found: Found, name: str) -> None:
    if NCHAN not in found:
        return
    peer = _median(found[NCHAN], name)
    shown = [
        f"{server} {_median(found[server], name) / peer:.2f}x" for server in (SERVICE, PORTABLE) if server in found
    ]
    print(f"  {what}: {', '.join(shown)}")
