"""Children that end with us (migrate.local.children)."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from local_aws_support import gone, wait_for

from migrate.local import _guard
from migrate.local.children import Supervised, spawn, stop
from migrate.local.errors import ChildFailedError

ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3])}
SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
STUBBORN = (sys.executable, "-c", DEAF)
ENDS = (sys.executable, "-c", "raise SystemExit(3)")


async def test_child_gets_a_session_and_only_the_given_environment(tmp_path: Path) -> None:
    code = "import os; print(os.getsid(0) == os.getpid(), sorted(os.environ), os.getcwd())"
    child = await spawn(
        [sys.executable, "-S", "-c", code], env={"ONLY": "1"}, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await child.communicate()
    assert output.decode().startswith("True ['LC_CTYPE', 'ONLY']") or output.decode().startswith("True ['ONLY']")
    assert output.decode().strip().endswith(str(tmp_path))


async def test_unknown_program_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    child = await spawn(["/nowhere/program"], env={})
    assert await child.wait() == 1
    assert "/nowhere/program: No such file or directory" in capfd.readouterr().err


async def test_stop_waits_then_kills() -> None:
    child = await spawn(SLEEP, env=ENVIRONMENT)
    assert await stop(child, 5) in (-signal.SIGTERM, 1)
    stubborn = await spawn(STUBBORN, env=ENVIRONMENT, stdout=asyncio.subprocess.PIPE)
    assert stubborn.stdout is not None
    await stubborn.stdout.readline()
    assert await stop(stubborn, 0.2) == -signal.SIGKILL


def test_children_die_with_a_parent_that_was_killed() -> None:
    """kill -9 of the parent; the grandchild is asked to end with SIGTERM, as MiniStack is."""
    code = textwrap.dedent("""
        import asyncio, os, signal, sys
        from migrate.local.children import spawn
        async def main():
            sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
            first = await spawn(sleep, env=dict(os.environ))
            second = await spawn(sleep, env=dict(os.environ), death_signal=signal.SIGTERM)
            await asyncio.sleep(0.3)
            print(first.pid, second.pid, flush=True)
            await asyncio.sleep(60)
        asyncio.run(main())
    """)
    parent = subprocess.Popen([sys.executable, "-c", code], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2 and not gone(pids)
    parent.kill()
    parent.wait()
    wait_for(lambda: gone(pids))


def test_guard_ends_what_is_listed_when_its_pipe_ends() -> None:
    """The way of systems without PR_SET_PDEATHSIG."""
    listed, removed = (subprocess.Popen(SLEEP, start_new_session=True) for _ in range(2))
    guard = subprocess.Popen([sys.executable, "-I", "-S", _guard.__file__], stdin=subprocess.PIPE, text=True)
    assert guard.stdin is not None
    guard.stdin.write(f"+{listed.pid} 15\n+{removed.pid} 15\n-{removed.pid}\n")
    guard.stdin.close()
    assert listed.wait(10) == -signal.SIGTERM
    assert guard.wait(20) == 0
    assert removed.poll() is None
    removed.kill()
    removed.wait()


async def test_supervised_child_is_started_again(tmp_path: Path) -> None:
    again = asyncio.Event()

    async def restarted() -> None:
        again.set()

    async def ready() -> None:
        await asyncio.sleep(0.05)

    child = Supervised(
        "sleeper",
        lambda: (SLEEP, ENVIRONMENT),
        ready,
        log_file=tmp_path / "log",
        restarted=restarted,
        first_pause_s=0.01,
    )
    await child.start()
    first = child.pid
    assert first is not None and child.up
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(10):
        await again.wait()
    assert child.pid not in (None, first) and child.restarts == 1
    last = child.pid
    await child.stop()
    assert last is not None and gone([last]) and not child.up


async def test_supervised_child_that_does_not_get_ready(tmp_path: Path) -> None:
    async def never() -> None:
        await asyncio.sleep(60)

    ends = Supervised("ends", lambda: (ENDS, ENVIRONMENT), never, log_file=tmp_path / "a")
    with pytest.raises(ChildFailedError, match="ends ended with status 3 before it was ready"):
        await ends.start()
    slow = Supervised("slow", lambda: (SLEEP, ENVIRONMENT), never, log_file=tmp_path / "b", ready_s=0.2)
    began = time.monotonic()
    with pytest.raises(ChildFailedError, match=r"slow was not ready within 0.2 s"):
        await slow.start()
    assert time.monotonic() - began < 10
    assert slow.pid is None
