"""Locust as its own documentation has it: web interface with several tests in a row, wrong usage, nobody there."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))
from load_support import LOCUSTFILE, listening_liar, locust, until

from loadtests.bench.processes import free_port

pytestmark = pytest.mark.integration


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    with listening_liar() as address:
        (tmp_path / "tokens.json").write_text(json.dumps({f"lt-{n}": "x" for n in range(8)} | {"publisher": "x"}))
        file = tmp_path / "target.json"
        file.write_text(json.dumps({"sse": address, "tokens_file": str(tmp_path / "tokens.json")}))
        yield file


def test_the_web_interface_runs_one_test_after_the_other_with_the_options_of_its_form(
    target: Path, tmp_path: Path
) -> None:
    """Each ends by itself after its seconds; locust stays, and the next one may be another."""
    port = free_port()
    argv = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--class-picker", "--web-port", str(port)]
    with subprocess.Popen(
        [*argv, "--target-file", str(target), "--result", str(tmp_path / "result.json")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:

        def ask(path: str, form: dict[str, object] | None = None) -> Any:
            data = urllib.parse.urlencode(form, doseq=True).encode() if form else None
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=20) as answer:
                    return answer.read().decode()
            except OSError:
                return None

        def stats() -> dict[str, Any]:
            return dict(json.loads(ask("/stats/requests") or "{}"))

        try:
            page = until(lambda: ask("/"))
            # The form has our options, and no path of this machine.
            assert "lost_after" in page and "warm_up" in page and str(target) not in page
            # Two at once disturb each other: it ends before anything is said.
            both = {"user_count": 2, "spawn_rate": 9, "user_classes": ["IdleSse", "StormSse"]}
            assert json.loads(ask("/swarm", both))["success"]
            until(lambda: stats().get("state") == "stopped")
            assert "send" not in {row["name"] for row in stats()["stats"]}
            sent = []
            for rate, seconds in ((8, 1), (16, 2.5)):
                form = {**both, "user_classes": ["IdleSse"], "rate": rate, "seconds": seconds, "warm_up": 0}
                assert json.loads(ask("/swarm", {**form, "lost_after": 1}))["success"]
                until(lambda: stats().get("state") == "running")
                until(lambda: stats().get("state") == "stopped")
                rows = {row["name"]: row["num_requests"] for row in stats()["stats"]}
                sent.append(rows["send"])
                assert rows["loss"] == 2
            # 8/s for a second, and 16/s for two and a half; gaps are half to one and a half of the mean.
            assert 4 < sent[0] <= 17 < sent[1]
        finally:
            process.terminate()
    assert json.loads((tmp_path / "result.json").read_text())["run"].endswith("-2")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["RoomsSse", "IdleSse"], "one class"),
        ([], "one class"),
        (["RoomsSse", "--rate", "0"], "--rate"),
        (["RoomsSse", "--target-file", "gone.json"], "gone.json"),
        (["DirectDropIn", "--target-file", "TARGET"], "dropin.direct"),
    ],
)
def test_wrong_usage_is_told(tmp_path: Path, options: list[str], said: str) -> None:
    (tmp_path / "tokens.json").write_text("{}")
    target = {"sse": "http://127.0.0.1:1", "tokens_file": str(tmp_path / "tokens.json")}
    (tmp_path / "TARGET").write_text(json.dumps(target))
    done = subprocess.run(
        [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), *options, "--headless", "--state-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert f"error: {said}" in done.stderr or said in done.stderr
    assert "hint: " in done.stderr and "Traceback" not in done.stderr


def test_whoever_cannot_come_ends_the_run_at_once(target: Path, tmp_path: Path) -> None:
    """Eight tokens for nine users: no waiting for the ninth."""
    done = locust(tmp_path, "IdleSse", "--target-file", str(target), "-u", "9", "-r", "9", "--seconds", "60")
    assert not done.result["began"] and not done.result["complete"]
    assert "1 of 9 could not come" in done.result["problem"] and "no token for lt-8" in done.result["problem"]
    assert done.code == 1 and "Traceback" not in done.output


def test_a_worker_needs_nothing_but_the_file_and_is_missed_when_it_goes(target: Path, tmp_path: Path) -> None:
    """Options and the id of the run come from the master."""
    port = free_port()
    argv = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE)]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    result = tmp_path / "result.json"
    workers = [subprocess.Popen([*argv, "--worker", "--master-port", str(port)], **quiet) for _ in range(2)]
    # Numbers of users of workers that are started by hand are far apart.
    tokens = {f"lt-{worker}{number}": "x" for worker in ("", "10000") for number in range(2)}
    (tmp_path / "tokens.json").write_text(json.dumps({**tokens, "publisher": "x"}))
    distributed = ["--master", "--headless", "--expect-workers", "2", "--master-bind-port", str(port)]
    options = ["--target-file", str(target), "--result", str(result), "--warm-up", "0", "--rate", "8", "-u", "2"]
    try:
        with subprocess.Popen(
            [*argv, "IdleSse", *distributed, *options, "-r", "9", "--lost-after", "1"], **quiet
        ) as master:
            try:
                # Endless: until a worker goes.
                heard = json.loads(target.read_text())["sse"] + "/heard"
                until(lambda: int(urllib.request.urlopen(heard, timeout=20).read()) > 30)
                workers[1].kill()
                assert master.wait(60) == 1
            finally:
                master.kill()
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    found = json.loads(result.read_text())
    assert found["users"] == 2 and found["problem"] == "1 worker has gone"
    assert found["counts"]["loss"] == 2 and found["counts"]["delivered"] > 4
