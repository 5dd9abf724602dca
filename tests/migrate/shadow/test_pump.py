"""A batch is deleted from the queue only after it was handled (MG6). until phase 3"""

from __future__ import annotations

import asyncio

import pytest
from shadow_support import record

from migrate.config.model import Shadow
from migrate.errors import UsageError
from migrate.shadow.faults import Faults
from migrate.shadow.intake import Taken
from migrate.shadow.pump import Pump
from migrate.shadow.settings import RunSettings
from migrate.shadow.state import Control


class Queue:
    def __init__(self) -> None:
        self.batch = [Taken(record(), "receipt", 0.0)]
        self.seen: list[str] = []

    def due(self) -> list[Taken]:
        given, self.batch = self.batch, []
        return given

    async def done(self, handled: list[Taken]) -> None:
        self.seen += [f"deleted {taken.receipt}" for taken in handled]

    async def fill(self, most: int) -> None:
        await asyncio.sleep(0.01)


def pump(queue: Queue, handle: object, problems: list[str], state: str = "running") -> Pump:
    settings = RunSettings(Shadow(), Control(state, "run-1", 0.0))  # type: ignore[arg-type]
    return Pump(queue, handle, settings, problems.append, Faults())  # type: ignore[arg-type]


async def until_deleted(queue: Queue, running: asyncio.Task[None]) -> None:
    async with asyncio.timeout(30):
        while not queue.seen or not queue.seen[-1].startswith("deleted"):
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_batch_that_failed_is_done_again_and_then_deleted_once() -> None:
    queue, problems = Queue(), list[str]()

    async def handle(batch: list[Taken]) -> None:
        queue.seen.append(f"handled {len(batch)}")
        if len(queue.seen) == 1:
            raise OSError("no space left")

    await until_deleted(queue, asyncio.create_task(pump(queue, handle, problems).run()))
    assert queue.seen == ["handled 1", "handled 1", "deleted receipt"]
    assert problems == ["OSError: no space left"]


async def test_what_trying_again_does_not_mend_ends_it() -> None:
    queue = Queue()

    async def handle(batch: list[Taken]) -> None:
        raise UsageError("the key is not there", "set it")

    with pytest.raises(UsageError, match="the key is not there"):
        async with asyncio.timeout(30):
            await pump(queue, handle, []).run()
    assert queue.seen == []


async def test_nothing_is_taken_while_the_run_is_paused() -> None:
    queue = Queue()

    async def handle(batch: list[Taken]) -> None:
        queue.seen.append("handled")

    paused = pump(queue, handle, [], "paused")
    running = asyncio.create_task(paused.run())
    for _ in range(100):
        await asyncio.sleep(0)
    assert (queue.seen, len(queue.batch)) == ([], 1)
    paused._settings.control = Control("running", "run-1", 0.0)
    await until_deleted(queue, running)
    assert queue.seen == ["handled", "deleted receipt"]
