"""A service that lies is found out: in the result, in locust's statistics and by the exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from load_support import listening_liar, locust

from loadtests.bench.processes import free_port

pytestmark = pytest.mark.integration


@pytest.fixture
def liar() -> Iterator[str]:
    with listening_liar() as address:
        yield address


@pytest.mark.parametrize("workers", [0, 2])
def test_lost_doubled_and_swapped_messages_are_reported(liar: str, tmp_path: Path, workers: int) -> None:
    tokens = {f"lt-{number}": "x" for number in range(4)}
    (tmp_path / "tokens.json").write_text(json.dumps({**tokens, "publisher": "x"}), encoding="utf-8")
    target = {"sse": liar, "tokens_file": str(tmp_path / "tokens.json")}
    (tmp_path / "target.json").write_text(json.dumps(target), encoding="utf-8")
    options = ["--target-file", str(tmp_path / "target.json"), "-u", "2", "-r", "9", "--rate", "6", "--seconds", "2"]
    options += ["--warm-up", "0"]
    if workers:
        port = str(free_port())
        options += ["--processes", str(workers), "--master-bind-port", port, "--master-port", port]
    # Idle: one of the two speaks, both hear it, in two processes where there are two workers.
    done = locust(tmp_path, "IdleSse", *options, "--lost-after", "3")
    counts = done.result["counts"]
    assert done.result["users"] == 2
    assert counts["sent"] > 5, done.output
    assert (counts["loss"], counts["duplicate"], counts["out_of_order"]) == (2, 2, 2), done.output
    assert counts["delivered"] + counts["loss"] == 2 * counts["sent"]
    assert done.code == 1
    assert "message of room lost" in done.output and "message duplicate" in done.output
