"""Doing a thing once, however often and however simultaneously it is asked for.

A record is claimed before the work begins and completed after it. Whoever finds it claimed waits; whoever
finds the claim's lease run out (a crash, a lost connection to the store) takes it over with the facts of the
first attempt, so that the work continues instead of starting again. The work must be written so that doing a
part of it twice, one after the other, has the effect of once. That it is not done twice at the same moment is the
lease's: it is renewed while the work lasts, and a `Lease` that could not be renewed lets nothing be appended any more.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType

from sse_service.errors import UnavailableError
from sse_service.ports import Claim, ClaimStore, Clock

__all__ = ["Lease", "Once"]

logger = logging.getLogger("sse_service.once")

LEASE_S = 15.0
WAIT_S = 6.0
"""How long a repeat waits for the first attempt before it is asked to come back."""
MAX_LATE = 2000
"""Records of ended requests that could not be written yet; beyond that repeats wait for leases to run out."""
RETRY_S = 0.5
AT_ONCE = 32
"""Calls to the store."""


class Once:
    def __init__(self, claims: ClaimStore, clock: Clock, keep_s: float) -> None:
        self._claims = claims
        self._clock = clock
        self._keep_s = keep_s
        self._late: dict[tuple[str, str], Callable[[], Awaitable[None]]] = {}
        self._late_task: asyncio.Task[None] | None = None

    def lease(self) -> Lease:
        """Claims of one request: `async with once.lease() as lease`."""
        return Lease(self)

    async def renew(self, key: str, owner: str) -> bool:
        """For another lease. False: it is not the owner's any more. Raises UnavailableError."""
        return await self._claims.renew(key, owner, self._clock() + LEASE_S)

    async def attempt(self, key: str, owner: str, facts: Mapping[str, str]) -> Claim:
        """One attempt, without waiting: the state may be "busy". Raises UnavailableError."""
        try:
            return await self._claims.claim(key, owner, facts, now=self._clock(), lease_s=LEASE_S, keep_s=self._keep_s)
        except UnavailableError:
            # Perhaps it was carried out; then nobody must wait for a lease that nobody holds.
            self._later(key, owner, lambda: self._claims.release(key, owner))
            raise

    async def claim(self, key: str, owner: str, facts: Mapping[str, str]) -> Claim:
        """Waits while somebody else is at it. Raises UnavailableError when that takes too long.

        Who claims several keys and waits while he holds some must claim them in sorted order.
        """
        return await self.in_turn(lambda: self.attempt(key, owner, facts))

    async def in_turn(self, attempt: Callable[[], Awaitable[Claim]]) -> Claim:
        """The first answer that is not "busy". Raises UnavailableError when that takes too long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WAIT_S
        pause_s = 0.01
        while True:
            claim = await attempt()
            if claim.state != "busy":
                return claim
            if loop.time() >= deadline:
                raise UnavailableError("the first request with this key is still being worked on", retry_after_s=2)
            await asyncio.sleep(pause_s)
            pause_s = min(0.25, pause_s * 2)

    async def hold(self, key: str, owner: str) -> None:
        """Keep a claim for as long as this runs; cancel it when the work has ended."""
        while True:
            await asyncio.sleep(LEASE_S / 3)
            try:
                await self._claims.renew(key, owner, self._clock() + LEASE_S)
            except UnavailableError:
                logger.warning("a claim could not be renewed; trying again")

    async def complete(self, key: str, result: Mapping[str, str]) -> None:
        """The work is done. A store that is away now does not undo it: a repeat will find the work's traces."""
        await self._now_or_late(key, "complete", lambda: self._claims.complete(key, result))

    async def release(self, key: str, owner: str) -> None:
        """The work failed; a repeat may begin at once."""
        await self._now_or_late(key, owner, lambda: self._claims.release(key, owner))

    async def _now_or_late(self, key: str, who: str, write: Callable[[], Awaitable[None]]) -> None:
        try:
            await write()
        except UnavailableError:
            logger.warning("the record of an ended request could not be written; trying again")
            self._later(key, who, write)

    def _later(self, key: str, who: str, write: Callable[[], Awaitable[None]]) -> None:
        if len(self._late) < MAX_LATE:
            self._late[key, who] = write
            if self._late_task is None:
                self._late_task = asyncio.create_task(self._write_late())

    async def _write_late(self) -> None:
        """What a store that was away did not take. Until then repeats would wait for leases to run out."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LEASE_S
        try:
            while self._late and loop.time() < deadline:
                await asyncio.sleep(RETRY_S)
                try:
                    # One after the other: most likely the store is still away, and the first one says so.
                    for name, write in list(self._late.items()):
                        await write()
                        self._late.pop(name, None)
                        deadline = loop.time() + LEASE_S
                except UnavailableError:
                    continue
        finally:
            self._late.clear()
            self._late_task = None

    async def close(self) -> None:
        if self._late_task is not None:
            self._late_task.cancel()
            await asyncio.gather(self._late_task, return_exceptions=True)

    async def run(
        self,
        key: str,
        facts: Mapping[str, str],
        work: Callable[[Mapping[str, str], bool, Lease], Awaitable[Mapping[str, str]]],
    ) -> tuple[Mapping[str, str], bool]:
        """`work(facts, is_continued, lease)` unless it was done before. Returns its result and whether it was.

        Raises what `work` raises, UnavailableError.
        """
        async with self.lease() as lease:
            claim = await lease.claim(key, facts)
            if claim.state == "done":
                return claim.result, True
            result = await work(claim.facts, claim.state == "taken_over", lease)
            await lease.complete(key, result)
            return result, False


class Lease:
    """Claims held by one request, renewed until it ends; those not completed by then are released."""

    def __init__(self, once: Once) -> None:
        self._once = once
        self._owner = uuid.uuid4().hex
        self._loop = asyncio.get_running_loop()
        self._held: dict[str, float] = {}
        """Until when each is certainly ours, in the loop's time."""
        self._alarm: asyncio.TimerHandle | None = None
        self._renewal: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Lease:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        if self._renewal is not None:
            self._renewal.cancel()
        if self._held:
            await asyncio.shield(self.release_all())

    async def attempt(self, key: str, facts: Mapping[str, str]) -> Claim:
        """See Once.attempt."""
        began = self._loop.time()
        claim = await self._once.attempt(key, self._owner, facts)
        if claim.state in {"mine", "taken_over"}:
            self._held[key] = began + LEASE_S
            if self._alarm is None:
                self._alarm = self._loop.call_later(LEASE_S / 3, self._begin_renewal)
        return claim

    async def claim(self, key: str, facts: Mapping[str, str]) -> Claim:
        """See Once.claim."""
        return await self._once.in_turn(lambda: self.attempt(key, facts))

    def _begin_renewal(self) -> None:
        self._renewal = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        while True:
            for key in list(self._held):
                began = self._loop.time()
                try:
                    if key in self._held and not await self._once.renew(key, self._owner):
                        self._held[key] = 0.0
                    elif key in self._held:
                        self._held[key] = began + LEASE_S
                except UnavailableError:
                    logger.warning("a claim could not be renewed; trying again")
            await asyncio.sleep(LEASE_S / 3)

    def check(self) -> None:
        """To be called before what must not be done by two at once. Raises UnavailableError: another may be at it."""
        now = self._loop.time()
        if any(until - LEASE_S / 3 <= now for until in self._held.values()):
            raise UnavailableError("it took too long; another request with this key may have taken over")

    async def complete(self, key: str, result: Mapping[str, str]) -> None:
        self._held.pop(key, None)
        await self._once.complete(key, result)

    async def release_all(self) -> None:
        """Let go of all; what is claimed afterwards is claimed anew, as by somebody else."""
        held, self._held = list(self._held), {}
        # With the same name, what had been taken over would look like our own first attempt.
        owner, self._owner = self._owner, uuid.uuid4().hex
        for at in range(0, len(held), AT_ONCE):
            await asyncio.gather(*(self._once.release(key, owner) for key in held[at : at + AT_ONCE]))
