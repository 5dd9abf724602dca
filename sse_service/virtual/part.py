"""Virtual connections as the rest of the service sees them; `sse_service.virtual_wiring` puts them together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sse_service.settings import Settings
    from sse_service.virtual.management import ManagementApi
    from sse_service.virtual.service import VirtualConnections

__all__ = ["VirtualPart"]


class VirtualPart(Protocol):
    """path: where clients open connections."""

    settings: Settings
    path: str
    connections: VirtualConnections
    management: ManagementApi

    async def start(self) -> None:
        """Raises StartupError."""

    async def tell(self, about: Callable[[str, str], bytes]) -> None:
        """See Streams.tell."""

    async def drain(self, grace_s: float) -> None: ...

    async def close(self) -> None: ...
