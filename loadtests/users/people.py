"""The user of a load test: connects, listens, and says something at the rate of its scenario."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import urlencode

import gevent
from locust import User, task
from locust.exception import StopUser

from loadtests.users.connections import Connection, EventStream, WebSocket, backoff_s, patiently
from loadtests.users.dropin import DropIn
from loadtests.users.marks import Mark, decode, encode
from loadtests.users.run import Run
from loadtests.users.wire import Posts, RefusedError

__all__ = ["Person"]

CONNECT_ATTEMPTS = 8
# No use in asking again.
FINAL = frozenset({400, 401, 403, 404, 405})


class Person(User):
    """What all scenarios share. A scenario says who is in which group, and how a thing is said on each stack.

    Attributes:
        transport: "ws", "sse" or "dropin".
        app: the legacy application that serves the scenario.
        own: whether whoever says something hears it as well.
        pad: bytes of a message at least.
        pace: how many times the rate of the run it speaks.
    """

    abstract = True
    transport: ClassVar[str] = "sse"
    scenario: ClassVar[str] = ""
    app: ClassVar[str] = "rooms"
    own: ClassVar[bool] = True
    pad: ClassVar[int] = 0
    pace: ClassVar[float] = 1.0

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.run_: Run = environment.loadtest
        self.number: int = self.run_.number()
        self.name = f"lt-{self.number}"
        self.kind = self.transport.upper()
        self.seq = 0
        self.away_since_ns = self.back_ns = 0
        self.latency_name = "delivery"
        self._ending = self._counts = False
        # When it speaks next, by its own timetable: a slow stack is told no less than a quick one.
        self._next_ns = 0
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
        way = "dropin" if self.transport == "dropin" else "sse"
        posts: Posts = self.run_.once("posts", lambda: Posts(self.run_.target.way(way, self.app)))
        return posts

    def _new_connection(self) -> Connection:
        target = self.run_.target
        options = {"counts": self.run_.counters.counts, **self.connection_options()}
        if self.transport == "ws":
            return WebSocket(target.way("ws", self.app), self.query(), **options)
        if self.transport == "dropin":
            return DropIn(target.way("dropin", self.app), self.query(), self.posts(), **options)
        self.authorization = {"Authorization": f"Bearer {self.token()}"}
        query = self.stream_query()
        url = f"{target.way('sse', self.app)}/api/chat/stream" + (f"?{urlencode(query)}" if query else "")
        return EventStream(url, self.authorization, **options)

    def on_start(self) -> None:
        try:
            self.prepare()
            self.connection = self._new_connection()
            self._connect("connect")
        except Exception as error:
            # Whatever it is, the run has to know that this one does not come. Locust would print a traceback here.
            self.run_.absent(self.kind, error)
            return
        self.run_.ledger.join(self.name, self.group, time.monotonic_ns(), own=self.own)
        self._listener = gevent.spawn(self._listen)
        self.run_.ready += 1

    def on_stop(self) -> None:
        self._ending = True
        self.run_.ledger.leave(self.name)
        if self._listener is not None:
            self._listener.kill(block=False)
            self.connection.close()

    def _connect(self, name: str) -> None:
        """With patience: a stack may be busy, and API Gateway lets in 500 a second. What is counted is all of it, from
        the first attempt. Raises RefusedError, OSError."""
        began = time.perf_counter()
        for attempt in range(CONNECT_ATTEMPTS):
            try:
                self.connection.open()
            except OSError as error:
                final = isinstance(error, RefusedError) and error.status in FINAL
                if final or attempt + 1 == CONNECT_ATTEMPTS:
                    raise
                self.run_.counters.counts["refused"] += 1
                gevent.sleep(backoff_s(attempt))
            else:
                self.run_.count(self.kind, name, (time.perf_counter() - began) * 1e3)
                return

    def _listen(self) -> None:
        while True:
            try:
                for payload in self.connection.receive():
                    self.handle(payload)
            except OSError:
                pass
            except ValueError as error:
                self.run_.failure(self.kind, "unreadable", error)
            if self._ending:
                return
            self.away_since_ns = time.monotonic_ns()
            self.run_.counters.counts["reconnects"] += 1
            gevent.sleep(self.absence_s())
            try:
                self._connect("reconnect")
            except OSError as error:
                # What it does not get from now on is lost, and counts so.
                self.run_.failure(self.kind, "not_connected", error)
                return
            self.back_ns = time.monotonic_ns()
            self.reconnected()

    def absence_s(self) -> float:
        """How long it stays away after a cut, seconds."""
        return backoff_s(0)

    def reconnected(self) -> None:
        """What an application does when its connection is new."""

    def heard(self, text: object, *, recovered: bool = False) -> None:
        mark = decode(text)
        if mark is None or mark.run != self.run_.id:
            return
        at_ns, of = self.connection.read_ns, (mark.sender, mark.seq, mark.sent_ns)
        if self.run_.received(self.kind, self.name, *of, at_ns, ordered=not recovered):
            late = recovered or self.absent_at(mark.sent_ns)
            if late:
                self.run_.counters.counts["recovered"] += 1
            elif self.run_.deliveries is not None:
                self.run_.deliveries.append((mark.sent_ns, at_ns - mark.sent_ns))
            name = "recovered" if late else self.latency_name
            self.run_.count(self.kind, name, (at_ns - mark.sent_ns) / 1e6, size=len(str(text)))

    def absent_at(self, at_ns: int) -> bool:
        """Whether a message of that time came after the connection had been away."""
        return at_ns < self.back_ns

    def _gap_ns(self, least: float = 0.5, most: float = 1.5) -> int:
        return int(random.uniform(least, most) / (self.run_.rate * self.pace) * 1e9)  # noqa: S311 - sample traffic

    def wait_time(self) -> float:
        return max(0.0, (self._next_ns - time.monotonic_ns()) / 1e9)

    @task
    def turn(self) -> None:
        """Say one thing, once everybody is there: first to warm up, then in earnest."""
        run = self.run_
        if self._listener is None:
            raise StopUser
        if not self._next_ns:
            run.begun.wait()
            self._next_ns = time.monotonic_ns() + self._gap_ns(0, 1)
        elif run.sending_over or run.over.is_set() or not self.says():
            run.over.wait()
            # Locust ends this user now.
            self._next_ns = time.monotonic_ns() + 3_600_000_000_000
        elif self._counts:
            self.run_.counters.latency["behind schedule"].add((time.monotonic_ns() - self._next_ns) / 1e6)
            self.say()
            self._next_ns += self._gap_ns()
        elif time.monotonic_ns() < run.warm_until_ns:
            self.say()
            self._next_ns += self._gap_ns()
        else:
            run.go.wait()
            # Not all at the same moment.
            self._counts = True
            self._next_ns = max(time.monotonic_ns(), run.go_ns + self._gap_ns(0, 1))

    def text(self, mark: Mark) -> str:
        return encode(mark, max(self.pad, self.run_.size))

    def say(self) -> None:
        run, began_ns = self.run_, time.monotonic_ns()
        seq = self.seq
        text = self.text(Mark(run.id, self.name, seq, began_ns))
        self.seq += 1
        run.saying += 1
        try:
            self.tell(text)
        except OSError as error:
            # Not known to have been taken: nobody has to get it.
            if self._counts:
                run.failure(self.kind, "not_sent", error)
        else:
            run.sent(self.to, self.name, seq, began_ns)
            if self._counts:
                run.count(self.kind, "send", (time.monotonic_ns() - began_ns) / 1e6, size=len(text))
        finally:
            run.saying -= 1

    def tell(self, text: str) -> None:
        if isinstance(self.connection, EventStream):
            path, body = self.request(text)
            self.post(path, body, self.authorization)
        elif isinstance(self.connection, WebSocket | DropIn):
            self.connection.send(self.frame(text))

    def post(self, path: str, body: object, headers: Mapping[str, str]) -> None:
        """As the bundled pages do it: each message has a key, so it may be sent again."""
        patiently(lambda: self.posts().post(path, body, headers))


def frames_of(payload: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The messages in an answer with history."""
    yield from payload.get("messages") or ()
