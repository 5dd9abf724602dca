"""AWS/ApiGateway metrics of the gateway, put to CloudWatch of the local AWS in batches. Until phase 3.

Names and dimensions: "Monitor WebSocket API execution with CloudWatch metrics"
(apigateway-websocket-api-logging.html): ConnectCount, MessageCount, IntegrationError, ClientError,
ExecutionError, IntegrationLatency by ApiId and by ApiId, Stage; with detailed metrics by ApiId, Stage, Route,
too.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from migrate.local.gateway.stage import Stage
from migrate.local.usage import Usage

NAMESPACE = "AWS/ApiGateway"
BATCH = 500

log = logging.getLogger(__name__)


@dataclass
class _Sum:
    samples: float = 0.0
    total: float = 0.0
    low: float = float("inf")
    high: float = float("-inf")

    def add(self, value: float) -> None:
        self.samples += 1
        self.total += value
        self.low = min(self.low, value)
        self.high = max(self.high, value)


_Key = tuple[str, str, str, str]
"""Metric name, API id, stage ("" for all), route key ("" for all)."""


class Metrics:
    """Sums in memory; `run` puts them every `interval_s` seconds. Without a URL nothing is sent."""

    def __init__(self, url: str | None, region: str, interval_s: float, usage: Usage | None = None) -> None:
        self.usage = usage or Usage()
        self._url = url
        self._region = region
        self._interval_s = interval_s
        self._sums: dict[_Key, _Sum] = {}
        self._clients: dict[str, Any] = {}
        self._task: asyncio.Task[None] | None = None
        self._failed = False

    def add(self, name: str, stage: Stage, route_key: str = "", value: float = 1.0) -> None:
        """Count something of a stage (value 1) or record a latency in milliseconds."""
        if self._url is None:
            return
        keys = [(name, stage.api_id, stage.name, ""), (name, stage.api_id, "", "")]
        if route_key and stage.settings.detailed_metrics:
            keys.append((name, stage.api_id, stage.name, route_key))
        for key in keys:
            found = self._sums.get(key)
            if found is None:
                found = self._sums[key] = _Sum()
            found.add(value)

    def message(self, stage: Stage, size: int) -> None:
        """Count a message of `size` bytes, either way."""
        self.add("MessageCount", stage)
        self.usage.message(stage.api_id, size)

    def start(self) -> None:
        if self._url is not None:
            self._task = asyncio.create_task(self._run(), name="gateway metrics")

    async def stop(self) -> None:
        """Put what is left, once."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        await self.flush()

    async def flush(self) -> None:
        """Put the sums of the time since the last call; a failure is logged once and loses that batch."""
        sums, self._sums = self._sums, {}
        if not sums:
            return
        data = [_datum(key, found) for key, found in sums.items()]
        try:
            await asyncio.to_thread(self._put, data)
            self._failed = False
        except (BotoCoreError, ClientError) as error:
            if not self._failed:
                log.warning("metrics could not be put: %s", error)
            self._failed = True

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            await self.flush()

    def _put(self, data: list[dict[str, Any]]) -> None:
        client = self._clients.get(self._region)
        if client is None:
            client = self._clients[self._region] = boto3.client(
                "cloudwatch",
                endpoint_url=self._url,
                region_name=self._region,
                aws_access_key_id="local",
                aws_secret_access_key="local",  # noqa: S106 - any value does
                config=Config(retries={"max_attempts": 1}, connect_timeout=2, read_timeout=5),
            )
        for start in range(0, len(data), BATCH):
            client.put_metric_data(Namespace=NAMESPACE, MetricData=data[start : start + BATCH])


def _datum(key: _Key, found: _Sum) -> dict[str, Any]:
    name, api_id, stage, route_key = key
    dimensions = [{"Name": "ApiId", "Value": api_id}]
    if stage:
        dimensions.append({"Name": "Stage", "Value": stage})
    if route_key:
        dimensions.append({"Name": "Route", "Value": route_key})
    return {
        "MetricName": name,
        "Dimensions": dimensions,
        "Timestamp": datetime.fromtimestamp(time.time(), UTC),
        "Unit": "Milliseconds" if name.endswith("Latency") else "Count",
        "StatisticValues": {
            "SampleCount": found.samples,
            "Sum": found.total,
            "Minimum": found.low,
            "Maximum": found.high,
        },
    }
