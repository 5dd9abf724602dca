"""The load tests themselves: users that a core carries, for each class, and what the comparison's measuring costs."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from loadtests.bench.report import Table, save, spread
from loadtests.compare.around import Around
from loadtests.compare.parts import Background, Sampler, used_between
from loadtests.compare.rounds import SCENARIOS, SUFFIX, Parts, Plan, one_run
from loadtests.users.target import Target

__all__ = ["PARTS", "run"]

PARTS = ("users", "overhead")
USERS, RATE, SECONDS = 40, 0.25, 8.0
# The emulated AWS, not the generator, is what has its fill of deliveries to all of 40 users.
FEWER = {"tenant": 20}
PAIRS = 4
LOST_AFTER_S = 60.0


def run(parts: list[str] | None = None) -> None:
    """Against a `migrate up` of its own."""
    with _stacks() as state_dir, tempfile.TemporaryDirectory() as folder:
        up = json.loads((state_dir / "up.json").read_text(encoding="utf-8"))
        target = Target.from_state_dir(state_dir)
        file = Path(folder) / "target.json"
        target.save(file)
        around = Around(state_dir, up)
        found: dict[str, object] = {}
        with around.held():
            if "users" in (parts or PARTS):
                found["users"] = _users(around, target, file)
            if "overhead" in (parts or PARTS):
                found["overhead"] = _overhead(up, file)
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
            with around.pointed(target.dropin) if side == "dropin" else nullcontext():
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


def _overhead(up: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """The same runs with and without sampling of processor, memory and calls, in turn; the processor time of all parts
    is read before and after each, in both."""
    made: dict[str, list[dict[str, float]]] = {"with": [], "without": []}
    for number in range(PAIRS):
        for way in ("with", "without") if number % 2 == 0 else ("without", "with"):
            parts = Parts(up["pids"], up["aws_endpoint_url"], Background()) if way == "with" else Parts(interval_s=None)
            cost = Sampler(up["pids"], "", None)
            while not cost.samples:
                time.sleep(0.01)
            began = time.monotonic()
            figures = one_run(_plan("rooms"), "ws", file, parts)["figures"]
            took = time.monotonic() - began
            cost.stop()
            names = ("delivery p50 ms", "delivery p95 ms", "deliveries/s")
            made[way].append(
                {
                    **{name: figures[name] for name in names},
                    "cores of all parts": used_between(cost.samples[0], cost.samples[-1]) / took,
                    "cores of the sampler": figures["measuring, cores"] if way == "with" else 0.0,
                    "cores of the generator": figures["load generator, cores"],
                }
            )
    table = Table(
        f"what measuring costs: RoomsWs, {PAIRS} pairs in turn, median (least-most)",
        *("figure", "without sampling", "with", "with / without, pair by pair"),
    )
    for name in made["with"][0]:
        one, two = ([run_[name] for run_ in made[way]] for way in ("without", "with"))
        ratio = spread([b / a for a, b in zip(one, two, strict=True)]) if all(one) else "-"
        table.add(name, spread(one), spread(two), ratio)
    table.show()
    return made
