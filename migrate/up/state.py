"""The state directory of `migrate up`: what runs, where, and who holds it. until phase 3

up.json       addresses and pids of the running stacks (no secret)
up.lock       held by the supervisor as long as it lives; the system lets go of it however it ends
jwt-secret    the HS256 secret both stacks were started with, mode 0600
bridge.held   exists while `migrate bridge stop` keeps the bridge down
bridge.json   counters of the bridge
aws/          the local AWS: MiniStack's state, certificates, caches
logs/         one file a process
records/      what `migrate compare` recorded
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from migrate.errors import RefusedError, UsageError

__all__ = ["DEFAULT_STATE_DIR", "StateDir"]

DEFAULT_STATE_DIR = Path(".migrate")


class StateDir:
    """One state directory.

    Args:
        path: the directory; made when the stacks are started.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    @property
    def aws(self) -> Path:
        return self.path / "aws"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def records(self) -> Path:
        return self.path / "records"

    @property
    def bridge_held(self) -> Path:
        return self.path / "bridge.held"

    @property
    def bridge_status(self) -> Path:
        return self.path / "bridge.json"

    @property
    def jwt_secret_file(self) -> Path:
        return self.path / "jwt-secret"

    def make(self) -> None:
        """Create the directory. Raises UsageError when that is not possible."""
        try:
            for directory in (self.path, self.aws, self.logs, self.records):
                directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"the state directory {self.path} cannot be made: {error.strerror}",
                "name another one with --state-dir",
            ) from error

    def jwt_secret(self) -> str:
        """The secret of this directory, made at first use. Never print it."""
        try:
            return self.jwt_secret_file.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            secret = secrets.token_urlsafe(48)
            descriptor = os.open(self.jwt_secret_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(secret + "\n")
            return secret

    def read_up(self) -> dict[str, Any] | None:
        """The contents of up.json, or None when nothing was ever started here (or is just starting)."""
        try:
            value = json.loads((self.path / "up.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def write_up(self, value: dict[str, Any]) -> None:
        """Replace up.json in one step, so that a reader never sees half of it."""
        temporary = self.path / "up.json.new"
        temporary.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        temporary.replace(self.path / "up.json")

    def last_ports(self) -> dict[str, int]:
        """Ports of the last start, by name; empty when there was none."""
        try:
            value = json.loads((self.path / "ports.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return {str(k): v for k, v in value.items() if isinstance(v, int)} if isinstance(value, dict) else {}

    def save_ports(self, ports: dict[str, int]) -> None:
        (self.path / "ports.json").write_text(json.dumps(ports) + "\n", encoding="utf-8")

    def remove_up(self) -> None:
        (self.path / "up.json").unlink(missing_ok=True)

    def running(self) -> dict[str, Any]:
        """The up.json of stacks that are up now.

        Raises: UsageError: nothing runs here.
        """
        if self.holder() is None:
            raise UsageError(f"no stacks are running in {self.path}", "start them with `migrate up`")
        up = self.read_up()
        if up is None or up.get("status") != "ready":
            raise UsageError(f"the stacks in {self.path} are not ready yet", "look at `migrate status`")
        return up

    def holder(self) -> int | None:
        """The pid of the supervisor that holds this directory, or None."""
        try:
            descriptor = os.open(self.path / "up.lock", os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(descriptor, 32).decode("ascii", "replace").strip()
            return int(text) if text.isdigit() else 0
        else:
            return None
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the directory for as long as the stacks run.

        Raises: RefusedError: another supervisor holds it.
        """
        descriptor = os.open(self.path / "up.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                _lock(descriptor)
            except BlockingIOError:
                pid = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
                raise RefusedError(
                    f"the stacks in {self.path} are already up (pid {pid})",
                    "see them with `migrate status`, stop them with `migrate down`, "
                    "or start a second pair with --state-dir",
                ) from None
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))
            yield
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Take the lock; tried again for a moment, since `migrate status` takes it to see whether it is free."""
    for attempt in range(5):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt == 4:
                raise
            time.sleep(0.05)
        else:
            return
