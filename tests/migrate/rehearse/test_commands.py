"""Commands of a rehearsal run as in a shell: arguments, environment, directory, streams, exit code. until phase 3"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from migrate.rehearse.commands import CommandFailedError, Commands


@pytest.fixture
async def commands(tmp_path: Path) -> AsyncIterator[Commands]:
    made = Commands(tmp_path / "state", tmp_path)
    async with made.ready():
        yield made


async def test_each_is_as_in_a_shell(commands: Commands, tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text('new WebSocket("wss://x.example")\n', encoding="utf-8")
    done = await commands.run("scan", ".", "--json", config=False, state=False)
    assert [found["path"] for found in done.json["findings"]] == ["a.js"]
    status = await commands.run("status", config=False, codes=(3,))
    assert (status.out, "both stacks are down" in status.err) == ("", True)
    # What one of them sets, no other sees, and two run at the same time.
    commands.env = {"MIGRATE_CONFIG": "nowhere.toml"}
    assert "nowhere.toml" in (await commands.run("journal", config=False, codes=(2,))).err
    log = (tmp_path / "commands.log").read_text(encoding="utf-8")
    assert "$ migrate status" in log
    assert [path.name for path in tmp_path.glob(".*.out")] == []


async def test_a_code_that_is_not_allowed_stops_the_rehearsal_with_the_error(commands: Commands) -> None:
    with pytest.raises(CommandFailedError, match=r"`migrate nonsense` ended with exit code 2: .*No such command"):
        await commands.run("nonsense", config=False, state=False)


async def test_one_that_takes_too_long_is_ended(commands: Commands, tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match=r"took longer than 0\.5 s"):
        await commands.run("up", "--no-traffic", "--only", "none", config=False, limit_s=0.5)
    # It is gone when the error is there: its directory can be used again.
    done = await commands.run("status", "--json", config=False, codes=(3,))
    assert json.loads(done.out)["status"] == "down"
