"""`migrate` on machines of its own: each run in another directory and, where this process may, under another host name.

until phase 3
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3

__all__ = ["KEYS", "Machines", "client", "text_of"]

KEYS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
MIGRATE = str(Path(sys.executable).parent / "migrate")
HELD = (5, " is being ")
"""Exit code, and words, of a command that finds somebody at work."""


class Machines:
    """Machines that share nothing but what the cloud has.

    Args:
        folder: each gets a directory below it.
        files: name -> content, in each of them.
        env: of every command.
        own_names: False: all of them have this machine's name.
    """

    def __init__(
        self, folder: Path, files: Mapping[str, str], env: Mapping[str, str], *, own_names: bool = True
    ) -> None:
        self._folder, self._files, self._env = folder, dict(files), dict(env)
        self._numbers = itertools.count(1)
        self._running: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self.own_names = own_names and _may_have_names()
        self.folders: list[Path] = []

    def another(self) -> Path:
        """The directory of a machine that has seen nothing yet."""
        machine = self._folder / f"machine{next(self._numbers)}"
        machine.mkdir()
        for name, content in self._files.items():
            (machine / name).write_text(content, encoding="utf-8")
        self.folders.append(machine)
        return machine

    def share(self, machine: Path, name: str) -> None:
        """A file of one machine is on all that come."""
        self._files[name] = (machine / name).read_text(encoding="utf-8")

    def run(self, machine: Path, *arguments: str, within_s: float = 600.0) -> tuple[int, str, str]:
        """A command to its end, or until it was killed; (exit code, output, errors)."""
        argv = [MIGRATE, *arguments]
        if self.own_names:
            argv = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', machine.name, *argv]
        process = subprocess.Popen(
            argv, cwd=machine, env={**os.environ, **self._env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        with self._lock:
            self._running = process
        try:
            said, errors = process.communicate(timeout=within_s)
        finally:
            with self._lock:
                self._running = None
            if process.poll() is None:
                process.kill()
                process.wait()
        return process.returncode, said.decode(), errors.decode()

    def run_once_free(self, machine: Path, *arguments: str, within_s: float = 120.0) -> tuple[int, str, str]:
        """The same, again while a dead machine's locks last."""
        deadline = time.monotonic() + within_s
        while True:
            done = self.run(machine, *arguments)
            if done[0] != HELD[0] or HELD[1] not in done[2] or time.monotonic() > deadline:
                return done
            time.sleep(0.5)

    def kill(self) -> None:
        """`kill -9` of what runs, now; from any thread."""
        with self._lock:
            if self._running is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._running.pid, signal.SIGKILL)


def client(service: str, endpoint: str, region: str) -> Any:
    """A boto3 client of the local AWS."""
    keys = {name.lower(): value for name, value in KEYS.items()}
    return boto3.client(service, endpoint_url=endpoint, region_name=region, **keys)


def _may_have_names() -> bool:
    """Whether a process may have a host name of its own (Linux, with the right to)."""
    try:
        command = ["unshare", "--uts", "hostname", "another"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def text_of(item: Mapping[str, Any]) -> str:
    """A row's one text, to be compared: bytes as base64, sets in order."""
    return json.dumps(_plain(item), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        # A set is a list under its type; an attribute may be called so, too.
        sets = {key for key, one in value.items() if key in {"SS", "NS", "BS"} and isinstance(one, list)}
        return {key: sorted(_plain(one)) if key in sets else _plain(one) for key, one in value.items()}
    return value
