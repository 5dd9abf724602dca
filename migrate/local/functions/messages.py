"""The words AWS uses for what happens to an invocation: pure. until phase 3

Error objects: AWS Lambda developer guide, "Understanding the Lambda execution environment" and "Troubleshoot
execution issues"; log lines: "Sending Lambda function logs to CloudWatch Logs", system log of the text format.
"""

from __future__ import annotations

import json
import math
import signal
from datetime import UTC, datetime
from typing import Any

__all__ = ["error_payload", "exit_reason", "iso", "oversized", "report", "timed_out", "with_request_id"]


def error_payload(error_type: str, message: str, **more: object) -> bytes:
    """An error object as a function's answer."""
    return json.dumps({"errorType": error_type, "errorMessage": message, **more}).encode()


def with_request_id(body: bytes, request_id: str) -> bytes:
    """The error of an initialisation, reported for one invocation: its requestId was not known."""
    try:
        detail: Any = json.loads(body)
    except ValueError:
        return body
    if isinstance(detail, dict) and detail.get("requestId") == "":
        detail["requestId"] = request_id
        return json.dumps(detail, ensure_ascii=False).encode()
    return body


def exit_reason(status: int) -> str:
    """How a runtime ended, in Lambda's words; `status` is negative for a signal (as subprocess says it)."""
    if status < 0:
        name = signal.Signals(-status).name if -status in list(signal.Signals) else str(-status)
        words = {"SIGKILL": "killed", "SIGSEGV": "segmentation fault", "SIGABRT": "aborted", "SIGTERM": "terminated"}
        return f"Runtime exited with error: signal: {words.get(name, name)}"
    if status == 0:
        return "Runtime exited without providing a reason"
    return f"Runtime exited with error: exit status {status}"


def timed_out(request_id: str, timeout_s: float, now: float) -> tuple[bytes, str]:
    """The answer and the log line of an invocation that took longer than the function's Timeout."""
    words = f"Task timed out after {timeout_s:.2f} seconds"
    payload = error_payload("Sandbox.Timedout", f"RequestId: {request_id} Error: {words}")
    return payload, f"{iso(now)} {request_id} {words}"


def oversized(size: int, limit: int) -> bytes:
    """The answer of a function whose result is too large (bytes)."""
    return error_payload(
        "Function.ResponseSizeTooLarge",
        f"Response payload size ({size} bytes) exceeded maximum allowed payload size ({limit} bytes).",
    )


def iso(now: float) -> str:
    """`2026-11-22T00:41:07.123Z`."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def report(
    request_id: str,
    *,
    duration_ms: float,
    memory_mb: int,
    used_mb: int,
    init_ms: float | None,
    error: str | None,
) -> str:
    """The REPORT line; `error` is `timeout`, an error type, or None."""
    parts = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {duration_ms:.2f} ms",
        f"Billed Duration: {math.ceil(duration_ms)} ms",
        f"Memory Size: {memory_mb} MB",
        f"Max Memory Used: {used_mb} MB",
    ]
    if init_ms is not None:
        parts.append(f"Init Duration: {init_ms:.2f} ms")
    if error == "timeout":
        parts.append("Status: timeout")
    elif error:
        parts += ["Status: error", f"Error Type: {error}"]
    return "\t".join(parts) + "\t"
