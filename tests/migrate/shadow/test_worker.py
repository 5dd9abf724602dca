"""A run from its start to its end, and what of it survives (MG6). until phase 3"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from shadow_support import record

from migrate.compare.deliveries import DeliveryWriter
from migrate.config import Config
from migrate.config.model import Api, Project, Settings, Shadow, Sse
from migrate.shadow.faults import Faults
from migrate.shadow.intake import Taken
from migrate.shadow.recorder import Recorder
from migrate.shadow.state import Control
from migrate.shadow.worker import Worker

OWN = Control("running", "run-1", 0.0)
NEXT = Control("running", "run-2", 0.0)


class Queue:
    """Two records: one is given, one stays in hand."""

    received, malformed, is_empty = 2, 0, True

    def __init__(self) -> None:
        self.due_now = [Taken(record(), "receipt", 0.0)]
        self.deleted: list[Taken] = []

    def __len__(self) -> int:
        return 2 - len(self.deleted)

    def due(self) -> list[Taken]:
        return [self.due_now.pop()] if self.due_now else []

    async def done(self, handled: list[Taken]) -> None:
        self.deleted += handled

    async def fill(self, most: int) -> None:
        await asyncio.sleep(0.01)


class Told:
    """The state table: says one thing until something has happened, and then another."""

    def __init__(self, then: Control | None, when: Callable[[], bool]) -> None:
        self._then, self._when = then, when
        self.said: Mapping[str, Any] = {}

    def control(self) -> Control | None:
        return self._then if self._when() else OWN

    def say(self, status: Mapping[str, Any]) -> None:
        self.said = status


def spans(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for file in sorted((folder / "run-1" / "spans").glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()[1:]
    ]


@pytest.mark.parametrize("then", [NEXT, None], ids=["another-run", "no-run"])
async def test_a_run_that_another_one_has_replaced_ends_as_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: Control | None
) -> None:
    """What it had in hand is said to be missing from it, and the next run does not go on at its places."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    place = tmp_path / "p.places.json"
    settings = Settings(
        project=Project(name="p", state_table="state"),
        api=Api(id="abc", stage="prod", region="eu-west-1"),
        sse=Sse(shadow_url="http://127.0.0.1:9"),
        shadow=Shadow(sample_percent=0),  # no streams are waited for
    )
    queue = Queue()
    told = Told(then, lambda: bool(queue.deleted) and place.exists())
    recorder = Recorder(DeliveryWriter(tmp_path, OWN.run_id, "w"))
    config = Config(settings, tmp_path / "own.toml")
    worker = Worker(config, OWN, told, queue, recorder, place, Faults())  # type: ignore[arg-type]  # see above
    async with asyncio.timeout(30):
        await worker.run(asyncio.Event())
    assert (told.said["run_id"], told.said["ended"]) == ("run-1", True)
    assert [row["reason"] for row in spans(tmp_path)] == ["the run was ended with records in hand"]
    assert json.loads(place.read_text(encoding="utf-8"))["run_id"] == "run-1"
