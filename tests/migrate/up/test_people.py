"""The simulated people are quiet while somebody holds them, and never longer. until phase 3"""

from __future__ import annotations

import asyncio
import fcntl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from migrate.up import people
from migrate.up.people import CHATTING, HELD, chat_unless_held, is_held

HOLDER = """
import fcntl, sys, time
with open(sys.argv[1], "a") as file:
    fcntl.flock(file, fcntl.LOCK_SH)
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "HOLD_CHECK_S", 0.01)


class Chat:
    """Who is there, and what was told of it."""

    def __init__(self) -> None:
        self.there = 0
        self.told: list[tuple[str, int]] = []

    async def run(self, enough: asyncio.Event) -> None:
        self.there += 1
        try:
            await enough.wait()
            await asyncio.sleep(0)
        finally:
            self.there -= 1

    def tell(self, what: str) -> None:
        self.told.append((what, self.there))


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():
            await asyncio.sleep(0.005)


async def test_they_leave_while_they_are_held_and_come_back(tmp_path: Path) -> None:
    file, chat, stop = tmp_path / "people.hold", Chat(), asyncio.Event()
    task = asyncio.create_task(chat_unless_held(chat.run, file, stop, chat.tell))
    await until(lambda: chat.there == 1)
    with file.open("a") as one, file.open("a") as other:
        # Two at once: the first to let go does not let them chat.
        fcntl.flock(one, fcntl.LOCK_SH)
        fcntl.flock(other, fcntl.LOCK_SH)
        await until(lambda: chat.told[-1] == (HELD, 0))
        one.close()
        assert is_held(file)
    await until(lambda: chat.there == 1)
    stop.set()
    await asyncio.wait_for(task, 5)
    assert chat.told == [(CHATTING, 0), (HELD, 0), (CHATTING, 0)] and chat.there == 0


async def test_a_holder_that_is_killed_holds_nobody(tmp_path: Path) -> None:
    file, chat, stop = tmp_path / "people.hold", Chat(), asyncio.Event()
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(file)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        task = asyncio.create_task(chat_unless_held(chat.run, file, stop, chat.tell))
        await until(lambda: chat.told == [(HELD, 0)])
        holder.kill()
    await until(lambda: chat.there == 1)
    stop.set()
    await asyncio.wait_for(task, 5)


async def test_the_end_comes_while_they_are_held(tmp_path: Path) -> None:
    file, chat, stop = tmp_path / "people.hold", Chat(), asyncio.Event()
    with file.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        task = asyncio.create_task(chat_unless_held(chat.run, file, stop, chat.tell))
        await until(lambda: chat.told == [(HELD, 0)])
        stop.set()
        await asyncio.wait_for(task, 5)


async def test_what_ends_the_chat_is_told(tmp_path: Path) -> None:
    async def broken(_: asyncio.Event) -> None:
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError, match="gone"):
        await chat_unless_held(broken, tmp_path / "people.hold", asyncio.Event(), lambda _: None)
