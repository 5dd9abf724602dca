"""`migrate rehearse`: the whole migration, unattended, and that it fails when something would go wrong (MG16).
until phase 3
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from e2e_support import MIGRATE, run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]


def test_the_whole_migration_of_rooms_loses_nothing(tmp_path: Path) -> None:
    """MG16: every step with real commands, people's own records complete, everything gone, trials restored."""
    done = run(MIGRATE, "rehearse", "--json", "-o", str(tmp_path), timeout=400)
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
    # What was needed for it is gone, its evidence is not.
    assert not (Path(result["folder"]) / "state").exists()
    people = json.loads((Path(result["folder"]) / "people.json").read_text(encoding="utf-8"))
    assert len(people["said"]) == sum(step["said"] for step in result["by_step"].values())


def test_a_service_that_drops_events_ends_it(tmp_path: Path) -> None:
    """MG16: exit code 3 and the step, and nobody was moved."""
    done = run(MIGRATE, "rehearse", "--json", "-o", str(tmp_path), env={"MIGRATE_FAULTS": "sse-drop=7"}, timeout=300)
    assert done.returncode == 3, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert not result["passed"]
    assert result["stopped_in"] == "both stacks are compared"
    assert "comparison failed" in result["problem"]
    assert result["deleted"] == []
