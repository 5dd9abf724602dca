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
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psutil
import websockets
from botocore.config import Config
from websockets.asyncio.client import ClientConnection

from loadtests.bench.echo_stack import REGION, deploy_echo
from loadtests.bench.processes import local_aws
from loadtests.bench.report import Table, save

__all__ = ["Living", "living_connections", "run"]

ROWS = int(os.environ.get("LOAD_SWEEP_ROWS", "20000"))
LIVING = int(os.environ.get("LOAD_SWEEP_LIVING", "0")) or min(ROWS // 20, 1000)
SEGMENTS = 4
WORKERS = 16
TABLE = "bench-connections"


@dataclass
class Measured:
    """One run.

    Args:
        rows: that it went through.
        client_s, aws_s: processor time of the program (with its start), and of the local AWS meanwhile.
        peak_mb: of the program's memory; 0: not measured.
    """

    rows: int
    seconds: float
    client_s: float
    aws_s: float
    peak_mb: float = 0.0
    said: Any = None

    @property
    def rate(self) -> float:
        return self.rows / self.seconds

    @property
    def work(self) -> str:
        """Microseconds of processor time a row: the program's + the local AWS's."""
        return f"{self.client_s / self.rows * 1e6:,.0f} + {self.aws_s / self.rows * 1e6:,.0f}"


def run() -> None:
    """Prints a table and keeps the figures."""
    with tempfile.TemporaryDirectory() as folder, local_aws(Path(folder)) as aws:
        asyncio.run(_measure(Path(folder), aws["aws_endpoint_url"], aws["pid"]))


async def _measure(folder: Path, endpoint: str, aws: int) -> None:
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
    await asyncio.to_thread(_fill, client, _ghosts(ROWS - LIVING))
    async with living_connections(url, LIVING) as living:
        await asyncio.to_thread(_fill, client, living.ids)
        bare_scan = await asyncio.to_thread(_bare, client, aws, delete=False)
        dry = await asyncio.to_thread(_sweep, configuration, aws)
        await living.speak()
        sweep = await asyncio.to_thread(_sweep, configuration, aws, "--execute")
        left = {item["connectionId"]["S"] for item in _scan(client, 0, 1)}
        lost, stayed = len(set(living.ids) - left), len(left - set(living.ids))
        if lost or stayed:
            raise RuntimeError(f"{lost} living rows are gone, {stayed} ghosts stayed")
        await asyncio.to_thread(_fill, client, _ghosts(ROWS - LIVING))
        bare_delete = await asyncio.to_thread(_bare, client, aws, delete=True)
    columns = ("ours", "bare", "ratio", "peak MB", "ours, cpu us/row", "bare, cpu us/row")
    table = Table(f"sweep of {ROWS:,} rows, {LIVING:,} living, rows/s; cpu: program + local AWS", "what", *columns)
    for name, ours, bare in (
        ("dry run : scan", dry, bare_scan),
        ("sweep : scan and delete", sweep, bare_delete),
    ):
        rates = f"{ours.rate:,.0f}", f"{bare.rate:,.0f}", f"{ours.rate / bare.rate:.2f}x"
        table.add(name, *rates, f"{ours.peak_mb:.0f}", ours.work, bare.work)
    table.show()
    result = {
        name: {
            "rows_per_s": one.rate, "seconds": one.seconds, "client_cpu_s": one.client_s, "aws_cpu_s": one.aws_s,
            "peak_mb": one.peak_mb, "said": one.said,
        }
        for name, one in (("dry", dry), ("sweep", sweep), ("bare_scan", bare_scan), ("bare_delete", bare_delete))
    }  # fmt: skip
    print(f"  kept in {save('sweep', {'rows': ROWS, 'living': LIVING, **result})}")


class Living:
    """Open connections. ids: theirs."""

    def __init__(self, clients: list[ClientConnection]) -> None:
        self._clients = clients
        self.ids: list[str] = []

    async def speak(self) -> None:
        """Each asks for its id: who says nothing for ten minutes is cut off (API Gateway quotas)."""
        ids = []
        for client in self._clients:
            await client.send(json.dumps({"action": "who", "data": "whoami"}))
            ids.append(str(json.loads(await asyncio.wait_for(client.recv(), 30))["connectionId"]))
        self.ids = ids


@contextlib.asynccontextmanager
async def living_connections(url: str, number: int) -> AsyncIterator[Living]:
    """So many open connections, which have spoken."""
    gate = asyncio.Semaphore(32)

    async def one() -> ClientConnection:
        async with gate:
            # No pings: they would take time from what is measured beside them.
            return await websockets.connect(url, proxy=None, open_timeout=60, ping_interval=None)

    clients = await asyncio.gather(*(one() for _ in range(number)))
    living = Living(clients)
    try:
        await living.speak()
        yield living
    finally:
        await asyncio.gather(*(client.close() for client in clients), return_exceptions=True)


def _client(endpoint: str) -> Any:
    return boto3.client(
        "dynamodb", endpoint_url=endpoint, region_name=REGION, aws_access_key_id="local", aws_secret_access_key="local",
        config=Config(max_pool_connections=2 * WORKERS),
    )  # fmt: skip


def _ghosts(number: int) -> list[str]:
    return [base64.urlsafe_b64encode(os.urandom(11)).decode() for _ in range(number)]


def _fill(client: Any, ids: list[str]) -> None:
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


def _bare(client: Any, aws: int, *, delete: bool) -> Measured:
    """A parallel scan, and a deletion of every row that it finds, without a question."""
    began, client_s, aws_s = time.perf_counter(), time.process_time(), _cpu_s(aws)
    with ThreadPoolExecutor(SEGMENTS) as segments, ThreadPoolExecutor(WORKERS) as pool:
        pages = list(segments.map(lambda number: _scan(client, number, SEGMENTS), range(SEGMENTS)))
        rows = [item for page in pages for item in page]
        if delete:
            list(
                pool.map(
                    lambda item: client.delete_item(TableName=TABLE, Key={"connectionId": item["connectionId"]}), rows
                )
            )
    seconds = time.perf_counter() - began
    return Measured(len(rows), seconds, time.process_time() - client_s, _cpu_s(aws) - aws_s)


def _sweep(configuration: Path, aws: int, *options: str) -> Measured:
    """`migrate cleanup connections` as a user calls it; its own clock counts, without the start of Python."""
    aws_s = _cpu_s(aws)
    process = subprocess.Popen(
        [sys.executable, "-m", "migrate", "cleanup", "connections", "-c", str(configuration), "--json", *options],
        stdout=subprocess.PIPE,
        env={**os.environ, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"},
    )
    assert process.stdout is not None
    peaks = [0.0]
    watching = threading.Thread(target=_watch_memory, args=(process.pid, peaks), daemon=True)
    watching.start()
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    watching.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"the sweep ended with {process.returncode}: {said.decode()[-500:]}")
    (report,) = json.loads(said)
    client_s = usage.ru_utime + usage.ru_stime
    return Measured(report["counts"]["rows"], report["seconds"], client_s, _cpu_s(aws) - aws_s, max(peaks), report)


def _cpu_s(pid: int) -> float:
    """Processor time of a process and of all below it so far."""
    root, total = psutil.Process(pid), 0.0
    for one in (root, *root.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            times = one.cpu_times()
            total += times.user + times.system
    return total


def _watch_memory(pid: int, peaks: list[float]) -> None:
    """The peak of a process in MB, until it ends. Not ru_maxrss: that begins with what its parent had (Linux)."""
    with contextlib.suppress(OSError):
        while True:
            lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
            found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
            if not found:
                return  # it has ended, and is not waited for yet
            peaks.append(int(found[0]) / 1024)
            time.sleep(0.1)


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
