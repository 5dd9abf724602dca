"""`migrate cleanup connections` killed with -9 while it deletes, each time continued on another machine.

    python -m loadtests.trials.killed_sweep --kills 20

Starts a local AWS of its own. A server between the sweep and the table counts what was deleted, row by row, and kills
at chosen deletions: before the table hears of one, when it is done and nobody knows yet, or a moment later. At the end
every dead row must have been deleted once, and none that lives; after `restore` every row is as it was, byte for byte.
Two rounds: with the records in S3, which all machines share, and on the machines' own disks. One line of JSON each;
exit code 3 if anything is not as it should be. until phase 3
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from loadtests.bench.echo_stack import REGION, deploy_echo
from loadtests.bench.processes import local_aws
from loadtests.bench.sweep import Living, living_connections
from loadtests.trials.between import Asked, Between
from loadtests.trials.machines import KEYS, Machines, client, text_of
from loadtests.trials.people import say

TABLE, BUCKET = "trial-connections", "trial-records"
MOMENTS = ("before it", "behind it", "a moment later")
LEASE_S, SKEW_S = 3, 5
TALK_S = 60.0


class Counted:
    """Deletions of rows that the table has done, and the next of them at which the sweep dies."""

    def __init__(self) -> None:
        self.kill: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self.deleted: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.killed: list[tuple[int, str]] = []
        self._next: tuple[int, str] | None = None

    def aim(self, number: int, moment: str) -> None:
        """Die at this deletion, counted from the first of all machines."""
        with self._lock:
            self._next = number, moment

    def before(self, asked: Asked) -> bool:
        return not (self._is_ours(asked) and self._due(MOMENTS[0], self._total + 1))

    def after(self, asked: Asked, status: int) -> bool:
        if not self._is_ours(asked):
            return True
        key = asked.said["Key"]["connectionId"]["S"]
        with self._lock:
            (self.deleted if status == 200 else self.refused)[key] += 1
        if self._due(MOMENTS[1], self._total):
            return False
        if self._due(MOMENTS[2], self._total, now=False):
            threading.Timer(random.uniform(0, 0.03), self.kill).start()  # noqa: S311 - when is no secret
        return True

    @property
    def _total(self) -> int:
        return sum(self.deleted.values())

    @staticmethod
    def _is_ours(asked: Asked) -> bool:
        return asked.operation == "DeleteItem" and asked.said.get("TableName") == TABLE

    def _due(self, moment: str, number: int, *, now: bool = True) -> bool:
        with self._lock:
            if self._next is None or self._next[1] != moment or number < self._next[0]:
                return False
            self.killed.append((number, moment))
            self._next = None
        if now:
            self.kill()
        return True


class Trial:
    """One table, its living connections, and what is done to it."""

    def __init__(self, options: argparse.Namespace, folder: Path, endpoint: str, api: tuple[str, str]) -> None:
        self.options, self.folder = options, folder
        self.api_id, self.url = api
        self.endpoint = endpoint
        self.client: Any = client("dynamodb", endpoint, REGION)
        self.dice = random.Random(options.seed)  # noqa: S311 - to be repeated

    def fill(self, living: list[str]) -> dict[str, str]:
        """Rows with attributes of every type; what the table then holds."""
        ghosts = (base64.urlsafe_b64encode(os.urandom(11)).decode() for _ in range(self.options.rows - len(living)))
        items = [
            {
                "connectionId": {"S": one},
                "connectedAt": {"N": f"{1_700_000_000 + number}.25"},
                "userName": {"S": f"u{number} é 会話 \u2028"},
                "extra": {"M": {"b": {"B": os.urandom(5)}, "s": {"SS": ["b", "a"]}, "x": {"NULL": True}}},
                "list": {"L": [{"BOOL": True}, {"NS": ["1", "2.5"]}, {"S": ""}]},
            }
            for number, one in enumerate([*living, *ghosts])
        ]

        def put(first: int) -> None:
            requests = [{"PutRequest": {"Item": item}} for item in items[first : first + 25]]
            self.client.batch_write_item(RequestItems={TABLE: requests})

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(put, range(0, len(items), 25)))
        return self.rows()

    def rows(self) -> dict[str, str]:
        """Every row as DynamoDB's own JSON."""
        pages = self.client.get_paginator("scan").paginate(TableName=TABLE, ConsistentRead=True)
        return {item["connectionId"]["S"]: text_of(item) for page in pages for item in page["Items"]}

    def run(self, records: str, living: list[str]) -> dict[str, Any]:
        """Fill, sweep and kill, restore, judge. Returns what was seen."""
        before = self.fill(living)
        dead = set(before) - set(living)
        folder = self.folder / records
        folder.mkdir()
        counted = Counted()
        with Between(self.endpoint, counted.before, counted.after) as between:
            machines = Machines(folder, {"migrate.toml": self._toml(between.url, records)}, KEYS)
            counted.kill = machines.kill
            sweep = ("cleanup", "connections", "--execute", "--json", "--lease-s", str(LEASE_S))
            points = sorted(self.dice.sample(range(1, len(dead)), self.options.kills))
            for point in points:
                counted.aim(point, self.dice.choice(MOMENTS))
                code, _, errors = machines.run_once_free(machines.another(), *sweep)
                if code != -9:
                    raise SystemExit(f"it ended with {code} before it was killed: {errors[-500:]}")
                if machines.own_names:
                    # A dead machine's lease lasts.
                    time.sleep(LEASE_S + SKEW_S)
            code, said, errors = machines.run_once_free(machines.another(), *sweep)
            seen: dict[str, Any] = {
                "records": records,
                "own host names": machines.own_names,
                "rows": len(before),
                "living": len(living),
                "kills": len(counted.killed),
                "of them": dict(Counter(moment for _, moment in counted.killed)),
                "at deletions": [number for number, _ in counted.killed],
                "last exit code": code,
                "it says": json.loads(said)[0]["counts"] if code == 0 else errors[-500:],
            }
            self._judge_deletions(seen, counted, before, dead)
            self._restore(seen, machines, before, records)
        return seen

    def _judge_deletions(self, seen: dict[str, Any], counted: Counted, before: dict[str, str], dead: set[str]) -> None:
        left = self.rows()
        living = {name: row for name, row in before.items() if name not in dead}
        seen["deletions"] = sum(counted.deleted.values())
        seen["refused, as gone already"] = sum(counted.refused.values())
        seen["deleted once"] = sum(counted.deleted[name] == 1 for name in dead)
        seen["deleted twice"] = sum(number > 1 for number in counted.deleted.values())
        seen["forgotten"] = len(dead & set(left))
        seen["living touched"] = sum(left.get(name) != row for name, row in living.items())
        seen["good"] = (
            seen["last exit code"] == 0
            and seen["deleted once"] == len(dead)
            and not (seen["deleted twice"] or seen["forgotten"] or seen["living touched"])
            and set(counted.deleted) == dead
            and seen["it says"]["deleted"] == len(dead)
        )

    def _restore(self, seen: dict[str, Any], machines: Machines, before: dict[str, str], records: str) -> None:
        """From a machine that has seen nothing where the records are shared; else on each that deleted."""
        places = [machines.another()] if records == "s3" else [one for one in machines.folders if _has_export(one)]
        seen["restored on"] = len(places)
        codes = {machines.run_once_free(place, "cleanup", "connections", "restore", "--execute")[0] for place in places}
        after = self.rows()
        seen["restore exit codes"] = sorted(codes)
        seen["equal after restore"] = sum(after.get(name) == row for name, row in before.items())
        seen["good"] = seen["good"] and codes == {0} and after == before

    def _toml(self, endpoint: str, records: str) -> str:
        place = f'records = "s3://{BUCKET}/trial"' if records == "s3" else ""
        return f"""
schema = 1
[project]
name = "trial"
state_table = "trial-state-{records}"
{place}
[api]
id = "{self.api_id}"
stage = "prod"
region = "{REGION}"
endpoint_url = "{endpoint}"
management_url = "{self.url.replace("ws://", "http://")}"
[[tables]]
name = "{TABLE}"
role = "connections"
key = "connectionId"
[cleanup]
get_connection_per_s = 100000
delete_per_s = 100000
segments = 4
settle_s = 0
"""

    def make_bucket(self) -> None:
        s3 = client("s3", self.endpoint, REGION)
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})

    def make_table(self) -> None:
        self.client.create_table(
            TableName=TABLE, BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "connectionId", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "connectionId", "AttributeType": "S"}],
        )  # fmt: skip


