"""Everything the routes need, put together once by app.py."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sse_service.chat import ChatService
from sse_service.hub import Hub
from sse_service.limits import Rates
from sse_service.metrics import Metrics
from sse_service.ports import Clock
from sse_service.settings import Settings
from sse_service.tickets import Tickets
from sse_service.tokens import Verifier
from sse_service.transports import Transports

if TYPE_CHECKING:
    from sse_service.virtual.part import VirtualPart

__all__ = ["Services"]


@dataclass(slots=True)
class Services:
    """is_leaving: somebody has asked the service to end; readiness goes down before anything else does.
    pages: the virtual connections of the chat page.
    """

    settings: Settings
    verifier: Verifier
    hub: Hub
    chat: ChatService
    tickets: Tickets
    rates: Rates
    metrics: Metrics
    clock: Clock
    transports: Transports
    virtual: VirtualPart | None = None
    pages: VirtualPart | None = None
    is_started: bool = False
    is_leaving: bool = False

    @property
    def is_ready(self) -> bool:
        return self.is_started and not self.is_leaving and not self.hub.is_draining

    async def drain(self, grace_s: float) -> int:
        """Let streams, answers and jobs come to an end. Returns how many streams were cut off."""
        cut, _, _ = await asyncio.gather(
            self.hub.drain(grace_s), self.chat.drain(grace_s), self._drain_virtual(grace_s)
        )
        return cut

    async def _drain_virtual(self, grace_s: float) -> None:
        await asyncio.gather(*(part.drain(grace_s) for part in (self.virtual, self.pages) if part is not None))
