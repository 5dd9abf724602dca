"""The user of a load test: connects, listens, and says something at the rate of its scenario."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import urlencode

import gevent
from locust import User, task

from loadtests.users.connections import Connection, DropIn, EventStream, WebSocket, backoff_s
from loadtests.users.marks import Mark, decode, encode
from loadtests.users.run import Run
from loadtests.users.wire import ClosedError, Posts, RefusedError

__all__ = ["Person"]

CONNECT_ATTEMPTS = 8


class Person(User):
    """What all scenarios share. A scenario says who is in which group, and how a thing is said on each stack.

    Attributes:
        transport: "ws", "sse" or "dropin".
        app: the legacy application that serves the scenario.
        own: whether whoever says something hears it as well.
        pad: bytes of a message at least.
    """

    abstract = True
    transport: ClassVar[str] = "sse"
    scenario: ClassVar[str] = ""
    app: ClassVar[str] = "rooms"
    own: ClassVar[bool] = True
    pad: ClassVar[int] = 0

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.run_: Run = environment.loadtest
        self.number: int = self.run_.number()
        self.name = f"lt-{self.number}"
        self.kind = self.transport.upper()
        self.seq = 0
        self.away_since_ns = self.back_ns = 0
        self.latency_name = "delivery"
        self._ending = False
        self._listener: Any = None

    # What a scenario says of itself.
    @property
    def group(self) -> str:
        """Whom it hears."""
        raise NotImplementedError

    @property
    def to(self) -> str:
        """The group it talks to."""
        return self.group

    @property
    def tenant(self) -> str:
        return self.run_.target.tenant

    def frame(self, text: str) -> dict[str, Any]:
        """How it is said over WebSocket."""
        raise NotImplementedError

    def request(self, text: str) -> tuple[str, dict[str, Any]]:
        """How it is said over REST: path and body."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Before connecting, once per process at most."""

    def says(self) -> bool:
        """Whether this user says anything."""
        return True

    def handle(self, payload: dict[str, Any]) -> None:
        """Something has come."""
        if payload.get("type") == "message":
            self.heard(payload.get("message"))

    # How it lives.
    def token(self) -> str:
        return str(self.run_.tokens.of(self.name, self.tenant))

    def query(self) -> dict[str, str]:
        return {"token": self.token(), "userName": self.name}

    def stream_query(self) -> dict[str, str]:
        return {}

    def connection_options(self) -> dict[str, Any]:
        return {}

    def posts(self) -> Posts:
        posts: Posts = self.run_.once("posts", lambda: Posts(self.run_.target.sse or self.run_.target.dropin))
        return posts

    def _new_connection(self) -> Connection:
        target, options = self.run_.target, self.connection_options()
        if self.transport == "ws":
            return WebSocket(target.ws[self.app], self.query(), **options)
        if self.transport == "dropin":
            return DropIn(target.dropin, self.query(), self.posts(), **options)
        self.authorization = {"Authorization": f"Bearer {self.token()}"}
        query = self.stream_query()
        url = f"{target.sse}/api/chat/stream" + (f"?{urlencode(query)}" if query else "")
        return EventStream(url, self.authorization, **options)

    def on_start(self) -> None:
        self.prepare()
        self.connection = self._new_connection()
        self._connect("connect")
        self.run_.ledger.join(self.name, self.group, time.monotonic_ns(), own=self.own)
        self._listener = gevent.spawn(self._listen)
        self.run_.ready += 1

    def on_stop(self) -> None:
        self._ending = True
        self.run_.ledger.leave(self.name)
        if self._listener is not None:
            self._listener.kill(block=False)
            self.connection.close()
            self._tally()

    def _tally(self) -> None:
        """What the connection has counted, since the last time."""
        for name in ("resumed", "resets", "dropped"):
            self.run_.counters.counts[name] += getattr(self.connection, name)
            setattr(self.connection, name, 0)

    def _connect(self, name: str) -> None:
        """With patience: a stack may be busy, and API Gateway lets in 500 a second."""
        for attempt in range(CONNECT_ATTEMPTS):
            began = time.perf_counter()
            try:
                self.connection.open()
            except (RefusedError, OSError) as error:
                if attempt + 1 == CONNECT_ATTEMPTS:
                    self.run_.failure(self.kind, "not_connected", error)
                    raise
                gevent.sleep(backoff_s(attempt))
            else:
                self.run_.count(self.kind, name, (time.perf_counter() - began) * 1e3)
                return

    def _listen(self) -> None:
        while True:
            try:
                for payload in self.connection.receive():
                    self.handle(payload)
            except (ClosedError, OSError, ValueError):
                pass
            if self._ending:
                return
            self.away_since_ns = self.away_since_ns or time.monotonic_ns()
            self.run_.counters.counts["reconnects"] += 1
            gevent.sleep(self.absence_s())
            try:
                self._connect("reconnect")
            except OSError:
                return
            self.back_ns = time.monotonic_ns()
            self._tally()
            self.reconnected()
            self.away_since_ns = 0

    def absence_s(self) -> float:
        """How long it stays away after a cut, seconds."""
        return backoff_s(0)

    def reconnected(self) -> None:
        """What an application does when its connection is new."""

    def heard(self, text: object, *, recovered: bool = False) -> None:
        mark = decode(text)
        if mark is None or mark.run != self.run_.id:
            return
        if self.run_.received(self.kind, self.name, mark.sender, mark.seq, ordered=not recovered):
            late = recovered or self.absent_at(mark.sent_ns)
            if late:
                self.run_.counters.counts["recovered"] += 1
            name = "recovered" if late else self.latency_name
            self.run_.count(self.kind, name, (time.monotonic_ns() - mark.sent_ns) / 1e6, size=len(str(text)))

    def absent_at(self, at_ns: int) -> bool:
        """Whether a message of that time came after the connection had been away."""
        return at_ns < self.back_ns

    def wait_time(self) -> float:
        return float(random.uniform(0.5, 1.5) / self.run_.rate)  # noqa: S311 - sample traffic, no secret

    @task
    def turn(self) -> None:
        """Say one thing; the first time after everybody is there."""
        if not self.run_.go.is_set():
            self.run_.go.wait()
            # Not all at the same moment.
            gevent.sleep(random.uniform(0, 1 / self.run_.rate))  # noqa: S311 - sample traffic, no secret
        if self.run_.sending_over or not self.says():
            self.run_.over.wait()
            return
        self.say()

    def say(self) -> None:
        began_ns = time.monotonic_ns()
        text = encode(Mark(self.run_.id, self.name, self.seq, began_ns), max(self.pad, self.run_.size))
        try:
            self.tell(text)
        except (RefusedError, OSError) as error:
            # Not known to have been taken: nobody has to get it.
            self.run_.failure(self.kind, "not_sent", error)
        else:
            self.run_.sent(self.to, self.name, self.seq, began_ns)
        self.seq += 1
        self.run_.count(self.kind, "send", (time.monotonic_ns() - began_ns) / 1e6, size=len(text))

    def tell(self, text: str) -> None:
        if isinstance(self.connection, EventStream):
            path, body = self.request(text)
            self.posts().post(path, body, self.authorization)
        elif isinstance(self.connection, WebSocket | DropIn):
            self.connection.send(self.frame(text))


def frames_of(payload: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The messages in an answer with history."""
    yield from payload.get("messages") or ()
