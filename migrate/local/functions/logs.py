"""What functions print, on its way to CloudWatch Logs of the local AWS. until phase 3

Nothing here ever waits on an invocation's path: lines are collected in memory, a background task sends them in
batches (PutLogEvents: at most 10,000 events and 1 MiB, 26 bytes counted on top of each; API reference of CloudWatch
Logs). What does not fit into the memory set aside is dropped, counted and reported in the log itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from dataclasses import dataclass, field

from migrate.local.functions.control_plane import ControlPlane, ControlPlaneError

__all__ = ["FrameReader", "LineReader", "LogShipper", "LogStream", "PlatformBudget"]

log = logging.getLogger(__name__)

MAX_BATCH_EVENTS = 10_000
MAX_BATCH_BYTES = 1024 * 1024
EVENT_OVERHEAD_BYTES = 26
MAX_EVENT_BYTES = 256 * 1024 - EVENT_OVERHEAD_BYTES
MAX_PENDING_BYTES = 8 * 1024 * 1024
MAX_FRAME_BYTES = 16 * 1024 * 1024
FLUSH_PAUSE_S = 0.2


@dataclass
class LogStream:
    """One worker's log stream."""

    account: str
    region: str
    group: str
    name: str
    shipper: LogShipper
    pending: deque[tuple[int, str]] = field(default_factory=deque)
    created: bool = False

    def add(self, message: str, at_ms: int | None = None) -> None:
        """Add one event; never blocks."""
        self.shipper.add(self, int(time.time() * 1000) if at_ms is None else at_ms, message)


class LogShipper:
    """Sends the events of all streams."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane
        self._dirty: dict[int, LogStream] = {}
        self._bytes = 0
        self._dropped: dict[int, int] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="lambda logs")

    async def stop(self) -> None:
        """Send what is left, within two seconds."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                while self._dirty and await self._flush():
                    pass

    def add(self, stream: LogStream, at_ms: int, message: str) -> None:
        message = _fit(message)
        size = len(message) + EVENT_OVERHEAD_BYTES
        if self._bytes + size > MAX_PENDING_BYTES:
            self._dropped[id(stream)] = self._dropped.get(id(stream), 0) + 1
        else:
            self._bytes += size
            stream.pending.append((at_ms, message))
        self._dirty[id(stream)] = stream
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(FLUSH_PAUSE_S)
            self._wake.clear()
            if not await self._flush():
                await asyncio.sleep(1.0)
                self._wake.set()

    async def _flush(self) -> bool:
        """Send one batch of every stream that has something; False when the control plane does not answer."""
        for key, stream in list(self._dirty.items()):
            batch = self._batch(stream)
            try:
                if batch:
                    await self._put(stream, batch)
            except ControlPlaneError as error:
                if error.status is None or error.status >= 500:
                    self._give_back(stream, batch)
                    return False
                log.warning("log stream %s %s: %s", stream.group, stream.name, error)
            if stream.pending:
                self._wake.set()
            else:
                self._dirty.pop(key, None)
        return True

    def _batch(self, stream: LogStream) -> list[tuple[int, str]]:
        batch: list[tuple[int, str]] = []
        size = 0
        while stream.pending and len(batch) < MAX_BATCH_EVENTS - 1:
            # A character can take three bytes more than the one that was counted.
            cost = len(stream.pending[0][1].encode("utf-8", "replace")) + EVENT_OVERHEAD_BYTES
            if batch and size + cost > MAX_BATCH_BYTES:
                break
            size += cost
            event = stream.pending.popleft()
            self._bytes -= len(event[1]) + EVENT_OVERHEAD_BYTES
            batch.append(event)
        dropped = self._dropped.pop(id(stream), 0)
        if dropped:
            batch.append((int(time.time() * 1000), f"[local] {dropped} log events were dropped: too many at once"))
        # Events of a batch must be in chronological order.
        batch.sort(key=lambda event: event[0])
        return batch

    def _give_back(self, stream: LogStream, batch: list[tuple[int, str]]) -> None:
        stream.pending.extendleft(reversed(batch))
        self._bytes += sum(len(message) + EVENT_OVERHEAD_BYTES for _, message in batch)

    async def _put(self, stream: LogStream, batch: list[tuple[int, str]]) -> None:
        body = {
            "logGroupName": stream.group,
            "logStreamName": stream.name,
            "logEvents": [{"timestamp": at_ms, "message": message} for at_ms, message in batch],
        }
        for _ in range(2):
            if not stream.created:
                await self._create(stream)
            try:
                await self._control_plane.logs("PutLogEvents", body, account=stream.account, region=stream.region)
            except ControlPlaneError as error:
                # Somebody deleted the group, or MiniStack lost its state: as AWS does, make it again.
                if error.code != "ResourceNotFoundException" or not stream.created:
                    raise
                stream.created = False
            else:
                return

    async def _create(self, stream: LogStream) -> None:
        for action, body in (
            ("CreateLogGroup", {"logGroupName": stream.group}),
            ("CreateLogStream", {"logGroupName": stream.group, "logStreamName": stream.name}),
        ):
            try:
                await self._control_plane.logs(action, body, account=stream.account, region=stream.region)
            except ControlPlaneError as error:
                if error.code != "ResourceAlreadyExistsException":
                    raise
        stream.created = True


