"""The asyncio client: `connect` and `Connection`.

Two tasks run beside each other. `_follow` reads streams one after the other and resumes each behind the last event;
`_pump` sends what waits, one POST at a time, until it is acknowledged. Whichever finds the connection gone ends both.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from types import TracebackType
from typing import Any

import httpx

from sse_service.pyclient.errors import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, HandshakeError
from sse_service.pyclient.wire import SDK, Address, Frames, Offer, check_close, decode, encode, is_gone, is_passing
from sse_service.pyclient.wire import pause_s as _pause_s

__all__ = ["Connection", "connect"]

REQUEST_S = 30.0
MAX_WAITING = 1000
"""Messages, each way: beyond it `send` waits, and the stream is not read."""
ABNORMAL = 1006
Token = Callable[[], Awaitable[str] | str]


class connect:  # noqa: N801 - used as a function, as in `websockets`
    """`async with connect(url) as connection`, or `connection = await connect(url)`.

    subprotocols: offered, as for a WebSocket; headers: further ones of the handshake; token: gives the
    `Authorization: Bearer` of the handshake, asked once more after a 401. base_url takes the place of scheme and host.
    Raises HandshakeError, ValueError.
    """

    def __init__(
        self,
        url: str,
        subprotocols: Sequence[str] = (),
        *,
        headers: dict[str, str] | None = None,
        token: Token | None = None,
        base_url: str = "",
        open_timeout_s: float = REQUEST_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._address = Address.parse(url, base_url)
        self._subprotocols = list(subprotocols)
        self._headers = headers or {}
        self._token = token
        self._open_s = open_timeout_s
        self._transport = transport
        self._connection: Connection | None = None

    def __await__(self) -> Generator[Any, None, Connection]:
        return self._open().__await__()

    async def __aenter__(self) -> Connection:
        self._connection = await self._open()
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def _open(self) -> Connection:
        client = httpx.AsyncClient(timeout=REQUEST_S, transport=self._transport)
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self._open_s):
                connection = Connection(client, await self._handshake(client))
                await connection._opened()
                return connection
        except BaseException as error:
            if connection is not None:
                await connection._abandon()
            await client.aclose()
            if isinstance(error, TimeoutError):
                raise HandshakeError("no stream within the time to open") from None
            if isinstance(error, ConnectionClosed):
                raise HandshakeError(str(error)) from None
            raise

    async def _handshake(self, client: httpx.AsyncClient) -> Offer:
        body = {"protocols": self._subprotocols, "query": self._address.query, "sdk": SDK}
        answer = await self._post(client, body)
        if answer.status_code == 401 and self._token:
            answer = await self._post(client, body)
        if answer.status_code not in {200, 201}:
            raise HandshakeError(f"the handshake was answered with {answer.status_code}", answer.status_code)
        try:
            offer = Offer.parse(answer.content, self._address.url)
        except ValueError as error:
            raise HandshakeError(str(error)) from None
        # RFC 6455, 4.1: one of those offered; WebSockets Standard: none of them is a failure as well.
        if offer.protocol not in (self._subprotocols or [""]):
            raise HandshakeError("the server chose no subprotocol that was offered")
        return offer

    async def _post(self, client: httpx.AsyncClient, body: object) -> httpx.Response:
        headers = dict(self._headers)
        if self._token:
            token = self._token()
            headers["authorization"] = f"Bearer {token if isinstance(token, str) else await token}"
        try:
            return await client.post(self._address.url, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise HandshakeError(f"the handshake had no answer ({type(error).__name__})") from None


class Connection:
    """One virtual connection. Made by `connect`."""

    def __init__(self, client: httpx.AsyncClient, offer: Offer) -> None:
        self.id = offer.connection_id
        self.subprotocol = offer.protocol or None
        self._client = client
        self._offer = offer
        self._inbox: asyncio.Queue[str | bytes | None] = asyncio.Queue(MAX_WAITING)
        self._outbox: deque[tuple[int, str]] = deque()
        self._seq = 0
        self._acked = 0
        self._last_id = 0
        self._news = asyncio.Condition()
        self._ready = False
        self._closing: tuple[int | None, str] | None = None
        self._closed: ConnectionClosed | None = None
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._pump())]

    async def send(self, message: str | bytes) -> None:
        """Takes the message; waits while very many are not acknowledged. Raises ConnectionClosed, TypeError."""
        if not isinstance(message, (str, bytes)):
            raise TypeError(f"a message is str or bytes, not {type(message).__name__}")
        async with self._news:
            await self._news.wait_for(lambda: len(self._outbox) < MAX_WAITING or self._closed or self._closing)
            self._check_open()
            if len(message.encode("utf-8") if isinstance(message, str) else message) > self._offer.message_bytes:
                raise ValueError(f"a message has {self._offer.message_bytes} bytes at most")
            self._seq += 1
            self._outbox.append((self._seq, encode(self._seq, message)))
            self._news.notify_all()

    async def flush(self) -> None:
        """Wait until the server has everything that was sent. Raises ConnectionClosed."""
        async with self._news:
            await self._news.wait_for(lambda: not self._outbox or self._closed)
            if self._outbox and self._closed:
                raise self._closed

    async def recv(self) -> str | bytes:
        """The next message. Raises ConnectionClosed when there is none any more."""
        if self._closed and self._inbox.empty():
            raise self._closed
        message = await self._inbox.get()
        if message is None:
            self._inbox.put_nowait(None)  # for the next one who waits
            raise self._closed or ConnectionClosedError(ABNORMAL, "")
        return message

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Ends when the connection is closed with 1000 or 1001. Raises ConnectionClosedError for every other end."""
        while True:
            try:
                yield await self.recv()
            except ConnectionClosedOK:
                return

    async def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Sends what waits, then closes. Without a word where it is closed already. Raises ValueError."""
        check_close(code, reason)
        async with self._news:
            if not self._closed and not self._closing:
                self._closing = (code, reason)
            self._news.notify_all()
            await self._news.wait_for(lambda: self._closed)
        await self._abandon()
        await self._client.aclose()

    async def _abandon(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _check_open(self) -> None:
        if self._closed:
            raise self._closed
        if self._closing:
            raise ConnectionClosedOK(self._closing[0] or 1005, self._closing[1], "it is being closed")

    async def _opened(self) -> None:
        async with self._news:
            await self._news.wait_for(lambda: self._ready or self._closed)
        if self._closed:
            raise self._closed

    async def _end(self, code: int, reason: str = "", why: str = "") -> None:
        async with self._news:
            if self._closed is None:
                kind = ConnectionClosedOK if code in {1000, 1001} else ConnectionClosedError
                self._closed = kind(code, reason, why)
                # Whoever waits for a message hears of it; whoever has a full queue sees it after the last one.
                with contextlib.suppress(asyncio.QueueFull):
                    self._inbox.put_nowait(None)
            self._news.notify_all()

    async def _acknowledge(self, upto: int) -> None:
        async with self._news:
            self._acked = max(self._acked, upto)
            while self._outbox and self._outbox[0][0] <= self._acked:
                self._outbox.popleft()
            self._news.notify_all()

    async def _follow(self) -> None:
        failures, lost_at = 0, time.monotonic()
        while self._closed is None:
            is_ready, wait_s = False, 0.0
            headers = {"accept": "text/event-stream", "last-event-id": str(self._last_id), **self._offer.headers}
            timeout = httpx.Timeout(REQUEST_S, read=self._offer.silence_s)
            try:
                async with self._client.stream(
                    "GET", self._offer.stream_url, headers=headers, timeout=timeout
                ) as response:
                    if is_gone(response.status_code):
                        return await self._gone()
                    wait_s = _retry_after(response)
                    if response.status_code == 200:
                        frames = Frames()
                        async for chunk in response.aiter_bytes():
                            for event, number, data in frames.feed(chunk):
                                is_ready = is_ready or event == "ready"
                                await self._take(event, number, data)
            except httpx.HTTPError:
                pass  # cut or silent
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                return await self._end(ABNORMAL, "", f"the server sent what cannot be read: {error}")
            now = time.monotonic()
            if is_ready:
                failures, lost_at = 0, now
            elif now - lost_at > self._offer.window_s:
                return await self._end(ABNORMAL, "", "no stream for longer than the server keeps the connection")
            if self._closed is None:
                await asyncio.sleep(max(wait_s, _pause_s(failures)))
                failures += 1
        return None

    async def _gone(self) -> None:
        if self._closing:  # what a close asks for, when its answer was lost
            await self._end(self._closing[0] or 1005, self._closing[1])
        await self._end(ABNORMAL, "", "the server does not know the connection any more")

    async def _take(self, event: str, number: int | None, data: str) -> None:
        """Raises ValueError for what no server says."""
        if self._closed is not None or event not in {"ready", "ack", "text", "binary", "close"}:
            return None
        if event == "ready":
            facts = json.loads(data)
            if facts.get("resumed") is False and self._last_id:
                return await self._end(ABNORMAL, "", "events are missing")
            self._ready = True
            return await self._acknowledge(int(facts["acked"]))
        if number is not None:
            if number <= self._last_id:
                return None
            if number > self._last_id + 1:
                return await self._end(ABNORMAL, "", "events are missing")
            self._last_id = number
        if event == "ack":
            await self._acknowledge(int(json.loads(data)["seq"]))
        elif event == "close":
            facts = json.loads(data)
            await self._end(facts.get("code") or 1005, facts.get("reason") or "")
        elif not self._closing:
            await self._inbox.put(decode(event, data))
        return None

    async def _pump(self) -> None:
        failures, since = 0, time.monotonic()
        while True:
            async with self._news:
                await self._news.wait_for(lambda: self._closed or self._closing or self._outbox)
            if self._closed is not None:
                return
            before, was_idle = self._acked, not self._outbox
            wait_s = await (self._delete() if was_idle else self._post())
            if self._acked > before:
                failures, since = 0, time.monotonic()
            elif self._closed is None and time.monotonic() - since > self._offer.window_s and failures:
                await self._end(ABNORMAL, "", "nothing could be sent for longer than the server keeps the connection")
            elif self._closed is None:
                since = since if failures else time.monotonic()
                await asyncio.sleep(max(wait_s, _pause_s(failures)))
                failures += 1

    async def _post(self) -> float:
        """How long to wait at least, in seconds, when nothing came of it."""
        parts: list[str] = []
        size = 64
        for _, message in self._outbox:
            size += len(message.encode()) + 1
            if parts and size > self._offer.batch_bytes:
                break
            parts.append(message)
        body = f'{{"received":{self._last_id},"messages":[{",".join(parts)}]}}'
        answer = await self._request("POST", self._offer.send_url, body)
        if answer is None:
            return 0.0
        status = answer.status_code
        if status in {200, 409}:
            try:
                acked = int(answer.json()["acked"])
            except (ValueError, KeyError, TypeError):
                return 0.0  # a page in between that says 200
            if status == 409 and acked < self._acked:
                await self._end(ABNORMAL, "", "the server lost messages it had acknowledged")
            await self._acknowledge(acked)
        elif status == 413:
            await self._end(1009, "Message too big")
        elif is_gone(status):
            await self._gone()
        elif not is_passing(status):
            await self._end(ABNORMAL, "", f"a message was answered with {status}")
        return _retry_after(answer)

    async def _delete(self) -> float:
        code, reason = self._closing or (None, "")
        body = json.dumps({"code": code, "reason": reason, "seq": self._seq})
        answer = await self._request("DELETE", self._offer.url, body)
        if answer is None:
            return 0.0
        if answer.is_success or answer.status_code in {404, 410}:
            await self._end(code or 1005, reason)
        elif not is_passing(answer.status_code):
            await self._end(ABNORMAL, "", "the close could not be sent")
        return _retry_after(answer)

    async def _request(self, method: str, url: str, body: str) -> httpx.Response | None:
        headers = {"content-type": "application/json", **self._offer.headers}
        try:
            return await self._client.request(method, url, content=body.encode(), headers=headers)
        except httpx.HTTPError:
            return None


def _retry_after(response: httpx.Response) -> float:
    value = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        return 0.0
