"""Doing a thing once, however often and however simultaneously it is asked for.

A record is claimed before the work begins and completed after it. Whoever finds it claimed waits; whoever
finds the claim's lease run out (a crash, a lost connection to the store) takes it over with the facts of the
first attempt, so that the work continues instead of starting again. The work must be written so that doing a
part of it twice, even at the same moment, has the effect of once.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping

from sse_service.errors import UnavailableError
from sse_service.ports import Claim, ClaimStore, Clock

__all__ = ["Once"]

logger = logging.getLogger("sse_service.once")

LEASE_S = 15.0
WAIT_S = 6.0
"""How long a repeat waits for the first attempt before it is asked to come back."""


class Once:
    def __init__(self, claims: ClaimStore, clock: Clock, keep_s: float) -> None:
        self._claims = claims
        self._clock = clock
        self._keep_s = keep_s

    async def attempt(self, key: str, owner: str, facts: Mapping[str, str]) -> Claim:
        """One attempt, without waiting: the state may be "busy". Raises UnavailableError."""
        try:
            return await self._claims.claim(key, owner, facts, now=self._clock(), lease_s=LEASE_S, keep_s=self._keep_s)
        except UnavailableError:
            # Perhaps it was carried out; then nobody must wait for a lease that nobody holds.
            await self.release(key, owner)
            raise

    async def claim(self, key: str, owner: str, facts: Mapping[str, str]) -> Claim:
        """Waits while somebody else is at it. Raises UnavailableError when that takes too long.

        Who claims several keys and waits while he holds some must claim them in sorted order.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WAIT_S
        pause_s = 0.01
        while True:
            claim = await self.attempt(key, owner, facts)
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
        try:
            await self._claims.complete(key, result)
        except UnavailableError:
            logger.warning("the record of a finished request could not be completed")

    async def release(self, key: str, owner: str) -> None:
        """The work failed; a repeat may begin at once."""
        try:
            await self._claims.release(key, owner)
        except UnavailableError:
            logger.warning("the claim of a failed request could not be released; its lease will run out")

    async def run(
        self,
        key: str,
        facts: Mapping[str, str],
        work: Callable[[Mapping[str, str], bool], Awaitable[Mapping[str, str]]],
    ) -> tuple[Mapping[str, str], bool]:
        """`work(facts, is_continued)` unless it was done before. Returns its result and whether it was.

        Raises what `work` raises, UnavailableError.
        """
        owner = uuid.uuid4().hex
        claim = await self.claim(key, owner, facts)
        if claim.state == "done":
            return claim.result, True
        try:
            result = await work(claim.facts, claim.state == "taken_over")
        except BaseException:
            await asyncio.shield(self.release(key, owner))
            raise
        await self.complete(key, result)
        return result, False
