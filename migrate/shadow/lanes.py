"""Runs things side by side where their order does not count, and one after the other where it does. until phase 3"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import TypeVar

__all__ = ["LANES", "Lanes"]

# So many at the same time.
LANES = 32

T = TypeVar("T")


class Lanes:
    """What runs now.

    Args:
        most: lanes that run at the same time; further ones wait.
    """

    def __init__(self, most: int = LANES) -> None:
        self._most = most
        self._runs = 0

    @property
    def is_busy(self) -> bool:
        return self._runs > 0

    async def run(
        self, things: Iterable[T], lane_of: Callable[[T], Hashable], do: Callable[[T], Awaitable[None]]
    ) -> None:
        """Do all of them; those of one lane in the order in which they are given. The first error ends the others."""
        lanes: dict[Hashable, list[T]] = {}
        for thing in things:
            lanes.setdefault(lane_of(thing), []).append(thing)
        free = asyncio.Semaphore(self._most)

        async def in_order(lane: list[T]) -> None:
            async with free:
                for thing in lane:
                    await do(thing)

        self._runs += 1
        try:
            async with asyncio.TaskGroup() as group:
                for lane in lanes.values():
                    group.create_task(in_order(lane))
        finally:
            self._runs -= 1
