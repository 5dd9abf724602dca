"""Everything the routes need, put together once by app.py."""

from __future__ import annotations

from dataclasses import dataclass

from sse_service.chat import ChatService
from sse_service.hub import Hub
from sse_service.limits import Rates
from sse_service.metrics import Metrics
from sse_service.ports import Clock
from sse_service.settings import Settings
from sse_service.tickets import Tickets
from sse_service.tokens import Verifier

__all__ = ["Services"]


@dataclass(slots=True)
class Services:
    """is_leaving: somebody has asked the service to end; readiness goes down before anything else does."""

    settings: Settings
    verifier: Verifier
    hub: Hub
    chat: ChatService
    tickets: Tickets
    rates: Rates
    metrics: Metrics
    clock: Clock
    is_started: bool = False
    is_leaving: bool = False

    @property
    def is_ready(self) -> bool:
        return self.is_started and not self.is_leaving and not self.hub.is_draining
