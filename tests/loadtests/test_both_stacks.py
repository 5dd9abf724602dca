"""Every scenario on every transport against `migrate up`: small, short, and nothing may be lost. until phase 3"""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from e2e_support import MIGRATE, Stacks, start

sys.path.append(str(Path(__file__).parent))
from load_support import Done, locust, several, until

from loadtests.compare.around import FUNCTIONS, VARIABLE, Around
from loadtests.compare.fronts import front
from loadtests.compare.rounds import SCENARIOS, SUFFIX
from loadtests.users.target import TENANT, Target

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

CUT = ("DirectDropInCut", "TenantDropInCut", "AnswersDropInCut")


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    """With the simulated people: what is measured must not have them in it."""
    with start(tmp_path_factory.mktemp("load") / "state") as running:
        yield running


def classes(*sides: str) -> list[str]:
    return [
        scenario.capitalize() + SUFFIX[side] for scenario in SCENARIOS for side in SCENARIOS[scenario] if side in sides
    ]


@pytest.fixture(scope="module")
def done(stacks: Stacks, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """Of every class its run."""
    folder = tmp_path_factory.mktemp("runs")
    options = ["--state-dir", str(stacks.state_dir), "-u", "3", "--rate", "1", "--seconds", "2", "--warm-up", "0"]
    # As `migrate bridge stop` does it; the comparison below does it on the command line.
    held = stacks.state_dir / "bridge.held"
    held.touch()
    with (stacks.state_dir / "people.hold").open("a") as people:
        fcntl.flock(people, fcntl.LOCK_SH)
        until(lambda: "bridge" not in up_of(stacks)["pids"] and up_of(stacks)["people"] == "held")
        made = several(folder, classes("ws", "sse"), *options, "--lost-after", "30")
        with virtual(stacks) as file:
            options += ["--target-file", str(file)]
            made |= several(folder, [*classes("dropin"), *CUT], *options, "--lost-after", "30")
    held.unlink()
    return made


@contextlib.contextmanager
def virtual(stacks: Stacks) -> Iterator[Path]:
    """The drop-in's way to all three applications, each as it was deployed but for where it posts."""
    around, target = Around(stacks.state_dir, up_of(stacks)), Target.from_state_dir(stacks.state_dir)
    with contextlib.ExitStack() as stack:
        fronts = {app: stack.enter_context(around.front(app)).url for app in FUNCTIONS}
        for app, url in fronts.items():
            stack.enter_context(around.pointed(app, url))
        target = replace(target, dropin=fronts)
        target.save(stacks.state_dir / "target.json")
        yield stacks.state_dir / "target.json"
    for app in FUNCTIONS:
        assert not pointed(stacks, app)


def up_of(stacks: Stacks) -> dict[str, Any]:
    return dict(json.loads((stacks.state_dir / "up.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", [*classes("ws", "sse", "dropin"), *CUT])
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
    # Something was said meanwhile, and nobody missed it.
    assert counts["recovered"] > 0 and counts["delivered"] == 3 * counts["sent"]


@pytest.mark.parametrize("name", ["SlowWs", "SlowSse", "SlowDropIn"])
def test_slow_readers_are_told_apart(done: dict[str, Done], name: str) -> None:
    latency = done[name].result["latency"]
    assert sum(latency["slow reader"].values()) == done[name].result["counts"]["sent"]


@pytest.mark.parametrize("name", CUT)
def test_who_was_cut_off_goes_on_where_it_was(done: dict[str, Done], name: str) -> None:
    """All at the same moment, in the middle of it: what was posted meanwhile comes afterwards, and once, on the same
    connection. Parts of an answer are posted one after another, so they come in order."""
    counts = done[name].result["counts"]
    assert counts["reconnects"] == counts["resumed"] == 3
    assert counts["recovered"] > 0, counts
    assert "part of an answer" not in done[name].output


@pytest.mark.parametrize("name", ["AnswersWs", "AnswersSse", "AnswersDropIn"])
def test_answers_come_in_parts(done: dict[str, Done], name: str) -> None:
    counts = done[name].result["counts"]
    # "You said: " and twelve words.
    assert counts["parts"] == 14 * counts["delivered"]
    assert sum(done[name].result["latency"]["first words"].values()) == counts["delivered"]


def test_compare(stacks: Stacks, tmp_path: Path) -> None:
    """Table, page, stored result, comparison with an earlier one; afterwards all is as it was before, even what a
    comparison that was killed had left."""
    left_by_one_that_was_killed(stacks)
    before = of_load(listed(stacks, TENANT))
    result = _compare(stacks, tmp_path)
    plan, rounds = result["plan"], result["rounds"]
    assert (plan["scenario"], list(rounds)) == ("rooms", ["ws", "sse"])
    for side in rounds:
        assert rounds[side][0]["figures"]["loss"] == 0
        assert rounds[side][0]["figures"]["users per core"] > 0
        assert 0 < rounds[side][0]["figures"]["measuring, cores"] < 1
        sent = sum(rounds[side][0]["timeline"]["sent"].values())
        assert sum(rounds[side][0]["timeline"]["delivered"].values()) == 3 * sent
    # What one message to three connections takes on the old stack: rooms.md. Nothing of the warm-up is in it.
    old = rounds["ws"][0]["figures"]
    # Nor anything of the simulated people, who chat before and after.
    assert old["execute-api PostToConnection per message"] == 3
    assert old["lambda invocations per message"] == 1
    assert round(old["dynamodb Scan per message"], 1) == 1
    assert (result["restless"], result["tee"]) == ([], True)
    assert "execute-api PostToConnection per message" not in rounds["sse"][0]["figures"]
    assert rounds["sse"][0]["memory_mb"]["sse-service"] > 10
    page = next(tmp_path.glob("load-rooms-*.html")).read_text(encoding="utf-8")
    assert "emulated AWS cannot tell" in page and "<polyline" in page
    secret = (stacks.state_dir / "jwt-secret").read_text(encoding="utf-8").strip()
    for text in (page, json.dumps(result)):
        assert secret not in text and "token=" not in text and "eyJ" not in text
    assert as_it_was(stacks)
    until(lambda: up_of(stacks)["people"] == "chatting")
    # The room of SSE, and that of WebSocket, which comes by the bridge: nobody sees them but those of the load.
    until(lambda: len(of_load(listed(stacks, TENANT)) - before) == 2)
    assert listed(stacks, up_of(stacks)["tenant"]) == set(up_of(stacks)["rooms"])


def test_interrupted_it_puts_back_what_it_held(stacks: Stacks, tmp_path: Path) -> None:
    """Ctrl-C while the functions point elsewhere and the bridge is held, on the command that a user types."""
    argv = [MIGRATE, "load", "compare", "--state-dir", str(stacks.state_dir), "--out", str(tmp_path)]
    with subprocess.Popen(
        [*argv, "--sides", "dropin", "--users", "3", "--seconds", "60"], stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 90
        while not pointed(stacks):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        assert not as_it_was(stacks) and up_of(stacks)["people"] == "held"
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=90)[1]
    assert process.returncode == 130, said
    assert "interrupted" in said and "Traceback" not in said
    assert as_it_was(stacks)
    until(lambda: up_of(stacks)["people"] == "chatting")


def test_compare_over_virtual_connections_before_another_application(stacks: Stacks, tmp_path: Path) -> None:
    """The service in front of it is started by the comparison, and is one of the parts; what a comparison that was
    killed has left of its own is ended first."""
    with front("layers", up_of(stacks), tmp_path / "left.log") as left:
        process = psutil.Process(left.pids["sse-service (layers)"])
        note = {"bridge": False, "fronts": {"layers": left.mark}}
        (stacks.state_dir / "load-compare.json").write_text(json.dumps(note), encoding="utf-8")
        result = _compare(stacks, tmp_path, "tenant", "dropin")
        # Raises if it goes on.
        process.wait(30)
    (run,) = result["rounds"]["dropin"]
    figures = run["figures"]
    # Handlers of one connection run at once, as on API Gateway: order is a figure, no promise.
    assert (figures["loss"], figures["duplicate"]) == (0, 0)
    # Nobody posts to API Gateway; the function of the route is invoked as ever.
    assert "execute-api PostToConnection per message" not in figures
    assert figures["lambda invocations per message"] == 1
    assert run["memory_mb"]["sse-service (layers)"] > 10
    assert as_it_was(stacks, "layers")


def test_locust_by_hand_over_virtual_connections(stacks: Stacks, tmp_path: Path) -> None:
    """As the guide has it: one program that holds the service and the functions, until Ctrl-C; locust beside it."""
    file = tmp_path / "target.json"
    argv = [sys.executable, "-m", "loadtests.dropin", "direct", "--state-dir", str(stacks.state_dir)]
    with subprocess.Popen([*argv, "--file", str(file)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready: ")
        assert pointed(stacks, "direct") and up_of(stacks)["people"] == "held"
        options = ["--target-file", str(file), "-u", "2", "-r", "2", "--rate", "4", "--seconds", "1", "--warm-up", "0"]
        done = locust(tmp_path, "DirectDropIn", *options, "--run-id", "by-hand")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    counts = done.result["counts"]
    assert done.code == 0 and counts["delivered"] == counts["sent"] > 0, done.output
    assert as_it_was(stacks, "direct") and not file.exists()


def listed(stacks: Stacks, tenant: str) -> set[str]:
    """What the chat page shows somebody of a tenant who has not been there before."""
    answer = httpx.get(
        f"{stacks.sse_url}/api/chat/conversations",
        params={"limit": 100},
        headers={"Authorization": f"Bearer {stacks.token('newcomer', tenant)}"},
    )
    return {one["conversationId"] for one in answer.raise_for_status().json()["conversations"]}


def of_load(rooms: set[str]) -> set[str]:
    """Those of comparisons: locust was told no name for the run."""
    return {room for room in rooms if re.fullmatch("load-[0-9a-f]{1,8}", room)}


def left_by_one_that_was_killed(stacks: Stacks) -> None:
    functions = up_of(stacks)["stacks"]["rooms"]["functions"]
    client = stacks.client("lambda")
    for kind in FUNCTIONS["rooms"]:
        variables = client.get_function_configuration(FunctionName=functions[kind])["Environment"]["Variables"]
        client.update_function_configuration(
            FunctionName=functions[kind], Environment={"Variables": {**variables, VARIABLE: "http://127.0.0.1:1"}}
        )
    note = {"bridge": False, "functions": {functions[kind]: None for kind in FUNCTIONS["rooms"]}}
    (stacks.state_dir / "load-compare.json").write_text(json.dumps(note), encoding="utf-8")
    assert not as_it_was(stacks)


def pointed(stacks: Stacks, app: str = "rooms") -> bool:
    client, functions = stacks.client("lambda"), up_of(stacks)["stacks"][app]["functions"]
    return all(
        VARIABLE in client.get_function_configuration(FunctionName=functions[kind])["Environment"]["Variables"]
        for kind in FUNCTIONS[app]
    )


def as_it_was(stacks: Stacks, app: str = "rooms") -> bool:
    return (
        not (stacks.state_dir / "bridge.held").exists()
        and not pointed(stacks, app)
        and not (stacks.state_dir / "load-compare.json").exists()
    )


def _compare(stacks: Stacks, folder: Path, scenario: str = "rooms", sides: str = "ws,sse") -> dict[str, Any]:
    argv = [sys.executable, "-m", "loadtests.compare", "--state-dir", str(stacks.state_dir), "--out", str(folder)]
    options = ["--scenario", scenario, "--sides", sides, "--users", "3", "--rate", "2", "--seconds", "2"]
    options += ["--repetitions", "1", "--warm-up", "0.5"]
    done = subprocess.run([*argv, *options], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sides != "ws,sse" or "SSE + REST / WebSocket" in done.stdout
    assert "emulated AWS" in done.stdout
    assert "revision" in done.stdout and "locust 2" in done.stdout
    return dict(json.loads(next(folder.glob(f"load-{scenario}-*.json")).read_text(encoding="utf-8")))
