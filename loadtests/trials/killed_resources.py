"""`migrate cleanup resources apply` killed with -9 at its deletions, each time continued from another directory.

    python -m loadtests.trials.killed_resources --kills 20

Starts a local AWS of its own with two stacks of each application. One of the two goes without a kill; of the other
every call is seen, and the command dies at deletions: before AWS hears of one, or when it is done and nothing of it is
written. Both must end the same; nothing may be deleted twice; after `restore` functions with their code, tables with
their rows, roles, queues, mappings, alarms and retention are as they were. One line of JSON for each application; exit
code 3 if anything is not as it should be. until phase 3
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loadtests.bench.processes import local_aws
from loadtests.trials.between import Asked, Between
from loadtests.trials.machines import Machines, client
from loadtests.trials.people import say
from loadtests.trials.stacks import BUCKET, Stack

DELETIONS = {
    "DeleteAlarms", "DeleteTable", "DeleteQueue", "DeleteRole", "DeleteRolePolicy", "DetachRolePolicy",
    "PutRetentionPolicy",
}  # fmt: skip
HARMLESS = ("PutRetentionPolicy", "DeleteAlarms")
MOMENTS = ("before it", "behind it")


def _is_deletion(asked: Asked) -> bool:
    rest = asked.operation.startswith("DELETE /")
    return asked.operation in DELETIONS or (rest and ("/v2/" in asked.operation or "-" in asked.operation[:15]))


def _name(asked: Asked) -> str:
    return f"{asked.operation} {asked.body.decode('latin-1')}".strip()


class Counted:
    """What was deleted, and the next deletion at which the command dies."""

    def __init__(self) -> None:
        self.kill: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self.done: Counter[str] = Counter()
        self.again: Counter[str] = Counter()
        self.killed: list[tuple[str, str]] = []
        self._next: tuple[int, str] | None = None

    def aim(self, number: int, moment: str) -> None:
        """Die at this deletion, counted from the first of all runs. What is repeated does not count."""
        with self._lock:
            self._next = number, moment

    def before(self, asked: Asked) -> bool:
        return not (_is_deletion(asked) and self._due(MOMENTS[0], asked, 1))

    def after(self, asked: Asked, status: int) -> bool:
        if not _is_deletion(asked):
            return True
        with self._lock:
            (self.done if status < 300 else self.again)[_name(asked)] += 1
        return not self._due(MOMENTS[1], asked, 0)

    def _due(self, moment: str, asked: Asked, more: int) -> bool:
        with self._lock:
            if self._next is None or self._next[1] != moment or len(self.done) + more < self._next[0]:
                return False
            self._next = None
            self.killed.append((asked.operation, moment))
        self.kill()
        return True


def _apply(stack: Stack) -> tuple[str, ...]:
    return ("cleanup", "resources", "apply", "--execute", "--point-of-no-return", stack.deployed["api_id"])


def _plan(machines: Machines) -> None:
    machine = machines.another()
    code, _, errors = machines.run(machine, "cleanup", "resources", "plan")
    if code:
        raise SystemExit(f"no plan: {errors[-500:]}")
    machines.share(machine, "migrate-plan.json")


def trial(aws: dict[str, Any], app: str, kills: int, folder: Path, dice: random.Random) -> dict[str, Any]:
    """One application. Returns what was seen."""
    calm, stack = (Stack(aws, app, f"{app}-{what}") for what in ("calm", "killed"))
    before = stack.seen()
    counted = Counted()
    with Between(aws["aws_endpoint_url"], counted.before, counted.after) as between:
        machines = Machines(_made(folder / f"{app}-calm"), {"migrate.toml": calm.toml(between.url)}, calm.env)
        _plan(machines)
        code, _, errors = machines.run(machines.another(), *_apply(calm))
    # The first falls on the first deletion: nothing says yet that anything was done.
    points = [1, *sorted(dice.sample(range(2, len(counted.done) + 1), kills - 1))]
    if code:
        raise SystemExit(f"{app}: without a kill it ended with {code}: {errors[-500:]}")
    counted = Counted()
    with Between(aws["aws_endpoint_url"], counted.before, counted.after) as between:
        # On one host a dead process is known to be dead at once; the minute of its lease is not what is tried here.
        machines = Machines(
            _made(folder / f"{app}-killed"), {"migrate.toml": stack.toml(between.url)}, stack.env, own_names=False
        )
        counted.kill = machines.kill
        _plan(machines)
        ends: list[str] = []
        for point in points:
            counted.aim(point, MOMENTS[1] if point == 1 else dice.choice(MOMENTS))
            code, _, errors = machines.run_once_free(machines.another(), *_apply(stack))
            if code != -9:
                ends.append(f"{code}: {errors.strip()[-300:]}")
                break
        last, _, errors = machines.run_once_free(machines.another(), *_apply(stack))
        ends += [f"{last}: {errors.strip()[-300:]}"] if last else []
        left = stack.seen()
        restored, _, errors = machines.run(machines.another(), "cleanup", "resources", "restore", "--execute")
    after = stack.seen()
    lost = sorted(key for key, value in before.items() if key != "api" and after.get(key) != value)
    # To set the same retention again, or to name an alarm that is gone, is no harm.
    again = {key: number for key, number in counted.done.items() if number > 1}
    twice = {key: number for key, number in again.items() if not key.startswith(HARMLESS)}
    seen: dict[str, Any] = {
        "application": app,
        "kills": len(counted.killed),
        "at": [f"{what} {moment}" for what, moment in counted.killed],
        "ended otherwise": ends,
        "at deletions": points,
        "deletions": sum(counted.done.values()),
        "done again, without harm": len(again) - len(twice),
        "deleted twice": twice,
        "refused, as gone already": sum(counted.again.values()),
        "left": sorted(left),
        "same end as without a kill": sorted(left) == sorted(calm.seen()),
        "compared after restore": len(before) - 1,
        "not as before": lost or (errors[-500:] if restored else []),
    }
    seen["good"] = seen["same end as without a kill"] and not (ends or twice or lost or restored)
    return seen


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--kills", type=int, default=20, help="of all applications together")
    parser.add_argument("--seed", type=int, default=1, help="of the points at which it is killed")
    options = parser.parse_args()
    dice = random.Random(options.seed)  # noqa: S311 - to be repeated
    apps = ("rooms", "direct", "layers")
    good = True
    with tempfile.TemporaryDirectory() as folder, local_aws(Path(folder)) as aws:
        s3 = client("s3", aws["aws_endpoint_url"], aws["region"])
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": aws["region"]})
        for number, app in enumerate(apps):
            kills = options.kills // len(apps) + (number < options.kills % len(apps))
            seen = trial(aws, app, kills, Path(folder), dice)
            say(seen)
            good = good and seen["good"]
    return 0 if good else 3


if __name__ == "__main__":
    sys.exit(main())
