"""What a sweep holds does not grow with the table (MG11). until phase 3"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from migrate.control.checkpoints import Checkpoints
from migrate.sweep import segment
from migrate.tables.export import DiskExport
from migrate.tables.pace import Pace

from .conftest import Bench, Direct, Meddled, connection

Make = Callable[..., Bench]


def test_it_reads_ahead_only_so_far(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """MG11: while it waits for handshakes to be over, it has so many rows and no more."""
    monkeypatch.setattr(segment, "PAGE", 5)
    table = bench(key="id")
    table.put(*({"id": {"S": connection(number)}} for number in range(100)))
    now = {"s": 0.0}
    held: list[int] = []
    scans = {"n": 0}

    def count(operation: str) -> None:
        scans["n"] += operation == "scan"

    def wait(seconds: float) -> None:
        now["s"] += seconds
        held.append(5 * scans["n"] - done.counts["rows"])

    fast: Any = Pace(1e9, sleep=lambda _: None)
    export = DiskExport(table.folder / "exports/job", "1")
    done = segment.Segment(
        Meddled(table.dynamodb, count, lambda _: None), table.rows, table.gateway,  # type: ignore[arg-type]  # a stand-in
        segment.Paces(fast, fast, fast), Direct(), 0, 1,
        deleter=segment.Deleter(export, Checkpoints(table.control), "job", 30.0),
        check=lambda: None, ahead=20, clock=lambda: now["s"], wait=wait,
    )  # fmt: skip
    done.run()
    export.close()
    assert not table.items()
    assert max(held) <= 25
    assert now["s"] >= 30.0 * 4
