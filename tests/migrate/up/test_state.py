"""The state directory of `migrate up`. until phase 3 (MG2)"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from migrate.errors import RefusedError, UsageError
from migrate.up.ports import choose_ports
from migrate.up.state import StateDir

HOLD = """
import sys, time
from pathlib import Path
from migrate.up.state import StateDir
state = StateDir(Path(sys.argv[1]))
with state.hold():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    directory = StateDir(tmp_path / "state")
    directory.make()
    return directory


def test_the_secret_is_made_once_and_private(state: StateDir) -> None:
    """Both stacks share one secret; nobody else on the machine reads it."""
    secret = state.jwt_secret()
    assert state.jwt_secret() == secret
    assert len(secret) >= 32
    assert state.jwt_secret_file.stat().st_mode & 0o777 == 0o600


def test_a_second_supervisor_is_refused_with_the_first_ones_pid(state: StateDir) -> None:
    """MG2: a second `migrate up` says who is there."""
    with state.hold(), pytest.raises(RefusedError, match=f"pid {os.getpid()}"), state.hold():
        pass
    assert state.holder() is None


def test_the_lock_ends_with_a_killed_holder(state: StateDir) -> None:
    """MG2: kill -9 of the supervisor leaves no lock; the next start works."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(state.path)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        assert state.holder() == process.pid
    finally:
        process.kill()
        process.communicate()
    assert state.holder() is None
    with state.hold():
        assert state.holder() == os.getpid()


def test_running_says_what_to_do_when_nothing_runs(state: StateDir) -> None:
    """MG2: commands that need the stacks name the command that starts them."""
    with pytest.raises(UsageError) as caught:
        state.running()
    assert "migrate up" in str(caught.value.hint)


def test_a_state_directory_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    """MG2: a file in the way is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made"):
        StateDir(tmp_path / "file" / "state").make()


def test_ports_are_free_different_and_the_ones_asked_for() -> None:
    """MG2: ports are free ones unless given."""
    ports = choose_ports({"aws-port": None, "sse-port": None, "gateway-port": None})
    assert len(set(ports.values())) == 3
    assert choose_ports({"sse-port": ports["sse-port"]}) == {"sse-port": ports["sse-port"]}


def test_a_port_in_use_is_named_with_its_option() -> None:
    """MG2: a port in use is one clear line."""
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=rf"port {port} \(--sse-port\)"):
            choose_ports({"sse-port": port})


@pytest.mark.parametrize("wanted", [{"sse-port": 70000}, {"sse-port": 0}, {"sse-port": 5000, "aws-port": 5000}])
def test_ports_that_cannot_be_are_refused(wanted: dict[str, int | None]) -> None:
    """MG2: no traceback for a wrong number."""
    with pytest.raises(UsageError):
        choose_ports(wanted)
