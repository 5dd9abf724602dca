"""Handlers in this process: `module:function(event, context)`, as a Lambda handler is written.

A plain function runs in a thread and may block; a coroutine function runs on the event loop and must not. What either
raises is logged and answered as a function's failure. `context.connections` is the `@connections` API without the
network: awaited in a coroutine, blocking in a plain function.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import logging
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sse_service.errors import StartupError
from sse_service.virtual.calls import Invoked, Invoker
from sse_service.virtual.errors import CallError, FailureKind
from sse_service.virtual.plan import PYTHON

__all__ = ["BlockingConnections", "Connections", "HandlerContext", "Handlers", "Invokers", "load_handler"]

logger = logging.getLogger("sse_service.virtual")

T = TypeVar("T")
Handler = Callable[[dict[str, Any], "HandlerContext"], Any]


class Connections(Protocol):
    """What handlers do with connections."""

    async def post(self, connection_id: str, data: str | bytes) -> None:
        """Raises GoneError, WindowFullError, TooLargeError, UnavailableError."""

    async def describe(self, connection_id: str) -> dict[str, Any]:
        """As GetConnection answers. Raises GoneError, UnavailableError."""

    async def delete(self, connection_id: str) -> None:
        """Close it. Raises GoneError, UnavailableError."""


class BlockingConnections:
    """The same for plain functions, from their threads."""

    def __init__(self, connections: Connections, loop: asyncio.AbstractEventLoop) -> None:
        self._connections = connections
        self._loop = loop

    def post(self, connection_id: str, data: str | bytes) -> None:
        self._run(self._connections.post(connection_id, data))

    def describe(self, connection_id: str) -> dict[str, Any]:
        return self._run(self._connections.describe(connection_id))

    def delete(self, connection_id: str) -> None:
        self._run(self._connections.delete(connection_id))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


@dataclass(frozen=True, slots=True)
class HandlerContext:
    """The second argument of a handler. aws_request_id: as Lambda's context has it."""

    connections: Any
    """Connections for coroutines, BlockingConnections for plain functions."""
    aws_request_id: str


def load_handler(spec: str) -> Handler:
    """The function behind "module:function". Raises StartupError."""
    module_name, _, name = spec.partition(":")

    def wrong(problem: str) -> StartupError:
        return StartupError(f"handler {spec!r} of a virtual connection {problem}", "it must be module:function")

    if not module_name or not name:
        raise wrong("cannot be found")
    if "" not in sys.path and (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # as responder.load does
    try:
        found: Any = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise wrong(f"cannot be loaded: {error}") from None
    except Exception as error:
        raise wrong(f"fails when it is imported: {type(error).__name__}") from error
    if not callable(found):
        raise wrong("is not a function")
    handler: Handler = found
    return handler


class Handlers:
    """Invokes `python:module:function`."""

    def __init__(self, targets: set[str]) -> None:
        self._loaded = {target: load_handler(target.removeprefix(PYTHON)) for target in targets}
        self.connections: Connections | None = None

    async def invoke(self, target: str, payload: bytes, timeout_s: float) -> Invoked:
        """Raises CallError after timeout_s; a plain function then still runs to its end."""
        handler = self._loaded.get(target)
        if handler is None or self.connections is None:
            raise CallError(FailureKind.CONFIGURATION, f"no handler {target}")
        event = json.loads(payload)
        request_id = str((event.get("requestContext") or {}).get("requestId", ""))
        try:
            async with asyncio.timeout(timeout_s):
                if inspect.iscoroutinefunction(handler):
                    answer = await handler(event, HandlerContext(self.connections, request_id))
                else:
                    blocking = BlockingConnections(self.connections, asyncio.get_running_loop())
                    answer = await asyncio.to_thread(handler, event, HandlerContext(blocking, request_id))
            return Invoked(json.dumps(answer).encode())
        except TimeoutError:
            raise CallError(FailureKind.TIMEOUT, f"no answer within {timeout_s:g} s") from None
        except Exception as error:
            if str(error) != "Unauthorized":  # the word by which an authorizer refuses
                logger.exception("handler %s failed, request %s", target, request_id)
            return Invoked(json.dumps({"errorMessage": str(error), "errorType": type(error).__name__}).encode(), True)

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class Invokers:
    """Each target to whom it belongs. functions: Lambda, where any route has one."""

    def __init__(self, handlers: Handlers, functions: Invoker | None) -> None:
        self._handlers = handlers
        self._functions = functions

    async def invoke(self, target: str, payload: bytes, timeout_s: float) -> Invoked:
        if target.startswith(PYTHON):
            return await self._handlers.invoke(target, payload, timeout_s)
        if self._functions is None:
            raise CallError(FailureKind.CONFIGURATION, f"nobody to call {target}")
        return await self._functions.invoke(target, payload, timeout_s)

    async def start(self) -> None:
        if self._functions is not None:
            await self._functions.start()

    async def close(self) -> None:
        if self._functions is not None:
            await self._functions.close()
