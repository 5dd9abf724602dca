"""A stream of the dashboard, served by sse-starlette. until phase 3

docs/decisions/0002 says what has to be known of it; here: its import replaces uvicorn's exit handler, which is put back
below (the hub ends its streams itself), and without `send_timeout` a reader that takes nothing holds its generator for
ever.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable

import uvicorn
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import AppStatus, EventSourceResponse, SendTimeoutError
from starlette.types import Receive, Scope, Send

__all__ = ["StreamResponse"]

PING_S = 15.0
SEND_S = 20.0
log = logging.getLogger("migrate.dashboard")

if AppStatus.original_handler is not None:
    uvicorn.Server.handle_exit = AppStatus.original_handler  # type: ignore[method-assign] # put back, see above


def _ping() -> ServerSentEvent:
    return ServerSentEvent(comment="here", sep="\n")


class StreamResponse(EventSourceResponse):
    """Streams frames, which are bytes already, until they end or the reader is gone.

    Args:
        frames: each a whole number of events.
        ended: called when nothing more is sent.
    """

    def __init__(self, frames: AsyncIterator[bytes], ended: Callable[[], None] = lambda: None) -> None:
        self._frames, self._ended = frames, ended
        super().__init__(
            frames,
            headers={"cache-control": "no-store, no-transform"},
            ping=PING_S,
            ping_message_factory=_ping,
            sep="\n",
            send_timeout=SEND_S,
            cleanup_timeout=1.0,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            # The server closes the connection of an answer that has no end.
            with contextlib.suppress(SendTimeoutError):
                await super().__call__(scope, receive, send)
                return
            log.warning("a reader that took nothing was cut off")
        finally:
            self._ended()
            close = getattr(self._frames, "aclose", None)
            if close is not None:
                # It may be closed already, or be at work in a task that is being cancelled.
                with contextlib.suppress(RuntimeError):
                    await close()
