"""Servers that a benchmark measures: started as a user would start them, ended with it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["free_port", "local_aws", "ministack"]


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def local_aws(folder: Path) -> Iterator[dict[str, Any]]:
    """Our local AWS; yields what it announces."""
    with (
        (folder / "local-aws.log").open("wb") as log,
        _running(
            [sys.executable, "-m", "migrate.local", "--state-dir", str(folder / "aws")],
            stdout=subprocess.PIPE,
            stderr=log,
        ) as process,
    ):
        if process.stdout is None:
            raise RuntimeError("started without a pipe")
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the local AWS did not start: {(folder / 'local-aws.log').read_text()[-500:]}")
        yield {**json.loads(line), "pid": process.pid}


@contextlib.contextmanager
def ministack(folder: Path) -> Iterator[dict[str, Any]]:
    """MiniStack alone, with its own WebSocket data plane; yields {"aws_endpoint_url", "pid"}."""
    port = free_port()
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
    }
    with (
        (folder / "ministack.log").open("wb") as log,
        _running([str(Path(sys.executable).parent / "ministack")], env=env, stdout=log, stderr=log) as process,
    ):
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(url + "/_ministack/health", timeout=1):
                break
            if time.monotonic() > deadline:
                raise RuntimeError("MiniStack did not start")
            time.sleep(0.05)
        yield {"aws_endpoint_url": url, "pid": process.pid}


@contextlib.contextmanager
def _running(argv: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(argv, **options)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
