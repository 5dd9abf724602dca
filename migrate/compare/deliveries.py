"""Records of a shadow run: what every stack delivered, what entered, what the capture missed. until phase 3

    DIR/RUN/deliveries/WRITER-STARTED-000001.jsonl   one line a delivery (DeliveryRow)
    DIR/RUN/sends/...                                one line an entering frame (SendRow)
    DIR/RUN/spans/...                                times in which nothing, or not everything, was recorded (Span)
    DIR/RUN/counts/...                               how much was captured and lost (Count), each since the last one

One folder a kind, because that is what a table over an S3 prefix is (Athena). The first line of a file is a header:
`{"schema": 1, "kind": "deliveries", "run_id": ..., "writer": ..., "clock": "unix-seconds", "started": ...}`. A file
is being written while its name ends in `.open`, and complete once it was renamed to `.jsonl`; of an open one (a writer
that was killed) everything up to the last whole line counts. Files hold the texts of messages: only their owner
may read them. Several writers (processes, machines) may write into one run, each under a writer id of its own.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

from migrate.errors import UsageError

__all__ = [
    "CLOCK",
    "KINDS",
    "SCHEMA",
    "Count",
    "DeliveryRow",
    "DeliveryWriter",
    "SendRow",
    "Span",
    "canonical",
]

SCHEMA = 1
CLOCK = "unix-seconds"
KINDS = ("deliveries", "sends", "spans", "counts")
ROTATE_S = 60.0
ROTATE_BYTES = 64 * 1024 * 1024
# Whoever follows the run sees a line at most so much later, if more are written; else after flush().
FLUSH_S = 0.5
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One frame as one recipient got it (or was meant to get it) on one stack.

    Args:
        stack: "legacy"; "sse"; "baseline": a second consumer of the legacy stack, whose differences are noise.
        feature, tenant: of the configuration; tenant "" when there are none.
        recipient: the user, not the connection: connections differ between stacks.
        sender: who brought it about, "" when unknown.
        stream: value of the feature's `order_by`: order counts within it.
        message_id: value of the feature's `id`, None when it has none: identity is content and occurrence.
        cause: request id of the entering frame (SendRow.request_id, the legacy stack's) that brought it about,
            None when unknown. Used for blame, not for identity.
        seq: number of this row in the recipient's stream on its stack; only its order counts.
        sent_at: the time the frame itself carries (the feature's `sent_at`), epoch seconds by that stack's clock.
        at: when it was delivered, epoch seconds by the recorder's clock.
        outcome: legacy: what PostToConnection answered: ok, gone (410) or failed. Else ok.
        connection_id: of the legacy connection; None elsewhere.
        payload: JSON text of the frame; kept in canonical form.
    """

    stack: Literal["legacy", "sse", "baseline"]
    feature: str
    tenant: str
    recipient: str
    sender: str
    stream: str
    message_id: str | None
    cause: str | None
    seq: int
    sent_at: float | None
    at: float
    outcome: Literal["ok", "gone", "failed"] = "ok"
    connection_id: str | None = None
    payload: str = "{}"


