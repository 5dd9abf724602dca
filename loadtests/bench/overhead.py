"""What the comparison's sampling does to the latency it measures.

One run under one steady load, in which the sampling takes turns block by block: none, as the comparison does it, and
without a pause, in every order equally often. What differs between runs (a cold function, a machine that drifts) so
differs for all alike. Without a pause is there to be told: where not even that is, the verdict says so. The first
second of a block counts for nothing: what the block before has begun ends there.
"""

from __future__ import annotations

import contextlib
import itertools
import statistics
import tempfile
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from loadtests.bench.paired import Difference, difference
from loadtests.bench.report import Table, percentile, spread
from loadtests.compare.parts import INTERVAL_S, Sampler
from loadtests.compare.rounds import NAMES, Parts, Plan, one_run

__all__ = ["ARMS", "ROUNDS", "Block", "blocks_within", "measure", "of_blocks", "verdict"]

NONE, AS_IT_IS, CONTROL = "none", "as it is", "no pause"
ARMS: dict[str, float | None] = {NONE: None, AS_IT_IS: INTERVAL_S, CONTROL: 0.0}
BLOCK_S, SETTLE_S = 4, 1
# A multiple of the six orders of three. Two runs of 24 rounds take some 11 minutes.
ROUNDS = 24
SIDES = ("ws", "sse")
# What may be more than this share of a figure says nothing about it.
DECISIVE = 0.5
USERS, RATE, LOST_AFTER_S = 10, 2.0, 30.0
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Block:
    """arm: which sampling. round: in which round. begins: monotonic s, from where on it counts; ends. parts: cores of
    all parts in it, sampler: of the sampling."""

    arm: str
    round: int
    begins: int
    ends: int
    parts: float = 0.0
    sampler: float = 0.0


class Turns:
    """Blocks from the making until `stop`, in a thread."""

    def __init__(self, up: Mapping[str, Any]) -> None:
        self._pids = {name: pid for name, pid in up["pids"].items() if name != "up"}
        self._aws_url = str(up["aws_endpoint_url"])
        self._end = threading.Event()
        # Of processes that have ended too: what they have used was used.
        self._used_by: dict[int, float] = {}
        self.done: list[Block] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        at = int(time.monotonic()) + 1
        for number, order in enumerate(itertools.cycle(itertools.permutations(ARMS))):
            for arm in order:
                if self._end.wait(max(0.0, at - time.monotonic())):
                    return
                self._block(arm, number, at)
                at += BLOCK_S

    def _block(self, arm: str, number: int, at: int) -> None:
        used = self._used()
        interval_s = ARMS[arm]
        sampler = None if interval_s is None else Sampler(self._pids, self._aws_url, interval_s)
        self._end.wait(max(0.0, at + BLOCK_S - time.monotonic()))
        if sampler:
            sampler.stop()
        cores = (self._used() - used) / BLOCK_S
        self.done.append(
            Block(arm, number, at + SETTLE_S, at + BLOCK_S, cores, sampler.used_s / BLOCK_S if sampler else 0.0)
        )

    def _used(self) -> float:
        """Processor seconds of the parts and what they have started, so far."""
        for pid in self._pids.values():
            with contextlib.suppress(psutil.Error):
                root = psutil.Process(pid)
                for process in (root, *root.children(recursive=True)):
                    with contextlib.suppress(psutil.Error):
                        times = process.cpu_times()
                        self._used_by[process.pid] = times.user + times.system
        return sum(self._used_by.values())


def measure(up: Mapping[str, Any], file: Path, rounds: int = ROUNDS) -> dict[str, Any]:
    """Print it, and return it for the record.

    Args:
        up: up.json.
        file: of the target, for locust.
    """
    began = time.monotonic()
    made: dict[str, Any] = {}
    table = Table(
        f"what sampling does to latency: rooms, {USERS} users, {USERS * RATE:g} messages/s, {rounds} rounds of"
        f" {len(ARMS)} blocks of {BLOCK_S} s; difference: 95 % interval; least: what is told four times of five",
        *("figure", "none", "sampling", "with it", "difference", "least", "told"),
    )
    verdicts = []
    for side in SIDES:
        blocks, deliveries = _run(up, file, side, rounds)
        found = of_blocks(blocks, deliveries)
        made[side] = {"blocks": {name: dict(by_arm) for name, by_arm in found.items()}, "differences": {}}
        for name, by_arm in found.items():
            differences = {arm: difference(by_arm[NONE], by_arm[arm]) for arm in (AS_IT_IS, CONTROL)}
            for arm, told in differences.items():
                made[side]["differences"][f"{name}, {arm}"] = {**asdict(told), "least told": told.least_told}
                table.add(
                    *(f"{NAMES[side]}: {name}", spread(by_arm[NONE]), arm, spread(by_arm[arm])),
                    *(_interval(told), f"{told.least_told:.3g}", "yes" if told.is_told else "no"),
                )
            if name.startswith("delivery"):
                without = statistics.median(by_arm[NONE])
                said = verdict(name, without, differences[AS_IT_IS], differences[CONTROL])
                verdicts.append(f"{NAMES[side]}: {said}")
    made["verdicts"] = verdicts
    table.show()
    for line in verdicts:
        print(f"  {line}")
    print(f"  {time.monotonic() - began:.0f} s")
    return {"rounds": rounds, "block_s": BLOCK_S, "arms": ARMS, **made}


