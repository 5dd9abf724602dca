"""Hooks that veto: what they say, and what becomes of those that take too long. until phase 3"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from migrate.cutover import hooks
from migrate.cutover.gates import State
from migrate.cutover.hooks import run_hook

WAIT_S = 20.0


def _python(folder: Path, text: str) -> str:
    path = folder / "hook.py"
    path.write_text(text, encoding="utf-8")
    return f"{sys.executable} {path}"


def test_children_of_a_hook_that_takes_too_long_end_with_it(tmp_path: Path) -> None:
    """Only the hook itself was ended; what it had started lived on, one more each second."""
    hook = _python(
        tmp_path,
        "import subprocess, sys, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path('new').write_text(str(child.pid)); pathlib.Path('new').rename('child')\n"
        "child.wait()\n",
    )
    gate = run_hook(hook, {}, tmp_path, 3.0)
    assert (gate.state, gate.breaks) == (State.SHUT, True)
    assert gate.reason.endswith("took too long")
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + WAIT_S
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the hook's child lives on"
        time.sleep(0.02)


def test_ctrl_c_ends_a_hook_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in another process group, which the terminal's signal does not reach."""
    started: list[subprocess.Popen[str]] = []

    class Interrupted(subprocess.Popen[str]):
        def communicate(self, *arguments: object, **options: object) -> tuple[str, str]:
            if not started:
                started.append(self)
                raise KeyboardInterrupt
            return super().communicate(timeout=WAIT_S)

    monkeypatch.setattr(hooks.subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_hook(f"{sys.executable} -c 'import time; time.sleep(600)'", {}, tmp_path, 60.0)
    assert started[0].returncode != 0


def test_what_a_hook_says(tmp_path: Path) -> None:
    said = _python(tmp_path, "import os, sys\nsys.exit(os.environ['MIGRATE_FEATURE'] + ' is not ready')\n")
    gate = run_hook(said, {"MIGRATE_FEATURE": "chat"}, tmp_path, 30.0)
    assert gate.reason.endswith("vetoes (exit code 1): chat is not ready")
    assert run_hook(f"{sys.executable} -c pass", {}, tmp_path, 30.0).state is State.OPEN
    assert "did not start" in run_hook("/no/such/hook", {}, tmp_path, 1.0).reason
