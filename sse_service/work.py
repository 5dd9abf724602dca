"""Work that outlasts a request: how much of it at once, and its end together with the service's.

Answers and jobs run in tasks of this process. Each holds a place, of its user's and of the node's; what has none is
refused, never queued without bound. On the way out (`drain`) they may finish until most of the grace period is over;
then they are interrupted, and say so themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from sse_service.errors import BusyError, UnavailableError

__all__ = ["FINISH_SHARE", "INTERRUPTED", "PATIENCE_S", "Work", "patiently"]

logger = logging.getLogger("sse_service.work")

INTERRUPTED = "interrupted"
"""The message of the cancellation that `drain` sends: the service goes down."""

PATIENCE_S = 20.0
"""How long work waits for a store that is away."""

FINISH_SHARE = 0.7
"""How much of the grace period work may use to finish by itself; the rest is for saying that it did not."""


T = TypeVar("T")


async def patiently(call: Callable[[], Awaitable[T]], patience_s: float) -> T:
    """`call()`, again and again while its store is away. Raises UnavailableError after so many seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_s
    pause_s = 0.05
    while True:
        try:
            return await call()
        except UnavailableError:
            if loop.time() + pause_s >= deadline:
                raise
        await asyncio.sleep(pause_s)
        pause_s = min(2.0, pause_s * 2)


class Work:
    def __init__(self, what: str, per_user: int, per_node: int) -> None:
        self.is_draining = False
        self._what = what
        self._per_user = per_user
        self._per_node = per_node
        self._total = 0
        self._users: Counter[tuple[str, str]] = Counter()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def running(self) -> int:
        return self._total

    def enter(self, tenant: str, user: str) -> None:
        """Take a place. Raises BusyError, UnavailableError (the service goes down)."""
        if self.is_draining:
            raise UnavailableError("the service is going down; another instance will answer", retry_after_s=1)
        if self._total >= self._per_node:
            raise BusyError(self._what, "node", self._per_node)
        if self._users[tenant, user] >= self._per_user:
            raise BusyError(self._what, "user", self._per_user)
        self._total += 1
        self._users[tenant, user] += 1

    def leave(self, tenant: str, user: str) -> None:
        self._total -= 1
        self._users[tenant, user] -= 1
        if self._users[tenant, user] <= 0:
            del self._users[tenant, user]

    def start(self, work: Coroutine[Any, Any, Any], caller: tuple[str, str] | None = None) -> asyncio.Task[Any]:
        """Run it as a task that `drain` waits for. caller: (tenant, user) whose place it gives back at its end."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        if caller is not None:
            # Not in the coroutine: one that is cancelled before its first step never runs.
            task.add_done_callback(lambda _: self.leave(*caller))
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s: unexpected end", self._what, exc_info=error)

    async def drain(self, grace_s: float) -> int:
        """No new work; wait for what runs, then interrupt it. Returns how many were interrupted."""
        self.is_draining = True
        if not self._tasks:
            return 0
        await asyncio.wait(list(self._tasks), timeout=grace_s * FINISH_SHARE)
        left = list(self._tasks)
        for task in left:
            task.cancel(INTERRUPTED)
        # What they leave behind (a claim to be let go) may begin while they end.
        deadline = asyncio.get_running_loop().time() + max(0.5, grace_s * (1 - FINISH_SHARE))
        while self._tasks and (left_s := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(list(self._tasks), timeout=left_s)
        return len(left)
