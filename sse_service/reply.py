"""The response of a stream with one reader, served by sse-starlette; the one file that imports it.

What has to be known of sse-starlette 3.7 (docs/decisions/0002):
1. Its import replaces uvicorn's exit handler, which would end every later stream of the process once a server in it has
   been asked to stop. The handler is put back below; its watcher looks at the server by itself.
2. Without `send_timeout` a client that takes nothing holds its generator for ever.
3. Without `shutdown_event` and `shutdown_grace_period` streams are cut without a chunk terminator. Under our own server
   the service's `Work` ends answers before that is needed; under another one this does.
4. It takes bytes as they are; frames come from wire.py, which checks what sse-starlette would strip in silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import anyio
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import AppStatus, EventSourceResponse, SendTimeoutError
from starlette.types import Receive, Scope, Send

from sse_service.chat.answer import Answer
from sse_service.settings import Settings
from sse_service.work import FINISH_SHARE

__all__ = ["AnswerResponse"]

logger = logging.getLogger("sse_service.reply")

with contextlib.suppress(ImportError):
    import uvicorn

    if AppStatus.original_handler is not None:
        uvicorn.Server.handle_exit = AppStatus.original_handler  # type: ignore[method-assign] # put back, see 1


def _heartbeat() -> ServerSentEvent:
    return ServerSentEvent(comment="hb", sep="\n")


class AnswerResponse(EventSourceResponse):
    """Streams one answer; whatever ends it, the making of the answer ends with it."""

    def __init__(self, answer: Answer, settings: Settings) -> None:
        self._answer = answer
        self._leaving = anyio.Event()
        self._grace_s = settings.grace_s
        super().__init__(
            answer.frames(),
            headers={"cache-control": "no-store, no-transform"},
            ping=settings.effective_heartbeat_s,
            ping_message_factory=_heartbeat,
            sep="\n",
            send_timeout=settings.send_timeout_s,
            shutdown_event=self._leaving,
            shutdown_grace_period=settings.grace_s,
            cleanup_timeout=1.0,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watch = asyncio.create_task(self._end_in_order())
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            logger.warning("a client that took nothing was cut off")
            offers = (scope.get("extensions") or {}).values()
            abort = next((offer["abort"] for offer in offers if "abort" in offer), None)
            if abort is None:
                raise
            abort()
        finally:
            watch.cancel()
            # A response that failed before its first byte has never begun to iterate.
            self._answer.abandon()

    async def _end_in_order(self) -> None:
        await self._leaving.wait()
        await asyncio.sleep(self._grace_s * FINISH_SHARE)
        self._answer.abandon()
