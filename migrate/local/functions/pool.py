"""The workers of one version of a function: who runs what, when one more is worth its cold start. until phase 3

On AWS every concurrent invocation has an execution environment of its own. A cold start costs 0.1 to 0.5 s of CPU,
which a laptop with two cores feels, so an invocation waits a moment (`patience_s`) for a worker that is about to be
free before another one is started, one at a time, up to the cap of the function and of the whole local AWS. A single
worker that keeps many waiting for less than that gets a second one beside it (`busy_waits_per_s`). A
function without any worker always gets one, whatever the total, so that functions that call each other cannot
wait for each other's cap.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from migrate.local.functions.configuration import FunctionConfig
from migrate.local.functions.logs import LogShipper, PlatformBudget
from migrate.local.functions.messages import error_payload
from migrate.local.functions.worker import Command, Invocation, State, Worker
from migrate.local.ports import InvokeResult

__all__ = ["Limits", "Pool"]

log = logging.getLogger(__name__)

INIT_S = 10.0
"""Time an initialisation may take, unless the function's Timeout is longer (AWS: 10 s, then once more within it)."""


class Limits:
    """The caps, shared by all pools."""

    def __init__(
        self,
        *,
        workers_per_function: int = 4,
        workers_total: int = 12,
        idle_s: float = 60.0,
        patience_s: float = 0.025,
        busy_waits_per_s: int = 100,
    ) -> None:
        self.workers_per_function = workers_per_function
        self.workers_total = workers_total
        self.idle_s = idle_s
        self.patience_s = patience_s
        self.busy_waits_per_s = busy_waits_per_s
        self.pools: set[Pool] = set()

    @property
    def workers(self) -> int:
        return sum(pool.size for pool in self.pools)

    def free_one(self) -> None:
        """End the worker that has been idle longest, to make room for another function."""
        idle = [worker for pool in self.pools for worker in pool.idle_workers]
        if idle:
            oldest = min(idle, key=lambda worker: worker.idle_since)
            next(pool for pool in self.pools if oldest in pool.idle_workers).retire(oldest)


