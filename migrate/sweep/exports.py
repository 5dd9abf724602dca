"""Which runs of a sweep have exported something, and where: `restore` has to know whether it sees all. until phase 3

pk export#JOB   sk RUN   host, at: noted before the first page of a run is written, so that a run without a note has
                         exported, and deleted, nothing
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from migrate.control.checkpoints import Checkpoints
from migrate.control.table import ControlTable
from migrate.tables.export import Export

__all__ = ["Noted", "deleted_nothing", "note_run", "noted_runs"]


class Noted:
    """An export of which is noted that there is something in it.

    Args:
        note: called once, before the first write. Raises: MigrateError: then nothing is written, nor deleted.
    """

    def __init__(self, export: Export, note: Callable[[], None]) -> None:
        self._export, self._note = export, note
        self._is_noted = False

    def write(self, segment: int, records: Sequence[Mapping[str, Any]]) -> None:
        if not self._is_noted:
            # Of several segments at a time each may do it: it is the same note.
            self._note()
            self._is_noted = True
        self._export.write(segment, records)

    def close(self) -> None:
        self._export.close()


def note_run(control: ControlTable, job: str, run: str) -> None:
    control.put({"pk": f"export#{job}", "sk": run, "host": socket.gethostname(), "at": time.time()})


def noted_runs(control: ControlTable, job: str) -> dict[str, str]:
    """Run -> host."""
    return {str(item["sk"]): str(item["host"]) for item in control.query(f"export#{job}")}


def deleted_nothing(control: ControlTable, job: str) -> bool:
    """Whether this is known: the sweep has worked, and no run of it has exported anything."""
    kept = Checkpoints(control).all(job)
    return bool(kept) and not noted_runs(control, job) and not any(
        one.get("counts", {}).get(name) for one in kept.values() for name in ("exported", "deleted")
    )  # fmt: skip
