"""Whether the bridge is at work, as the dashboard's source says it. until phase 3"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from migrate.dashboard.bridge import Bridge
from migrate.up.state import StateDir


def config_of(path: Path) -> Any:
    return SimpleNamespace(path=path, project=SimpleNamespace(name="chat"))


@pytest.fixture
def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateDir:
    """Of `migrate up`, with a bridge that runs."""
    state = StateDir(tmp_path)
    monkeypatch.setattr(StateDir, "holder", lambda _: 1)
    (tmp_path / "up.json").write_text(json.dumps({"pids": {"bridge": 7}}))
    state.bridge_status.write_text(
        json.dumps({"pid": 7, "live": True, "started_at": 50.0, "to_sse": 3, "to_legacy": 4})
    )
    return state


def test_a_bridge_that_was_stopped_is_away_since_then(up: StateDir) -> None:
    looks = Bridge(config_of(up.configs / "rooms.toml"), up.path)
    found = looks.look()
    assert (found.state, found.why) == ("ok", "crossed: 3 to SSE, 4 to WebSocket")
    assert found.parts["bridge"] == {"state": "running", "since": 50.0, "to_sse": 3, "to_legacy": 4, "problem": ""}
    up.bridge_held.touch()
    os.utime(up.bridge_held, (99, 99))
    (up.path / "up.json").write_text(json.dumps({"pids": {}}))
    found = looks.look()
    assert found.state == "away" and "migrate bridge start" in found.why
    assert (found.parts["bridge"]["state"], found.parts["bridge"]["since"]) == ("held", 99)


def test_a_direction_that_does_not_work_is_named(up: StateDir) -> None:
    counters = {"pid": 7, "live": True, "started_at": 50.0, "problem_to_sse": "HTTP 503"}
    up.bridge_status.write_text(json.dumps(counters))
    found = Bridge(config_of(up.configs / "rooms.toml"), up.path).look()
    assert found.parts["bridge"]["problem"] == "HTTP 503" and found.why.startswith("HTTP 503")


def test_stacks_that_are_down_have_no_bridge_at_work(up: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StateDir, "holder", lambda _: None)
    found = Bridge(config_of(up.configs / "rooms.toml"), up.path).look()
    assert (found.state, found.parts["bridge"]["state"]) == ("away", "down")


@pytest.mark.parametrize(("is_alive", "known"), [(True, "running"), (False, "ended")])
def test_a_bridge_of_ones_own(tmp_path: Path, is_alive: bool, known: str) -> None:
    looks = Bridge(config_of(tmp_path / "migrate.toml"), tmp_path)
    assert looks.look().state == "absent"
    pid = os.getpid() if is_alive else 2**22 + 1
    counters = {"pid": pid, "live": True, "started_at": 50.0, "written_at": 60.0}
    (tmp_path / "bridge-chat.json").write_text(json.dumps(counters))
    assert looks.look().parts["bridge"]["state"] == known
