"""Children that end with us (migrate.local.children). until phase 3"""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
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


async def soon() -> None:
    await asyncio.sleep(0.05)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_child_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    """MG2: the reason is in the message; words of an earlier start are not."""
    (tmp_path / "log").write_text("an earlier start\n")
    says = (sys.executable, "-c", "import sys; sys.exit('the disk is on fire')")
    child = Supervised("ends", lambda: (says, ENVIRONMENT), lambda: asyncio.sleep(60), log_file=tmp_path / "log")
    with pytest.raises(ChildFailedError, match="the disk is on fire") as caught:
        await child.start()
    assert "an earlier start" not in str(caught.value)
    assert caught.value.hint == f"its log: {tmp_path / 'log'}"


async def test_a_full_disk_does_not_end_the_watch_over_a_child(tmp_path: Path) -> None:
    """MG2: whatever `changed`, `restarted` or a start raise, the child is started again, and stop() ends it."""
    trouble = ["changed", "changed", "command", "restarted"]

    def fail(where: str) -> None:
        if trouble and trouble[0] == where:
            trouble.pop(0)
            raise OSError(28, "No space left on device")

    def command() -> tuple[tuple[str, ...], dict[str, str]]:
        if child.pid is None and trouble != ["changed", "changed", "command", "restarted"]:
            fail("command")
        return SLEEP, ENVIRONMENT

    async def restarted() -> None:
        fail("restarted")

    child = Supervised(
        "sleeper",
        command,
        soon,
        log_file=tmp_path / "log",
        restarted=restarted,
        first_pause_s=0.01,
        changed=lambda: fail("changed"),
    )
    await child.start()
    for restarts in (1, 2):
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        await until(lambda wanted=restarts: child.restarts == wanted and child.up)  # type: ignore[misc]
    assert trouble == []
    last = child.pid
    trouble.append("changed")
    await child.stop()
    assert last is not None and gone([last])


@pytest.mark.parametrize("way", ["ends at once", "never gets ready"])
async def test_a_child_that_fails_to_start_again_can_be_held(tmp_path: Path, way: str) -> None:
    """MG2: `bridge stop` is seen while the bridge is failing to start, and `bridge start` after it as well."""
    held = False
    broken = False
    starts: list[None] = []

    def command() -> tuple[tuple[str, ...], dict[str, str]]:
        starts.append(None)
        return (ENDS if broken and way == "ends at once" else SLEEP), ENVIRONMENT

    async def ready() -> None:
        await asyncio.sleep(60 if broken else 0.05)

    child = Supervised(
        "bridge",
        command,
        ready,
        log_file=tmp_path / "log",
        first_pause_s=0.01,
        longest_pause_s=0.02,
        held=lambda: held,
    )
    await child.start()
    broken = True
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    await until(
        lambda: len(starts) >= (4 if way == "ends at once" else 2) and (way != "never gets ready" or bool(child.pid))
    )
    held = True
    await until(lambda: child.pid is None)
    await asyncio.sleep(0.3)
    count = len(starts)
    await asyncio.sleep(0.3)
    assert len(starts) == count and child.pid is None
    broken = held = False
    await until(lambda: child.up)
    await child.stop()
