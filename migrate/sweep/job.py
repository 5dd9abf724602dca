"""A sweep of a table: its segments, locks, journal, controls and progress. until phase 3 (MG11)

pk sweep#TABLE   sk job        the sweep that is under way or was the last
                 sk controls   what an operator says while it runs: rates, paused, stop
                 sk progress#HOST#PID   rates and their reasons, for `status`
checkpoint#JOB   segments      see migrate.sweep.segment
lock#sweep-TABLE-SEGMENT       one process works on a segment
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.config import Config as BotoConfig

from migrate.config import Config
from migrate.config.model import Table
from migrate.control.checkpoints import Checkpoints
from migrate.control.journal import actor
from migrate.control.locks import LEASE_S, Locks
from migrate.control.table import ConditionFailedError, ControlTable
from migrate.errors import MigrateError, RefusedError, UsageError
from migrate.sweep.exports import Noted, note_run, noted_runs
from migrate.sweep.segment import Deleter, Paces, Segment, Stopped
from migrate.sweep.sharing import gateways_of, who_else_uses
from migrate.tables.description import described
from migrate.tables.export import export_of
from migrate.tables.gateway import Gateway, Verdict
from migrate.tables.lean import LeanManagement
from migrate.tables.pace import Pace
from migrate.tables.rows import Rows

__all__ = ["Report", "Sweep", "status_of"]

WORKERS = 16
_AHEAD = 50_000
_AHEAD_BYTES = 128e6
_LOOK_S = 1.0
# Far beyond what a table answers: scans have no limit but capacity and latency.
_SCANS_PER_S = 10_000.0
_NOBODY = "AAAAAAAAAAAAAAA="


@dataclass
class Report:
    """What a sweep found and did.

    Args:
        counts: rows, connections, alive, gone, unknown, exported, deleted, changed.
        unknown: by the reason that kept it from being known.
        finished: whether every segment of the whole sweep is done.
    """

    table: str
    job: str
    execute: bool
    counts: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    finished: bool = False
    stopped: bool = False
    seconds: float = 0.0
    reasons: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Sweep:
    """A sweep of one table by this process.

    Args:
        part, parts: which share of the segments is this process's (1 of 1: all).
        lease_s: how long a killed process keeps its segments.
        show: told rows and rows a second, now and then.
    """

    def __init__(
        self,
        config: Config,
        table: Table,
        control: ControlTable,
        *,
        part: int = 1,
        parts: int = 1,
        segments: int | None = None,
        lease_s: float = LEASE_S,
        show: Callable[[Counter[str], dict[str, str]], None] | None = None,
    ) -> None:
        if not 1 <= part <= parts:
            raise UsageError(f"--segment {part}/{parts} is no share", "for example 2/4: the second of four machines")
        self._config, self._table, self._control = config, table, control
        self._part, self._parts = part, parts
        self._segments = max(segments or config.cleanup.segments, parts)
        self._lease_s, self._show = lease_s, show
        # What it sends came from the table: to validate it again is a tenth of what a deletion costs here.
        options = BotoConfig(
            max_pool_connections=WORKERS * 2, retries={"total_max_attempts": 3}, parameter_validation=False
        )
        more = {"config": options}
        self._dynamodb = config.client("dynamodb", **more)
        self._keys, self._provisioned = described(self._dynamodb, table.name)
        self._rows = Rows(table, self._keys)
        urls, self._notes = gateways_of(config)
        credentials = config.credentials()
        self._gateway = Gateway(
            [LeanManagement(url, config.region, credentials, WORKERS * 2) for url in (config.management_url, *urls)]
        )
        # The whole sweep's limits; a share of the segments has a share of them.
        share = len(range(part - 1, self._segments, parts)) / self._segments
        self._share = share
        read, write = (units * config.cleanup.capacity_share * share for units in self._provisioned)
        self._paces = Paces(
            scan=Pace(_SCANS_PER_S, capacity=read),
            ask=Pace(config.cleanup.get_connection_per_s * share),
            delete=Pace(config.cleanup.delete_per_s * share, capacity=write),
        )
        self._stop = threading.Event()
        self._go = threading.Event()
        self._go.set()
        self._lost: MigrateError | None = None

    def preflight(self) -> list[str]:
        """What has to hold before anything is deleted; notes on what could not be looked at.

        Raises: RefusedError: the gateway does not know this stage, or somebody else's connections are in the table.
        """
        answer = self._gateway.ask(_NOBODY)
        if answer.verdict is not Verdict.GONE:
            raise RefusedError(
                f"@connections of {self._config.management_url} says {answer.reason or answer.verdict.value} about a "
                "connection that is gone, and should say 410",
                "`migrate check-config` helps: the address, the stage, permission execute-api:ManageConnections",
            )
        others, notes = who_else_uses(self._config, self._table.name)
        if others:
            raise RefusedError(
                f"the table {self._table.name} is used by other WebSocket APIs: {', '.join(others)}; "
                "their connections would be taken for gone",
                "name their @connections addresses in cleanup.also_ask, or give them a table of their own",
            )
        return [*self._notes, *notes]

    def dry_run(self) -> Report:
        """Ask about everything, change nothing."""
        report = Report(self._table.name, "", execute=False, notes=list(self._notes))
        numbers = range(self._part - 1, self._segments, self._parts)
        self._work(report, [(number, self._segments) for number in numbers], None)
        report.finished = not report.stopped
        return report

    def execute(self, restart: bool = False) -> Report:
        """Delete what is gone: a new sweep, or the rest of the one that is under way.

        Raises: RefusedError: others work on these segments, or see `preflight`.
        """
        job = self._job(restart)
        report = Report(self._table.name, job["job"], execute=True, notes=self.preflight())
        total = int(job["segments"])
        checkpoints = Checkpoints(self._control)
        run = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ") + f"-{os.getpid()}"
        export = Noted(
            export_of(self._config.records, job["job"], run, lambda: self._config.client("s3")),
            lambda: note_run(self._control, job["job"], run),
        )
        deleter = Deleter(export, checkpoints, job["job"], self._config.cleanup.settle_s)
        try:
            mine = [number for number in range(total) if number % self._parts == self._part - 1]
            self._nobody_on(mine)
            self._work(report, [(number, total) for number in mine], deleter)
        finally:
            export.close()
            with contextlib.suppress(MigrateError):
                self._control.delete(f"sweep#{self._table.name}", f"progress#{_me()}")
        kept = checkpoints.all(job["job"])
        report.finished = len(kept) == total and all(one.get("done") for one in kept.values())
        if report.finished:
            self._control.put({**job, "status": "done", "ended_at": time.time()})
        return report

    def stop(self) -> None:
        """Come to an end after what is under way."""
        self._stop.set()
        self._go.set()

    def _job(self, restart: bool) -> dict[str, Any]:
        pk = f"sweep#{self._table.name}"
        for _ in range(5):
            found = self._control.get(pk, "job")
            if found and found["status"] == "running" and not restart:
                if found["shape"] != self._shape():
                    raise RefusedError(
                        f"the sweep {found['job']} began with another description of {self._table.name}",
                        "put the description back, or begin anew with --restart",
                    )
                self._control.put({"pk": pk, "sk": "controls"})
                return found
            now = datetime.now(UTC)
            job = {
                "pk": pk,
                "sk": "job",
                "job": f"sweep-{self._table.name}-{now.strftime('%Y%m%dT%H%M%SZ')}-{os.urandom(2).hex()}",
                "segments": self._segments,
                "status": "running",
                "started_at": time.time(),
                "by": actor(),
                "shape": self._shape(),
            }
            try:
                if found is None:
                    self._control.put(job, condition="attribute_not_exists(pk)")
                else:
                    self._control.put(job, condition="job = :old AND #s = :was", names={"#s": "status"},
                                      values={":old": found["job"], ":was": found["status"]})  # fmt: skip
            except ConditionFailedError:
                continue
            self._control.put({"pk": pk, "sk": "controls"})
            return job
        raise RefusedError(
            f"others keep beginning sweeps of {self._table.name}", "look at `cleanup connections status`"
        )

    def _shape(self) -> str:
        table = self._table
        return "|".join([table.key, table.id_prefix, table.row_prefix, table.map_attribute, table.map_id, *self._keys])

    def _nobody_on(self, numbers: Sequence[int]) -> None:
        locks = Locks(self._control)
        for number in numbers[:64]:
            holder = locks.holder(self._lock(number))
            if holder:
                raise RefusedError(
                    f"segment {number} of {self._table.name} is being swept by {holder}",
                    "wait for it, or take another share with --segment i/n",
                )

    def _lock(self, number: int) -> str:
        return f"sweep-{self._table.name}-{number}"

    def _work(self, report: Report, numbers: Sequence[tuple[int, int]], deleter: Deleter | None) -> None:
        began = time.monotonic()
        running: list[Segment] = []
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="ask") as pool, self._watching(running, report, deleter):
            at_once = max(1, min(len(numbers), WORKERS))

            def one(place: tuple[int, int]) -> None:
                try:
                    self._segment(place, at_once, pool, deleter, running)
                except Stopped:
                    report.stopped = True
                except MigrateError as error:
                    # One segment's end is everybody's: the others come to their checkpoints.
                    self._lost = self._lost or error
                    self.stop()

            with ThreadPoolExecutor(at_once, thread_name_prefix="segment") as workers:
                try:
                    list(workers.map(one, numbers))
                except BaseException:
                    self.stop()
                    raise
        for segment in running:
            report.counts.update(segment.counts)
            report.unknown.update(segment.unknown)
        report.seconds = time.monotonic() - began
        report.reasons = self._reasons()
        if self._lost is not None:
            raise self._lost

    def _segment(
        self, place: tuple[int, int], at_once: int, pool: Executor, deleter: Deleter | None, running: list[Segment]
    ) -> None:
        with contextlib.ExitStack() as stack:
            checks: list[Callable[[], None]] = [self._carry_on]
            if deleter is not None:
                lock = Locks(self._control).hold(self._lock(place[0]), actor(), self._lease_s)
                checks.append(stack.enter_context(lock).check)

            def check() -> None:
                for each in checks:
                    each()

            segment = Segment(
                self._dynamodb, self._rows, self._gateway, self._paces, pool, *place,
                deleter=deleter, check=check, wait=self._wait, hands=max(2, 2 * WORKERS // at_once),
                ahead=_AHEAD // at_once, ahead_bytes=_AHEAD_BYTES / at_once,
            )  # fmt: skip
            running.append(segment)
            segment.run()

    def _wait(self, seconds: float) -> None:
        self._stop.wait(seconds)

    def _carry_on(self) -> None:
        if not self._go.is_set():
            self._go.wait()
        if self._stop.is_set():
            raise Stopped

    @contextlib.contextmanager
    def _watching(self, running: list[Segment], report: Report, deleter: Deleter | None) -> Iterator[None]:
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(_LOOK_S):
                counts: Counter[str] = Counter()
                for segment in list(running):
                    counts.update(segment.counts)
                if self._show is not None:
                    self._show(counts, self._reasons())
                if deleter is not None:
                    # The control table is away: the limits stay as they are.
                    with contextlib.suppress(MigrateError):
                        self._look(report)

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield
        finally:
            ended.set()
            watching.join()

    def _look(self, report: Report) -> None:
        pk = f"sweep#{self._table.name}"
        said = self._control.get(pk, "controls") or {}
        cleanup = self._config.cleanup
        self._paces.ask.set_limit(float(said.get("ask_per_s") or cleanup.get_connection_per_s) * self._share)
        self._paces.delete.set_limit(float(said.get("delete_per_s") or cleanup.delete_per_s) * self._share)
        if said.get("stop"):
            self.stop()
        elif said.get("paused"):
            self._go.clear()
        else:
            self._go.set()
        self._control.put({
            "pk": pk, "sk": f"progress#{_me()}", "job": report.job, "at": time.time(), "reasons": self._reasons(),
            "paused": not self._go.is_set(), "part": f"{self._part}/{self._parts}",
        })  # fmt: skip

    def _reasons(self) -> dict[str, str]:
        paces = {"ask": self._paces.ask, "delete": self._paces.delete}
        found = {name: f"{pace.rate:.1f}/s: {pace.reason}" for name, pace in paces.items()}
        if self._paces.scan.rate < _SCANS_PER_S:
            found["scan"] = f"{self._paces.scan.rate:.1f} pages/s: {self._paces.scan.reason}"
        return found


def status_of(control: ControlTable, table: str) -> dict[str, Any]:
    """How a table's sweep stands: `{"table", "job", "status", "counts", "unknown", "segments", "done", "workers",
    "exported_on"}`; exported_on: hosts."""
    found = control.get(f"sweep#{table}", "job")
    if found is None:
        return {"table": table, "job": None, "status": "never swept"}
    kept = Checkpoints(control).all(str(found["job"]))
    counts: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    for one in kept.values():
        counts.update(one.get("counts", {}))
        unknown.update(one.get("unknown", {}))
    workers = [
        {
            "who": str(item["sk"]).partition("#")[2],
            **{key: item.get(key) for key in ("part", "reasons", "paused", "at")},
        }
        for item in control.query(f"sweep#{table}", since="progress#", before="progress#\U0010ffff")
        if item.get("job") == found["job"] and time.time() - item["at"] < 10 * _LOOK_S
    ]
    done = sum(bool(one.get("done")) for one in kept.values())
    status = found["status"] if found["status"] == "done" or workers else "interrupted"
    return {
        "table": table,
        "job": found["job"],
        "status": status,
        "started_at": found["started_at"],
        "by": found["by"],
        "segments": found["segments"],
        "done": done,
        "counts": dict(counts),
        "unknown": dict(unknown),
        "exported_on": sorted(set(noted_runs(control, str(found["job"])).values())),
        "controls": {
            key: value
            for key, value in (control.get(f"sweep#{table}", "controls") or {}).items()
            if key not in {"pk", "sk"}
        },
        "workers": workers,
    }


def _me() -> str:
    return f"{socket.gethostname()}#{os.getpid()}"
