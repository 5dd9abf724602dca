"""What goes wrong around `migrate up` and must not do harm. until phase 3 (MG2)"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from migrate.cli import app
from migrate.errors import MigrateError, RefusedError, UsageError
from migrate.local.errors import ChildFailedError
from migrate.up import processes
from migrate.up import state as state_module
from migrate.up.aws import clients, environment, without_proxy
from migrate.up.environments import base_environment
from migrate.up.processes import Processes
from migrate.up.state import StateDir
from migrate.up.supervisor import Supervisor, UpOptions

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    directory = StateDir(tmp_path / "state")
    directory.make()
    return directory


def supervisor(state: StateDir, *, fresh: bool = False) -> Supervisor:
    return Supervisor(state, UpOptions(ports={}, fresh=fresh), lambda _: None)


def ended(pid: int, within: float = 10.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


# --fresh


@pytest.mark.parametrize("link", [False, True])
async def test_fresh_deletes_no_directory_that_migrate_up_did_not_make(tmp_path: Path, *, link: bool) -> None:
    """MG2: `--fresh --state-dir ~` must not delete ~/aws."""
    theirs = tmp_path / ("elsewhere" if link else "aws")
    theirs.mkdir()
    (theirs / "precious").write_text("1")
    if link:
        (theirs / state_module.AWS_MARKER).touch()
        (tmp_path / "aws").symlink_to(theirs)
    state = StateDir(tmp_path)
    state.make()
    with pytest.raises(RefusedError, match="was not made by"):
        await supervisor(state, fresh=True)._start()
    assert (theirs / "precious").read_text() == "1"


def test_fresh_empties_what_migrate_up_made_and_can_do_so_again(state: StateDir) -> None:
    """MG2: the marker outlives what is deleted, so that a start that was cut off is continued."""
    for _ in range(2):
        (state.aws / "ministack" / "state").mkdir(parents=True)
        (state.aws / "ministack" / "state" / "dynamodb.json").write_text("{}")
        (state.aws / "file").write_text("")
        state.empty_aws()
        assert [entry.name for entry in state.aws.iterdir()] == [state_module.AWS_MARKER]
        state.make()


# the lock


def test_who_looks_at_the_lock_is_not_taken_for_its_holder(state: StateDir) -> None:
    """MG2: `migrate status` in two terminals; a stale pid in the file must not be believed."""
    (state.path / "up.lock").write_text(f"{os.getppid()}\n")
    looks = []
    real = fcntl.flock

    def slow(descriptor: int, operation: int) -> None:
        real(descriptor, operation)
        looks.append(operation)
        if len(looks) == 1:
            # The first look has the lock now: here comes the second.
            assert state.holder() is None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "flock", slow)
        assert state.holder() is None
    assert len(looks) == 2


def test_no_pid_is_left_behind_and_a_refused_holder_leaves_the_first_ones(state: StateDir) -> None:
    """MG2: the pid in the lock is that of somebody who lives, or none."""
    with state.hold():
        with pytest.raises(RefusedError), state.hold():
            pass
        assert (state.path / "up.lock").read_text() == f"{os.getpid()}\n"
    assert (state.path / "up.lock").read_text() == ""


def test_a_holder_that_has_not_said_its_pid_yet_is_waited_for(state: StateDir) -> None:
    """MG2: between the lock and the pid lies a moment."""
    with (state.path / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def write() -> None:
            lock.write("4711\n")
            lock.flush()

        writer = threading.Timer(0.1, write)
        writer.start()
        assert state.holder() == 4711
        writer.join()


def test_down_ends_no_stranger(state: StateDir) -> None:
    """MG2: the pid in the lock is a stranger's (kill -9, pids used again, another pid namespace)."""
    stranger = subprocess.Popen(SLEEP)
    try:
        with (state.path / "up.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write(f"{stranger.pid}\n")
            lock.flush()
            # We hold it, the stranger does not.
            done = CliRunner().invoke(app, ["down", "--state-dir", str(state.path)])
        assert done.exit_code == 5, done.output
        assert str(stranger.pid) in done.stderr
        assert "hint:" in done.stderr
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_down_ends_the_holder(state: StateDir) -> None:
    """MG2: the process that has the lock open gets SIGTERM."""
    code = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from migrate.up.state import StateDir
        with StateDir(Path(sys.argv[1])).hold():
            print("held", flush=True)
            time.sleep(60)
    """)
    holder = subprocess.Popen([sys.executable, "-c", code, str(state.path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder.stdout:
        holder.stdout.readline()
        # Without somebody who waits for it, it would stay a zombie.
        waiter = threading.Thread(target=holder.wait)
        waiter.start()
        done = CliRunner().invoke(app, ["down", "--json", "--state-dir", str(state.path)])
        waiter.join(10)
    assert done.exit_code == 0, done.output
    assert holder.returncode == -signal.SIGTERM


# parts


class _Child:
    restarts = 0
    pid = None

    def __init__(self, name: str, stopped: list[str], error: Exception | None = None) -> None:
        self.name = name
        self._stopped = stopped
        self._error = error

    async def stop(self) -> None:
        self._stopped.append(self.name)
        if self._error is not None:
            raise self._error


async def test_a_part_that_cannot_be_ended_in_order_does_not_keep_the_others_up(state: StateDir) -> None:
    """MG2: the local AWS saves its state and up.json goes, whatever went wrong before."""
    stopped: list[str] = []
    parent: Any = supervisor(state)
    parent._processes._children = {
        "local-aws": _Child("local-aws", stopped),
        "bridge": _Child("bridge", stopped, OSError(28, "No space left on device")),
    }
    parent._write()
    await parent._stop()
    assert stopped == ["bridge", "local-aws"]
    assert state.read_up() is None


def test_a_command_of_the_start_dies_with_a_supervisor_that_is_killed(state: StateDir) -> None:
    """MG2: kill -9 while `legacy-ws deploy` runs leaves no process."""
    code = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from migrate.up.processes import Processes
        said = "import os, sys, time; sys.stderr.write(str(os.getpid()) + chr(10)); sys.stderr.flush(); time.sleep(60)"
        parent = Processes(Path(sys.argv[1]), lambda: None, print)
        asyncio.run(parent.run_once("slow", [sys.executable, "-c", said], {}))
    """)
    parent = subprocess.Popen([sys.executable, "-c", code, str(state.logs)])
    log = state.logs / "slow.log"
    try:
        deadline = time.monotonic() + 20
        while not (log.exists() and log.read_text().endswith("\n")) and time.monotonic() < deadline:
            time.sleep(0.02)
        child = int(log.read_text())
    finally:
        parent.kill()
        parent.wait()
    assert ended(child)