def _fit(message: str) -> str:
    """CloudWatch takes no empty event and none over 256 KB."""
    return message[: MAX_EVENT_BYTES // 4] if len(message) > MAX_EVENT_BYTES // 4 else message or " "


class PlatformBudget:
    """How many START/END/REPORT groups of quiet invocations go to the log: 200 at once, then 20 a second.

    AWS writes all of them. Here every event stays in the memory of MiniStack, and thousands of invocations a second
    are normal in a benchmark. An invocation that printed or failed is always written.
    """

    def __init__(self, burst: int = 200, per_s: float = 20.0) -> None:
        self._burst = burst
        self._per_s = per_s
        self._left = float(burst)
        self._at = 0.0
        self.left_out = 0

    def take(self, now: float) -> bool:
        """Whether one more may be written at the monotonic time `now`."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s) if self._at else self._left
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return True
        self.left_out += 1
        return False


class LineReader:
    """Bytes of standard output and error to events: one a line; a carriage return within a line is a line break.

    (Without a telemetry descriptor AWS's runtime clients write several lines as one event with `\\r` between them.)
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > MAX_EVENT_BYTES:
            lines.append(self._rest)
            self._rest = b""
        return [text for line in lines if (text := _text(line))]

    def end(self) -> list[str]:
        """What was printed last without a line break."""
        rest, self._rest = self._rest, b""
        return [text] if (text := _text(rest)) else []


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r").replace("\r", "\n")


class FrameReader:
    """Frames of the telemetry descriptor to events: type (4 bytes), length (4), microseconds (8), message.

    Source: awslambdaric, bootstrap.py, FramedTelemetryLogSink; the first two bytes of a type are 0xa55a. The time in
    a frame is not used: printed lines carry none, and both must stay in order.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The messages of complete frames."""
        buffer = self._rest + data
        events = []
        position = 0
        while len(buffer) - position >= 16:
            length = int.from_bytes(buffer[position + 4 : position + 8], "big")
            if buffer[position : position + 2] != b"\xa5\x5a" or length > MAX_FRAME_BYTES:
                # Not a frame: somebody else wrote to the descriptor. Take it as it is.
                events.append(_text(buffer[position:]))
                position = len(buffer)
                break
            if len(buffer) - position - 16 < length:
                break
            message = buffer[position + 16 : position + 16 + length].decode("utf-8", "replace").rstrip("\n")
            events.append(message)
            position += 16 + length
        self._rest = buffer[position:]
        return events
