"""Messages of one connection, one after another over several instances: whose turn it is, and for how long one waits.

A client whose request was cut off, or that heard of its messages by its stream, goes on at any instance. The session
says up to where handlers have ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from sse_service.errors import BusyError, UnavailableError
from sse_service.ports import Clock
from sse_service.virtual.errors import GoneError
from sse_service.virtual.flows import Flows, Message
from sse_service.virtual.session import Accepted, Session
from sse_service.virtual.store import Entry, SessionStore

__all__ = ["Turns"]

logger = logging.getLogger("sse_service.virtual")

CHECK_S = 0.05
MARGIN_S = 1.0


class Turns:
    """limit: messages of a connection that may wait or be handled. integration_s: the longest a handler may take."""

    def __init__(self, store: SessionStore, clock: Clock, *, limit: int, integration_s: float) -> None:
        self._store = store
        self._clock = clock
        self._limit = limit
        self._patience_s = integration_s + MARGIN_S

    def make_room(self, session: Session) -> None:
        """Raises BusyError while too many wait; those that an instance has taken with it are not among them."""
        if session.acked - session.handled >= self._limit:
            session.give_up(self._clock(), self._patience_s)
        if session.acked - session.handled >= self._limit:
            raise BusyError("messages under way", "connection", self._limit, retry_after_s=1)

    async def take(self, flows: Flows, entry: Entry, accepted: Accepted, new: list[Message]) -> None:
        """Handle messages behind what was accepted before them, wherever that was."""
        connection_id = entry.facts.connection_id
        await self._until_handled(connection_id, accepted.first_new - 1)
        for message in new:
            await flows.take(entry.facts, [message])
            await self._was_handled(connection_id, message.number)
        if not new or new[-1].number < accepted.acked:
            await self._was_handled(connection_id, accepted.acked)

    async def over(self, connection_id: str) -> None:
        """Until all that was accepted is handled, but no longer than a handler may take: others believe an instance
        dead that is at `$disconnect` for long."""
        with contextlib.suppress(TimeoutError, GoneError, UnavailableError):
            async with asyncio.timeout(self._patience_s):
                await self._until_handled(connection_id, (await self._store.session(connection_id)).acked)

    async def _was_handled(self, connection_id: str, number: int) -> None:
        """Said until it is heard: who comes next waits for it."""

        def step(session: Session) -> None:
            session.was_handled(number, self._clock())

        end = time.monotonic() + self._patience_s
        while True:
            try:
                await self._store.change(connection_id, step)
            except GoneError:
                return
            except UnavailableError:
                if time.monotonic() >= end:
                    return
            else:
                return
            await asyncio.sleep(CHECK_S)

    async def _until_handled(self, connection_id: str, number: int) -> None:
        """Until the handlers of all up to this message have ended, or the instance that runs them has not got on for
        longer than any handler may take: it is dead, and its messages with it, as on API Gateway."""
        handled, since = -1, time.monotonic()
        while True:
            now = time.monotonic()
            try:
                session = await self._store.session(connection_id)
            except GoneError:
                return
            except UnavailableError:
                session = None
            if session is not None and session.handled >= number:
                return
            if session is not None and session.handled != handled:
                handled, since = session.handled, now
            elif now - since > self._patience_s:
                logger.warning("message %d of %s is not waited for any longer", number, connection_id)
                # Whoever waits behind this one begins to count anew.
                await self._was_handled(connection_id, number)
                return
            await asyncio.sleep(CHECK_S)
