"""`migrate up`, whatever happens to it: a clear message, no process left behind, the next start works.
until phase 3 (MG2)
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from e2e_support import LEGACY_WS, MIGRATE, run, start

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


def processes_of(state_dir: Path) -> list[psutil.Process]:
    """Everything whose command line or environment names the state directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and str(state_dir) in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def gone(pids: set[int], within: float = 60) -> bool:
    """Whether every one of the processes ends within a while: the local AWS may save its state for 20 s."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids):
            return True
        time.sleep(0.1)
    return False


def family(pid: int) -> set[int]:
    return {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "state"
    yield directory
    run(MIGRATE, "down", "--state-dir", str(directory))


def test_up_status_down(state_dir: Path) -> None:
    """MG2: the JSON object has what others rely on; a second up is refused; down leaves no process; a restart keeps
    the stack's data."""
    with start(state_dir, "--no-traffic") as stacks:
        expected = {"aws_endpoint_url", "legacy_ws_url", "management_url", "sse_url", "dashboard_url", "env"}
        assert expected <= stacks.info.keys()
        pids = family(stacks.info["pids"]["up"])
        assert len(pids) >= 4
        status = stacks.migrate("status", "--json")
        assert status.returncode == 0, status.stderr
        assert json.loads(status.stdout)["bridge"]["state"] == "running"
        again = stacks.migrate("up", "--detach")
        assert again.returncode == 5
        assert f"pid {stacks.info['pids']['up']}" in again.stderr
        assert "hint:" in again.stderr
        sent = stacks.send("alice", "kept over a restart")
    assert gone(pids)
    assert run(MIGRATE, "status", "--state-dir", str(state_dir)).returncode == 3
    down = run(MIGRATE, "down", "--state-dir", str(state_dir))
    assert down.returncode == 0
    with start(state_dir, "--no-traffic") as stacks:
        scan = run(LEGACY_WS, "dynamodb-scan", "rooms-ChatMessages", "--json", env=stacks.info["env"])
        assert sent["messageId"] in scan.stdout


def test_kill_9_of_the_parent_leaves_nothing_and_the_next_start_works(state_dir: Path) -> None:
    """MG2: whatever ends the supervisor ends its children."""
    with start(state_dir, "--no-traffic") as stacks:
        pids = family(stacks.info["pids"]["up"])
        os.kill(stacks.info["pids"]["up"], signal.SIGKILL)
        assert gone(pids)
        status = stacks.migrate("status")
        assert status.returncode == 3
        assert "did not end cleanly" in status.stderr
    with start(state_dir, "--no-traffic") as stacks:
        assert stacks.migrate("status").returncode == 0


def test_it_ends_with_the_process_that_it_is_for(state_dir: Path) -> None:
    """MG16: a rehearsal that is killed leaves nothing behind."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as owner:
        only_rooms = ("--no-traffic", "--only", "none", "--while-pid", str(owner.pid))
        with start(state_dir, *only_rooms) as stacks:
            pids = family(stacks.info["pids"]["up"])
            assert len(pids) >= 4
            owner.kill()
            assert gone(pids)
            assert stacks.migrate("status").returncode == 3


def test_ctrl_c_ends_it_in_order(state_dir: Path) -> None:
    """MG2: SIGINT in the foreground: everything stops, exit code 0, also while it is still starting."""
    for wait_for in ("local AWS is up", "Type in one"):
        process = subprocess.Popen(
            [MIGRATE, "up", "--no-traffic", "--state-dir", str(state_dir)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        seen = ""
        for line in process.stdout:
            seen += line
            if wait_for in line:
                break
        assert wait_for in seen
        pids = family(process.pid)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        assert process.returncode == 0, seen + rest
        assert "Traceback" not in seen + rest
        assert gone(pids)


def test_a_port_in_use_is_one_clear_message(state_dir: Path) -> None:
    """MG2: the port and its option are named; nothing was started."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        port = other.getsockname()[1]
        done = run(MIGRATE, "up", "--detach", "--sse-port", str(port), "--state-dir", str(state_dir))
    assert done.returncode == 2
    assert f"port {port} (--sse-port)" in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr
    assert processes_of(state_dir) == []


@pytest.mark.parametrize("name", ["local-aws", "sse-service", "bridge"])
def test_a_part_that_dies_is_started_again(state_dir: Path, name: str) -> None:
    """MG2: kill -9 of one part; a moment later a message passes again."""
    with start(state_dir, "--no-traffic") as stacks:
        os.kill(stacks.info["pids"][name], signal.SIGKILL)
        deadline = time.monotonic() + 40
        while True:
            status = stacks.migrate("status", "--json")
            view = json.loads(status.stdout)
            if status.returncode == 0 and view["pids"].get(name) not in (None, stacks.info["pids"][name]):
                break
            assert time.monotonic() < deadline, view
            time.sleep(0.2)
        assert stacks.send("alice", "after the restart")["messageId"]
