"""Probe clients: the same users on both stacks, recording everything they receive. until phase 3 (MG7)"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from migrate.clients import (
    Backoff,
    ConnectionState,
    NotConnectedError,
    RefusedByServerError,
    SseClient,
    StateChange,
    UpInfo,
    WsClient,
    new_http_client,
)
from migrate.compare.model import Capture, Delivery, Gap, Path, Send, Stack
from migrate.compare.records import RecordWriter
from migrate.errors import UsageError

__all__ = ["Plan", "new_run_id", "probe"]

CONNECT_TIMEOUT_S = 15.0
# A stack that is refused for this long is not just starting.
REFUSED_WAIT_S = 3.0
REFUSED = "the connection was refused"
# Time for a connection that has just been accepted to be known everywhere, before anything counts.
WARM_UP_S = 0.5
# After everything has arrived: time for a second copy to show up.
QUIET_S = 0.5
RECONNECT_WAIT_S = 5.0
# With the delays between them about ten seconds: longer than a restart of the service.
REST_ATTEMPTS = 8
QUICK = Backoff(base_s=0.1, max_s=2.0)

# Text that a stack may spoil on its way: other scripts, an emoji of several code points, markup, quotes, a
# backslash.
TAILS = ("", " こんにちは", " 안녕하세요", ' <b>"&amp;\\n</b>', " 👩‍👩‍👧 naïve", "   two  spaces ")

OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send.

    Args:
        users: probe users, each connected to both stacks.
        messages: in total, half over WebSocket, half over REST.
        rate: messages a second.
        settle_s: how long to wait at most for what has not arrived when the last message was sent, seconds.
        rooms: where to send.
    """

    users: int
    messages: int
    rate: float
    settle_s: float
    rooms: Sequence[str]