def _has_export(machine: Path) -> bool:
    return next(machine.rglob("MANIFEST.json"), None) is not None


async def trial(options: argparse.Namespace, folder: Path, endpoint: str) -> bool:
    """Each way to keep the records, one after the other."""
    api = await asyncio.to_thread(deploy_echo, endpoint)
    good = True
    async with living_connections(api[1], options.living) as living:
        talking = asyncio.create_task(_talk(living))
        one = Trial(options, folder, endpoint, api)
        await asyncio.to_thread(one.make_bucket)
        for records in options.records.split(","):
            await asyncio.to_thread(one.make_table)
            seen = await asyncio.to_thread(one.run, records, living.ids)
            await asyncio.to_thread(one.client.delete_table, TableName=TABLE)
            say(seen)
            good = good and seen["good"]
        talking.cancel()
        await asyncio.wait([talking])
        await living.speak()  # fails where one was closed
    return good


async def _talk(living: Living) -> None:
    while True:
        await asyncio.sleep(TALK_S)
        await living.speak()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--living", type=int, default=60)
    parser.add_argument("--records", default="s3,disk", help="s3, disk, or both")
    parser.add_argument("--seed", type=int, default=1, help="of the points at which it is killed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, local_aws(Path(folder)) as aws:
        return 0 if asyncio.run(trial(options, Path(folder), aws["aws_endpoint_url"])) else 3


if __name__ == "__main__":
    sys.exit(main())
