"""One run of locust, and what it cost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from loadtests.bench.processes import free_port
from loadtests.compare.errors import RunError
from loadtests.compare.figures import PER_MESSAGE
from loadtests.compare.parts import INTERVAL_S, Background, Sampler, calls_between, used_between
from loadtests.users.defaults import WARM_UP_S
from loadtests.users.histogram import Histogram

__all__ = ["NAMES", "SCENARIOS", "SUFFIX", "Parts", "Plan", "app_of", "one_run"]

LOCUSTFILE = Path(__file__).parents[1] / "locustfile.py"
SCENARIOS = {
    "rooms": ("ws", "sse", "dropin"),
    "direct": ("ws", "sse", "dropin"),
    "tenant": ("ws", "sse", "dropin"),
    "answers": ("ws", "sse", "dropin"),
    "idle": ("ws", "sse", "dropin"),
    "storm": ("ws", "sse", "dropin"),
    "slow": ("ws", "sse", "dropin"),
}
"""Scenarios and the ways there are to them."""
APPS = {"direct": "direct", "tenant": "layers", "answers": "layers"}
"""The legacy application of a scenario, where it is not rooms."""
SUFFIX = {"ws": "Ws", "sse": "Sse", "dropin": "DropIn"}
NAMES = {"ws": "WebSocket", "sse": "SSE + REST", "dropin": "drop-in client"}
# One hears the other; every fifth reads slowly.
LEAST_USERS = {"direct": 2, "tenant": 2, "storm": 2, "slow": 5}
COUNTED = (
    *("loss", "duplicate", "out_of_order", "late", "not_sent", "incomplete"),
    *("recovered", "resets", "refused"),
)
# Connects a second of one process: more of them, and locust's spawning is what is measured.
SPAWN_PER_S = 100
# What a run may take beyond what its plan says: retries of connects, sends that take their time.
OVERTIME_S = 90.0
END_TIMEOUT_S = 10.0


def app_of(scenario: str) -> str:
    """The legacy application that serves the scenario."""
    return APPS.get(scenario, "rooms")


@dataclass(frozen=True)
class Plan:
    """users, rate (messages/s of each who speaks), seconds, size (bytes), lost_after (s), workers (processes of
    locust; 0: one that does all), warm_up (s of messages that do not count).

    Raises: ValueError: such a run would say nothing.
    """

    scenario: str
    users: int
    rate: float
    seconds: float
    size: int
    lost_after: float
    workers: int = 0
    warm_up: float = WARM_UP_S

    def __post_init__(self) -> None:
        for name in ("rate", "seconds", "lost_after"):
            if not 0 < getattr(self, name) < 1e6:
                raise ValueError(f"--{name.replace('_', '-')} is above 0, not {getattr(self, name):g}")
        for name in ("size", "workers", "warm_up"):
            if not 0 <= getattr(self, name) < 1e6:
                raise ValueError(f"--{name.replace('_', '-')} is 0 or more, not {getattr(self, name):g}")
        least = LEAST_USERS.get(self.scenario, 1) * max(1, self.workers)
        if self.users < least:
            raise ValueError(f"{self.scenario} needs at least --users {least}")
        if self.scenario == "direct" and self.users % (2 * max(1, self.workers)):
            raise ValueError(f"direct needs pairs in each process: --users is a multiple of {2 * max(1, self.workers)}")


@dataclass(frozen=True)
class Parts:
    """What is measured besides: pids and address of `migrate up`'s parts (none for deployments elsewhere), what they
    do anyway, and how often they are looked at."""

    pids: Mapping[str, int] = field(default_factory=dict)
    aws_url: str = ""
    background: Background = field(default_factory=Background)
    interval_s: float | None = INTERVAL_S


def one_run(plan: Plan, side: str, target: Path, parts: Parts, more: Sequence[str] = ()) -> dict[str, Any]:
    """Run it, with `more` options of the locustfile. Returns figures by name, and the histograms. Raises RunError."""
    with tempfile.TemporaryDirectory() as folder:
        result, log = Path(folder) / "result.json", Path(folder) / "locust.log"
        spawn = max(1, min(plan.users // 2, SPAWN_PER_S * max(1, plan.workers)))
        argv = [
            *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), plan.scenario.capitalize() + SUFFIX[side]),
            *("--headless", "--only-summary", "-u", str(plan.users), "-r", str(spawn)),
            *("--target-file", str(target), "--rate", str(plan.rate), "--seconds", str(plan.seconds)),
            *("--size", str(plan.size), "--lost-after", str(plan.lost_after), "--result", str(result)),
            *("--warm-up", str(plan.warm_up), "--exit-code-on-error", "0"),
            *(*_workers(plan.workers), *more),
        ]
        sampler = Sampler(parts.pids, parts.aws_url, parts.interval_s)
        try:
            with log.open("wb") as messages:
                took = plan.warm_up + plan.seconds + plan.lost_after + plan.users / spawn
                _run(argv, messages, took + OVERTIME_S)
        except subprocess.TimeoutExpired:
            raise RunError(f"the run of {side} did not end", _last(log)) from None
        finally:
            sampler.stop()
        try:
            found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise RunError(f"the run of {side} failed", _last(log)) from None
    if not found["complete"]:
        raise RunError(
            f"{NAMES[side]}: {found['problem'] or 'the run was interrupted'}", "fewer --users? do they answer?"
        )
    if not found["counts"].get("sent"):
        raise RunError(f"{NAMES[side]}: nobody said anything", "more --seconds, or a higher --rate")
    return {**found, "figures": figures(found, sampler, parts.background), **_parts(found, sampler)}


def _run(argv: list[str], messages: IO[bytes], timeout_s: float) -> None:
    """In a session of its own: Ctrl-C is ours to pass on, and nothing of it stays behind."""
    process = subprocess.Popen(argv, stdout=messages, stderr=messages, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        process.wait(timeout_s)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_TIMEOUT_S)
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _workers(count: int) -> list[str]:
    if not count:
        return []
    port = str(free_port())
    return ["--processes", str(count), "--master-bind-port", port, "--master-port", port]


def _last(log: Path) -> str:
    """The last line that says something; the rest is for whoever runs locust by hand."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"locust said: {lines[-1][:300]}" if lines else "locust said nothing"


