"""One answer on its way to the one who asked for it: frames in order, cancelled by whoever stops reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from sse_service.chat.frames import iso
from sse_service.wire import compact_json, frame

__all__ = ["Answer", "AnswerIds"]

FIRST_WAIT_S = 2.0
"""How long a response waits for the first words, so that a responder that fails at once is an HTTP error."""
AHEAD = 64
"""Chunks that may wait for a slow client; then the responder waits."""


@dataclass(frozen=True, slots=True)
class AnswerIds:
    chat_id: str
    message_id: str

    def start(self, at_us: int) -> dict[str, object]:
        return {
            "type": "chat_stream_start",
            "chat_id": self.chat_id,
            "message_id": self.message_id,
            "timestamp": iso(at_us),
        }

    def chunk(self, index: int, text: str) -> dict[str, object]:
        return {
            "type": "chat_stream_chunk",
            "chat_id": self.chat_id,
            "message_id": self.message_id,
            "index": index,
            "text": text,
        }

    def end(self, chunks: int, status: str) -> dict[str, object]:
        return {
            "type": "chat_stream_end",
            "chat_id": self.chat_id,
            "message_id": self.message_id,
            "chunks": chunks,
            "status": status,
        }


class Answer:
    """One answer on its way to the one who asked for it. Closing `frames` cancels it."""

    def __init__(self, ids: AnswerIds, at_us: int) -> None:
        self.message_id = ids.message_id
        self._ids = ids
        self._at_us = at_us
        self._items: asyncio.Queue[str | None] = asyncio.Queue(AHEAD)
        self._first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self.status = "completed"

    async def frames(self) -> AsyncIterator[bytes]:
        """Bytes of text/event-stream; what is ready at one moment in one piece."""
        chunks = 0
        yield self._encode("start", self._ids.start(self._at_us))
        try:
            while True:
                ready = [await self._items.get()]
                while not self._items.empty():
                    ready.append(self._items.get_nowait())
                texts = [text for text in ready if text is not None]
                data = b"".join(
                    self._encode(str(chunks + n), self._ids.chunk(chunks + n, text)) for n, text in enumerate(texts)
                )
                chunks += len(texts)
                if len(texts) < len(ready):
                    yield data + self._encode("end", self._ids.end(chunks, self.status))
                    return
                yield data
        finally:
            self.abandon()

    def _encode(self, part: str, facts: dict[str, object]) -> bytes:
        # A client chooses its message ids; one that cannot stand in an id field has none there.
        event_id = f"{self.message_id}:{part}" if self.message_id.isascii() and self.message_id.isprintable() else ""
        return frame(event_id, str(facts["type"]), compact_json(facts))

    def abandon(self) -> None:
        """Nobody reads any more; never waits."""
        if self._task is not None and not self._task.done():
            self._task.cancel()

    # The side that makes it -----------------------------------------------------------------------------

    def made_by(self, task: asyncio.Task[None]) -> None:
        self._task = task

    async def put(self, text: str) -> None:
        await self._items.put(text)
        self.begun()

    def begun(self) -> None:
        if not self._first.done():
            self._first.set_result(None)

    def failed_at_once(self, error: Exception) -> bool:
        """True: the request can still be answered with an error."""
        if self._first.done():
            return False
        self._first.set_exception(error)
        self._first.exception()  # seen, also where nobody waits any more
        return True

    async def finish(self, status: str) -> None:
        self.status = status
        self.begun()
        await self._items.put(None)

    def cut(self, status: str) -> None:
        """The end, at once: what a slow client has not taken is dropped for it."""
        self.status = status
        self.begun()
        while self._items.full():
            self._items.get_nowait()
        self._items.put_nowait(None)

    async def first(self) -> None:
        """Wait for the first words, a little. Raises what the responder's failure is to a client."""
        done, _ = await asyncio.wait([self._first], timeout=FIRST_WAIT_S)
        if done:
            self._first.result()
