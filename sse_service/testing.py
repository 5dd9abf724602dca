"""Helpers for tests of this service and of what is built on it: a clock to move, a reader of streams."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Any

import jwt

__all__ = ["FakeClock", "Frame", "SseReader", "make_token", "read_frames"]


class FakeClock:
    """Seconds that pass only when told to."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass(frozen=True, slots=True)
class Frame:
    """One dispatched event. id: the last event id at that moment, as a browser keeps it."""

    id: str
    type: str
    data: str

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class SseReader:
    """Parses text/event-stream as the HTML standard says (9.2.6); bytes in, frames out."""

    def __init__(self) -> None:
        self.last_event_id = ""
        self.retry_ms: int | None = None
        self.comments = 0
        self._rest = b""
        self._type = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[Frame]:
        frames = []
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for raw in lines:
            line = raw.decode().removesuffix("\r")
            if not line:
                if self._data:
                    frames.append(Frame(self.last_event_id, self._type or "message", "\n".join(self._data)))
                self._type, self._data = "", []
                continue
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "":
                self.comments += 1
            elif name == "id" and "\0" not in value:
                self.last_event_id = value
            elif name == "event":
                self._type = value
            elif name == "data":
                self._data.append(value)
            elif name == "retry" and value.isdigit():
                self.retry_ms = int(value)
        return frames


async def read_frames(chunks: AsyncIterable[bytes], reader: SseReader | None = None) -> AsyncIterator[Frame]:
    """Frames of a response body, e.g. `read_frames(response.aiter_raw())`."""
    reader = reader or SseReader()
    async for chunk in chunks:
        for frame in reader.feed(chunk):
            yield frame


def make_token(secret: str, user: str, tenant: str = "demo", *, expires_at: float, **claims: object) -> str:
    """A token as the service expects it."""
    body = {"sub": user, "tenant_id": tenant, "exp": expires_at, **claims}
    return jwt.encode(body, secret, algorithm="HS256")
