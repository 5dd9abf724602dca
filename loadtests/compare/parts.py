"""CPU and memory of each part of `migrate up`, and the calls it makes, sampled while a run goes on."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil

__all__ = ["Background", "Sample", "Sampler", "calls_between", "used_between"]

# As seldom as can be, since it is work beside what is measured. The quiet seconds before the first message and after
# the last delivery (SETTLE_S, QUIET_S of `loadtests.users.run`) are longer: one sample falls into each.
INTERVAL_S = 0.9
# Of what AWS bills; the control plane is not asked while messages flow.
BILLED = ("dynamodb", "sqs", "execute-api")


@dataclass(frozen=True)
class Sample:
    """at: monotonic s. cpu_s, rss_mb: by part. calls: by name, so far."""

    at: float
    cpu_s: Mapping[str, float]
    rss_mb: Mapping[str, float]
    calls: Mapping[str, float]


class Sampler:
    """Samples from its making until `stop`.

    Args:
        pids: the parts, by name (up.json); their children belong to them.
        aws_url: of the local AWS; "" without.
        interval_s: between two samples; None: only the first and the last.

    Attributes:
        used_s: processor seconds of the sampling itself, in this process.
    """

    def __init__(self, pids: Mapping[str, int], aws_url: str, interval_s: float | None = INTERVAL_S) -> None:
        self._pids = {name: pid for name, pid in pids.items() if name != "up"}
        self._aws_url = aws_url
        self._interval_s = interval_s
        # Of processes that have ended too: what they have used was used.
        self._used: defaultdict[str, dict[int, float]] = defaultdict(dict)
        self._known: dict[tuple[int, float], str] = {}
        self._end = threading.Event()
        self.used_s = 0.0
        self.samples: list[Sample] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if not self._end.is_set():
            self._end.set()
            self._thread.join()
            self._take()

    def _run(self) -> None:
        while not self._end.is_set():
            self._take()
            self.used_s = time.thread_time()
            self._end.wait(self._interval_s)

    def _take(self) -> None:
        rss: defaultdict[str, float] = defaultdict(float)
        for name, pid in self._pids.items():
            with contextlib.suppress(psutil.Error):
                root = psutil.Process(pid)
                for process in (root, *root.children(recursive=True)):
                    with contextlib.suppress(psutil.Error):
                        part = self._part(name, process)
                        times = process.cpu_times()
                        self._used[part][process.pid] = times.user + times.system
                        rss[part] += process.memory_info().rss / 1e6
        cpu = {part: sum(used.values()) for part, used in self._used.items()}
        self.samples.append(Sample(time.monotonic(), cpu, dict(rss), self._calls()))

    def _part(self, name: str, process: psutil.Process) -> str:
        key = (process.pid, process.create_time())
        if key not in self._known:
            self._known[key] = _part(name, process)
        return self._known[key]

    def _calls(self) -> dict[str, float]:
        if not self._aws_url:
            return {}
        try:
            with urllib.request.urlopen(self._aws_url + "/_local/usage", timeout=5) as answer:  # noqa: S310 - http, of up.json
                usage = json.load(answer)
        except (OSError, ValueError):
            return dict(self.samples[-1].calls) if self.samples else {}
        return flat(usage)

    def by(self, moment: float) -> Sample:
        """The last sample up to a moment (monotonic s); the first where there is none."""
        return next((sample for sample in reversed(self.samples) if sample.at <= moment), self.samples[0])

    def near(self, moment: float) -> Sample:
        """The sample nearest to a moment (monotonic s)."""
        return min(self.samples, key=lambda sample: abs(sample.at - moment))


def _part(name: str, process: psutil.Process) -> str:
    if name != "local-aws":
        return name
    line = " ".join(process.cmdline())
    if "ministack" in line and "--ministack-port" not in line:
        return "local-aws: DynamoDB, SQS ..."
    return "local-aws: gateway" if "migrate.local" in line and "--gateway-port" in line else "local-aws: Lambda"


@dataclass(frozen=True)
class Background:
    """What the stacks do while nobody says anything, a second: calls by name, cores of all parts."""

    calls: Mapping[str, float] = field(default_factory=dict)
    cores: float = 0.0

    @classmethod
    def between(cls, first: Sample, last: Sample) -> Background:
        seconds = max(last.at - first.at, 0.001)
        calls = {name: (count - first.calls.get(name, 0)) / seconds for name, count in last.calls.items()}
        return cls(calls, used_between(first, last) / seconds)


def used_between(first: Sample, last: Sample) -> float:
    """Processor seconds of all parts from one sample to another."""
    return sum(used - first.cpu_s.get(part, 0.0) for part, used in last.cpu_s.items())


def flat(usage: Mapping[str, Any]) -> dict[str, float]:
    """Calls by name, of what `GET /_local/usage` answers."""
    calls: dict[str, float] = {}
    for service in BILLED:
        for operation, count in usage.get("calls", {}).get(service, {}).items():
            calls[f"{service} {operation}"] = count
    for name, key in (("lambda", "invocations"), ("websocket", "message_units")):
        calls[f"{name} {key}"] = sum(one.get(key, 0) for one in usage.get(name, {}).values())
    return calls


def calls_between(first: Sample, last: Sample, background: Mapping[str, float]) -> dict[str, float]:
    """Calls from one sample to another, without what happens anyway (calls a second)."""
    seconds = last.at - first.at
    grown = {name: count - first.calls.get(name, 0) for name, count in last.calls.items()}
    return {
        name: left for name, count in grown.items() if (left := max(0.0, count - background.get(name, 0.0) * seconds))
    }
