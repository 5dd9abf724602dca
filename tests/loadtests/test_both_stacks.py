"""Every scenario on every transport against `migrate up`: small, short, and nothing may be lost. until phase 3"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from e2e_support import Stacks, start

sys.path.append(str(Path(__file__).parent))
from load_support import Done, locust

from loadtests.compare.around import bridge_held, functions_point_to
from loadtests.compare.rounds import SCENARIOS, SUFFIX

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

# Several small runs at once take little more than one.
AT_ONCE = 6


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    with start(tmp_path_factory.mktemp("load") / "state", "--no-traffic") as running:
        yield running


def classes(*sides: str) -> list[str]:
    return [
        scenario.capitalize() + SUFFIX[side] for scenario in SCENARIOS for side in SCENARIOS[scenario] if side in sides
    ]


@pytest.fixture(scope="module")
def done(stacks: Stacks, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """Of every class its run."""
    folder = tmp_path_factory.mktemp("runs")
    options = ["--state-dir", str(stacks.state_dir), "-u", "3", "-r", "9", "--rate", "2", "--seconds", "2"]
    up = json.loads((stacks.state_dir / "up.json").read_text(encoding="utf-8"))

    def run(name: str) -> tuple[str, Done]:
        # Slow readers have a fifth user.
        more = ["-u", "5"] if name.startswith("Slow") else []
        return name, locust(folder, name, *options, *more, "--lost-after", "30")

    with bridge_held(stacks.state_dir), ThreadPoolExecutor(AT_ONCE) as pool:
        made = dict(pool.map(run, classes("ws", "sse")))
        with functions_point_to(up, f"{stacks.sse_url}/prod"):
            made |= dict(pool.map(run, classes("dropin")))
    return made


@pytest.mark.parametrize("name", classes("ws", "sse", "dropin"))
def test_nothing_is_lost(done: dict[str, Done], name: str) -> None:
    counts, latency = done[name].result["counts"], done[name].result["latency"]
    assert counts["sent"] > 0 and counts["delivered"] >= counts["sent"], done[name].output
    for bad in ("loss", "duplicate", "late", "not_sent", "not_connected", "incomplete", "resets"):
        assert not counts.get(bad), (bad, counts, done[name].output)
    assert sum(latency["connect"].values()) == done[name].result["users"]
    assert (
        sum(sum(latency.get(kind, {}).values()) for kind in ("delivery", "slow reader", "recovered"))
        == (counts["delivered"])
    )


@pytest.mark.parametrize("name", ["StormWs", "StormSse", "StormDropIn"])
def test_a_storm_cuts_all_but_one_and_all_come_back(done: dict[str, Done], name: str) -> None:
    counts = done[name].result["counts"]
    assert counts["reconnects"] == 2
    # SSE and the drop-in resume where they were; a WebSocket is a new connection.
    assert counts.get("resumed", 0) == (0 if name == "StormWs" else 2)


@pytest.mark.parametrize("name", ["SlowWs", "SlowSse", "SlowDropIn"])
def test_slow_readers_are_told_apart(done: dict[str, Done], name: str) -> None:
    latency = done[name].result["latency"]
    assert sum(latency["slow reader"].values()) == done[name].result["counts"]["sent"]


@pytest.mark.parametrize("name", ["AnswersWs", "AnswersSse"])
def test_answers_come_in_parts(done: dict[str, Done], name: str) -> None:
    counts = done[name].result["counts"]
    # "You said: " and twelve words.
    assert counts["parts"] == 14 * counts["delivered"]
    assert sum(done[name].result["latency"]["first words"].values()) == counts["delivered"]


def test_compare(stacks: Stacks, tmp_path: Path) -> None:
    """Table, page, stored result, comparison with an earlier one; afterwards all is as it was before."""
    result = _compare(stacks, tmp_path)
    plan, rounds = result["plan"], result["rounds"]
    assert (plan["scenario"], list(rounds)) == ("rooms", ["ws", "sse"])
    for side in rounds:
        assert rounds[side][0]["figures"]["loss"] == 0
        assert rounds[side][0]["figures"]["users per core"] > 0
    # What one message to three connections takes on the old stack: rooms.md.
    old = rounds["ws"][0]["figures"]
    assert round(old["execute-api PostToConnection per message"]) == 3
    assert round(old["dynamodb Scan per message"]) == 1
    assert "execute-api PostToConnection per message" not in rounds["sse"][0]["figures"]
    assert rounds["sse"][0]["memory_mb"]["sse-service"] > 10
    page = next(tmp_path.glob("load-rooms-*.html")).read_text(encoding="utf-8")
    assert "emulated AWS cannot tell" in page and "<polyline" in page
    secret = (stacks.state_dir / "jwt-secret").read_text(encoding="utf-8").strip()
    assert secret not in page + json.dumps(result)
    status = subprocess.run(
        [sys.executable, "-m", "migrate", "bridge", "status", "--json", "--state-dir", str(stacks.state_dir)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(status.stdout)["state"] != "held"


def _compare(stacks: Stacks, folder: Path) -> dict[str, Any]:
    argv = [sys.executable, "-m", "loadtests.compare", "--state-dir", str(stacks.state_dir), "--out", str(folder)]
    options = ["--sides", "ws,sse", "--users", "3", "--rate", "2", "--seconds", "2", "--repetitions", "1"]
    done = subprocess.run([*argv, *options], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SSE + REST / WebSocket" in done.stdout and "emulated AWS" in done.stdout
    return dict(json.loads(next(folder.glob("load-rooms-*.json")).read_text(encoding="utf-8")))


def test_without_stacks_it_says_how_to_start_them(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.compare", "--state-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "migrate up" in done.stderr and "Traceback" not in done.stderr
