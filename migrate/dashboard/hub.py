"""Tells everybody who looks what has changed: bundled, numbered, and kept for those who come back. until phase 3

A section is told at most once in `gap_s`: as its whole value, or as the items that are new at the end of a list. Each
event has an id `EPOCH-NUMBER`; who comes back with one gets what came since then while it is still kept, else
everything anew (`snapshot`), as does who reads too slowly. Everything but `frames` belongs to the event loop's thread
and does not wait.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from migrate.dashboard.model import RINGS, Change, empty

__all__ = ["Hub"]

GAP_S = 0.2
KEPT_EVENTS = 2000
KEPT_BYTES = 8 << 20
# A list of new items is told in pieces of about this size; so much is written at once, too.
PIECE_BYTES = 256 << 10
RETRY_MS = 1000
MOST_DIGITS = 15

_LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}

Later = Callable[[float, Callable[[], None]], object]


@dataclass
class _Pending:
    """What is to be told of a section: another value, or more items."""

    value: Any = None
    items: list[Mapping[str, Any]] = field(default_factory=list)
    due: bool = False
    told_at: float = float("-inf")

    @property
    def is_empty(self) -> bool:
        return self.value is None and not self.items


class Hub:
    """What is shown, and who is told.

    Args:
        about: further keys of a snapshot (project, version, read_only, actions).
        gap_s: seconds between two events of a section.
        clock, later: monotonic seconds, and a call after some; those of the running event loop if not given.
    """

    def __init__(
        self,
        about: Mapping[str, Any],
        *,
        gap_s: float = GAP_S,
        clock: Callable[[], float] | None = None,
        later: Later | None = None,
        kept_events: int = KEPT_EVENTS,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._about = dict(about)
        self._gap_s = gap_s
        self._clock, self._later = clock, later
        self._shown = empty()
        self._pending = {name: _Pending() for name in self._shown}
        self._epoch = secrets.token_hex(4)
        self._kept: deque[bytes] = deque()
        self._kept_events, self._kept_bytes = kept_events, kept_bytes
        self._bytes = 0
        self._number = 0
        self._news = asyncio.Event()
        self._snapshot: tuple[int, str] | None = None
        self._closed = False
        self._places: dict[object, int] = {}
        self._read = asyncio.Event()

    @property
    def readers(self) -> int:
        """How many read the stream now."""
        return len(self._places)

    def tell(self, changes: Sequence[Change]) -> None:
        """Show these changes, now or when their section may be told again."""
        for change in changes:
            pending = self._pending[change.section]
            limit = RINGS.get(change.section)
            if change.value is not None:
                pending.value, pending.items = change.value, []
            elif pending.value is not None:
                pending.value = [*pending.value, *change.items][-(limit or 0) :]
            else:
                pending.items = [*pending.items, *change.items][-(limit or 0) :]
            self._plan(change.section, pending)

    def snapshot(self) -> str:
        """Everything that is shown, as the text of one JSON object."""
        if self._snapshot is None or self._snapshot[0] != self._number:
            self._snapshot = (self._number, _json({"sections": self._shown, **self._about}))
        return self._snapshot[1]

    def close(self) -> None:
        """End all streams, in order."""
        self._closed = True
        self._wake()

    async def frames(self, last_event_id: str = "") -> AsyncIterator[bytes]:
        """The stream of one reader, from where it was if that is still known."""
        reader = object()
        place = self._place(last_event_id)
        self._places[reader] = self._number
        try:
            yield b"retry: %d\n\n" % RETRY_MS
            while not self._closed:
                news = self._news
                # What was handed over before has been taken: it was asked for more.
                self._places[reader] = self._number if place is None else place
                self._read.set()
                if place is None or place < self._number - len(self._kept):
                    place = self._number
                    yield _frame("snapshot", self.snapshot(), f"{self._epoch}-{place}")
                elif place < self._number:
                    piece, count = self._since(place)
                    place += count
                    yield piece
                else:
                    await news.wait()
        finally:
            del self._places[reader]
            self._read.set()

    async def read_up_to(self, behind: int) -> None:
        """Wait until no reader is more than so many events behind."""
        while min(self._places.values(), default=self._number) < self._number - behind:
            self._read.clear()
            await self._read.wait()
        await asyncio.sleep(0)

    def _plan(self, section: str, pending: _Pending) -> None:
        if pending.due or pending.is_empty:
            return
        wait_s = pending.told_at + self._gap_s - self._now()
        if wait_s <= 0:
            self._publish(section)
        else:
            pending.due = True
            self._call_later(wait_s, lambda: self._publish(section))

    def _publish(self, section: str) -> None:
        pending = self._pending[section]
        pending.due = False
        value, items = pending.value, pending.items
        pending.value, pending.items, pending.told_at = None, [], self._now()
        if value is not None:
            self._shown[section] = value
            self._keep("update", _json({"section": section, "value": value}))
        elif items:
            self._shown[section] = [*self._shown[section], *items][-RINGS[section] :]
            for piece in _pieces(items):
                self._keep("append", f'{{"section":{_json(section)},"items":[{",".join(piece)}]}}')
        self._wake()

    def _keep(self, event: str, data: str) -> None:
        self._number += 1
        frame = _frame(event, data, f"{self._epoch}-{self._number}")
        self._kept.append(frame)
        self._bytes += len(frame)
        while len(self._kept) > self._kept_events or (self._bytes > self._kept_bytes and len(self._kept) > 1):
            self._bytes -= len(self._kept.popleft())

    def _place(self, last_event_id: str) -> int | None:
        """The number of the event that a reader has seen last; None: it is none of ours, or too old."""
        epoch, _, number = last_event_id.partition("-")
        # As many digits as no number of ours has: Python refuses to read thousands of them.
        if epoch != self._epoch or not number.isdecimal() or not number.isascii() or len(number) > MOST_DIGITS:
            return None
        return int(number) if int(number) <= self._number else None

    def _since(self, place: int) -> tuple[bytes, int]:
        """What came after it, up to a piece's size, and how many events that is."""
        first = len(self._kept) - (self._number - place)
        frames, size = [], 0
        for at in range(first, len(self._kept)):
            frames.append(self._kept[at])
            size += len(self._kept[at])
            if size >= PIECE_BYTES:
                break
        return b"".join(frames), len(frames)

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _now(self) -> float:
        return self._clock() if self._clock else asyncio.get_running_loop().time()

    def _call_later(self, wait_s: float, call: Callable[[], None]) -> None:
        (self._later or asyncio.get_running_loop().call_later)(wait_s, call)


def _json(value: object) -> str:
    """On one line, also for readers that take more for a line's end than the standard does."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text if text.isascii() else text.translate(_LINE_ENDS)


def _frame(event: str, data: str, id_: str) -> bytes:
    """Source: HTML Standard, 9.2.6. JSON on one line has no line break that would end the field."""
    return f"id: {id_}\nevent: {event}\ndata: {data}\n\n".encode()


def _pieces(items: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Items as JSON, in lists of about PIECE_BYTES."""
    pieces: list[list[str]] = [[]]
    size = 0
    for item in items:
        text = _json(item)
        if pieces[-1] and size + len(text) > PIECE_BYTES:
            pieces.append([])
            size = 0
        pieces[-1].append(text)
        size += len(text)
    return pieces
