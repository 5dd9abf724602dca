"""`migrate rehearse`: the whole migration, unattended, and that it fails when something would be lost (MG16).
until phase 3
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from e2e_support import MIGRATE, run
from own_stack import write_stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]


def test_the_whole_migration_of_rooms_loses_nothing(tmp_path: Path) -> None:
    """MG16: every step with real commands, people's own records complete, everything gone, trials restored."""
    done = run(MIGRATE, "rehearse", "--people", "5", "--hold", "1", "--json", "-o", str(tmp_path), timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["wrong"] == []
    assert all(step["lost"] == step["doubled"] == 0 for step in result["by_step"].values())
    # People talked in every step, the deletion of the API included.
    steps = [step["name"] for step in result["steps"] if step["name"] not in ("both stacks start", "people come")]
    assert set(steps) - set(result["by_step"]) <= {"the end"}
    deleted = " ".join(result["deleted"])
    for kind in ("api ", "function ", "table rooms-Connections", "role "):
        assert kind in deleted, deleted
    assert "150 rows of gone connections" in deleted
    assert len(result["restored"]) == 3
    report = Path(result["report"]).read_text(encoding="utf-8")
    assert "cleanup resources apply" in report
    # It is of after the closing, and says what the verdict says.
    assert "Phase 3: removal (closed by " in report and "(not closed)" not in report
    # What was needed for it is gone, its evidence is not.
    assert not (Path(result["folder"]) / "state").exists()
    people = json.loads((Path(result["folder"]) / "people.json").read_text(encoding="utf-8"))
    assert len(people["said"]) == sum(step["said"] for step in result["by_step"].values())


def test_a_message_that_the_bridge_loses_is_named_with_who_did_not_get_it(tmp_path: Path) -> None:
    """MG16: a stack of somebody else's (own keys, routes and frames, Node.js and Python), from its description and
    packages; one in five messages is lost on the bridge: exit code 3, the message, its recipient, nothing deleted.
    """
    options = write_stack(tmp_path)
    done = run(
        MIGRATE, "rehearse", *options, "--people", "5", "--hold", "0", "--json", "-o", str(tmp_path / "out"),
        env={"MIGRATE_FAULTS": "bridge-drop=5"}, timeout=400,
    )  # fmt: skip
    assert done.returncode == 3, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert not result["passed"]
    lost = re.match(
        r"lost: 'w2s-(\w+)-\d+-said', said by \1 over websocket in step .+, was not heard by mover\d", result["problem"]
    )
    assert lost, result["problem"]
    assert result["problem"].removeprefix("lost: ") in result["wrong"]
    # It was found while everybody could still go back.
    assert result["deleted"] == []
    assert any("cutover" in command for command in _commands(result))
    # Both stacks delivered the same before: the comparison of this stack's own frames passed.
    compared = next(step["facts"] for step in result["steps"] if step["name"] == "both stacks are compared")
    assert compared["verdict"] == "pass"
    # What a function answered that a queue feeds was counted on both as well.
    assert compared["matched"]["questions"] >= 100, compared
    assert compared["matched"]["shouts"] >= 100, compared
    assert result["scheduled"][0].startswith("club-clock: invoked")
    assert "failed" not in result["scheduled"][0]
    # What could not be rehearsed is named, with what to do.
    left_out = {one["what"]: one["do"] for one in result["not_rehearsed"]}
    assert "--package club-quiz=FILE.zip" in left_out["function club-quiz has no package"]
    assert any("calls polly, which the local AWS has not" in what for what in left_out)
    assert all(left_out.values())


def test_an_answer_that_a_queue_brings_twice_is_named(tmp_path: Path) -> None:
    """MG16: the function behind no route, fed by a queue, posts each tenth answer twice."""
    options = (*write_stack(tmp_path), "--env", "club-oracle:STUTTERS=10")
    done = run(
        MIGRATE, "rehearse", *options, "--people", "4", "--hold", "0", "--json", "-o", str(tmp_path / "out"),
        timeout=400,
    )  # fmt: skip
    assert done.returncode == 3, done.stdout + done.stderr
    result = json.loads(done.stdout)
    twice = re.fullmatch(
        r"wrong: 'w2s-(\w+)-\d+-said', said by \1 over websocket in step .+, was heard 2 times by \w+",
        result["problem"],
    )
    assert twice, result["problem"]
    assert result["deleted"] == []


def _commands(result: dict[str, str]) -> list[str]:
    log = (Path(result["folder"]) / "commands.log").read_text(encoding="utf-8")
    return [line for line in log.splitlines() if line.startswith("$ ")]
