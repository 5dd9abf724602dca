"""`loadtests.compare --target`: a deployment of one's own, here one that lies."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))
from load_support import listening_liar

from loadtests.bench.processes import free_port

pytestmark = pytest.mark.integration

TOKEN = "tok-3n-secret"
ARGV = [
    sys.executable,
    "-m",
    "loadtests.compare",
    "--scenario",
    "idle",
    "--users",
    "2",
    "--rate",
    "6",
    "--warm-up",
    "0",
]


@pytest.fixture
def options(tmp_path: Path) -> Iterator[list[str]]:
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps(dict.fromkeys(("lt-0", "lt-1", "publisher"), TOKEN)), encoding="utf-8")
    with listening_liar() as address:
        yield ["--target", f"sse={address}", "--tokens-file", str(tokens), "--out", str(tmp_path), "--lost-after", "2"]


def compare(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*ARGV, *options], capture_output=True, text=True, timeout=100, check=False)


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("load-idle-*.json"))]


def test_losses_are_an_exit_code_and_two_versions_a_table(options: list[str], tmp_path: Path) -> None:
    once = [*options, "--repetitions", "1", "--seconds", "1"]
    done = compare(*once)
    assert done.returncode == 3, done.stderr
    (first,) = results(tmp_path)
    figures = first["rounds"]["sse"][0]["figures"]
    assert (figures["loss"], figures["duplicate"], figures["out of order"]) == (2, 2, 2)
    assert not first["emulated"] and first["target"]["sse"].startswith("http://127.0.0.1:")
    assert "CPU, memory and calls of theirs are not seen" in " ".join(done.stdout.split())
    assert "cannot tell" not in done.stdout and not first["rounds"]["sse"][0]["cpu_cores"]
    earlier = next(tmp_path.glob("load-idle-*.json")).rename(tmp_path / "before.json")
    again = compare(*once, "--against", str(earlier))
    assert "idle: 1 repetition" in again.stdout and "SSE + REST: delivery p50 ms" in again.stdout
    page = next(tmp_path.glob("load-idle-*.html")).read_text(encoding="utf-8")
    for text in (page, json.dumps(results(tmp_path)), done.stdout, done.stderr):
        assert TOKEN not in text


def test_interrupted_it_keeps_what_it_has(options: list[str], tmp_path: Path) -> None:
    with subprocess.Popen(
        [*ARGV, *options, "--repetitions", "3", "--seconds", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        while "repetition 2" not in (line := process.stderr.readline()):
            assert line
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    (kept,) = results(tmp_path)
    assert kept["stopped"] == "interrupted" and len(kept["rounds"]["sse"]) == 1
    assert "Not all of it: interrupted" in out and "Traceback" not in said


def test_nobody_there(tmp_path: Path, options: list[str]) -> None:
    away = ["--target", f"sse=http://127.0.0.1:{free_port()}"]
    done = compare(*away, *options[2:], "--repetitions", "1")
    assert done.returncode == 1
    assert "2 of 2 could not come" in done.stderr and "refused" in done.stderr.lower()
    assert "\nhint: " in done.stderr and "Traceback" not in done.stderr
    assert results(tmp_path) == []
