"""Locust as a user starts it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOCUSTFILE = Path(__file__).parents[2] / "loadtests" / "locustfile.py"


@dataclass
class Done:
    """exit code, everything that was printed, and the result file."""

    code: int
    output: str
    result: dict[str, Any]


def locust(folder: Path, name: str, *options: str) -> Done:
    """One headless run of one class."""
    result = folder / f"{name}.json"
    argv = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), name, "--headless", "--only-summary"]
    done = subprocess.run(
        [*argv, "--run-id", name.lower(), "--result", str(result), *options],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.exists(), done.stdout + done.stderr
    return Done(done.returncode, done.stdout + done.stderr, json.loads(result.read_text(encoding="utf-8")))


def several(folder: Path, names: Sequence[str], *options: str) -> dict[str, Done]:
    """One headless run of each class, at once and in one process: starting locust takes longer than such a run."""
    argv = [sys.executable, str(Path(__file__).with_name("several.py")), str(folder), ",".join(names), *options]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout + done.stderr
    return {name: Done(0, said, json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))) for name in names}


def until(reached: Callable[[], Any], within_s: float = 60) -> Any:
    """What it gives once that is true; fails after so many seconds."""
    deadline = time.monotonic() + within_s
    while not (found := reached()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@contextlib.contextmanager
def listening_liar() -> Iterator[str]:
    """`liar.py`; its address."""
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("liar.py"))], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()
