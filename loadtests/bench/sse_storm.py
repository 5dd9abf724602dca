"""A reconnect storm: 5,000 clients at once, each with the id of the last event it has seen."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from loadtests.bench.report import Table
from loadtests.bench.sse_client import Programs, run_client
from loadtests.bench.sse_peers import PORTABLE, SERVICE, Target, metric, post, serve

__all__ = ["measure_storm"]

CLIENTS = 5000
MISSED = 20
# So small that what was missed is not in memory any more and the log must be asked.
RING_BYTES = "1024"


def measure_storm(programs: Programs, folder: Path) -> dict[str, Any]:
    """Time until all have everything they missed, and how often the log was read for it; prints a table."""
    table = Table(
        f"reconnect storm: {CLIENTS:,} clients at once, {MISSED} events missed by each",
        "server", "s until all are live", "live", "CPU us each", "reads of the log", "reads per client",
    )  # fmt: skip
    result: dict[str, Any] = {}
    for server in (SERVICE, PORTABLE):
        with serve(server, programs, folder, SSE_RING_BYTES=RING_BYTES) as target:
            found = _storm(programs, target)
        result[server] = found
        table.add(
            server, f"{found['live_s']:.2f}", f"{found['live']:,}", f"{found['open_cpu_s'] * 1e6 / CLIENTS:.0f}",
            f"{found['log_reads']:.0f}", f"{found['log_reads'] / CLIENTS:.4f}",
        )  # fmt: skip
    table.show()
    return result


def _storm(programs: Programs, target: Target) -> dict[str, Any]:
    seen = json.loads(_publish(target, ["seen"]))["ids"][0]
    # A stream must have been open, or there is nobody who follows the log.
    run_client(programs, port=target.port, **target.subscribe, subscribers=1, idle=0.1, settle=0)
    _publish(target, [f"q={number};t={time.monotonic_ns()};{'x' * 180}" for number in range(MISSED)])
    before = metric(target.port, "sse_log_reads_total")
    found = run_client(
        programs,
        port=target.port,
        pid=target.pid,
        **target.subscribe,
        header=f"Last-Event-ID: {seen}",
        subscribers=CLIENTS,
        at_once=CLIENTS,
        messages=MISSED,
        expect=MISSED,
    )
    return {**found, "log_reads": metric(target.port, "sse_log_reads_total") - before}


def _publish(target: Target, texts: list[str]) -> bytes:
    events = [{"topic": "room:main", "type": "message", "data": text} for text in texts]
    return post(target.port, "/api/events", target.back_end, {"events": events})
