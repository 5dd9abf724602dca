"""From what a responder yields to the frames of an answer. until phase 3

Pure. Frames carry the ids of what they answer and an index, so that a client can drop what arrives twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from legacy_ws.apps.layers.jobs import Job
from legacy_ws.errors import ResponderError
from legacy_ws.frames import MAX_FRAME_BYTES, encode
from legacy_ws.responder import Output, Progress, Result, Text, label_name

__all__ = ["MAX_CHUNK_BYTES", "MAX_PARTS", "Part", "Stream", "stream_of"]

MAX_CHUNK_BYTES = 16 * 1024
"""UTF-8 bytes of the text in one chunk; longer pieces are split."""

MAX_PARTS = 10_000
"""Most chunks or notifications of one answer: a responder that does not end must not fill the queue."""


@dataclass(frozen=True)
class Part:
    """One frame of an answer; `name` tells it from the other parts of the same answer."""

    name: str
    frame: dict[str, object]


class Stream(Protocol):
    """One answer in the making."""

    def begin(self) -> Iterator[Part]:
        """What comes before the first output."""

    def take(self, output: Output) -> Iterator[Part]:
        """What one output comes to. Raises: ResponderError."""

    def finish(self, *, failed: bool) -> Iterator[Part]:
        """What comes after the last output."""


def stream_of(job: Job, started_at: str) -> Stream:
    """The stream of a job; `started_at` is ISO 8601 text."""
    return _Chat(job, started_at) if job.feature == "chat" else _Notifications(job)


class _Chat:
    """chat_stream_start, chat_stream_chunk..., chat_stream_end."""

    def __init__(self, job: Job, started_at: str) -> None:
        self._ids = {"chat_id": job.input.get("chat_id"), "message_id": job.id}
        self._started_at = started_at
        self._chunks = 0

    def begin(self) -> Iterator[Part]:
        yield Part("start", {"type": "chat_stream_start", **self._ids, "timestamp": self._started_at})

    def take(self, output: Output) -> Iterator[Part]:
        if not isinstance(output, Text):
            raise ResponderError("no text")
        for text in _pieces(output.text):
            index = self._chunks
            yield _bounded(index, {"type": "chat_stream_chunk", **self._ids, "index": index, "text": text})
            self._chunks += 1

    def finish(self, *, failed: bool) -> Iterator[Part]:
        status = "failed" if failed else "completed"
        yield Part("end", {"type": "chat_stream_end", **self._ids, "chunks": self._chunks, "status": status})


class _Notifications:
    """agent_run_notification, or library_processing_notification: running..., then completed or failed."""

    def __init__(self, job: Job) -> None:
        if job.feature == "agent_run":
            ids = {"run_id": job.id, "agent_id": job.input.get("agent_id")}
        else:
            ids = {"job_id": job.id, "library_id": job.input.get("library_id")}
        self._head: dict[str, object] = {"type": f"{job.feature}_notification", **ids}
        self._label = label_name(job.feature)
        self._progress = 0
        self._index = 0
        self._result: Result | None = None

    def begin(self) -> Iterator[Part]:
        yield from ()

    def take(self, output: Output) -> Iterator[Part]:
        if self._result is not None:
            raise ResponderError("more after its result")
        match output:
            case Result():
                _bounded(self._index, self._final("completed", 100, output))  # a result too large fails now
                self._result = output
            case Progress(progress, label):
                self._progress = progress
                more: dict[str, object] = {} if label is None else {self._label: label}
                yield _bounded(self._index, self._frame("running", progress, more))
                self._index += 1
            case Text():
                raise ResponderError("no progress")

    def finish(self, *, failed: bool) -> Iterator[Part]:
        if failed:
            yield Part("end", self._final("failed", self._progress, None))
        else:
            yield Part("end", self._final("completed", 100, self._result))

    def _final(self, status: str, progress: int, result: Result | None) -> dict[str, object]:
        return self._frame(status, progress, {} if result is None else {"result": result.result})

    def _frame(self, status: str, progress: int, more: dict[str, object]) -> dict[str, object]:
        return {**self._head, "status": status, "progress": progress, **more, "index": self._index}


def _bounded(index: int, frame: dict[str, object]) -> Part:
    if index >= MAX_PARTS:
        raise ResponderError(f"more than {MAX_PARTS} parts")
    if len(encode(frame)) > MAX_FRAME_BYTES:
        raise ResponderError("what does not fit into one frame")
    return Part(str(index), frame)


def _pieces(text: str) -> Iterator[str]:
    """`text` in pieces of at most MAX_CHUNK_BYTES, none of them empty; joined, they are the text again."""
    if len(text.encode()) <= MAX_CHUNK_BYTES:
        if text:
            yield text
        return
    # Four bytes is the longest that UTF-8 makes of a character.
    step = MAX_CHUNK_BYTES // 4
    for start in range(0, len(text), step):
        yield text[start : start + step]