def verdict(name: str, without: float, told: Difference, control: Difference) -> str:
    """What follows for a figure in ms, in one sentence.

    Args:
        without: its median without sampling.
    """
    if told.is_told:
        return f"{name}: sampling adds {_interval(told)} to {without:.3g}"
    most = max(-told.low, told.high)
    if most > DECISIVE * without:
        return f"{name}: decides nothing: sampling may change it by {most:.3g} of {without:.3g}; a quieter machine"
    said = f"{name}: sampling changes {without:.3g} by less than {most:.3g} (95 %); {told.least_told:.3g} would be told"
    if control.low <= 0:
        said += "; sampling without a pause was not told from none either"
    return said


def _interval(told: Difference) -> str:
    return f"{told.middle:+.3g} ({told.low:+.3g} to {told.high:+.3g})"


def _run(up: Mapping[str, Any], file: Path, side: str, rounds: int) -> tuple[list[Block], list[tuple[int, int]]]:
    """Blocks of whole rounds, and all deliveries in them (when sent, how long it took; ns)."""
    # The first round begins somewhere before the first message.
    plan = Plan("rooms", USERS, RATE, (rounds + 1) * BLOCK_S * len(ARMS), 100, LOST_AFTER_S)
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "deliveries"
        with _turns(up) as turns:
            found = one_run(plan, side, file, Parts(interval_s=None), ("--deliveries", str(raw)))
        lines = raw.read_text(encoding="ascii").splitlines()
    deliveries = sorted((int(one), int(two)) for one, _, two in (line.partition(" ") for line in lines))
    began = found["go_ns"] / _NS
    blocks = blocks_within(turns.done, began, began + found["seconds"])[: rounds * len(ARMS)]
    return blocks, deliveries


@contextlib.contextmanager
def _turns(up: Mapping[str, Any]) -> Iterator[Turns]:
    turns = Turns(up)
    try:
        yield turns
    finally:
        turns.stop()


def blocks_within(blocks: Sequence[Block], began: float, ended: float) -> list[Block]:
    """Of the rounds that lie wholly between two moments (monotonic s)."""
    rounds: defaultdict[int, list[Block]] = defaultdict(list)
    for block in blocks:
        if block.begins - SETTLE_S >= began and block.ends <= ended:
            rounds[block.round].append(block)
    return [block for _, found in sorted(rounds.items()) if len(found) == len(ARMS) for block in found]


def of_blocks(blocks: Sequence[Block], deliveries: Sequence[tuple[int, int]]) -> dict[str, dict[str, list[float]]]:
    """Figures of each block, by name and arm, in the order of the rounds.

    Args:
        deliveries: when each was sent and how long it took (ns), in order of the former.

    Raises: ValueError: nothing was delivered in one of them.
    """
    made: dict[str, dict[str, list[float]]] = {}
    for block in sorted(blocks, key=lambda one: one.round):
        first, last = (bisect_left(deliveries, (at * _NS, 0)) for at in (block.begins, block.ends))
        took = [took_ns / 1e6 for _, took_ns in deliveries[first:last]]
        if not took:
            raise ValueError(f"nothing was delivered in a block of {BLOCK_S} s: is the machine busy?")
        for name, value in (
            ("delivery p50 ms", statistics.median(took)),
            ("delivery p95 ms", percentile(took, 0.95)),
            ("cores of all parts", block.parts),
            ("cores of the sampler", block.sampler),
        ):
            made.setdefault(name, {arm: [] for arm in ARMS})[block.arm].append(value)
    return made
