"""Commands of a rehearsal run as in a shell: arguments, environment, directory, streams, exit code. until phase 3"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from migrate.rehearse.commands import CommandFailedError, Commands


@pytest.fixture
async def commands(tmp_path: Path) -> AsyncIterator[Commands]:
    made = Commands(tmp_path / "state", tmp_path)
    async with made.ready():
        yield made


async def test_each_is_as_in_a_shell(commands: Commands, tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text('new WebSocket("wss://x.example")\n', encoding="utf-8")
    done = await commands.run("scan", ".", "--json", config=False, state=False)
    assert [found["path"] for found in done.json["findings"]] == ["a.js"]
    status = await commands.run("status", config=False, codes=(3,))
    assert (status.out, "both stacks are down" in status.err) == ("", True)
    # What one of them sets, no other sees, and two run at the same time.
    commands.env = {"MIGRATE_CONFIG": "nowhere.toml"}
    assert "nowhere.toml" in (await commands.run("journal", config=False, codes=(2,))).err
    log = (tmp_path / "commands.log").read_text(encoding="utf-8")
    assert "$ migrate status" in log
    assert [path.name for path in tmp_path.glob(".*.out")] == []


async def test_a_code_that_is_not_allowed_stops_the_rehearsal_with_the_error(commands: Commands) -> None:
    with pytest.raises(CommandFailedError, match=r"`migrate nonsense` ended with exit code 2: .*No such command"):
        await commands.run("nonsense", config=False, state=False)


async def test_one_that_takes_too_long_is_ended(commands: Commands, tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match=r"took longer than 0\.5 s"):
        await commands.run("up", "--no-traffic", "--only", "none", config=False, limit_s=0.5)
    # It is gone when the error is there: its directory can be used again.
    done = await commands.run("status", "--json", config=False, codes=(3,))
    assert json.loads(done.out)["status"] == "down"


def test_a_rehearsal_that_is_killed_leaves_no_command_behind(tmp_path: Path) -> None:
    """Without a word: its terminal is somebody's."""
    config = tmp_path / "migrate.toml"
    config.write_text('schema = 1\n[project]\nname = "p"\n[api]\nid = "a1"\nstage = "s"\n', encoding="utf-8")
    request = {
        "id": 1, "argv": ["dashboard", "--config", str(config), "--json", "--state-dir", str(tmp_path / "state")],
        "env": {**os.environ, "AWS_REGION": "eu-west-1"}, "cwd": str(tmp_path), "out": str(tmp_path / "out"),
        "err": str(tmp_path / "err"),
    }  # fmt: skip
    program = [sys.executable, "-m", "migrate.rehearse.ready"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as ready:
        assert ready.stdin and ready.stdout and ready.stderr
        ready.stdout.readline()
        ready.stdin.write(json.dumps(request).encode() + b"\n")
        ready.stdin.flush()
        pid = json.loads(ready.stdout.readline())["pid"]
        ready.stdout.close()
        ready.stdin.close()
        try:
            assert ready.wait(20) == 0
            assert ready.stderr.read() == b""
            assert not psutil.pid_exists(pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            ready.kill()
