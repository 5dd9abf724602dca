"""The state directory of `migrate up`: what runs, where, and who holds it. until phase 3

up.json       addresses and pids of the running stacks (no secret)
up.lock       held by the supervisor as long as it lives; the system lets go of it however it ends
jwt-secret    the HS256 secret both stacks were started with, mode 0600
bridge.held   exists while `migrate bridge stop` keeps the bridge down
people.hold   locked while the simulated people are to be quiet (migrate.up.people)
bridge.json   counters of the bridge
aws/          the local AWS: MiniStack's state, certificates, caches
logs/         one file a process
records/      what `migrate compare` recorded
config/       a migrate.toml for each application
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from migrate.errors import RefusedError, UsageError

__all__ = ["DEFAULT_STATE_DIR", "STACK", "StateDir"]

DEFAULT_STATE_DIR = Path(".migrate")
# Lies in aws/ when this program made it: what has no such file is somebody else's, and never emptied.
AWS_MARKER = ".made-by-migrate-up"
STACK = "rooms"
"""The stack that the bridge and the sample traffic use; the other applications stand beside it."""

MIN_SECRET_BYTES = 32  # of a key for HS256 (RFC 7518, 3.2)


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
    def configs(self) -> Path:
        """A `migrate.toml` for each application of `migrate up`."""
        return self.path / "config"

    @property
    def bridge_held(self) -> Path:
        return self.path / "bridge.held"

    @property
    def people_hold(self) -> Path:
        """Locked by whoever wants the simulated people quiet; see migrate.up.people."""
        return self.path / "people.hold"

    @property
    def bridge_status(self) -> Path:
        return self.path / "bridge.json"

    @property
    def shadow(self) -> Path:
        """Of shadow workers: their logs and places; NAME.wanted keeps one running beside the stacks."""
        return self.path / "shadow"

    @property
    def jwt_secret_file(self) -> Path:
        return self.path / "jwt-secret"

    def make(self) -> None:
        """Create the directory. Raises UsageError when that is not possible."""
        try:
            for directory in (self.path, self.aws, self.logs, self.records):
                directory.mkdir(parents=True, exist_ok=True)
            if not any(self.aws.iterdir()):
                (self.aws / AWS_MARKER).touch()
        except OSError as error:
            raise UsageError(
                f"the state directory {self.path} cannot be made: {error.strerror}",
                "name another one with --state-dir",
            ) from error

    def empty_aws(self) -> None:
        """Forget what the local AWS stored.

        Raises: RefusedError: the directory was not made by `make`.
        """
        if self.aws.is_symlink() or not (self.aws / AWS_MARKER).is_file():
            raise RefusedError(
                f"{self.aws} was not made by `migrate up`, and --fresh would delete what is in it",
                "name another directory with --state-dir, or delete it yourself if nobody needs it",
            )
        # The marker stays: a run that is cut off here is continued by the next one.
        for entry in self.aws.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != AWS_MARKER:
                entry.unlink()

    def jwt_secret(self) -> str:
        """The secret of this directory, made at first use. Never print it.

        Raises: UsageError: the file holds nothing that could be one.
        """
        if not self.jwt_secret_file.exists():
            self._make_secret()
        secret = self.jwt_secret_file.read_text(encoding="utf-8").strip()
        if len(secret.encode()) < MIN_SECRET_BYTES:
            raise UsageError(
                f"{self.jwt_secret_file} holds no secret of at least {MIN_SECRET_BYTES} bytes",
                "delete it: the next `migrate up` makes a new one",
            )
        return secret

    def _make_secret(self) -> None:
        """Write it whole or not at all; whoever was faster has made it."""
        descriptor, name = tempfile.mkstemp(dir=self.path, prefix="jwt-secret.")  # mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(secrets.token_urlsafe(48) + "\n")
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(name, self.jwt_secret_file)
        finally:
            Path(name).unlink()

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
        """The pid of the supervisor that holds this directory; 0 when it has not said it; None without one.

        Looking takes the lock for a moment, shared: those who look do not take each other for the supervisor.
        """
        try:
            descriptor = os.open(self.path / "up.lock", os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            for _ in range(20):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                    if text.isdigit():
                        return int(text)
                    # It has the lock and is about to write its pid, or has emptied the file and is about to let go.
                    time.sleep(0.02)
                else:
                    return None
            return 0
        finally:
            os.close(descriptor)

    def is_held_by(self, pid: int) -> bool:
        """Whether that process has this directory's lock file open. The pid in the file alone proves nothing: after
        a kill -9 it may be a stranger's."""
        lock = str(self.path / "up.lock")
        try:
            return any(file.path == lock for file in psutil.Process(pid).open_files())
        except psutil.Error:
            return False

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
            try:
                yield
            finally:
                os.ftruncate(descriptor, 0)
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
