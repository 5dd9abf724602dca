"""Who is on which transport, as far as this instance knows: reads the flags again and again, tells open streams.

A table that cannot be read changes nothing: what was last known goes on to count. Before it could be read for the
first time, and for a feature without a flag, the answer is SSE_TRANSPORT_DEFAULT. An item that is no flag is left out
with a line in the log; what was last known of it goes on to count as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter

from sse_service.errors import UnavailableError
from sse_service.events import TRANSPORT_TYPE
from sse_service.flags import SSE, Decision, FlagSet
from sse_service.settings import Settings
from sse_service.wire import compact_json, frame

__all__ = ["FlagSource", "Moved", "Transports", "transport_frame"]

logger = logging.getLogger("sse_service.transports")

Moved = Callable[[str, str], bytes]
"""The frames for (tenant, user), b"" for who stays."""


class FlagSource(Protocol):
    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def read(self) -> list[Mapping[str, Mapping[str, object]]]:
        """Every item there is. Raises UnavailableError."""


def transport_frame(facts: Mapping[str, Any]) -> bytes:
    """It has no id: a client's cursor stays where it is."""
    return frame("", TRANSPORT_TYPE, compact_json(dict(facts)))


class Transports:
    """source: None for none, then everybody is on sse. tell: the streams of this instance, when flags have changed."""

    def __init__(
        self,
        settings: Settings,
        source: FlagSource | None,
        tell: Callable[[Moved], Awaitable[None]],
        registry: CollectorRegistry,
    ) -> None:
        self._source = source
        self._tell = tell
        self._refresh_s = settings.transport_refresh_s
        self._poll_ms = int(settings.transport_poll_s * 1000)
        self._flags = FlagSet(settings.transport_default if source else SSE)
        self._was_read = False
        self._problems: list[str] = []
        self._task: asyncio.Task[None] | None = None
        self._reads = Counter(
            "sse_transport_reads",
            "Times the cut-over flags were read, by what came of it",
            ["result"],
            registry=registry,
        )

    async def start(self) -> None:
        if self._source is None or self._task is not None:
            return
        await self._source.start()
        await self.refresh()
        self._task = asyncio.create_task(self._refresh_for_ever())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._source is not None:
            await self._source.close()

    def answer(self, feature: str, tenant: str, user: str) -> dict[str, Any]:
        """{"feature", "transport", "epoch", "pollAfterMs"}: of GET /api/transport and of the event."""
        return self._facts(self._flags.decide(feature, tenant, user))

    def _facts(self, decision: Decision) -> dict[str, Any]:
        return {
            "feature": decision.feature,
            "transport": decision.transport,
            "epoch": decision.epoch,
            "pollAfterMs": self._poll_ms,
        }

    async def _refresh_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._refresh_s)
            try:
                await self.refresh()
            except Exception:
                # Flags that nobody reads any more could not bring anybody back.
                logger.exception("reading the cut-over flags failed")

    async def refresh(self) -> None:
        """Read the flags now, and tell the streams of those who are on another transport by them."""
        if self._source is None:
            return
        try:
            items = await self._source.read()
        except UnavailableError as error:
            self._reads.labels("failed").inc()
            self._note(
                [f"the flags cannot be read, {'the last known' if self._was_read else 'the default'} counts: {error}"]
            )
            return
        before = self._flags
        self._flags, problems = before.read(items)
        self._reads.labels("bad_item" if problems else "ok").inc()
        self._note(problems)
        features = before.changed(self._flags)
        self._was_read = True
        if not features:
            return
        logger.info("cut-over flags changed: %s", ", ".join(sorted(features)))
        newer = self._flags

        def moved(tenant: str, user: str) -> bytes:
            return b"".join(
                transport_frame(self._facts(decision)) for decision in before.moved(newer, features, tenant, user)
            )

        await self._tell(moved)

    def _note(self, problems: list[str]) -> None:
        """Say what is wrong once, not with every reading."""
        for problem in problems:
            if problem not in self._problems:
                logger.warning("cut-over flags: %s", problem)
        self._problems = problems
