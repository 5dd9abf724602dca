"""Everybody: they come, talk all the while, move as they are told, and their records are judged. until phase 3"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from migrate.clients import new_http_client
from migrate.errors import MigrateError, UsageError
from migrate.rehearse.applications import Application
from migrate.rehearse.ledger import Ledger, Wrong
from migrate.rehearse.person import Addresses, Person

__all__ = ["Crowd", "Refused"]

SETTLE_S, SETTLE_MOST_S = 25.0, 90.0
QUIET_S = 2.0
EVERY_S = 1.6
# The service looks at the flags every 2 s, a client asks every half second.
ASKED_S = 4.0
COME_IN = "people come in by [rehearse] query and headers"

Refused = Callable[[], Awaitable[tuple[str, str]]]


class Crowd:
    """People of one application.

    Args:
        movers, others: how many clients ask for the flag, and how many only hear the drain's frame.
        refused: says what stands behind a handshake that failed, and where to look (error's message, hint).
    """

    def __init__(
        self, app: Application, addresses: Addresses, movers: list[str], others: list[str],
        refused: Refused | None = None,
    ) -> None:  # fmt: skip
        self._refused = refused
        self.names = [*movers, *others]
        self.ledger = Ledger(self.names)
        self.step = "coming"
        self._app, self._addresses, self._movers = app, addresses, movers
        self.people: list[Person] = []
        self._talking = True
        self._lost: set[Wrong] = set()
        self._talkers: list[asyncio.Task[None]] = []
        self._followers: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def here(self) -> AsyncIterator[None]:
        """Everybody is there and talks."""
        async with new_http_client(self._addresses.sse, connections=4 * len(self.names)) as http:
            self.people = [
                Person(name, self._app, self._addresses, self.ledger, http, follows_flag=name in self._movers)
                for name in self.names
            ]
            try:
                await self._come()
                self._followers = [asyncio.create_task(one.follow()) for one in self.people]
                self._talkers = [asyncio.create_task(self._talk(one)) for one in self.people]
                yield
            finally:
                for task in (*self._talkers, *self._followers):
                    task.cancel()
                await asyncio.gather(*self._talkers, *self._followers, return_exceptions=True)
                await asyncio.gather(*(one.leave() for one in self.people), return_exceptions=True)

    async def _come(self) -> None:
        try:
            await asyncio.gather(*(one.come() for one in self.people))
        except MigrateError as error:
            more, hint = await self._refused() if self._refused is not None else ("", "")
            raise UsageError(
                f"{error.message}{more}", "; ".join(filter(None, [COME_IN, hint]))
            ) from error  # fmt: skip

    async def _talk(self, person: Person) -> None:
        await asyncio.sleep(random.uniform(0, EVERY_S))  # noqa: S311 - so that they do not speak at once
        while self._talking:
            if not self.ledger.is_behind(time.time()):
                await person.say(self.names, lambda: self.step)
            await asyncio.sleep(EVERY_S * random.uniform(0.6, 1.4))  # noqa: S311

    def check_alive(self) -> None:
        """Raises: what ended one of them."""
        for task in (*self._talkers, *self._followers):
            if task.done() and not task.cancelled() and task.exception() is not None:
                raise MigrateError(f"a client of the rehearsal failed: {task.exception()!r}")

    async def settled(self, within: float = SETTLE_S) -> list[Wrong]:
        """What has been said until now and is still not heard, though nothing more came for a while."""
        now = time.time()
        began = since = time.monotonic()
        left = -1
        # What was waited for once is lost: it is not waited for again.
        while missing := [one for one in self.ledger.missing(now) if one not in self._lost]:
            if len(missing) != left:
                # Something came: the machine is slow, and it is too early to say.
                left, since = len(missing), time.monotonic()
            if time.monotonic() - since > within or time.monotonic() - began > SETTLE_MOST_S:
                break
            self.check_alive()
            await asyncio.sleep(0.2)
        self._lost.update(missing)
        return missing

    async def on(self, stack: str, names: list[str], within: float) -> bool:
        """Whether these came to be on a stack, with nothing left on the other."""
        deadline = time.monotonic() + within
        wanted = [one for one in self.people if one.name in names]
        while not all(one.transport == stack and one.is_settled for one in wanted):
            if time.monotonic() > deadline:
                return False
            self.check_alive()
            await asyncio.sleep(0.2)
        return True

    async def calm(self, within: float) -> None:
        """Wait until everybody has asked for the flag, and nobody is on two stacks any more."""
        deadline = time.monotonic() + within
        await asyncio.sleep(ASKED_S)
        while not all(one.is_settled for one in self.people) and time.monotonic() < deadline:
            self.check_alive()
            await asyncio.sleep(0.2)

    def user(self, name: str) -> str:
        """The user's id of one of them."""
        return self._app.user(name)

    def transports(self) -> dict[str, int]:
        """How many are where."""
        found = {"websocket": 0, "sse": 0}
        for one in self.people:
            found[one.transport] += 1
        return found

    async def finish(self, within: float = SETTLE_S) -> None:
        """Nobody says anything more; what is under way arrives, also what comes twice."""
        self._talking = False
        await asyncio.gather(*self._talkers)
        await self.settled(within)
        await asyncio.sleep(QUIET_S)
