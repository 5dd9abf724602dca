"""One execution environment: a process with AWS's runtime client, its Runtime API port, its pipes. until phase 3

Life: STARTING (until the client's first GET next) -> IDLE <-> BUSY -> ENDED. A worker runs one invocation at a time
and is known by its port. Everything it tells goes to its owner (pool.py) by four calls; it decides nothing itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from migrate.local.children import kill, spawn
from migrate.local.functions.configuration import FunctionConfig
from migrate.local.functions.logs import FrameReader, LineReader, LogShipper, LogStream, PlatformBudget
from migrate.local.functions.messages import error_payload, exit_reason, oversized, report, timed_out, with_request_id
from migrate.local.functions.runtime_api import MAX_PAYLOAD_BYTES, RuntimeApi
from migrate.local.ports import InvokeResult

__all__ = ["Command", "Invocation", "State", "Worker", "WorkerOwner"]

log = logging.getLogger(__name__)

LOG_TAIL_BYTES = 4096
PIPE_CHUNK = 65536
DRAIN_CHUNKS = 16


class State(enum.Enum):
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    ENDED = "ended"


@dataclass(eq=False)
class Invocation:
    """One event on its way through a function."""

    arn: str
    """As invoked, with the qualifier if one was given."""
    payload: bytes
    result: asyncio.Future[InvokeResult]
    log_tail: bool = False
    client_context: str | None = None
    """JSON."""
    trace_id: str | None = None
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    queued_at: float = 0.0
    """Loop time."""

    def finish(self, result: InvokeResult) -> None:
        if not self.result.done():
            self.result.set_result(result)


@dataclass(frozen=True)
class Command:
    """How to start a worker of one function: everything but its port and its log stream."""

    argv: tuple[str, ...]
    cwd: Path
    environment: Callable[[str, str], dict[str, str]]
    """(AWS_LAMBDA_RUNTIME_API, AWS_LAMBDA_LOG_STREAM_NAME) to the whole environment."""
    warning: str | None


class WorkerOwner(Protocol):
    """Is told what happens to a worker."""

    budget: PlatformBudget

    def worker_idle(self, worker: Worker) -> None:
        """It waits for the next invocation."""
        ...

    def worker_failed_to_start(self, worker: Worker, answer: bytes) -> None:
        """Its initialisation failed with this error object; worker_ended follows."""
        ...

    def worker_ended(self, worker: Worker) -> None:
        """Its process is gone."""
        ...

    def next_request_id(self) -> str | None:
        """The invocation that waits longest, for the log of a failed initialisation."""
        ...


class Worker:
    """See the module."""

    def __init__(self, config: FunctionConfig, command: Command, shipper: LogShipper, owner: WorkerOwner) -> None:
        self.state = State.STARTING
        self.current: Invocation | None = None
        self.idle_since = 0.0
        self.starting = True
        """Kept by pool.py: counted among those that start."""
        self.retire = False
        """Ends after the current invocation."""
        self._config = config
        self._command = command
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        _, _, _, region, account, *_ = config.arn.split(":")
        day = time.strftime("%Y/%m/%d", time.gmtime())
        self.stream = LogStream(
            account, region, config.log_group, f"{day}/[{config.version}]{uuid.uuid4().hex}", shipper
        )
        self._server: asyncio.Server | None = None
        self._connection: RuntimeApi | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._pipes: list[tuple[int, Callable[[bytes], None]]] = []
        self._lines = LineReader()
        self._frames = FrameReader()
        self._timer: asyncio.TimerHandle | None = None
        self._spawned_at = 0.0
        self._init_ms: float | None = None
        self._init_error: bytes | None = None
        self._began = 0.0
        self._began_ms = 0
        self._tail: list[str] = []
        self._start_written = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    # Starting and ending

    async def start(self, init_s: float) -> None:
        """Open the port and start the process; it is ready (or failed) later. Raises: OSError."""
        self._server = await self._loop.create_server(lambda: RuntimeApi(self), "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        environment = self._command.environment(f"127.0.0.1:{port}", self.stream.name)
        out_read, out_write = os.pipe()
        frames_read, frames_write = os.pipe()
        environment["_LAMBDA_TELEMETRY_LOG_FD"] = str(frames_write)
        self.stream.add(f"INIT_START Runtime Version: {self._config.runtime}\tRuntime Version ARN: local")
        if self._command.warning:
            self.stream.add(f"[local] {self._command.warning}")
        self._spawned_at = time.perf_counter()
        try:
            self._process = await spawn(
                self._command.argv,
                env=environment,
                cwd=self._command.cwd,
                stdout=out_write,
                stderr=out_write,
                pass_fds=(frames_write,),
            )
        finally:
            os.close(out_write)
            os.close(frames_write)
            self._pipes = [(out_read, self._printed), (frames_read, self._framed)]
            for descriptor, _ in self._pipes:
                os.set_blocking(descriptor, False)
                self._loop.add_reader(descriptor, self._drain)
        self._timer = self._loop.call_later(init_s, self._init_took_too_long, init_s)
        self._watch = asyncio.create_task(self._wait_for_end(self._process), name=f"worker {self._process.pid}")

    def kill(self) -> None:
        """End the process and whatever it started; `worker_ended` follows."""
        if self._process is not None:
            kill(self._process)

    async def ended(self) -> None:
        """Return once the process is gone."""
        if self._watch is not None:
            await asyncio.wait({self._watch})

    async def _wait_for_end(self, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        # What the process left behind in the background goes with it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, 9)
        self._cancel_timer()
        self._drain()
        for line in self._lines.end():
            self._log(line)
        if self.current is not None:
            self._exited_while_busy(status)
        elif self.state is State.STARTING:
            self._failed_to_start(status)
        self.state = State.ENDED
        for descriptor, _ in self._pipes:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
        self._pipes = []
        if self._server is not None:
            self._server.close()
        self._owner.worker_ended(self)

    def _failed_to_start(self, status: int) -> None:
        if self.retire:
            return
        request_id = self._owner.next_request_id() or ""
        answer = self._init_error
        if answer is None:
            reason = exit_reason(status)
            answer = error_payload("Runtime.ExitError", f"RequestId: {request_id} Error: {reason}")
            self._log(f"RequestId: {request_id} Error: {reason}\nRuntime.ExitError")
        init_ms = (time.perf_counter() - self._spawned_at) * 1000
        self.stream.add(f"INIT_REPORT Init Duration: {init_ms:.2f} ms\tPhase: init\tStatus: error")
        self._owner.worker_failed_to_start(self, answer)

    def _init_took_too_long(self, init_s: float) -> None:
        if self.state is State.STARTING:
            words = f"Initialization timed out after {init_s:.2f} seconds"
            self._init_error = error_payload("Sandbox.Timedout", words)
            self._log(words)
            self.kill()

    # Invocations

    def assign(self, invocation: Invocation) -> None:
        """Hand an invocation to the idle client."""
        assert self._connection is not None and self.state is State.IDLE  # noqa: S101, PT018 - pool.py's contract
        self.state = State.BUSY
        self.current = invocation
        timeout_s = self._config.timeout_s
        now = time.time()
        self._began = time.perf_counter()  # the loop's clock counts milliseconds
        self._began_ms = int(now * 1000)
        self._tail = []
        self._start_written = False
        self._timer = self._loop.call_later(timeout_s, self._took_too_long)
        trace = f"Lambda-Runtime-Trace-Id: {invocation.trace_id}\r\n" if invocation.trace_id else ""
        if invocation.client_context:
            trace += f"Lambda-Runtime-Client-Context: {invocation.client_context}\r\n"
        head = (
            "HTTP/1.1 200 OK\r\n"
            "Content-Type: application/json\r\n"
            f"Lambda-Runtime-Aws-Request-Id: {invocation.request_id}\r\n"
            f"Lambda-Runtime-Deadline-Ms: {self._began_ms + int(timeout_s * 1000)}\r\n"
            f"Lambda-Runtime-Invoked-Function-Arn: {invocation.arn}\r\n"
            f"{trace}Content-Length: {len(invocation.payload)}\r\n\r\n"
        )
        self._connection.hand_over(head.encode("utf-8"), invocation.payload)

    def _finish(self, payload: bytes, function_error: str | None, error: str | None = None) -> None:
        invocation = self.current
        if invocation is None:
            return
        self._cancel_timer()
        self._drain()
        self.current = None
        tail = b""
        loud = self._start_written or function_error is not None
        if invocation.log_tail or loud or self._owner.budget.take(self._loop.time()):
            tail = self._write_report(invocation, error)
        invocation.finish(InvokeResult(payload, function_error, tail if invocation.log_tail else b""))
        self._init_ms = None

    def _write_report(self, invocation: Invocation, error: str | None) -> bytes:
        self._write_start(invocation)
        duration_ms = (time.perf_counter() - self._began) * 1000
        left_out, self._owner.budget.left_out = self._owner.budget.left_out, 0
        ending = [
            f"END RequestId: {invocation.request_id}",
            report(
                invocation.request_id,
                duration_ms=duration_ms,
                memory_mb=self._config.memory_mb,
                used_mb=_peak_memory_mb(self.pid),
                init_ms=self._init_ms,
                error=error,
            ),
        ]
        if left_out:
            ending.append(f"[local] START/END/REPORT of {left_out} quiet invocations were left out")
        for line in ending:
            self.stream.add(line)
        return "\n".join([*self._tail, *ending[:2]]).encode("utf-8", "replace")[-LOG_TAIL_BYTES:]

    def _write_start(self, invocation: Invocation) -> None:
        if not self._start_written:
            self._start_written = True
            start = f"START RequestId: {invocation.request_id} Version: {self._config.version}"
            self.stream.add(start, self._began_ms)
            self._tail.insert(0, start)

    def _took_too_long(self) -> None:
        invocation = self.current
        if invocation is None:
            return
        # Nothing of it may be handed out again: the process ends.
        self.state = State.ENDED
        payload, line = timed_out(invocation.request_id, self._config.timeout_s, time.time())
        self._drain()
        self._log(line)
        self._finish(payload, "Unhandled", "timeout")
        self.kill()

    def _exited_while_busy(self, status: int) -> None:
        invocation = self.current
        assert invocation is not None  # noqa: S101 - checked by the caller
        words = f"RequestId: {invocation.request_id} Error: {exit_reason(status)}"
        self._log(f"{words}\nRuntime.ExitError")
        self._finish(error_payload("Runtime.ExitError", words), "Unhandled", "Runtime.ExitError")

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # RuntimeEvents (runtime_api.py)

    def runtime_waits(self, connection: RuntimeApi) -> None:
        if self.state is State.ENDED or self.current is not None:
            return
        if self.state is State.STARTING:
            self._cancel_timer()
            self._init_ms = (time.perf_counter() - self._spawned_at) * 1000
        self._connection = connection
        self.state = State.IDLE
        self.idle_since = self._loop.time()
        if self.retire:
            self.kill()
        else:
            self._owner.worker_idle(self)

    def runtime_responded(self, request_id: str, body: bytes, size: int) -> bool:
        if self.current is None or self.current.request_id != request_id:
            return False
        if size > MAX_PAYLOAD_BYTES:
            error = oversized(size, MAX_PAYLOAD_BYTES)
            self._finish(error, "Unhandled", "Function.ResponseSizeTooLarge")
        else:
            self._finish(body, None)
        return True

    def runtime_failed(self, request_id: str, body: bytes, error_type: str) -> bool:
        if self.current is None or self.current.request_id != request_id:
            return False
        self._finish(body, "Unhandled", error_type or None)
        return True

    def runtime_init_failed(self, body: bytes, error_type: str) -> None:
        fallback = error_payload(error_type or "Runtime.InitError", "the function could not be loaded")
        self._init_error = with_request_id(body or fallback, self._owner.next_request_id() or "")

    # Output

    def _drain(self) -> None:
        """Read what the process has written so far: printed lines, then frames.

        A handler that prints and then fails has its error frame after its lines, whichever pipe is seen first; and
        what was written before an answer belongs to the invocation that just ended. A process that prints without
        end gets its share of the loop, not all of it.
        """
        for descriptor, take in self._pipes:
            for _ in range(DRAIN_CHUNKS):
                if self._read_some(descriptor, take) < PIPE_CHUNK:
                    break

    def _read_some(self, descriptor: int, take: Callable[[bytes], None]) -> int:
        try:
            data = os.read(descriptor, PIPE_CHUNK)
        except BlockingIOError:
            return 0
        if data:
            take(data)
        else:
            self._loop.remove_reader(descriptor)
        return len(data)

    def _printed(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            self._log(line)

    def _framed(self, data: bytes) -> None:
        for message in self._frames.feed(data):
            self._log(message)

    def _log(self, message: str) -> None:
        if self.current is not None:
            self._write_start(self.current)
            if self.current.log_tail:
                self._tail.append(message[-LOG_TAIL_BYTES:])
                if len(self._tail) > 2000:
                    del self._tail[:1000]
        self.stream.add(message)


def _peak_memory_mb(pid: int | None) -> int:
    """The most memory the process had so far, MB; 0 where /proc does not exist."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    return int(found.split()[1]) // 1024