def new_run_id() -> str:
    """An id that sorts by time, e.g. 20261122-004501-3f9a2c."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"


async def probe(
    up: UpInfo, plan: Plan, run_id: str, writer: RecordWriter, progress: OnProgress | None = None
) -> Capture:
    """Connect, send, wait, and return what was captured; everything is recorded as it happens.

    Args:
        progress: called with (what is going on, done, total).
    Raises: UsageError: neither stack accepts connections.
    """
    return await _Probe(up, plan, run_id, writer, progress or (lambda *_: None)).run()


class _Stream:
    """One probe user on one stack, and the times it was not there."""

    def __init__(self, stack: Stack, user: str) -> None:
        self.stack = stack
        self.user = user
        self.live = asyncio.Event()
        self.gaps: list[Gap] = []
        self.reason = ""
        self.closing = False
        self._was_live = False
        self._away_since: float | None = None

    def on_state(self, change: StateChange) -> None:
        if self.closing:
            return
        if change.state is ConnectionState.LIVE:
            if self._away_since is not None:
                # Only a stream that says so brings what happened meanwhile.
                recovered = self.stack is Stack.SSE and change.recovered is True
                self._gap(change.at, recovered=recovered)
            self._was_live = True
            self.live.set()
        elif change.state in (ConnectionState.WAITING, ConnectionState.CLOSED):
            self.reason = change.reason
            self.live.clear()
            if self._was_live and self._away_since is None:
                self._away_since = change.at

    def lost_history(self, at: float, reason: str) -> None:
        """The server could not bring what happened while this stream was away."""
        just_back = bool(self.gaps) and at - self.gaps[-1].end < 1.0
        start = self.gaps.pop().start if just_back else at
        self.gaps.append(Gap(self.stack, self.user, start, at, recovered=False, reason=reason))

    def end(self) -> None:
        """The run is over: what is open now stays open."""
        self.closing = True
        if not self._was_live:
            everything = (-math.inf, math.inf)
            self.gaps = [Gap(self.stack, self.user, *everything, recovered=False, reason=self.reason)]
        elif self._away_since is not None:
            self._gap(math.inf, recovered=False)

    def _gap(self, end: float, *, recovered: bool) -> None:
        assert self._away_since is not None  # noqa: S101 - the callers have just looked
        self.gaps.append(Gap(self.stack, self.user, self._away_since, end, recovered, self.reason))
        self._away_since = None


class _Probe:
    def __init__(self, up: UpInfo, plan: Plan, run_id: str, writer: RecordWriter, progress: OnProgress) -> None:
        self._up = up
        self._plan = plan
        self._run_id = run_id
        self._writer = writer
        self._progress = progress
        self._users = [f"probe-{run_id[-6:]}-{number + 1}" for number in range(plan.users)]
        self._streams = {(stack, user): _Stream(stack, user) for stack in Stack for user in self._users}
        self._sockets: dict[str, WsClient] = {}
        self._sse: list[SseClient] = []
        self._deliveries: list[Delivery] = []
        self._sends: list[Send] = []
        self._notes: Counter[str] = Counter()
        self._seen_at: dict[str, set[tuple[Stack, str]]] = {}
        self._first_seen: dict[str, float] = {}
        self._own_seen: set[str] = set()
        self._rest_turn = {user: asyncio.Lock() for user in self._users}

    async def run(self) -> Capture:
        listeners: list[asyncio.Task[None]] = []
        async with new_http_client(self._up.sse_url) as http:
            try:
                for user in self._users:
                    listeners.append(asyncio.create_task(self._listen_websocket(user)))
                    listeners.append(asyncio.create_task(self._listen_sse(user, http)))
                await self._all_live()
                live = {stack for stack, user in self._streams if self._streams[stack, user].live.is_set()}
                window = (time.time(), time.time())
                if len(live) == len(Stack):
                    await asyncio.sleep(WARM_UP_S)
                    start = time.time()
                    await self._send_all(http)
                    window = (start, time.time())
                    await self._settle(window[1])
            finally:
                for stream in self._streams.values():
                    stream.end()
                closing = [client.close() for client in self._sockets.values()]
                await asyncio.gather(*closing, *(client.close() for client in self._sse))
                for listener in listeners:
                    listener.cancel()
                ended = await asyncio.gather(*listeners, return_exceptions=True)
        for outcome in ended:
            # A mistake of ours must not look like a loss of theirs.
            if isinstance(outcome, Exception):
                raise outcome
        return self._captured(window)

    def _captured(self, window: tuple[float, float]) -> Capture:
        gaps = [gap for stream in self._streams.values() for gap in stream.gaps]
        repeated = sum(client.duplicates_dropped for client in self._sse)
        if repeated:
            self._notes["events repeated on the wire under the same id (dropped by the SSE client)"] += repeated
        notes = [f"{number} {what}" for what, number in sorted(self._notes.items())]
        self._writer.finish(self._users, window, gaps, notes)
        return Capture(self._run_id, self._users, self._sends, self._deliveries, window, gaps, notes=notes)

    async def _all_live(self) -> None:
        """Wait until every stream is there, or it is clear that some will not be.

        Raises: UsageError: neither stack accepts connections.
        """
        streams = list(self._streams.values())
        started = time.monotonic()
        while (waited_s := time.monotonic() - started) < CONNECT_TIMEOUT_S:
            away = [stream for stream in streams if not stream.live.is_set()]
            self._progress("connecting", len(streams) - len(away), len(streams))
            if not away or (waited_s > REFUSED_WAIT_S and all(stream.reason for stream in away)):
                break
            await asyncio.sleep(0.05)
        if all(not stream.live.is_set() and stream.reason == REFUSED for stream in streams):
            raise UsageError(
                f"no stack is running: {self._up.websocket_url} and {self._up.sse_url} refuse connections",
                "start both with `migrate up`",
            )

    async def _listen_websocket(self, user: str) -> None:
        stream = self._streams[Stack.WEBSOCKET, user]
        client = WsClient(
            self._up.websocket_url,
            headers=lambda: self._up.headers(user),
            on_state=stream.on_state,
            backoff=QUICK,
        )
        self._sockets[user] = client
        with contextlib.suppress(RefusedByServerError):
            async for frame in client:
                if isinstance(frame.json, dict) and frame.json.get("type") == "error":
                    self._notes[f"error frames on WebSocket: {str(frame.json.get('code'))[:40]}"] += 1
                self._take(stream, frame.json, frame.received_at)

    async def _listen_sse(self, user: str, http: httpx.AsyncClient) -> None:
        stream = self._streams[Stack.SSE, user]
        client = SseClient(
            self._up.stream_url,
            headers=lambda: self._up.headers(user),
            http=http,
            on_state=stream.on_state,
            backoff=QUICK,
        )
        self._sse.append(client)
        with contextlib.suppress(RefusedByServerError):
            async for event in client:
                value: Any = None
                with contextlib.suppress(ValueError):
                    value = event.json()
                if event.type == "reset":
                    reason = str(value.get("reason", "")) if isinstance(value, dict) else ""
                    stream.lost_history(event.received_at, f"the event log was reset: {reason}")
                elif not event.is_control:
                    self._take(stream, value, event.received_at)

    def _take(self, stream: _Stream, value: Any, received_at: float) -> None:
        """Record a frame or event, if it is a message of one of the rooms."""
        if not isinstance(value, dict) or value.get("type") != "message":
            return
        if value.get("roomId") not in self._plan.rooms:
            return
        message_id = value.get("messageId")
        if not isinstance(message_id, str) or not message_id:
            self._notes[f"messages without messageId on {stream.stack.label}"] += 1
            return
        said = value.get("timestamp")
        delivery = Delivery(
            stack=stream.stack,
            recipient=stream.user,
            message_id=message_id,
            room=str(value["roomId"]),
            sender=str(value.get("userName", "")),
            seq=len(self._deliveries),
            received_at=received_at,
            sent_at=float(said) if isinstance(said, int | float) else None,
            payload=value,
        )
        self._deliveries.append(delivery)
        self._writer.delivery(delivery)
        self._first_seen.setdefault(message_id, received_at)
        self._seen_at.setdefault(message_id, set()).add((stream.stack, stream.user))
        if delivery.sender in self._rest_turn:
            self._own_seen.add(delivery.text)

    async def _send_all(self, http: httpx.AsyncClient) -> None:
        plan = self._plan
        begin = time.monotonic()
        async with asyncio.TaskGroup() as sending:
            for number in range(plan.messages):
                await asyncio.sleep(max(0.0, begin + number / plan.rate - time.monotonic()))
                self._progress("sending", number, plan.messages)
                user = self._users[number // 2 % plan.users]
                room = plan.rooms[(number // 2 + number // 2 // plan.users) % len(plan.rooms)]
                marker = f"probe {self._run_id} #{number + 1:05d}"
                text = f"{marker}{TAILS[number // 2 % len(TAILS)]}"
                if number % 2 == 0:
                    sending.create_task(self._send_websocket(user, room, text, marker))
                else:
                    sending.create_task(self._send_rest(http, user, room, text, marker))
        self._progress("sending", plan.messages, plan.messages)

    async def _send_websocket(self, user: str, room: str, text: str, marker: str) -> None:
        frame = {"action": "sendMessage", "userName": user, "message": text, "roomId": room}
        stream = self._streams[Stack.WEBSOCKET, user]
        unsent = ""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stream.live.wait(), RECONNECT_WAIT_S)
        sent_at = time.time()
        try:
            await self._sockets[user].send_json(frame)
        except NotConnectedError:
            unsent = stream.reason or "the connection was lost"
        self._sent(Send(None, user, room, text, Path.WEBSOCKET, sent_at, None, "", marker, unsent))

    async def _send_rest(self, http: httpx.AsyncClient, user: str, room: str, text: str, marker: str) -> None:
        # The key makes repeating harmless, the lock keeps what one user sends in its order.
        body = {"conversationId": room, "message": text, "userName": user, "idempotencyKey": marker}
        message_id: str | None = None
        refused = unsent = ""
        async with self._rest_turn[user]:
            sent_at = time.time()
            for attempt in range(REST_ATTEMPTS):
                try:
                    answer = await http.post(self._up.send_url, json=body, headers=self._up.headers(user))
                except httpx.TransportError:
                    unsent, refused = "no answer", ""
                else:
                    unsent = ""
                    message_id, refused = _accepted(answer)
                    if message_id is not None or (answer.status_code < 500 and answer.status_code != 429):
                        break
                await asyncio.sleep(QUICK.delay_s(attempt + 1))
        self._sent(Send(message_id, user, room, text, Path.REST, sent_at, None, refused, marker, unsent))

    def _sent(self, send: Send) -> None:
        self._sends.append(send)
        self._writer.send(send)

    async def _settle(self, stop: float) -> None:
        """Wait until everything sent before `stop` has arrived everywhere, at most for the plan's time."""
        deadline = time.monotonic() + self._plan.settle_s
        accepted = {send.text for send in self._sends if not send.refused and not send.unsent}
        everywhere = {where for where, stream in self._streams.items() if stream.live.is_set()}
        quiet_since: float | None = None
        while time.monotonic() < deadline:
            before = [mid for mid, first in self._first_seen.items() if first <= stop + QUIET_S]
            waiting = len(accepted - self._own_seen)
            waiting += sum(not everywhere <= self._seen_at[message_id] for message_id in before)
            self._progress("waiting for late messages", len(accepted) - min(waiting, len(accepted)), len(accepted))
            if waiting:
                quiet_since = None
            elif quiet_since is None:
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since >= QUIET_S:
                return
            await asyncio.sleep(0.05)


def _accepted(answer: httpx.Response) -> tuple[str | None, str]:
    """(message id, "") of an accepted message, or (None, what the service said instead)."""
    if answer.status_code not in (200, 201):
        return None, f"HTTP {answer.status_code}"
    try:
        message_id = answer.json()["messageId"]
    except (ValueError, KeyError, TypeError):
        return None, f"HTTP {answer.status_code} without a messageId"
    return str(message_id), ""
