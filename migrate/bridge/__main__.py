"""`python -m migrate.bridge`: both directions in one process, as `migrate up` starts it. until phase 3"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.config import Config

from legacy_ws.apps.rooms.schema import CONNECTIONS as SCHEMA
from legacy_ws.aws import dynamodb, management
from legacy_ws.dynamo import Table
from legacy_ws.manager import ConnectionManager, Remaining
from migrate.bridge.core import BridgeRule
from migrate.bridge.rooms import Rooms
from migrate.bridge.status import BridgeStatus
from migrate.bridge.to_legacy import SseToLegacy
from migrate.bridge.to_sse import LONG_POLL_S, LegacyToSse
from migrate.state_dynamodb import MigrationState
from migrate.tokens import mint
from migrate.up.state import STACK, StateDir

# Not used by the bridge itself, which writes no row.
TTL_S = 3 * 3600
# The last poll of the queue, and a batch that is being posted.
STOP_S = LONG_POLL_S + 4.0


async def main(state: StateDir) -> None:
    """Run until SIGTERM or SIGINT."""
    up = state.read_up()
    if up is None or "tee_queue_url" not in up:
        sys.exit(f"bridge: {state.path} holds no running stacks")
    secret = state.jwt_secret()
    stop, live = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    status = BridgeStatus()
    # At once: what a bridge that was killed left there says that it is live.
    status.write(state.bridge_status)
    rule = BridgeRule()
    shared = MigrationState(dynamodb())
    await asyncio.to_thread(shared.ensure_table)
    sqs = boto3.client("sqs", config=Config(read_timeout=LONG_POLL_S + 10, retries={"total_max_attempts": 2}))
    async with httpx.AsyncClient(base_url=up["sse_url"], timeout=10.0, trust_env=False) as http:
        to_sse = LegacyToSse(
            sqs,
            up["tee_queue_url"],
            http,
            secret,
            rule,
            up["tenant"],
            status,
            state.path / "bridge-aside.jsonl",
        )
        to_legacy = SseToLegacy(
            up["sse_url"] + "/api/streams?topic=*",
            up["tenant"],
            secret,
            _connections(up),
            Rooms(http, lambda tenant: mint("bridge", tenant, secret, ("events:publish",), 60)),
            shared,
            rule,
            status,
            _deadline,
        )
        work = [
            asyncio.create_task(to_sse.run(stop)),
            asyncio.create_task(to_legacy.run(stop, live)),
            asyncio.create_task(_report(status, state, stop, live)),
        ]
        await stop.wait()
        _, pending = await asyncio.wait(work, timeout=STOP_S)
        for task in pending:
            task.cancel()
    status.live = False
    status.write(state.bridge_status)


def _connections(up: dict[str, Any]) -> ConnectionManager:
    stack = up["stacks"][STACK]
    table = Table(dynamodb(), stack["tables"]["connections"])
    return ConnectionManager(SCHEMA, table, management(up["management_url"]), ttl_s=TTL_S)


def _deadline(seconds: float) -> Remaining:
    end = time.monotonic() + seconds
    return lambda: end - time.monotonic()


async def _report(status: BridgeStatus, state: StateDir, stop: asyncio.Event, live: asyncio.Event) -> None:
    while not stop.is_set():
        status.live = live.is_set()
        status.write(state.bridge_status)
        with contextlib.suppress(TimeoutError):
            # Quick at first: whoever started us waits for `live`.
            await asyncio.wait_for(stop.wait(), 0.5 if status.live else 0.02)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="migrate.bridge")
    parser.add_argument("--state-dir", type=Path, required=True)
    asyncio.run(main(StateDir(parser.parse_args().state_dir)))
