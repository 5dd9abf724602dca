"""Rows are written once, also by a worker that was killed and comes again. until phase 3 (MG6)"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from migrate.compare.deliveries import DeliveryRow, DeliveryWriter, SendRow
from migrate.shadow.recorder import Recorder

ROW = DeliveryRow("sse", "chat", "demo", "ann", "", "main", None, None, 7, None, 1.0, payload='{"a":1}')
SEND = SendRow("chat", "demo", "ann", "r-1", 1.0, "{}", "ok", 201)


def lines(folder: Path) -> list[str]:
    return [line for file in sorted(folder.glob("[ds]*/*")) for line in file.read_text().splitlines()[1:]]


def test_the_same_row_is_written_once(tmp_path: Path) -> None:
    recorder = Recorder(DeliveryWriter(tmp_path, "run", "w1"))
    assert recorder.delivery(ROW)
    assert not recorder.delivery(ROW)
    assert recorder.delivery(replace(ROW, recipient="ben"))
    assert recorder.delivery(replace(ROW, stack="legacy", connection_id="c1"))
    assert recorder.send(SEND)
    assert not recorder.send(SEND)
    recorder.close()
    assert len(lines(tmp_path / "run")) == 4


def test_what_a_killed_worker_wrote_is_known_to_the_next(tmp_path: Path) -> None:
    """MG6: also with a line that was cut in the middle."""
    first = Recorder(DeliveryWriter(tmp_path, "run", "w1"))
    first.delivery(ROW)
    first.send(SEND)
    first.flush()
    [open_file] = (tmp_path / "run" / "deliveries").glob("*.open")
    with open_file.open("a") as file:
        file.write(json.dumps({"stack": "sse"})[:-5])
    second = Recorder(DeliveryWriter(tmp_path, "run", "w2"))
    assert not second.delivery(ROW)
    assert not second.send(SEND)
    assert second.has_send("r-1")
    assert second.delivery(replace(ROW, seq=8))
    # What a kill leaves to the system.
    first.close()
    second.close()
