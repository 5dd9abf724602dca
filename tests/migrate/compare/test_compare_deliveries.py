"""The writer of shadow records: whole lines, complete files, nothing overwritten. until phase 3"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from migrate.compare.deliveries import DeliveryRow, DeliveryWriter, SendRow, Span, canonical
from migrate.errors import UsageError

ROW = DeliveryRow(
    "legacy", "chat", "t1", "ann", "ben", "main", "m1", "r1", 1, 10.0, 10.1, "ok", "c1", '{"b":1,"a":2.0}'
)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_file_is_complete_when_it_is_closed_and_readable_for_its_owner_only(tmp_path: Path) -> None:
    with DeliveryWriter(tmp_path, "run1", "w1") as writer:
        writer.delivery(ROW)
        writer.flush()
        [unfinished] = (tmp_path / "run1" / "deliveries").iterdir()
        assert unfinished.suffix == ".open"
        assert len(lines(unfinished)) == 2
        writer.send(SendRow("chat", "t1", "ben", "r1", 10.0, "{}", "ok", 200))
        writer.span(Span("paused", None, None, 20.0, 21.0, "operator"))
        writer.count(10, 1)
    [complete] = (tmp_path / "run1" / "deliveries").iterdir()
    assert complete.suffix == ".jsonl"
    assert complete.stat().st_mode & 0o077 == 0
    header, row = lines(complete)
    assert (header["schema"], header["kind"], header["run_id"], header["writer"]) == (1, "deliveries", "run1", "w1")
    assert row["payload"] == '{"a":2,"b":1}'
    assert row["stack"] == "legacy"
    for kind in ("sends", "spans", "counts"):
        assert len(lines(next((tmp_path / "run1" / kind).glob("*.jsonl")))) == 2


def test_files_rotate_by_age_and_size(tmp_path: Path) -> None:
    now = [1000.0]
    with DeliveryWriter(tmp_path, "run1", "w1", clock=lambda: now[0], rotate_bytes=2000) as writer:
        writer.delivery(ROW)
        now[0] += 61
        writer.flush()
        assert len(list((tmp_path / "run1" / "deliveries").glob("*.jsonl"))) == 1
        for _ in range(20):
            writer.delivery(ROW)
    files = sorted((tmp_path / "run1" / "deliveries").glob("*.jsonl"))
    assert len(files) > 2
    assert sum(len(lines(file)) - 1 for file in files) == 21


def test_a_writer_that_comes_back_leaves_the_old_files_alone(tmp_path: Path) -> None:
    first = DeliveryWriter(tmp_path, "run1", "w1")
    first.delivery(ROW)
    first.flush()
    with DeliveryWriter(tmp_path, "run1", "w1") as second:
        second.delivery(ROW)
    first.close()
    assert len(list((tmp_path / "run1" / "deliveries").iterdir())) == 2


def test_ids_that_are_no_file_names_are_refused(tmp_path: Path) -> None:
    for bad in ("", "../x", "a/b", ".hidden", "a\0b"):
        with pytest.raises(UsageError, match="file name"):
            DeliveryWriter(tmp_path, bad, "w1")


def test_equal_frames_are_equal_text() -> None:
    assert canonical('{"b": [1.0, 1.5], "a": "é"}') == canonical('{"a":"\\u00e9","b":[1,1.5]}')
    assert canonical("not json") == '"not json"'
    assert canonical("true") != canonical("1")
