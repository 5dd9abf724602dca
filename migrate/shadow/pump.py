"""From the queue to whoever handles records, at least once: what was not handled to the end is not deleted.
until phase 3
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from migrate.clients import Backoff
from migrate.errors import MigrateError
from migrate.shadow.faults import Faults
from migrate.shadow.intake import Intake, Taken
from migrate.shadow.settings import RunSettings

__all__ = ["Pump"]

PAUSED_S = 0.05
NOTHING_DUE_S = 0.02
# So much is held in memory.
FEWEST, MOST = 20, 1000
# What is in hand must be done before the queue shows it again, or nearly.
IN_HAND_S = 5

log = logging.getLogger("migrate.shadow")


class Pump:
    """Moves batches.

    Args:
        intake: the queue.
        handle: does all of a batch; when it returns, the batch is deleted.
        on_problem: is told, in words, what does not work just now; it is tried again.
        faults: see there.
    """

    def __init__(
        self,
        intake: Intake,
        handle: Callable[[list[Taken]], Awaitable[None]],
        settings: RunSettings,
        on_problem: Callable[[str], None],
        faults: Faults,
    ) -> None:
        self._intake = intake
        self._handle = handle
        self._settings = settings
        self._on_problem = on_problem
        self._faults = faults

    async def run(self) -> None:
        """Move batches, except while the run is paused. Raises: MigrateError: what trying again does not mend."""
        filling = asyncio.create_task(self._fill())
        backoff, failures = Backoff(), 0
        batch: list[Taken] = []
        try:
            while True:
                if filling.done():
                    await filling
                if self._settings.is_paused:
                    await asyncio.sleep(PAUSED_S)
                    continue
                batch = batch or self._intake.due()
                if not batch:
                    await asyncio.sleep(NOTHING_DUE_S)
                    continue
                try:
                    await self._faults.stop()
                    await self._handle(batch)
                    await self._intake.done(batch)
                    batch, failures = [], 0
                except MigrateError:
                    raise
                except Exception as error:  # the queue away, a disk full: the batch is done again
                    failures += 1
                    problem = f"{type(error).__name__}: {error}"[:200]
                    self._on_problem(problem)
                    log.warning("a batch is done again: %s", problem)
                    await asyncio.sleep(backoff.delay_s(failures - 1))
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)

    async def _fill(self) -> None:
        backoff, failures = Backoff(), 0
        while True:
            if self._settings.is_paused:
                await asyncio.sleep(PAUSED_S)
                continue
            try:
                limit = self._settings.max_per_s
                await self._intake.fill(max(FEWEST, min(MOST, int(limit * IN_HAND_S))) if limit else MOST)
                failures = 0
            except Exception as error:
                failures += 1
                self._on_problem(f"the queue: {type(error).__name__}")
                await asyncio.sleep(backoff.delay_s(failures - 1))
