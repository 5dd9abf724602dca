"""Chat rooms, and what can happen to them: idle connections, a reconnect storm, slow readers."""

from __future__ import annotations

from typing import Any, ClassVar

import gevent

from loadtests.users.cuts import CutOnce
from loadtests.users.marks import Mark, decode, key_of
from loadtests.users.people import Person, frames_of

__all__ = ["Idle", "Rooms", "SlowReaders", "Storm"]

SLOW_READ_BYTES, SLOW_PAUSE_S = 4096, 0.25
HISTORY_LIMIT = 100


class Rooms(Person):
    """One room; everybody says something and hears everybody, as the application rooms has it."""

    abstract = True
    scenario: ClassVar[str] = "rooms"

    @property
    def room(self) -> str:
        return f"load-{self.run_.id}"

    @property
    def group(self) -> str:
        return f"room:{self.room}"

    def stream_query(self) -> dict[str, str]:
        return {"conversationId": self.room}

    def prepare(self) -> None:
        if self.transport == "sse":
            self.run_.once("room", self._make_room)

    def _make_room(self) -> object:
        token = self.run_.tokens.of("load-publisher", self.tenant, "events:publish")
        body = {"conversationId": self.room, "open": True}
        self.post("/api/conversations", body, {"Authorization": f"Bearer {token}"})
        return self.room

    def frame(self, text: str) -> dict[str, Any]:
        return {"action": "sendMessage", "message": text, "roomId": self.room, "userName": self.name}

    def request(self, text: str) -> tuple[str, dict[str, Any]]:
        body = {"conversationId": self.room, "message": text, "userName": self.name, "idempotencyKey": key_of(text)}
        return "/api/chat/send", body


class Idle(Rooms):
    """Connections that only wait; one of them says something now and then, which proves that all are alive."""

    abstract = True
    scenario: ClassVar[str] = "idle"

    def says(self) -> bool:
        return self.number == 0


class Storm(CutOnce, Rooms):
    """In the middle of it all but the first are cut at the same moment, and all come back within a second. The first
    speaks ten times as often as others do, so that there is something to miss.

    SSE and the drop-in resume; over WebSocket the application asks for the history of its room, as the documents of
    the stack tell it to.
    """

    abstract = True
    scenario: ClassVar[str] = "storm"
    pace: ClassVar[float] = 10.0

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._recovered: set[tuple[str, int]] = set()

    def says(self) -> bool:
        return self.number == 0

    def is_cut(self) -> bool:
        return not self.says()

    def reconnected(self) -> None:
        if self.transport == "ws":
            self._ask()

    def _ask(self, **more: Any) -> None:
        self.connection.send({"action": "getHistory", "roomId": self.room, "limit": HISTORY_LIMIT, **more})  # type: ignore[attr-defined] # a WebSocket

    def handle(self, payload: dict[str, Any]) -> None:
        if payload.get("type") != "history":
            super().handle(payload)
            return
        messages = list(frames_of(payload))
        for message in messages:
            self._recover(decode(message.get("message")), message.get("message"))
        first = decode(messages[0].get("message")) if messages else None
        before = payload.get("before")
        if before is not None and first and first.run == self.run_.id and first.sent_ns > self.away_since_ns:
            self._ask(before=before)

    def _recover(self, mark: Mark | None, text: object) -> None:
        """What a history brought; most of it is known."""
        if mark and mark.run == self.run_.id and not self.run_.ledger.knows(self.name, mark.sender, mark.seq):
            self._recovered.add((mark.sender, mark.seq))
            self.heard(text, recovered=True)

    def heard(self, text: object, *, recovered: bool = False) -> None:
        mark = decode(text)
        if not recovered and mark and (mark.sender, mark.seq) in self._recovered:
            # Told while the history was read: the application knows it by its id.
            self._recovered.discard((mark.sender, mark.seq))
            self.run_.counters.counts["dropped"] += 1
            return
        super().heard(text, recovered=recovered)


class SlowReaders(Rooms):
    """Every fifth reads 16 KiB/s with a small window; messages are large. What matters is how the others fare."""

    abstract = True
    scenario: ClassVar[str] = "slow"
    pad: ClassVar[int] = 2000

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.slow = self.number % 5 == 4
        if self.slow:
            self.latency_name = "slow reader"

    def says(self) -> bool:
        return not self.slow

    def connection_options(self) -> dict[str, Any]:
        if not self.slow:
            return {}
        return {"pace": lambda: gevent.sleep(SLOW_PAUSE_S), "receive_buffer": SLOW_READ_BYTES}
