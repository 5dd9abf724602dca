"""Who runs the worker of a shadow run: `migrate up` for its own applications, else the command. until phase 3"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from migrate.cli import shadow
from migrate.config import Config
from migrate.config.model import Api, Project, Settings
from migrate.up.state import StateDir


class Child:
    pid = 4711


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    found = StateDir(tmp_path / "state")
    found.make()
    (found.path / "up.json").write_text(json.dumps({"shadow_url": {"rooms": "http://127.0.0.1:1"}}), encoding="utf-8")
    return found


def started(state: StateDir, name: str, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The processes that the command starts for a stack on the local AWS."""
    commands: list[list[str]] = []

    def popen(command: list[str], **_: object) -> Child:
        commands.append(command)
        return Child()

    monkeypatch.setattr(shadow.subprocess, "Popen", popen)
    settings = Settings(project=Project(name=name), api=Api(id="abc", stage="prod"))
    shadow._start_worker(Config(settings, state.path.parent / "migrate.toml", "secret", {"A": "b"}), state)
    return commands


def test_a_stack_of_ones_own_on_the_local_aws_has_a_worker_of_its_own(
    state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`migrate up` knows nothing of it: what was wanted of it never came, and `shadow start` gave up after 60 s."""
    [command] = started(state, "team-a", monkeypatch)
    assert command[1:3] == ["-m", "migrate.shadow"]
    assert not (state.shadow / "team-a.wanted").exists()


def test_an_application_of_migrate_up_is_asked_for_with_the_description_that_was_given(
    state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed copy of it, too: its rules count, not those of the file that was copied."""
    assert started(state, "rooms", monkeypatch) == []
    wanted = json.loads((state.shadow / "rooms.wanted").read_text(encoding="utf-8"))
    assert wanted["config"] == str(state.path.parent / "migrate.toml")