@dataclass(frozen=True, slots=True)
class SendRow:
    """One entering frame of the legacy stack, and what became of its replay.

    Args:
        request_id: the legacy stack's, of the frame.
        at: when it entered, epoch seconds.
        replayed: ok: the SSE stack accepted it. failed: it refused it, or could not be reached. skipped: on
            purpose (not sampled, throttled, paused, no replay configured); deliveries of it are not judged.
        status: HTTP status of the replay, None without an answer.
        reason: in words, "" when ok.
        replayed_at: when the replay began, epoch seconds by the recorder's clock; None when there was none.
    """

    feature: str
    tenant: str
    sender: str
    request_id: str
    at: float
    payload: str
    replayed: Literal["ok", "failed", "skipped"]
    status: int | None = None
    reason: str = ""
    replayed_at: float | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which something was not recorded: what was sent then is not judged.

    Args:
        kind: gap: one recipient's stream was not there (recipient None: all of the stack). paused: the worker was
            told to. incomplete: the capture lost something.
        stack: which one's deliveries are concerned, None: all.
        recipient: whose, None: everybody's.
        start, end: epoch seconds; end None: until the end of the run.
        reason: in words.
    """

    kind: Literal["gap", "paused", "incomplete"]
    stack: Literal["legacy", "sse", "baseline"] | None
    recipient: str | None
    start: float
    end: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Count:
    """What the tee captured and what it lost since the writer's last Count.

    Args:
        at: when this was written, epoch seconds; 0: at the end of a run, when nothing is under way any more.
        through: what the legacy stack did until then (epoch seconds) had been replayed and written by now; None: not
            told. What came after it is still to be worked on, however long that takes.
    """

    captured: int
    lost: int
    at: float
    through: float | None = None


@dataclass(slots=True)
class _File:
    path: Path
    stream: IO[str]
    opened: float
    size: int = 0


def _whole(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def canonical(payload: str) -> str:
    """The same JSON with sorted keys, no white space and 1.0 as 1, so that equal frames are equal text.

    What is no JSON is kept as a JSON string.
    """
    try:
        value = json.loads(payload, parse_float=_whole)
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):  # nested beyond all measure
        return json.dumps(payload, ensure_ascii=False)


@dataclass(slots=True)
class DeliveryWriter:
    """Writes the records of one run. A context manager. Not for several threads.

    Call `flush()` now and then when little is written: it also rotates files that are older than a minute.

    Args:
        directory: [project].records; the files go below directory/run_id.
        run_id: of the run, the same for all its writers.
        writer_id: of this process, different from any other's.
    Raises: UsageError: an id that cannot be a file name, or a directory that cannot be written.
    """

    directory: Path
    run_id: str
    writer_id: str
    clock: Callable[[], float] = time.time
    rotate_s: float = ROTATE_S
    rotate_bytes: int = ROTATE_BYTES
    _files: dict[str, _File] = field(default_factory=dict, init=False)
    _number: int = field(default=0, init=False)
    _started: int = field(default=0, init=False)
    _flushed: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        for name in (self.run_id, self.writer_id):
            if not _SAFE.fullmatch(name):
                raise UsageError(f"{name!r} cannot be a file name", "letters, digits, '.', '_' and '-'")
        # A writer that was killed and comes back under its old id leaves the old files alone.
        self._started = time.time_ns() // 1000
        self._flushed = self.clock()
        try:
            for kind in KINDS:
                (self.run_directory / kind).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"records cannot be written to {self.run_directory}: {error.strerror}") from None

    @property
    def run_directory(self) -> Path:
        return Path(self.directory) / self.run_id

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def delivery(self, row: DeliveryRow) -> None:
        """Record one delivery."""
        value = asdict(row)
        value["payload"] = canonical(row.payload)
        self._line("deliveries", value)

    def send(self, row: SendRow) -> None:
        """Record one entering frame and its replay."""
        value = asdict(row)
        value["payload"] = canonical(row.payload)
        self._line("sends", value)

    def span(self, row: Span) -> None:
        """Record a time in which something was not recorded, when it has ended (or is known never to)."""
        self._line("spans", asdict(row))

    def count(self, captured: int, lost: int, at: float | None = None, through: float | None = None) -> None:
        """Record how many events the tee captured and lost since the last call, and how far they are worked on."""
        self._line("counts", asdict(Count(captured, lost, self.clock() if at is None else at, through)))

    def flush(self) -> None:
        """Hand everything to the operating system; complete files that are old enough."""
        now = self.clock()
        self._flushed = now
        for kind, file in list(self._files.items()):
            file.stream.flush()
            if now - file.opened >= self.rotate_s:
                self._complete(kind)

    def close(self) -> None:
        """Complete all files."""
        for kind in list(self._files):
            self._complete(kind)

    def _line(self, kind: str, value: dict[str, Any]) -> None:
        file = self._files.get(kind) or self._open(kind)
        line = json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
        file.stream.write(line)
        file.size += len(line)
        now = self.clock()
        if file.size >= self.rotate_bytes or now - file.opened >= self.rotate_s:
            self._complete(kind)
        if now - self._flushed >= FLUSH_S:
            self.flush()

    def _open(self, kind: str) -> _File:
        self._number += 1
        name = f"{self.writer_id}-{self._started}-{self._number:06}.open"
        path = self.run_directory / kind / name
        path.touch(mode=0o600, exist_ok=False)
        now = self.clock()
        header = {
            "schema": SCHEMA,
            "kind": kind,
            "run_id": self.run_id,
            "writer": self.writer_id,
            "clock": CLOCK,
            "started": now,
        }
        # Lone surrogates of a broken frame must not stop the recording.
        stream = path.open("w", encoding="utf-8", errors="replace", newline="\n")
        stream.write(json.dumps(header, separators=(",", ":")) + "\n")
        self._files[kind] = file = _File(path, stream, now)
        return file

    def _complete(self, kind: str) -> None:
        file = self._files.pop(kind)
        file.stream.close()
        file.path.rename(file.path.with_suffix(".jsonl"))
