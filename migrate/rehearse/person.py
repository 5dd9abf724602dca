"""A person with a client that knows both stacks: it moves as the flag (or the drain's frame) says, and keeps a record.
until phase 3

A move: the other connection is opened first and has to be live; sending goes over to it; the first one stays until both
have brought the same for a while; then it is closed. Of what comes over both, the application is given one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import httpx

from migrate.clients import Backoff, ConnectionState, NotConnectedError, SseClient, WsClient
from migrate.clients.backoff import TRANSIENT
from migrate.errors import MigrateError
from migrate.rehearse.applications import Application, Utterance
from migrate.rehearse.ledger import Ledger, Record, Said

__all__ = ["Addresses", "Person"]

LOOK_S = 0.5
# A move keeps both connections at least this long, and longer while one lags behind the other.
OVERLAP_S = 3.0
OVERLAP_MOST_S = 60.0
# So long after both have brought the same: what was said before the other connection was there may come last.
MARGIN_S = 6.0
LAG_S = 1.0
LIVE_S = 30.0
SEND_S = 30.0
BACKOFF = Backoff(base_s=0.3, max_s=3.0)


class Addresses:
    """Where people go.

    Args:
        websocket: address and headers of a person's handshake.
        sse, stream: the service, and the path of its stream there.
        headers: of a user's requests, with a token of these scopes.
    """

    def __init__(
        self,
        websocket: Callable[[str], tuple[str, dict[str, str]]],
        sse: str,
        stream: str,
        headers: Callable[[str, tuple[str, ...]], dict[str, str]],
    ) -> None:
        self.websocket, self.sse, self.stream, self.headers = websocket, sse, stream, headers


class Person:
    """One person.

    Args:
        follows_flag: whether the client asks on which stack it is to be; else it moves when it is told by the drain.
    """

    def __init__(
        self, name: str, app: Application, addresses: Addresses, ledger: Ledger, http: httpx.AsyncClient,
        *, follows_flag: bool,
    ) -> None:  # fmt: skip
        self.name = name
        self.follows_flag = follows_flag
        self.transport = "websocket"
        self.moves: list[str] = []
        self._app, self._at, self._ledger, self._http = app, addresses, ledger, http
        self._record: Record = ledger.records[name]
        self._user = app.user(name)
        self._ws: WsClient | None = None
        self._sse: SseClient | None = None
        self._live = {"websocket": asyncio.Event(), "sse": asyncio.Event()}
        self._readers: dict[str, asyncio.Task[None]] = {}
        self._times: dict[str, dict[str, float]] = {"websocket": {}, "sse": {}}
        self._sending = asyncio.Lock()
        self._number = 0
        self.told = asyncio.Event()

    # Coming and going ---------------------------------------------------------------------------------

    async def come(self) -> None:
        """Connect to the old stack."""
        await self._open("websocket")

    async def leave(self) -> None:
        for stack in list(self._readers):
            await self._close(stack)

    async def follow(self) -> None:
        """Move as told, until cancelled."""
        while True:
            wanted = await self._wanted()
            if wanted != self.transport:
                await self._move(wanted)
            await asyncio.sleep(LOOK_S)

    async def _wanted(self) -> str:
        if self.told.is_set():
            return "sse"
        if not self.follows_flag:
            return self.transport
        found = set()
        for feature in self._app.features:
            try:
                answer = await self._http.get(
                    f"{self._at.sse}/api/transport",
                    params={"feature": feature},
                    headers=self._at.headers(self._user, ()),
                )
            except httpx.TransportError:
                return self.transport
            if answer.status_code != httpx.codes.OK:
                return self.transport
            found.add(str(answer.json()["transport"]))
        # One client, one connection: it is over when all of its features are.
        return "sse" if found == {"sse"} else "websocket"

    async def _move(self, to: str) -> None:
        before = self.transport
        try:
            await self._open(to)
        except MigrateError as error:
            self._record.events.append(error.message)
            await self._close(to)
            return
        since = time.monotonic()
        async with self._sending:
            self.transport = to
        self.moves.append(to)
        while not self._caught_up(before, to, since) and time.monotonic() - since < OVERLAP_MOST_S:
            await asyncio.sleep(0.1)
        await asyncio.sleep(MARGIN_S)
        await self._close(before)

    def _caught_up(self, before: str, to: str, since: float) -> bool:
        now = time.monotonic()
        if now - since < OVERLAP_S:
            return False
        new = [text for text, at in self._times[to].items() if since + LAG_S < at < now - LAG_S]
        return bool(new) and all(text in self._times[before] for text in new)

    async def _open(self, stack: str) -> None:
        self._live[stack].clear()
        if stack == "websocket":
            address, headers = self._at.websocket(self.name)
            self._ws = WsClient(
                address, headers=headers, on_state=lambda change: self._state("websocket", change), backoff=BACKOFF
            )
        else:
            self._sse = SseClient(
                self._at.sse + self._at.stream,
                headers=lambda: self._at.headers(self._user, ()),
                http=self._http,
                on_state=lambda change: self._state("sse", change),
                backoff=BACKOFF,
            )
        self._readers[stack] = reader = asyncio.create_task(self._read(stack))
        live = asyncio.create_task(self._live[stack].wait())
        try:
            await asyncio.wait({live, reader}, timeout=LIVE_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            live.cancel()
        if not self._live[stack].is_set():
            # A reader that has ended was refused, and said so; else the attempts so far did.
            why = self._record.events[-1] if self._record.events else f"nothing happened within {LIVE_S:g} s"
            raise MigrateError(f"{self.name} could not connect over {stack}: {why}")

    async def _close(self, stack: str) -> None:
        client = self._ws if stack == "websocket" else self._sse
        if client is not None:
            await client.close()
        reader = self._readers.pop(stack, None)
        if reader is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        if stack == "websocket":
            self._ws = None
        else:
            self._sse = None

    def _state(self, stack: str, change: Any) -> None:
        if change.state is ConnectionState.LIVE:
            self._live[stack].set()
        elif change.state is ConnectionState.WAITING and stack in self._readers:
            self._record.events.append(f"{stack} broke: {change.reason}")

    @property
    def is_settled(self) -> bool:
        """Whether it is on one stack alone."""
        return set(self._readers) == {self.transport}

    # Hearing ------------------------------------------------------------------------------------------

    async def _read(self, stack: str) -> None:
        try:
            if stack == "websocket" and self._ws is not None:
                async for frame in self._ws:
                    if isinstance(frame.json, dict):
                        self._came(stack, self._app.kind(frame.json), frame.json)
            elif self._sse is not None:
                async for event in self._sse:
                    with contextlib.suppress(ValueError):
                        data = event.json()
                        if isinstance(data, dict):
                            self._came(stack, event.type, data)
        except MigrateError as error:
            self._record.events.append(f"{stack}: {error.message}")

    def _came(self, stack: str, kind: str, data: dict[str, Any]) -> None:
        if self._app.says_go(data):
            self.told.set()
            return
        text = self._app.hear(self.name, kind, data)
        if text is not None:
            self._record.hear(stack, text)
            self._times[stack].setdefault(text, time.monotonic())

    # Saying -------------------------------------------------------------------------------------------

    async def say(self, people: list[str], step: Callable[[], str]) -> None:
        """Say the next thing, once, over the stack that the client is on."""
        self._number += 1
        what = self._app.utter(self.name, self._number, people)
        async with self._sending:
            via = self.transport
            try:
                if via == "websocket" and self._ws is not None:
                    await self._ws.send_json(what.frame)
                else:
                    await self._post(what)
            except (NotConnectedError, httpx.HTTPError, MigrateError) as error:
                self._ledger.failed.append((step(), f"{self.name} could not say something over {via}: {error}"))
                return
            now = time.time()
            self._ledger.said += [
                Said(text, self.name, step(), via, to, now) for text, to in what.texts.items()
            ]  # fmt: skip

    async def _post(self, what: Utterance) -> None:
        """Until it is taken: the key makes of several tries one message."""
        deadline = time.monotonic() + SEND_S
        while True:
            answer = await self._http.request(
                what.method, self._at.sse + what.path, json=what.body, headers=self._at.headers(self._user, what.scopes)
            )
            if answer.is_success:
                return
            if answer.status_code not in TRANSIENT or time.monotonic() > deadline:
                raise MigrateError(f"HTTP {answer.status_code}")
            await asyncio.sleep(0.3)
