"""Connections and deliveries of both stacks, as they are counted where they happen. until phase 3

The service: its own /metrics. Behind a load balancer each answer may come from another instance; they are told apart by
the start time of their process, and those that answered lately are added up. The legacy stack: its connection tables
(there is no metric of how many are open), and what it posts: the counters of the local AWS, else CloudWatch's
MessageCount, which has both ways and a minute's delay (API Gateway guide, "Monitor WebSocket API execution with
CloudWatch").
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from migrate.aws import GATEWAY, stage_dimensions
from migrate.config import Config
from migrate.control.flags import EVERY_TENANT
from migrate.dashboard.model import Finding
from migrate.dashboard.sources import Clients, Collector
from migrate.drain.walk import pages
from migrate.errors import MigrateError, UsageError
from migrate.local.usage import USAGE_PATH
from migrate.service_metrics import Counts, ask
from migrate.tables.description import connection_tables, described

__all__ = ["LegacyConnections", "LegacyMessages", "Service", "Speed"]

METRICS_S = 3.0
# An instance that has not answered for so long may be gone.
INSTANCE_S = 10.0
COUNTED = 100_000
MINUTE_S = 60
# A minute's sum may come so late.
LATE_S = 180.0
# For so many seconds a mean is still worth showing.
LONGEST_GAP_S = 5


class Speed:
    """How fast a counter grows, from one look to the next."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    def per_s(self, at: float, count: float) -> float | None:
        """None for the first look, and where it was set back."""
        last, self._last = self._last, (at, count)
        if last is None or count < last[1] or at <= last[0]:
            return None
        return (count - last[1]) / (at - last[0])


def seconds(told: int, at: float, per_s: float | None) -> dict[int, float]:
    """Points of a series for the seconds after `told` up to `at`: looks are a little more than a second apart."""
    return {} if per_s is None else dict.fromkeys(range(max(told + 1, int(at) - LONGEST_GAP_S), int(at) + 1), per_s)


@dataclass
class _Instance:
    """One process of the service, as it was seen last."""

    seen: float
    streams: int
    virtual: int | None
    speed: Speed
    per_s: float | None = None


class Service:
    """The SSE service's own counters.

    Args:
        clock: epoch seconds.
    """

    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        self._url = config.sse.url
        self._feature = _feature(config)
        self._clock = clock
        self._instances: dict[str, _Instance] = {}
        self._told = 0
        self._http = httpx.Client(timeout=METRICS_S, trust_env=False)

    def look(self) -> Finding:
        if not self._url:
            return Finding(state="absent", why="sse.url is not set")
        counts = ask(self._url, self._http.get)
        if isinstance(counts, str):
            raise MigrateError(counts)
        now = self._clock()
        self._take(counts, now)
        rates = [one.per_s for one in self._instances.values() if one.per_s is not None]
        streams = sum(one.streams for one in self._instances.values())
        virtual = [one.virtual for one in self._instances.values() if one.virtual is not None]
        rows = [{"stack": "sse", "feature": self._feature, "open": streams}]
        if virtual:
            rows.append({"stack": "virtual", "feature": self._feature, "open": sum(virtual)})
        parts: dict[str, Any] = {"connections": rows}
        if rates:
            parts["deliveries"] = {"sse": seconds(self._told, now, sum(rates))}
            self._told = int(now)
        count = len(self._instances)
        return Finding(parts, why=f"{self._url}" + (f", {count} instances" if count > 1 else ""))

    def close(self) -> None:
        self._http.close()

    def _take(self, counts: Counts, now: float) -> None:
        known = self._instances.get(counts.instance)
        speed = known.speed if known else Speed()
        self._instances[counts.instance] = _Instance(
            now, counts.streams - (counts.virtual or 0), counts.virtual, speed, speed.per_s(now, counts.deliveries)
        )
        self._instances = {name: one for name, one in self._instances.items() if one.seen > now - INSTANCE_S}


class LegacyConnections(Collector):
    """The connections that the tables have: rows of gone ones included, until a sweep takes them."""

    def look(self) -> Finding:
        config = self._clients.config
        try:
            tables = connection_tables(config)
        except UsageError as error:
            return Finding(state="absent", why=error.message)
        dynamodb, count, is_whole = self._clients("dynamodb"), 0, True
        for table in tables:
            for found, _ in pages(dynamodb, table, described(dynamodb, table.name)[0]):
                count += len(found)
                if count >= COUNTED:
                    is_whole = False
                    break
        names = ", ".join(table.name for table in tables)
        why = f"rows of {names}" + ("" if is_whole else f"; counting ended at {COUNTED:,}")
        return Finding({"connections": [{"stack": "legacy", "feature": _feature(config), "open": count}]}, why=why)


class LegacyMessages(Collector):
    """What passes the legacy gateway a second."""

    def __init__(self, clients: Clients, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clients, clock)
        self._speed = Speed()
        self._told = 0

    def counted(self) -> Finding:
        """From the local AWS, which counts what it posts."""
        url = f"{self._clients.config.api.endpoint_url}{USAGE_PATH}"
        try:
            calls = httpx.get(url, timeout=METRICS_S, trust_env=False).json()["calls"]
            posts = float(calls.get("execute-api", {}).get("PostToConnection", 0))
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise MigrateError(f"{url} does not answer ({type(error).__name__})") from error
        now = self._clock()
        per_s = self._speed.per_s(now, posts)
        points = seconds(self._told, now, per_s)
        self._told = int(now)
        parts = {"deliveries": {"legacy": points}} if points else {}
        return Finding(parts, why="posts of all applications of the local AWS")

    def measured(self) -> Finding:
        """From CloudWatch."""
        now = self._clock()
        answer = self._clients("cloudwatch").get_metric_statistics(
            Namespace=GATEWAY,
            MetricName="MessageCount",
            Dimensions=stage_dimensions(self._clients.config),
            StartTime=datetime.fromtimestamp(now - 5 * MINUTE_S, UTC),
            EndTime=datetime.fromtimestamp(now, UTC),
            Period=MINUTE_S,
            Statistics=["Sum"],
        )
        sums = {int(point["Timestamp"].timestamp()): float(point["Sum"]) for point in answer["Datapoints"]}
        points: dict[int, float] = {}
        # Of the minute that is not over yet it knows only a part; one that is well over, and not there, had nothing.
        for minute in range(int(now) // MINUTE_S * MINUTE_S - 4 * MINUTE_S, int(now) - MINUTE_S + 1, MINUTE_S):
            if minute in sums or minute < now - LATE_S:
                points |= dict.fromkeys(range(minute, minute + MINUTE_S), sums.get(minute, 0.0) / MINUTE_S)
        return Finding({"deliveries": {"legacy": points}}, why="CloudWatch: messages both ways, a minute's mean")


def _feature(config: Config) -> str:
    """A connection carries every feature of its stack."""
    return config.features[0].name if len(config.features) == 1 else EVERY_TENANT
