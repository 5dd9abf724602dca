"""The pass over the streams of a topic: each of them gets the bytes once, whatever becomes of its connection."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sse_service.fanout import FEW, Seats
from sse_service.shared import SharedBytes
from sse_service.stream import StreamLimits, SubscriberStream
from sse_service.subscriber import Subscriber

LIMITS = StreamLimits(buffer_bytes=1 << 20, end_at=1e9, token_expires_at=1e9, send_timeout_s=30, retry_ms=1000)


class _Stream(Subscriber):
    """Keeps what it is given. One whose descriptor does not take everything goes on without it."""

    def __init__(self, seats: Seats, descriptor: int) -> None:
        super().__init__(
            SubscriberStream(LIMITS), None, user="u", address="", topics=set(), envelope=False, joins=False
        )  # type: ignore[arg-type]  # nobody is told
        self.direct_fd = descriptor
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
