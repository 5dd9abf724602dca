"""Where one process of a run leaves off, for the next one: a file beside the state directory's. until phase 3"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrate.shadow.people import Person

__all__ = ["Checkpoint", "CheckpointFile"]


@dataclass(frozen=True)
class Checkpoint:
    """How far a run is.

    Args:
        cursors: the last event of each stream whose row was written.
        workers: of the capture; see Capture.kept.
    """

    cursors: Mapping[Person, str] = field(default_factory=dict)
    workers: Mapping[str, list[Any]] = field(default_factory=dict)


class CheckpointFile:
    """One run's.

    Args:
        path: of the file.
        run_id: what another run left is not read.
    """

    def __init__(self, path: Path, run_id: str) -> None:
        self._path = path
        self._run_id = run_id
        self._written = Checkpoint()

    def read(self) -> Checkpoint:
        """What the process before this one left; nothing of another run, and nothing of a file that is damaged."""
        try:
            value = json.loads(self._path.read_text(encoding="utf-8"))
            if value["run_id"] != self._run_id:
                return Checkpoint()
            cursors = {Person(tenant, user): cursor for tenant, user, cursor in value.get("cursors", [])}
            return Checkpoint(cursors, dict(value.get("workers", {})))
        except (OSError, ValueError, KeyError, TypeError):
            return Checkpoint()

    def write(self, cursors: Mapping[Person, str], workers: Mapping[str, list[Any]]) -> None:
        """Replace it, as a whole, when something is not as it was. Whoever calls has flushed the rows."""
        new = Checkpoint(dict(cursors), workers)
        if new == self._written:
            return
        self._written = new
        value = {
            "run_id": self._run_id,
            "workers": new.workers,
            "cursors": [[person.tenant, person.user, cursor] for person, cursor in new.cursors.items()],
        }
        beside = self._path.with_suffix(".new")
        beside.touch(mode=0o600)
        beside.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
        beside.replace(self._path)
