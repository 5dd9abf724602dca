"""One to one, to a whole tenant, and answers that come word by word."""

from __future__ import annotations

from typing import Any, ClassVar

from loadtests.users.connections import EventStream
from loadtests.users.marks import Mark, decode, encode, key_of
from loadtests.users.people import Person
from loadtests.users.tally import LostError

__all__ = ["Answers", "Direct", "Tenant"]


class Direct(Person):
    """Pairs: 0 and 1, 2 and 3, ... Each writes to the other by e-mail address."""

    abstract = True
    scenario: ClassVar[str] = "direct"
    app: ClassVar[str] = "direct"
    own: ClassVar[bool] = False

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.name = self._address(self.number)
        self.partner = self._address(self.number ^ 1)

    def _address(self, number: int) -> str:
        return self.run_.tokens.email(f"lt-{number}") or f"lt-{self.run_.id}-{number}@load.example"

    @property
    def group(self) -> str:
        return f"to:{self.name}"

    @property
    def to(self) -> str:
        return f"to:{self.partner}"

    def query(self) -> dict[str, str]:
        return {"token": self.run_.tokens.cognito(f"lt-{self.number}", self.name)}

    def says(self) -> bool:
        return self.run_.ledger.has(self.to)

    def frame(self, text: str) -> dict[str, Any]:
        return {"action": "sendMessage", "receiverEmail": self.partner, "message": text}

    def request(self, text: str) -> tuple[str, dict[str, Any]]:
        return "/api/chat/send", {"with": self.partner, "message": text, "idempotencyKey": key_of(text)}

    def heard(self, text: object, *, recovered: bool = False) -> None:
        mark = decode(text)
        # The service tells one's own streams as well what one has said; the legacy stack does not.
        if mark is not None and mark.sender != self.name:
            super().heard(text, recovered=recovered)


class Tenant(Person):
    """To everybody of the tenant but oneself. On SSE a back end publishes it, as the legacy stack's Lambda does."""

    abstract = True
    scenario: ClassVar[str] = "tenant"
    app: ClassVar[str] = "layers"
    own: ClassVar[bool] = False

    @property
    def tenant(self) -> str:
        return f"load-{self.run_.id}"

    @property
    def group(self) -> str:
        return f"tenant:{self.tenant}"

    def frame(self, text: str) -> dict[str, Any]:
        return {"type": "message", "message": text}

    def request(self, text: str) -> tuple[str, dict[str, Any]]:
        data = {"type": "message", "user_id": self.name, "message": text}
        event = {"topic": self.group, "type": "message", "data": data, "excludeUser": self.name, "key": key_of(text)}
        return "/api/events", {"events": [event]}

    def tell(self, text: str) -> None:
        if not isinstance(self.connection, EventStream):
            super().tell(text)
            return
        token = self.run_.once(
            "publisher", lambda: self.run_.tokens.of("load-publisher", self.tenant, "events:publish")
        )
        path, body = self.request(text)
        self.post(path, body, {"Authorization": f"Bearer {token}"})


class Answers(Person):
    """Questions; the answer comes in parts, which must all be there, once and in order.

    Latencies: `first words` from the question to the first part, `delivery` to the end of the answer.
    """

    abstract = True
    scenario: ClassVar[str] = "answers"
    app: ClassVar[str] = "layers"
    words: ClassVar[int] = 12

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._parts: dict[str, int] = {}

    @property
    def tenant(self) -> str:
        # Of one's own: in the legacy stack the whole tenant hears a question.
        return f"load-{self.run_.id}-{self.number}"

    @property
    def group(self) -> str:
        return f"answer:{self.name}"

    @property
    def _chat(self) -> str:
        return f"support-{self.name}"

    def _question(self, mark: str) -> dict[str, Any]:
        return {"chat_id": self._chat, "message": " ".join(["word"] * self.words), "message_id": mark}

    def frame(self, text: str) -> dict[str, Any]:
        return {"type": "chat", **self._question(text)}

    def request(self, text: str) -> tuple[str, dict[str, Any]]:
        return "/api/chat/message", self._question(text)

    def text(self, mark: Mark) -> str:
        # The id of a message has at most 128 bytes: the mark without padding.
        return encode(mark)

    def handle(self, payload: dict[str, Any]) -> None:
        kind, identity = payload.get("type"), str(payload.get("message_id"))
        mark = decode(identity)
        if mark is None or mark.run != self.run_.id:
            return
        if kind == "chat_stream_chunk":
            awaited, index = self._parts.get(identity, 0), int(payload["index"])
            if self.run_.is_warm_up(mark.sent_ns):
                self._parts[identity] = index + 1
                return
            if index == 0 and awaited == 0:
                self.run_.count(self.kind, "first words", (self.connection.read_ns - mark.sent_ns) / 1e6)
            if index < awaited:
                self.run_.failure(self.kind, "duplicate", LostError("part of an answer came twice or late"))
            elif index > awaited:
                self.run_.failure(self.kind, "out_of_order", LostError("part of an answer left out"))
            self._parts[identity] = max(awaited, index + 1)
            self.run_.counters.counts["parts"] += 1
        elif kind == "chat_stream_end":
            got = self._parts.pop(identity, 0)
            if payload.get("status") == "completed" and got == payload.get("chunks"):
                self.heard(identity)
            elif not self.run_.is_warm_up(mark.sent_ns):
                # Not received: the ledger finds it missing.
                self.run_.counters.counts["incomplete"] += 1