def _parts(found: Mapping[str, Any], sampler: Sampler) -> dict[str, Any]:
    began = found["go_ns"] / 1e9
    first, last = sampler.near(began), sampler.near(began + found["seconds"])
    seconds = max(last.at - first.at, 0.1)
    return {
        "cpu_cores": {name: (used - first.cpu_s.get(name, 0.0)) / seconds for name, used in last.cpu_s.items()},
        "memory_mb": {name: max(sample.rss_mb.get(name, 0.0) for sample in sampler.samples) for name in last.rss_mb},
    }


def figures(found: Mapping[str, Any], sampler: Sampler, background: Background) -> dict[str, float]:
    """Everything that can be compared, by name."""
    counts = found["counts"]
    latency = {name: Histogram(buckets) for name, buckets in found["latency"].items()}
    began = found["go_ns"] / 1e9
    # Not one call of connecting or leaving is between them.
    first, last = sampler.by(began), sampler.by(began + found["wall_s"])
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
    for name in COUNTED:
        made[name.replace("_", " ")] = counts.get(name, 0)
    if delivered and last.cpu_s:
        used = used_between(first, last) - background.cores * (last.at - first.at)
        made["CPU ms per delivery"] = max(0.0, used) * 1e3 / delivered
    if sent:
        for name, count in calls_between(first, last, background.calls).items():
            made[name + PER_MESSAGE] = count / sent
    made["load generator, cores"] = found["cores"]
    if found["cores"]:
        made["users per core"] = found["users"] / found["cores"]
    if "behind schedule" in latency:
        made["behind schedule p99 ms"] = latency["behind schedule"].percentile(0.99)
    if sampler.samples:
        made["measuring, cores"] = sampler.used_s / max(sampler.samples[-1].at - sampler.samples[0].at, 0.1)
    return made
