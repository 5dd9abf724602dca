"""The application as the server calls it: FastAPI for the request, nothing of it for the hours of a stream.

A stream that goes on through the server's `send()` needs the request's task until its end. Waiting inside the
framework would keep every frame, request and dependency of it (27 KB a stream, of which 10 are the server's), and
would pass each delivery through all its layers. So a response that has begun and is the hub's from now on says here
how to wait for the end, and returns; what waits is this function alone.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

__all__ = ["Outermost", "Stay", "Waiting"]

_KEY = "sse_service.waiting"


class Stay(Protocol):
    """What is left of a response."""

    def was_cut_off(self) -> bool:
        """Whether it was the hub that cancelled this task: then that is over with it."""

    def close(self) -> None:
        """The client is gone, the server has sent the end, or the request failed on its way out."""


class Waiting:
    """The server's own `send` and, once a response has set it, what to wait for."""

    __slots__ = ("send", "stay")

    def __init__(self, send: Send) -> None:
        self.send = send
        self.stay: Stay | None = None

    @staticmethod
    def of(scope: Scope) -> Waiting | None:
        """None: this application is not ours, or not the outermost one; wait inside."""
        found: Waiting | None = scope.get(_KEY)
        return found


class Outermost(FastAPI):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        # A copy: what the framework adds to it goes with the request.
        inner = dict(scope)
        waiting = inner[_KEY] = Waiting(send)
        try:
            await super().__call__(inner, receive, send)
        except BaseException:
            if waiting.stay is not None:
                waiting.stay.close()
            raise
        stay = waiting.stay
        if stay is None:
            return
        del waiting, inner, scope, send
        # Here and not in a coroutine of its own, whose frame would cost another 200 bytes a stream.
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        except asyncio.CancelledError:
            if not stay.was_cut_off():
                raise
        finally:
            stay.close()
