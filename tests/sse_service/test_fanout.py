"""The pass over the streams of a topic: each of them gets the bytes once, whatever becomes of its connection."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Iterator
from typing import Any

import pytest

from sse_service.fanout import FEW, Seats
from sse_service.shared import SharedBytes
from sse_service.stream import StreamLimits, SubscriberStream
from sse_service.subscriber import Send, Subscriber

LIMITS = StreamLimits(buffer_bytes=1 << 20, end_at=1e9, token_expires_at=1e9, send_timeout_s=30, retry_ms=1000)


class _Stream(Subscriber):
    """Keeps what it is given. One whose descriptor does not take everything goes on without it."""

    def __init__(self, seats: Seats, descriptor: int, send: Send | None = None) -> None:
        super().__init__(
            SubscriberStream(LIMITS), None, user="u", address="", topics=set(), envelope=False, joins=False
        )  # type: ignore[arg-type]  # nobody is told
        self.direct_fd = descriptor
        self.direct_send = send
        self.room = seats
        self.given = b""
        seats.add(self)

    def push(self, shared: SharedBytes) -> None:
        self.given += shared.chunk

    def wrote(self, sent: int, data: bytes) -> None:
        self.given += data[sent:]
        self.room.remove(self)
        self.direct_fd = -1
        self.room.add(self)

    def waits(self, coroutine: Awaitable[None], waits_for: Any) -> None:
        self.waiting = coroutine, waits_for
        self._leave()

    def refused(self) -> None:
        self.waiting = None
        self._leave()

    def _leave(self) -> None:
        self.room.remove(self)
        self.direct_send = None
        self.room.add(self)

    def end(self, *_: object) -> bool:
        raise NotImplementedError

    def reset(self, *_: object) -> None:
        raise NotImplementedError

    def abort(self) -> None:
        raise NotImplementedError

    @property
    def is_busy(self) -> bool:
        return False


@pytest.fixture
def pipes() -> Iterator[list[tuple[int, int]]]:
    made = [os.pipe() for _ in range(FEW + 2)]
    for _, end in made:
        os.set_blocking(end, False)
    yield made
    for pair in made:
        for end in pair:
            os.close(end)


def test_who_does_not_take_it_all_at_once_gets_it_once(pipes: list[tuple[int, int]]) -> None:
    seats = Seats("room:main")
    streams = [_Stream(seats, end) for _, end in pipes]
    slow, full = streams[1], pipes[1]
    while True:
        try:
            os.write(full[1], b"x" * 65536)
        except BlockingIOError:
            break
    shared = SharedBytes(b"data: 1\n\n")
    seats.send(shared)
    assert slow.given == shared.chunk
    for stream, (out, _) in zip(streams, pipes, strict=True):
        if stream is not slow:
            assert stream.given == b""
            assert os.read(out, 1000) == shared.chunk


async def test_each_send_is_stepped_once_and_the_rest_is_the_writers() -> None:
    """One that waits, one that fails at once and one that fails in its step, among those that take it."""
    taken: list[object] = []
    room_again = asyncio.Event()

    async def takes(message: Any) -> None:
        taken.append(message["body"])

    async def waits(message: Any) -> None:
        await room_again.wait()
        taken.append(message["body"])

    def fails(message: Any) -> Awaitable[None]:
        raise RuntimeError("no such connection")

    async def breaks(message: Any) -> None:
        raise OSError("broken pipe")

    seats = Seats("room:main")
    good = [_Stream(seats, -1, takes) for _ in range(FEW)]
    slow, failed, broken = (_Stream(seats, -1, send) for send in (waits, fails, breaks))
    good.append(_Stream(seats, -1, takes))
    late = _Stream(seats, -1)
    shared = SharedBytes(b"data: 1\n\n")
    seats.send(shared)
    assert taken == [shared.data] * len(good)
    assert late.given == shared.chunk, "who is neither is pushed to"
    assert failed.waiting is None and broken.waiting is None
    assert [stream.given for stream in (*good, slow, failed, broken)] == [b""] * (len(good) + 3), "and nobody twice"
    assert slow.waiting is not None
    coroutine, _ = slow.waiting
    room_again.set()
    with pytest.raises(StopIteration):
        coroutine.send(None)  # type: ignore[attr-defined]  # a coroutine
    assert len(taken) == len(good) + 1
    assert len(seats) == len(good) + 4
