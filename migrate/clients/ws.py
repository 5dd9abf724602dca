"""A WebSocket client for JSON frames that reconnects. until phase 3

On `websockets` (https://websockets.readthedocs.io/en/stable/reference/asyncio/client.html). A WebSocket has
no resume: what was sent while there was no connection is lost to this client, and each change of state says
    so to whoever counts.
No compression: API Gateway negotiates none.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from types import AsyncGeneratorType, TracebackType
from typing import Any, Self, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
)

from migrate.addresses import is_loopback, without_query
from migrate.clients.backoff import TRANSIENT, Backoff
from migrate.clients.errors import NotConnectedError, RefusedByServerError
from migrate.clients.states import ConnectionState, OnState, StateChange

__all__ = ["WsClient", "WsFrame"]

MAX_FRAME_BYTES = 1024 * 1024

# The library writes whole handshakes, Authorization header included, at DEBUG: never for ours.
_wire_log = logging.getLogger("migrate.clients.ws.wire")
_wire_log.setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class WsFrame:
    """One text frame.

    Args:
        text: as it came.
        json: its JSON value, or None when it is no JSON.
        received_at: epoch seconds.
    """

    text: str
    json: Any
    received_at: float


class WsClient:
    """One logical connection.

        async with WsClient(url, headers=lambda: {"Authorization": f"Bearer {token()}"}) as socket:
            async for frame in socket:
                ...

    Iterate it once; `send_json` may be called from any task while it is LIVE. Leaving the block or calling
    `close` (from any task) ends the iteration with a close handshake.

    Args:
        url: ws:// or wss:// address; a query is sent but never shown.
        headers: headers of each handshake, or a function that makes them anew.
        on_state: called at each change of state, in the iterating task; must not block.
        backoff: the delays between attempts.
        open_timeout_s: time for connection and handshake.
        ping_s: seconds between pings, and how long the answer may take; a dead connection is noticed by them.
    Raises (from the iteration):
        RefusedByServerError: the handshake was answered with a status that trying again does not change (401,
            403, 404).
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | Callable[[], Mapping[str, str]] | None = None,
        on_state: OnState | None = None,
        backoff: Backoff | None = None,
        open_timeout_s: float = 10.0,
        ping_s: float | None = 20.0,
    ) -> None:
        self.address = without_query(url)
        self.state = ConnectionState.CLOSED
        self.connections = 0
        self._url = url
        self._headers = headers
        self._on_state = on_state
        self._backoff = backoff or Backoff()
        self._open_timeout_s = open_timeout_s
        self._ping_s = ping_s
        self._socket: ClientConnection | None = None
        self._closing = asyncio.Event()
        self._ended = asyncio.Event()
        self._frames: AsyncGeneratorType[WsFrame, None] | None = None

    def __repr__(self) -> str:
        return f"<WsClient {self.address} {self.state}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection with a close handshake. The iteration, if one is going on in another task, ends
        too.
        """
        self._closing.set()
        if self._socket is not None:
            await self._socket.close()
        if self._frames is not None and not self._ended.is_set():
            if self._frames.ag_running:
                # Another task waits for the next frame: it sees the closing and cleans up.
                await self._ended.wait()
            else:
                await self._frames.aclose()
        self._change(ConnectionState.CLOSED, "closed")

    async def send_json(self, value: object) -> None:
        """Send one JSON text frame.

        Raises: NotConnectedError: there is no connection, or it ended while sending (the frame may or may not
            have left).
        """
        socket = self._socket
        if socket is None:
            raise NotConnectedError(self.address)
        try:
            await socket.send(json.dumps(value, ensure_ascii=False))
        except ConnectionClosed as error:
            raise NotConnectedError(self.address) from error

    def __aiter__(self) -> AsyncIterator[WsFrame]:
        if self._frames is not None:
            raise RuntimeError("a connection is iterated once; make a new client")
        self._frames = cast("AsyncGeneratorType[WsFrame, None]", self._iterate())
        return self._frames

    async def _iterate(self) -> AsyncGenerator[WsFrame, None]:
        failures = 0
        try:
            while not self._closing.is_set():
                self._change(ConnectionState.CONNECTING)
                opened_at: float | None = None
                try:
                    socket = await self._dial()
                    if socket is None:
                        break
                    self._socket = socket
                    opened_at = time.monotonic()
                    self.connections += 1
                    self._change(ConnectionState.OPEN)
                    self._change(ConnectionState.LIVE)
                    async for message in socket:
                        yield _frame(message)
                    reason = _close_in_words(socket)
                except ConnectionClosed as error:
                    reason = _close_in_words(error)
                except (InvalidStatus, InvalidURI, InvalidHandshake, OSError, TimeoutError) as error:
                    reason = self._transient_or_raise(error)
                finally:
                    if self._socket is not None:
                        socket, self._socket = self._socket, None
                        await socket.close()
                if self._closing.is_set():
                    break
                # A connection that held for a while was a working one; one that is cut at once is a failure.
                held = opened_at is not None and time.monotonic() - opened_at > 5.0
                failures = 0 if held else failures + 1
                delay_s = self._backoff.delay_s(max(0, failures - 1))
                self._change(ConnectionState.WAITING, reason, delay_s=delay_s)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), delay_s)
        except RefusedByServerError as error:
            self._change(ConnectionState.CLOSED, error.message)
            raise
        finally:
            self._change(ConnectionState.CLOSED, "closed")
            self._ended.set()

    async def _dial(self) -> ClientConnection | None:
        """An open connection, or None when the client is being closed meanwhile."""
        made = self._headers() if callable(self._headers) else self._headers
        opening = asyncio.ensure_future(self._open(dict(made or {})))
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait({opening, closing}, return_when=asyncio.FIRST_COMPLETED)
            return opening.result() if opening.done() else None
        finally:
            for task in (opening, closing):
                if not task.done():
                    task.cancel()
            await asyncio.gather(opening, closing, return_exceptions=True)

    async def _open(self, headers: dict[str, str]) -> ClientConnection:
        return await connect(
            self._url,
            additional_headers=headers,
            compression=None,
            open_timeout=self._open_timeout_s,
            ping_interval=self._ping_s,
            ping_timeout=self._ping_s,
            close_timeout=2.0,
            max_size=MAX_FRAME_BYTES,
            logger=_wire_log,
            proxy=None if is_loopback(self._url) else True,
        )

    def _transient_or_raise(self, error: Exception) -> str:
        """What went wrong in words when another attempt is worth it. Raises RefusedByServerError when it is
        not.
        """
        if isinstance(error, InvalidStatus):
            status = error.response.status_code
            if status in TRANSIENT:
                return f"HTTP {status}"
            raise RefusedByServerError(self.address, status) from error
        if isinstance(error, InvalidURI):
            raise RefusedByServerError(self.address, None, "this is no WebSocket address") from None
        if isinstance(error, InvalidHandshake) and not (
            isinstance(error, InvalidMessage) and isinstance(error.__cause__, EOFError)
        ):
            raise RefusedByServerError(self.address, None, "this is no WebSocket server") from error
        if isinstance(error, TimeoutError):
            return "no connection in time"
        return "the connection was refused" if isinstance(error, ConnectionRefusedError) else "the connection failed"

    def _change(self, state: ConnectionState, reason: str = "", *, delay_s: float | None = None) -> None:
        if state is self.state is ConnectionState.CLOSED:
            return
        self.state = state
        if self._on_state is not None:
            self._on_state(StateChange(state, time.time(), reason, delay_s))


def _frame(message: str | bytes) -> WsFrame:
    received_at = time.time()
    text = message if isinstance(message, str) else message.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    return WsFrame(text, value, received_at)


def _close_in_words(ended: ClientConnection | ConnectionClosed) -> str:
    if isinstance(ended, ConnectionClosed):
        code = ended.rcvd.code if ended.rcvd is not None else 1006
    else:
        code = ended.close_code or 1006
    return f"the connection was closed with code {code}"
