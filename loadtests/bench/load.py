"""The load tests themselves: users that a core carries, for each class, and what the comparison's measuring costs."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from loadtests.bench import overhead
from loadtests.bench.report import Table, save
from loadtests.compare.around import Around
from loadtests.compare.rounds import SCENARIOS, SUFFIX, Parts, Plan, app_of, one_run
from loadtests.users.target import Target

__all__ = ["PARTS", "run"]

PARTS = ("users", "overhead")
USERS, RATE, SECONDS = 40, 0.25, 8.0
# The emulated AWS, not the generator, is what has its fill of deliveries to all of 40 users.
FEWER = {"tenant": 20}
LOST_AFTER_S = 60.0


def run(parts: list[str] | None = None) -> None:
    """Against a `migrate up` of its own."""
    with _stacks() as state_dir, tempfile.TemporaryDirectory() as folder, ExitStack() as held:
        up = json.loads((state_dir / "up.json").read_text(encoding="utf-8"))
        target = Target.from_state_dir(state_dir)
        file = Path(folder) / "target.json"
        around = Around(state_dir, up)
        found: dict[str, object] = {}
        held.enter_context(around.held())
        if "users" in (parts or PARTS):
            with ExitStack() as fronts:
                there = {app: fronts.enter_context(around.front(app)).url for app in up["stacks"]}
                target = replace(target, dropin=there)
                target.save(file)
                found["users"] = _users(around, target, file)
        if "overhead" in (parts or PARTS):
            target.save(file)
            found["overhead"] = overhead.measure(up, file)
    print(f"  kept in {save('load', found)}")


@contextmanager
def _stacks() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        state_dir = Path(folder) / "state"
        migrate = [sys.executable, "-m", "migrate"]
        where = ["--state-dir", str(state_dir)]
        subprocess.run([*migrate, "up", "--detach", "--no-traffic", *where], check=True, stdout=subprocess.DEVNULL)
        try:
            yield state_dir
        finally:
            subprocess.run([*migrate, "down", *where], check=True, stdout=subprocess.DEVNULL)


def _plan(scenario: str) -> Plan:
    return Plan(scenario, FEWER.get(scenario, USERS), RATE, SECONDS, 100, LOST_AFTER_S)


def _users(around: Around, target: Target, file: Path) -> list[dict[str, Any]]:
    """What a user costs is its deliveries, mostly: so both are printed."""
    table = Table(
        f"load generator: users per core (each who speaks {RATE:g}/s, {SECONDS:g} s)",
        *("class", "users", "deliveries/s", "cores", "users per core", "us per delivery", "lost"),
    )
    made = []
    for scenario, sides in SCENARIOS.items():
        for side in sides:
            plan = _plan(scenario)
            app = app_of(scenario)
            with ExitStack() as pointed:
                if side == "dropin":
                    pointed.enter_context(around.pointed(app, target.way(side, app)))
                figures = one_run(plan, side, file, Parts(interval_s=None))["figures"]
            name = scenario.capitalize() + SUFFIX[side]
            cores, each = figures["load generator, cores"], figures["deliveries/s"]
            micros = cores / each * 1e6 if each else 0.0
            made.append({"class": name, **figures})
            table.add(
                *(name, str(plan.users), f"{each:,.1f}", f"{cores:.4f}", f"{figures['users per core']:,.0f}"),
                *(f"{micros:,.0f}", f"{figures['loss']:g}"),
            )
    table.show()
    return made
