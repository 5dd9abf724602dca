"""The ways to a stack resume for real: with the place they have reached, and they say when that was not enough."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import gevent.socket
import pytest

from loadtests.users import connections, dropin, wire
from loadtests.users.connections import EventStream
from loadtests.users.dropin import DropIn
from loadtests.users.wire import ClosedError, Reader, RefusedError

Event = tuple[str, str, str]


class Sock:
    def close(self) -> None:
        pass


class Wire:
    """Answers to the attempts to open a stream, one after the other; keeps the headers of each."""

    def __init__(self, *answers: list[Event] | int) -> None:
        self.answers = list(answers)
        self.headers: list[Mapping[str, str]] = []

    def __call__(self, url: str, headers: Mapping[str, str], *_: object) -> tuple[Any, Reader, Iterator[Event]]:
        self.headers.append(headers)
        answer = self.answers.pop(0)
        if isinstance(answer, int):
            raise RefusedError(answer)
        return Sock(), Reader(Sock()), iter(answer)


class Posts:
    """Opens virtual connections."""

    def __init__(self) -> None:
        self.opened = 0

    def post(self, path: str, body: object, headers: Mapping[str, str]) -> dict[str, str]:
        self.opened += 1
        return {"secret": "s", "streamPath": f"/v/{self.opened}/stream", "sendPath": f"/v/{self.opened}/send"}


def ready(recovered: bool, at: str = "e-0") -> Event:
    return at, "ready", json.dumps({"recovered": recovered})


def texts(way: EventStream | DropIn) -> list[str]:
    got: list[str] = []

    def read() -> None:
        got.extend(payload["m"] for payload in way.receive())

    with pytest.raises(ClosedError):
        read()
    return got


def test_a_stream_resumes_where_it_was_and_drops_what_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    message = [(f"e-{n}", "message", json.dumps({"m": f"m{n}"})) for n in range(4)]
    opened = Wire([ready(recovered=False), *message[1:3]], [ready(True, "e-2"), *message[2:4]], [ready(False, "e-9")])
    monkeypatch.setattr(connections, "event_stream", opened)
    way = EventStream("http://sse/stream", {"Authorization": "Bearer x"})
    way.open()
    assert texts(way) == ["m1", "m2"] and "Last-Event-ID" not in opened.headers[0]
    way.open()
    assert opened.headers[1]["Last-Event-ID"] == "e-2"
    assert texts(way) == ["m3"]
    assert dict(way.counts) == {"resumed": 1, "dropped": 1}
    # The service says that something is missing.
    way.open()
    assert way.counts["resets"] == 1 and way.counts["resumed"] == 1


def test_a_virtual_connection_that_is_gone_is_a_new_one_and_no_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    def text(number: int) -> Event:
        return str(number), "text", json.dumps(json.dumps({"m": f"m{number}"}))

    opened = Wire([text(1)], [text(1), text(2)], 410, [text(1), text(3)], [])
    monkeypatch.setattr(dropin, "event_stream", opened)
    posts: Any = Posts()
    way = DropIn("http://sse/prod", {}, posts)
    way.open()
    assert texts(way) == ["m1"]
    way.open()
    assert opened.headers[1]["Last-Event-ID"] == "1"
    assert texts(way) == ["m2"]
    assert dict(way.counts) == {"resumed": 1, "dropped": 1} and posts.opened == 1
    # Gone: the application would see 1006 and connect anew.
    way.open()
    assert opened.headers[3]["Last-Event-ID"] == "0"
    assert (way.counts["resets"], way.counts["resumed"], posts.opened) == (1, 1, 2)
    # So it is when a number is missing.
    assert texts(way) == ["m1"]
    way.open()
    assert (way.counts["resets"], way.counts["resumed"], posts.opened) == (2, 1, 3)


def test_busy_is_no_end_of_a_virtual_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropin, "event_stream", Wire([], 503, []))
    posts: Any = Posts()
    way = DropIn("http://sse/prod", {}, posts)
    way.open()
    with pytest.raises(RefusedError):
        way.open()
    way.open()
    assert (posts.opened, way.counts["resumed"], way.counts["resets"]) == (1, 1, 0)


def test_the_next_address_of_a_host_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """`localhost` is ::1 first, and not everything listens there."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", one.getsockname()) for one in (nobody, server)]
        monkeypatch.setattr(gevent.socket, "getaddrinfo", lambda *_, **__: found)
        made = wire.connect("http://both/")
        assert made.getpeername() == server.getsockname()
        made.close()
        monkeypatch.setattr(gevent.socket, "getaddrinfo", lambda *_, **__: found[:1])
        with pytest.raises(ConnectionRefusedError):
            wire.connect("http://both/")