class Pool:
    """See the module. One pool per fingerprint of a configuration; a change makes another pool."""

    def __init__(self, config: FunctionConfig, command: Command, shipper: LogShipper, limits: Limits) -> None:
        self.config = config
        self.budget = PlatformBudget()
        self._command = command
        self._shipper = shipper
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._workers: set[Worker] = set()
        self._idle: list[Worker] = []
        self._queue: deque[Invocation] = deque()
        self._starting = 0
        self._waits = 0
        self._waits_since = 0.0
        self._check: asyncio.TimerHandle | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._starts: set[asyncio.Task[None]] = set()
        self._closed = False
        limits.pools.add(self)

    @property
    def size(self) -> int:
        return len(self._workers)

    @property
    def idle_workers(self) -> list[Worker]:
        return self._idle

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def submit(self, invocation: Invocation) -> None:
        """Run an invocation as soon as a worker is free; its future gets the result."""
        if self._idle:
            self._idle.pop().assign(invocation)
            return
        invocation.queued_at = self._loop.time()
        self._queue.append(invocation)
        if not self._workers or self._is_busy(invocation.queued_at):
            self._start_worker()
        elif self._check is None:
            self._plan_check()

    def withdraw(self, invocation: Invocation) -> None:
        """Forget an invocation whose caller gave up; one that runs already goes on, as on AWS."""
        if invocation in self._queue:
            self._queue.remove(invocation)

    def close(self) -> deque[Invocation]:
        """End idle workers now and the others after their invocation. Returns what was waiting."""
        self._closed = True
        waiting, self._queue = self._queue, deque()
        for worker in list(self._workers):
            worker.retire = True
            if worker.state is not State.BUSY:
                worker.kill()
        self._idle.clear()
        for handle in (self._check, self._sweep):
            if handle is not None:
                handle.cancel()
        if not self._workers:
            self._limits.pools.discard(self)
        return waiting

    async def end(self) -> None:
        """End every worker now and wait until they are gone."""
        for invocation in self.close():
            invocation.result.cancel()
        await asyncio.gather(*self._starts, return_exceptions=True)
        for worker in list(self._workers):
            worker.kill()
        await asyncio.gather(*(worker.ended() for worker in list(self._workers)))

    # Scaling

    def _is_busy(self, now: float) -> bool:
        """Whether the only worker has kept so many waiting within a second that a second one is worth its start."""
        if len(self._workers) > 1:
            return False
        if now - self._waits_since > 1.0:
            self._waits, self._waits_since = 0, now
        self._waits += 1
        return self._waits >= self._limits.busy_waits_per_s and self._starting == 0 and self._may_grow()

    def _consider(self) -> None:
        """Start one more worker if the first in the queue has waited long enough."""
        self._check = None
        if not self._queue or self._closed:
            return
        waited = self._loop.time() - self._queue[0].queued_at
        if self._starting == 0 and waited >= self._limits.patience_s * 0.9 and self._may_grow():
            self._start_worker()
        self._plan_check()

    def _plan_check(self) -> None:
        self._check = self._loop.call_later(self._limits.patience_s, self._consider)

    def _may_grow(self) -> bool:
        if not self._workers:
            return True
        if len(self._workers) >= self._limits.workers_per_function:
            return False
        if self._limits.workers >= self._limits.workers_total:
            self._limits.free_one()
            return False
        return True

    def _start_worker(self) -> None:
        if not self._workers and self._limits.workers >= self._limits.workers_total:
            self._limits.free_one()
        worker = Worker(self.config, self._command, self._shipper, self)
        self._workers.add(worker)
        self._starting += 1
        task = asyncio.create_task(self._start(worker))
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)

    async def _start(self, worker: Worker) -> None:
        try:
            await worker.start(max(INIT_S, self.config.timeout_s))
        except OSError as error:
            log.error("%s: no worker could be started: %s", self.config.name, error)  # noqa: TRY400
            self.worker_failed_to_start(worker, error_payload("Runtime.StartError", str(error)))
            self.worker_ended(worker)
        else:
            if self._closed:
                worker.retire = True
                worker.kill()

    def retire(self, worker: Worker) -> None:
        """End an idle worker."""
        self._idle.remove(worker)
        worker.retire = True
        worker.state = State.ENDED
        worker.kill()

    def _retire_idle(self) -> None:
        self._sweep = None
        now = self._loop.time()
        for worker in [w for w in self._idle if now - w.idle_since >= self._limits.idle_s]:
            self.retire(worker)
        self._plan_sweep()

    def _plan_sweep(self) -> None:
        if self._sweep is None and self._idle and not self._closed:
            # Coarse: one timer per pool, never one per invocation.
            self._sweep = self._loop.call_later(max(0.05, self._limits.idle_s / 4), self._retire_idle)

    # WorkerOwner (worker.py)

    def next_request_id(self) -> str | None:
        return self._queue[0].request_id if self._queue else None

    def worker_idle(self, worker: Worker) -> None:
        self._started(worker)
        if self._queue:
            worker.assign(self._queue.popleft())
        else:
            self._idle.append(worker)
            self._plan_sweep()

    def worker_failed_to_start(self, worker: Worker, answer: bytes) -> None:
        self._started(worker)
        if self._queue:
            self._queue.popleft().finish(InvokeResult(answer, "Unhandled"))

    def worker_ended(self, worker: Worker) -> None:
        self._started(worker)
        self._workers.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        if self._closed and not self._workers:
            self._limits.pools.discard(self)
        elif self._queue and not self._workers:
            self._start_worker()
            if self._check is None:
                self._plan_check()

    def _started(self, worker: Worker) -> None:
        """Count a worker as started (or failed) once."""
        if worker.starting:
            worker.starting = False
            self._starting -= 1
