"""One run of locust, and what it cost."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.bench.processes import free_port
from loadtests.compare.parts import Sampler, calls_between
from loadtests.users.histogram import Histogram

__all__ = ["SCENARIOS", "Plan", "RunError", "one_run"]

LOCUSTFILE = Path(__file__).parents[1] / "locustfile.py"
SCENARIOS = {
    "rooms": ("ws", "sse", "dropin"),
    "direct": ("ws", "sse"),
    "tenant": ("ws", "sse"),
    "answers": ("ws", "sse"),
    "idle": ("ws", "sse", "dropin"),
    "storm": ("ws", "sse", "dropin"),
    "slow": ("ws", "sse", "dropin"),
}
"""Scenarios and the ways there are to them; the drop-in client speaks to the application rooms."""
SUFFIX = {"ws": "Ws", "sse": "Sse", "dropin": "DropIn"}
# What a run may take beyond its seconds of sending: connecting, waiting for what is lost.
OVERTIME_S = 120.0


class RunError(RuntimeError):
    """A run could not be made; the message says why."""


@dataclass(frozen=True)
class Plan:
    """users, rate (messages/s of each who speaks), seconds, size (bytes), lost_after (s), workers (processes of
    locust; 0: one that does all)."""

    scenario: str
    users: int
    rate: float
    seconds: float
    size: int
    lost_after: float
    workers: int = 0


def one_run(
    plan: Plan, side: str, target: Path, pids: Mapping[str, int], aws_url: str, background: Mapping[str, float]
) -> dict[str, Any]:
    """Run it. Returns figures by name, and the histograms. Raises RunError."""
    with tempfile.TemporaryDirectory() as folder:
        result, log = Path(folder) / "result.json", Path(folder) / "locust.log"
        argv = [
            *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), plan.scenario.capitalize() + SUFFIX[side]),
            *("--headless", "--only-summary", "-u", str(plan.users), "-r", str(max(1, plan.users // 2))),
            *("--target-file", str(target), "--rate", str(plan.rate), "--seconds", str(plan.seconds)),
            *("--size", str(plan.size), "--lost-after", str(plan.lost_after), "--result", str(result)),
            *("--run-id", f"{int(time.time() * 1000) & 0xFFFFFFFF:x}", "--exit-code-on-error", "0"),
            *_workers(plan.workers),
        ]
        sampler = Sampler(pids, aws_url)
        try:
            with log.open("wb") as messages:
                subprocess.run(
                    argv,
                    stdout=messages,
                    stderr=messages,
                    check=False,
                    timeout=plan.seconds + plan.lost_after + OVERTIME_S,
                )
        except subprocess.TimeoutExpired:
            raise RunError(f"the run of {side} did not end: {_last(log)}") from None
        finally:
            sampler.stop()
        try:
            found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise RunError(f"the run of {side} failed: {_last(log)}") from None
    if not found["began"]:
        raise RunError(f"not everybody could connect to {side}: {found['users']} of {plan.users}; fewer --users?")
    return {**found, "figures": figures(found, sampler, background), **_parts(found, sampler)}


def _workers(count: int) -> list[str]:
    if not count:
        return []
    port = str(free_port())
    return ["--processes", str(count), "--master-bind-port", port, "--master-port", port]


def _last(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace").strip()[-600:]


def _window(found: Mapping[str, Any], sampler: Sampler) -> tuple[Any, Any]:
    began = found["go_ns"] / 1e9
    return sampler.at(began), sampler.at(began + found["wall_s"])


def _parts(found: Mapping[str, Any], sampler: Sampler) -> dict[str, Any]:
    first, last = _window(found, sampler)
    seconds = max(last.at - first.at, 0.1)
    return {
        "cpu_cores": {name: (used - first.cpu_s.get(name, 0.0)) / seconds for name, used in last.cpu_s.items()},
        "memory_mb": {name: max(sample.rss_mb.get(name, 0.0) for sample in sampler.samples) for name in last.rss_mb},
    }


def figures(found: Mapping[str, Any], sampler: Sampler, background: Mapping[str, float]) -> dict[str, float]:
    """Everything that can be compared, by name."""
    counts = found["counts"]
    latency = {name: Histogram(buckets) for name, buckets in found["latency"].items()}
    first, last = _window(found, sampler)
    sent, delivered = counts.get("sent", 0), counts.get("delivered", 0)
    made: dict[str, float] = {}
    for name in ("delivery", "slow reader", "first words", "recovered"):
        if name in latency and latency[name].count:
            for share in (0.5, 0.95, 0.99):
                made[f"{name} p{share * 100:g} ms"] = latency[name].percentile(share)
    for name in ("connect", "reconnect", "send"):
        if name in latency and latency[name].count:
            made[f"{name} p50 ms"] = latency[name].percentile(0.5)
    made["messages/s"] = sent / found["seconds"]
    made["deliveries/s"] = delivered / found["seconds"]
    for name in ("loss", "duplicate", "out_of_order", "late", "not_sent", "recovered", "resets", "incomplete"):
        made[name.replace("_", " ")] = counts.get(name, 0)
    used = sum(last.cpu_s.values()) - sum(first.cpu_s.get(name, 0.0) for name in last.cpu_s)
    if delivered and last.cpu_s:
        made["CPU ms per delivery"] = used * 1e3 / delivered
    if sent:
        for name, count in calls_between(first, last, background).items():
            made[f"{name} per message"] = count / sent
    share = found["cpu_s"] / found["wall_s"] if found["wall_s"] else 0.0
    made["load generator, cores"] = share
    if share:
        made["users per core"] = found["users"] / share
    return made
