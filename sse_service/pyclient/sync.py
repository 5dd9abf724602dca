"""The client without asyncio: the same connection, run by an event loop in a thread of its own.

with connect("wss://host/ws/prod?token=…") as connection:
    connection.send("hello")
    for message in connection: ...
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from types import TracebackType
from typing import Any, TypeVar

from sse_service.pyclient import aio
from sse_service.pyclient.errors import ConnectionClosedOK

__all__ = ["Connection", "connect"]

T = TypeVar("T")


class Connection:
    """One virtual connection; may be used from several threads. Made by `connect`; a context manager."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ws2sse-client", daemon=True)
        self._thread.start()
        try:
            self._connection = self._run(self._open(arguments, options))
        except BaseException:
            self._stop()
            raise

    async def _open(self, arguments: tuple[Any, ...], options: dict[str, Any]) -> aio.Connection:
        return await aio.connect(*arguments, **options)

    @property
    def id(self) -> str:
        return self._connection.id

    @property
    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    def send(self, message: str | bytes) -> None:
        """Raises ConnectionClosed, TypeError, ValueError."""
        self._run(self._connection.send(message))

    def flush(self) -> None:
        """Wait until the server has everything that was sent. Raises ConnectionClosed."""
        self._run(self._connection.flush())

    def recv(self, timeout: float | None = None) -> str | bytes:
        """`timeout` in seconds, named as in `websockets.sync`, whose callers are rewritten to this. Raises
        ConnectionClosed; TimeoutError, after which nothing is lost.
        """
        return self._run(asyncio.wait_for(self._connection.recv(), timeout))

    def __iter__(self) -> Iterator[str | bytes]:
        """Ends when the connection is closed with 1000 or 1001. Raises ConnectionClosedError for every other end."""
        while True:
            try:
                yield self.recv()
            except ConnectionClosedOK:
                return

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Sends what waits, then closes. Raises ValueError."""
        if not self._loop.is_closed():
            self._run(self._connection.close(code, reason))
            self._stop()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def connect(*arguments: Any, **options: Any) -> Connection:
    """Arguments of `sse_service.pyclient.connect`. Raises HandshakeError, ValueError."""
    return Connection(*arguments, **options)
