"""Record files: what a run sent and received, as JSON lines. until phase 3

    DIR/run.json          written last: recipients, window, gaps; a run without it was cut short
    DIR/sends.jsonl       header, one line a message sent
    DIR/websocket.jsonl   header, one line a delivery
    DIR/sse.jsonl         header, one line a delivery

The header is `{"schema": 1, "kind": "deliveries", "run_id": ..., "stack": "sse", "clock": "unix-seconds",
"started": ...}`. Lines are written whole and in order of arrival, so after a crash only the last one can be
cut: it is left out and reported, and a comparison over it is never a pass. The files hold the texts of the
    messages, so only their owner may read them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path as FilePath
from types import TracebackType
from typing import IO, Any, Self, TypeVar

from migrate.compare.model import Capture, Delivery, Gap, Path, Send, Stack
from migrate.errors import UsageError

__all__ = ["SCHEMA", "RecordWriter", "read_capture"]

SCHEMA = 1
CLOCK = "unix-seconds"
T = TypeVar("T")


class RecordWriter:
    """Writes one run. A context manager; leaving it closes the files, `finish` makes the run complete.

    Args:
        directory: made if it is not there; must not hold another run.
        run_id: of this run.
        started: epoch seconds.
    Raises: UsageError: the directory cannot be written or holds a run.
    """

    def __init__(self, directory: FilePath, run_id: str, started: float) -> None:
        self.directory = directory
        self._run_id = run_id
        self._started = started
        self._files: dict[str, IO[str]] = {}
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._open("sends", {"kind": "sends"})
            for stack in Stack:
                self._open(stack.value, {"kind": "deliveries", "stack": stack.value})
        except FileExistsError:
            self._close()
            raise UsageError(f"{directory} already holds a run", "choose an empty directory") from None
        except OSError as error:
            self._close()
            raise UsageError(f"records cannot be written to {directory}: {error.strerror}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def delivery(self, delivery: Delivery) -> None:
        """Record one delivery."""
        self._line(delivery.stack.value, asdict(delivery))

    def send(self, send: Send) -> None:
        """Record one message sent."""
        value = asdict(send)
        value["recipients"] = None if send.recipients is None else sorted(send.recipients)
        self._line("sends", value)

    def finish(self, recipients: list[str], window: tuple[float, float], gaps: list[Gap], notes: list[str]) -> None:
        """Write run.json in one step: from now on the run is complete."""
        for file in self._files.values():
            file.flush()
        value = {
            **self._header({"kind": "run"}),
            "recipients": recipients,
            "window": list(window),
            "gaps": [{**asdict(gap), "start": _finite(gap.start), "end": _finite(gap.end)} for gap in gaps],
            "notes": notes,
        }
        unfinished = self.directory / "run.json.new"
        unfinished.touch(mode=0o600)
        unfinished.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(self.directory / "run.json")

    def _header(self, more: dict[str, str]) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            **more,
            "run_id": self._run_id,
            "clock": CLOCK,
            "started": self._started,
        }

    def _open(self, name: str, header: dict[str, str]) -> None:
        path = self.directory / f"{name}.jsonl"
        path.touch(mode=0o600, exist_ok=False)
        # Line buffering: a line leaves this process whole.
        self._files[name] = path.open("w", encoding="utf-8", buffering=1)
        self._line(name, self._header(header))

    def _line(self, name: str, value: dict[str, Any]) -> None:
        self._files[name].write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")

    def _close(self) -> None:
        for file in self._files.values():
            file.close()


def read_capture(directory: FilePath) -> Capture:
    """Read a recorded run.

    Raises: UsageError: no records there, records of several runs, a newer schema, or a line that is damaged
        anywhere but at the end of its file. A cut last line is no error but a flaw of the capture.
    """
    if not directory.is_dir():
        raise UsageError(f"there is no directory {directory}", "name the directory of one run")
    flaws: list[str] = []
    headers: dict[str, dict[str, Any]] = {}
    sends = _lines(directory / "sends.jsonl", "sends", None, _send, headers, flaws)
    deliveries: list[Delivery] = []
    for stack in Stack:
        deliveries += _lines(directory / f"{stack.value}.jsonl", "deliveries", stack, _delivery, headers, flaws)
    run = _run(directory / "run.json", headers)
    runs = {name: str(header.get("run_id")) for name, header in headers.items()}
    if len(set(runs.values())) > 1:
        found = ", ".join(f"{name} of {run_id}" for name, run_id in runs.items())
        raise UsageError(f"{directory} mixes records of several runs: {found}", "keep one run in one directory")
    run_id = next(iter(runs.values()))
    if run is None:
        flaws.append("the recorder was stopped before its end: run.json is missing")
        recipients = sorted({delivery.recipient for delivery in deliveries})
        # Without a window nobody knows which of other people's messages both sides could have seen.
        return Capture(run_id, recipients, sends, deliveries, (math.inf, -math.inf), (), flaws)
    try:
        gaps = [
            Gap(
                Stack(gap["stack"]),
                str(gap["recipient"]),
                -math.inf if gap["start"] is None else float(gap["start"]),
                math.inf if gap["end"] is None else float(gap["end"]),
                bool(gap["recovered"]),
                str(gap["reason"]),
            )
            for gap in run["gaps"]
        ]
        start, stop = run["window"]
        recipients = [str(name) for name in run["recipients"]]
        notes = [str(note) for note in run.get("notes", [])]
        window = (float(start), float(stop))
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{directory / 'run.json'} is damaged: {error!r}") from None
    return Capture(run_id, recipients, sends, deliveries, window, gaps, flaws, notes)


def _lines(
    path: FilePath,
    kind: str,
    stack: Stack | None,
    make: Callable[[dict[str, Any]], T],
    headers: dict[str, dict[str, Any]],
    flaws: list[str],
) -> list[T]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"{path} is missing", "name the directory of one run, with all its files") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    lines = raw.split(b"\n")
    # A file that was written to its end ends with a line feed: what follows the last one is a cut line.
    if lines.pop():
        flaws.append(f"{path.name} ends in the middle of a line; the line is left out")
    if not lines:
        raise UsageError(f"{path} is empty: not even its header is there")
    header = _parsed(path, 1, lines[0], dict)
    _check_header(path, header, kind, stack)
    headers[path.name] = header
    return [_parsed(path, number, line, make) for number, line in enumerate(lines[1:], 2)]


def _parsed(path: FilePath, number: int, line: bytes, make: Callable[[dict[str, Any]], T]) -> T:
    try:
        return make(json.loads(line))
    except (ValueError, KeyError, TypeError) as error:
        message = f"{path}, line {number} is damaged: {type(error).__name__}"
        raise UsageError(message, "record the run again") from None


def _check_header(path: FilePath, header: dict[str, Any], kind: str, stack: Stack | None) -> None:
    schema = header.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or "run_id" not in header:
        raise UsageError(f"{path} has no header of a record file")
    if schema > SCHEMA:
        raise UsageError(
            f"{path} has schema {schema}, this version reads up to {SCHEMA}",
            "compare it with the version of migrate that recorded it",
        )
    if header.get("clock", CLOCK) != CLOCK:
        raise UsageError(f"{path} was recorded by another clock: {header['clock']}")
    if header.get("kind") != kind or (stack is not None and header.get("stack") != stack.value):
        said = " ".join(str(header.get(name)) for name in ("kind", "stack") if header.get(name))
        raise UsageError(f"{path} holds {said or 'something else'}", "record files keep their names")


def _run(path: FilePath, headers: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    try:
        run = _parsed(path, 1, path.read_bytes(), dict)
    except FileNotFoundError:
        return None
    _check_header(path, run, "run", None)
    headers[path.name] = run
    return run


def _delivery(value: dict[str, Any]) -> Delivery:
    sent_at = value["sent_at"]
    return Delivery(
        stack=Stack(value["stack"]),
        recipient=str(value["recipient"]),
        message_id=str(value["message_id"]),
        room=str(value["room"]),
        sender=str(value["sender"]),
        seq=int(value["seq"]),
        received_at=float(value["received_at"]),
        sent_at=None if sent_at is None else float(sent_at),
        payload=value.get("payload"),
        digest=value.get("digest"),
    )


def _send(value: dict[str, Any]) -> Send:
    recipients = value.get("recipients")
    return Send(
        message_id=value["message_id"],
        sender=str(value["sender"]),
        room=str(value["room"]),
        text=str(value["text"]),
        path=Path(value["path"]),
        sent_at=float(value["sent_at"]),
        recipients=None if recipients is None else frozenset(recipients),
        refused=str(value.get("refused", "")),
        marker=str(value.get("marker", "")),
        unsent=str(value.get("unsent", "")),
    )


def _finite(value: float) -> float | None:
    # JSON has no infinity.
    return value if math.isfinite(value) else None
