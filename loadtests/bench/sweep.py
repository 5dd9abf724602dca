"""The sweep of a connections table against bare scans and deletions of the same table, in the same run.

until phase 3. LOAD_SWEEP_ROWS and LOAD_SWEEP_LIVING set how many rows there are and how many of them live.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import websockets
from botocore.config import Config

from loadtests.bench.echo_stack import REGION, deploy_echo
from loadtests.bench.processes import local_aws
from loadtests.bench.report import Table, save

__all__ = ["living_connections", "run"]

ROWS = int(os.environ.get("LOAD_SWEEP_ROWS", "20000"))
LIVING = int(os.environ.get("LOAD_SWEEP_LIVING", "0")) or min(ROWS // 20, 1000)
SEGMENTS = 4
WORKERS = 16
TABLE = "bench-connections"


@dataclass
class Measured:
    """One run: rows it went through, seconds, peak memory in MB (0: not measured), and what it said."""

    rows: int
    seconds: float
    peak_mb: float = 0.0
    said: Any = None

    @property
    def rate(self) -> float:
        return self.rows / self.seconds


def run() -> None:
    """Prints a table and keeps the figures."""
    with tempfile.TemporaryDirectory() as folder, local_aws(Path(folder)) as aws:
        asyncio.run(_measure(Path(folder), aws["aws_endpoint_url"]))


async def _measure(folder: Path, endpoint: str) -> None:
    client = _client(endpoint)
    api_id, url = deploy_echo(endpoint)
    client.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "connectionId", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "connectionId", "AttributeType": "S"}],
    )
    configuration = folder / "migrate.toml"
    configuration.write_text(_toml(api_id, endpoint, url), encoding="utf-8")
    async with living_connections(url, LIVING) as living:
        await asyncio.to_thread(_fill, client, living)
        bare_scan = await asyncio.to_thread(_bare, client, delete=False)
        dry = await asyncio.to_thread(_sweep, configuration)
        sweep = await asyncio.to_thread(_sweep, configuration, "--execute")
        left = {item["connectionId"]["S"] for item in _scan(client, 0, 1)}
        if left != set(living):
            raise RuntimeError(
                f"{len(set(living) - left)} living rows are gone, {len(left - set(living))} ghosts stayed"
            )
        await asyncio.to_thread(_fill, client, [])
        bare_delete = await asyncio.to_thread(_bare, client, delete=True)
    table = Table(f"sweep of {ROWS:,} rows, {len(living):,} living, rows/s", "what", "ours", "bare", "ratio", "peak MB")
    for name, ours, bare in (
        ("dry run : scan", dry, bare_scan),
        ("sweep : scan and delete", sweep, bare_delete),
    ):
        table.add(
            name, f"{ours.rate:,.0f}", f"{bare.rate:,.0f}", f"{ours.rate / bare.rate:.2f}x", f"{ours.peak_mb:.0f}"
        )
    table.show()
    result = {
        name: {"rows_per_s": one.rate, "seconds": one.seconds, "peak_mb": one.peak_mb, "said": one.said}
        for name, one in (("dry", dry), ("sweep", sweep), ("bare_scan", bare_scan), ("bare_delete", bare_delete))
    }
    print(f"  kept in {save('sweep', {'rows': ROWS, 'living': len(living), **result})}")


@contextlib.asynccontextmanager
async def living_connections(url: str, number: int) -> AsyncIterator[list[str]]:
    """So many open connections; yields their ids."""
    gate = asyncio.Semaphore(32)

    async def one() -> Any:
        async with gate:
            return await websockets.connect(url, proxy=None, open_timeout=60)

    clients = await asyncio.gather(*(one() for _ in range(number)))
    ids = []
    try:
        for client in clients:
            await client.send(json.dumps({"action": "who", "data": "whoami"}))
            ids.append(json.loads(await asyncio.wait_for(client.recv(), 30))["connectionId"])
        yield ids
    finally:
        await asyncio.gather(*(client.close() for client in clients), return_exceptions=True)


def _client(endpoint: str) -> Any:
    return boto3.client(
        "dynamodb", endpoint_url=endpoint, region_name=REGION, aws_access_key_id="local", aws_secret_access_key="local",
        config=Config(max_pool_connections=2 * WORKERS),
    )  # fmt: skip


def _fill(client: Any, living: list[str]) -> None:
    ghosts = (base64.urlsafe_b64encode(os.urandom(11)).decode() for _ in range(ROWS - len(living)))
    ids = [*living, *ghosts]

    def put(first: int) -> None:
        requests = [
            {"PutRequest": {"Item": {"connectionId": {"S": one}, "userName": {"S": "u"}, "ttl": {"N": "1"}}}}
            for one in ids[first : first + 25]
        ]
        client.batch_write_item(RequestItems={TABLE: requests})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(0, len(ids), 25)))


def _scan(client: Any, segment: int, total: int) -> list[Any]:
    arguments: dict[str, Any] = {"TableName": TABLE, "Segment": segment, "TotalSegments": total}
    found = []
    while True:
        page = client.scan(**arguments)
        found += page["Items"]
        if "LastEvaluatedKey" not in page:
            return found
        arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _bare(client: Any, *, delete: bool) -> Measured:
    """A parallel scan, and a deletion of every row that it finds, without a question."""
    began = time.perf_counter()
    with ThreadPoolExecutor(SEGMENTS) as segments, ThreadPoolExecutor(WORKERS) as pool:
        pages = list(segments.map(lambda number: _scan(client, number, SEGMENTS), range(SEGMENTS)))
        rows = [item for page in pages for item in page]
        if delete:
            list(
                pool.map(
                    lambda item: client.delete_item(TableName=TABLE, Key={"connectionId": item["connectionId"]}), rows
                )
            )
    return Measured(len(rows), time.perf_counter() - began)


def _sweep(configuration: Path, *options: str) -> Measured:
    """`migrate cleanup connections` as a user calls it; its own clock counts, without the start of Python."""
    process = subprocess.Popen(
        [sys.executable, "-m", "migrate", "cleanup", "connections", "-c", str(configuration), "--json", *options],
        stdout=subprocess.PIPE,
        env={**os.environ, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"},
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"the sweep ended with {process.returncode}: {said.decode()[-500:]}")
    (report,) = json.loads(said)
    return Measured(report["counts"]["rows"], report["seconds"], usage.ru_maxrss / 1024, report)


def _toml(api_id: str, endpoint: str, url: str) -> str:
    # No limits but its own sense, and no handshakes to wait for: what is measured is the sweep.
    management = url.replace("ws://", "http://")
    return f"""
schema = 1
[project]
name = "bench"
[api]
id = "{api_id}"
stage = "prod"
region = "{REGION}"
endpoint_url = "{endpoint}"
management_url = "{management}"
[[tables]]
name = "{TABLE}"
role = "connections"
key = "connectionId"
[cleanup]
get_connection_per_s = 100000
delete_per_s = 100000
segments = {SEGMENTS}
settle_s = 0
"""