async def test_a_command_of_the_start_that_fails_or_hangs_says_why(
    state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MG2: the last lines of its log, and where it is; a command that is given up is ended."""
    parent = Processes(state.logs, lambda: None, lambda _: None)
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(ChildFailedError, match=r"exit code 1:\n  \| no table"):
        await parent.run_once("fails", [sys.executable, "-c", "import sys; sys.exit('no table')"], {})
    monkeypatch.setattr(processes, "START_TIMEOUT_S", 1.0)
    with pytest.raises(MigrateError, match="took longer than 1 s") as caught:
        await parent.run_once("hangs", SLEEP, {})
    assert "hangs.log" in str(caught.value.hint)
    left = [child for child in psutil.Process().children() if child.pid not in before]
    assert not [child for child in left if child.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_detached_start_that_is_interrupted_ends_what_it_started(state: StateDir, number: signal.Signals) -> None:
    """MG2: Ctrl-C during `migrate up --detach` leaves nothing starting behind it."""
    code = textwrap.dedent("""
        import importlib, signal, subprocess, sys
        from pathlib import Path
        from migrate.up.state import StateDir
        # A shell that runs the tests in the background has Ctrl-C ignored, and children inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        real = subprocess.Popen
        def popen(argv, **options):
            child = real([sys.executable, "-c", "import time; time.sleep(60)"], **options)
            print(child.pid, flush=True)
            return child
        subprocess.Popen = popen
        importlib.import_module("migrate.cli.up")._detach(StateDir(Path(sys.argv[1])), False)
    """)
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(state.path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
        # Until it waits.
        time.sleep(0.3)
        parent.send_signal(number)
        assert parent.wait(20) != 0
    assert ended(child)


# a proxy


def test_nothing_on_this_machine_goes_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """MG2: `make run` behind a company's proxy."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    monkeypatch.setenv("NO_PROXY", "intranet.example, localhost")
    child = base_environment(os.environ)
    assert child["NO_PROXY"] == child["no_proxy"] == "intranet.example,localhost,127.0.0.1,::1"
    assert child["HTTP_PROXY"] == "http://proxy.invalid:3128"
    client = clients(environment("http://127.0.0.1:4566", "ca.pem"))("dynamodb")
    assert client._endpoint.http_session._proxy_config._proxies == {}


def test_the_list_of_a_small_letter_variable_goes_first() -> None:
    """Python's own order."""
    assert without_proxy({"no_proxy": "a", "NO_PROXY": "b"})["NO_PROXY"] == "a,127.0.0.1,localhost,::1"


# the user's mistakes


@pytest.mark.parametrize("verb", [["status"], ["down"], ["env"], ["up", "--detach"], ["bridge", "stop"]])
def test_a_state_directory_that_is_a_file_is_one_line(tmp_path: Path, verb: list[str]) -> None:
    """MG2: no traceback."""
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(app, [*verb, "--state-dir", str(tmp_path / "file")])
    assert done.exit_code == 2, done.output
    assert str(tmp_path / "file") in done.stderr
    assert "hint:" in done.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied", "/state/up.lock"), "/state/up.lock: Permission denied"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_a_disk_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, words: str
) -> None:
    """MG2: a read-only state directory that exists, a full disk."""

    def hold(_: StateDir) -> None:
        raise error

    monkeypatch.setattr(StateDir, "hold", hold)
    done = CliRunner().invoke(app, ["up", "--state-dir", str(tmp_path / "state")])
    assert done.exit_code == 2, done.output
    assert f"error: {words}" in done.stderr
    assert "hint:" in done.stderr


# the secret


def test_a_disk_that_is_full_leaves_no_empty_secret(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """MG2: the secret is there whole or not at all."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            state.jwt_secret()
    assert [entry.name for entry in state.path.iterdir() if "secret" in entry.name] == []
    assert len(state.jwt_secret()) >= 32


def test_two_that_make_the_secret_at_once_get_the_same(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """MG2: the second one to finish takes the first one's."""
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert state.jwt_secret() == state.jwt_secret()


@pytest.mark.parametrize("text", ["", "\n", "short\n"])
def test_a_secret_that_is_none_is_refused(state: StateDir, text: str) -> None:
    """MG2: an empty key would let anybody sign tokens."""
    state.jwt_secret_file.write_text(text)
    with pytest.raises(UsageError) as caught:
        state.jwt_secret()
    assert "delete it" in str(caught.value.hint)
    done = CliRunner().invoke(app, ["token", "--user", "a", "--tenant", "b", "--state-dir", str(state.path)])
    assert done.exit_code == 2
