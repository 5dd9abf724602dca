"""Mismatches as they occur, from record files that grow. until phase 3 (MG18)"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from migrate.compare.deliveries import DeliveryRow, DeliveryWriter
from migrate.config.load import Config
from migrate.config.model import Api, Gates, Project, Settings, Shadow
from migrate.dashboard import records as module
from migrate.dashboard.findings import latency, mismatch, redacted
from migrate.dashboard.model import LATENCY_EDGES_MS, Finding
from migrate.dashboard.records import Records
from migrate.errors import MigrateError

from ..compare.synthetic import CHAT, START, Truth

SECRET = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1In0.c2lnbmF0dXJl"


def configured(folder: Path, **gates: Any) -> Config:
    settings = Settings(
        project=Project(name="chat", records="records"),
        api=Api(id="abc", stage="prod", region="eu-west-1"),
        features=(CHAT,),
        shadow=Shadow(settle_s=0.0),
        gates=Gates(min_samples=10, max_loss=0.05, **gates),
    )
    return Config(settings, folder / "migrate.toml")


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    found = Records(configured(tmp_path))
    yield found
    found.close()


def write(truth: Any, folder: Path, first: int = 0, run_id: str = "run1") -> None:
    """The rows of the messages from `first` on, as another file of the run; a last row closes the judged time."""
    truth.rows = {key: rows for key, rows in truth.rows.items() if key[1] >= first}
    truth.sends = {number: send for number, send in truth.sends.items() if number >= first}
    truth.write(folder / "records", run_id)


def ids(found: Finding) -> list[tuple[str, str]]:
    return [(item["kind"], item["recipient"]) for item in found.items["mismatches"]]


def test_a_mismatch_appears_once_with_both_payloads(records: Records, tmp_path: Path) -> None:
    write(Truth(messages=20), tmp_path)
    assert ids(records.look()) == []
    truth = Truth(messages=40)
    truth.drop("sse", 25, "user1")
    truth.change("sse", 30, "user2", userName="somebody else")
    write(truth, tmp_path, 20)
    found = records.look()
    assert sorted(ids(found)) == [("changed", "user2"), ("missing", "user1")]
    missing, changed = sorted(found.items["mismatches"], key=lambda item: -len(item["kind"]))
    assert missing["blame"] == "sse" and missing["legacy"]["message"] == "hello 25" and missing["sse"] is None
    assert changed["legacy"]["userName"] == "user2" and changed["sse"]["userName"] == "somebody else"
    assert changed["fields"] == {"userName": ["user2", "somebody else"]}
    assert ids(records.look()) == []
    [feature] = found.parts["comparison"]
    assert (feature["missing"], feature["changed"], feature["verdict"]) == (1, 1, "fail")
    assert feature["expected"] == feature["matched"] + feature["missing"] + feature["changed"]


def test_the_last_ones_appear_however_many_came_before(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More mismatches than a report shows: those of the last minutes are looked for apart."""
    monkeypatch.setattr(module, "MISMATCHES", 5)
    monkeypatch.setattr(module, "LATELY_S", 0.3)
    truth = Truth(messages=40)
    for number in range(10, 40):
        truth.drop("sse", number, "user1")
    write(truth, tmp_path)
    shown = {item["legacy"]["message"] for item in records.look().items["mismatches"]}
    assert {"hello 10", "hello 38"} <= shown


def test_a_run_that_begins_is_followed_from_then_on(records: Records, tmp_path: Path) -> None:
    write(Truth(messages=20), tmp_path)
    assert "run run1" in records.look().why
    truth = Truth(messages=20)
    truth.double("sse", 3, "user0")
    write(truth, tmp_path, run_id="run2")
    for path in (tmp_path / "records" / "run1").rglob("*.jsonl"):
        os.utime(path, (1000, 1000))
    found = records.look()
    assert "run run2" in found.why and ids(found) == [("duplicate", "user0")]


def test_only_what_the_gates_call_recent_is_judged(tmp_path: Path) -> None:
    """A loss of yesterday does not colour what is seen today."""
    records = Records(configured(tmp_path, fresh_s=1.0))
    try:
        truth = Truth(messages=60)
        truth.drop("sse", 2, "user1")
        write(truth, tmp_path)
        records.look()
        [feature] = records.look().parts["comparison"]
        assert feature["missing"] == 0 and 0 < feature["expected"] < 100
        assert feature["window"][0] > truth.time(30)
    finally:
        records.close()


def test_old_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MARGIN_S", 0.0)
    write(Truth(messages=20), tmp_path)
    for path in (tmp_path / "records").rglob("*.jsonl"):
        os.utime(path, (1000, 1000))
    write(Truth(messages=40), tmp_path, 20)
    records = Records(configured(tmp_path, fresh_s=60.0))
    try:
        assert "160 deliveries" in records.look().why
    finally:
        records.close()


def test_rates_of_both_stacks(records: Records, tmp_path: Path) -> None:
    write(Truth(messages=200), tmp_path)
    rates = records.look().parts["deliveries"]
    # Twenty messages a second, each to four people; seconds before the recording had none.
    assert rates["legacy"][int(START) + 3] == rates["shadow"][int(START) + 4] == 80.0
    assert rates["legacy"][int(START) - 1] == 0.0 and int(START) + 11 not in rates["legacy"]


@pytest.mark.parametrize(
    ("place", "why"),
    [(None, "there is no directory"), ("records", "no delivery records"), ("s3", "s3://bucket/prefix")],
)
def test_without_records_it_says_so(tmp_path: Path, place: str | None, why: str) -> None:
    config = configured(tmp_path)
    if place == "records":
        (tmp_path / "records").mkdir()
    if place == "s3":
        project = replace(config.project, records="s3://bucket/prefix")
        config = Config(replace(config.settings, project=project), config.path)
    found = Records(config).look()
    assert found.state == "absent" and why in found.why


def test_damaged_records_are_said_to_be_damaged(records: Records, tmp_path: Path) -> None:
    write(Truth(messages=20), tmp_path)
    records.look()
    (tmp_path / "records" / "run1" / "deliveries" / "x.jsonl").write_text("no header\n")
    with pytest.raises(MigrateError, match="no header of a record file"):
        records.look()


def test_payloads_show_no_secret_and_are_cut(tmp_path: Path) -> None:
    frame = {"type": "message", "roomId": "r", "token": "hunter2hunter2", "text": f"see {SECRET}", "long": "x" * 9000}
    row = DeliveryRow(
        "legacy", "chat", "t", "ann", "bob", "r", None, None, 1, None, START + 5, payload=json.dumps(frame)
    )
    quiet = replace(row, seq=2, at=START + 9, payload=json.dumps({"type": "message", "roomId": "r", "text": "end"}))
    with DeliveryWriter(tmp_path / "records", "run1", "w1", clock=lambda: START) as writer:
        for stack in ("legacy", "sse"):
            writer.delivery(replace(quiet, stack=stack, seq=0, at=START + 1))  # type: ignore[arg-type]
            writer.delivery(replace(quiet, stack=stack))  # type: ignore[arg-type]
        writer.delivery(row)
    records = Records(configured(tmp_path))
    try:
        [item] = records.look().items["mismatches"]
    finally:
        records.close()
    text = json.dumps(item)
    assert SECRET not in text and "hunter2" not in text and "see " in text
    assert len(text) < 10_000


def test_redaction_leaves_ordinary_text_alone() -> None:
    value = {"message": "こんにちは", "n": [1, 2.5, None, True], "password": "abcdefgh"}
    assert redacted(value) == {**value, "password": "***"}


def test_latency_counts_every_delivery_in_its_bin(tmp_path: Path) -> None:
    report = Truth(messages=40).compare(tmp_path, CHAT)
    value = latency(report, START)
    assert len(value["legacy"]) == len(value["edges_ms"]) + 1 == len(LATENCY_EDGES_MS) + 1
    assert sum(value["legacy"]) == sum(value["sse"]) == report.features[0].counts["matched"] == 160
    # The frame's own time is 10 ms after the message, its delivery 30 ms.
    assert value["legacy"][LATENCY_EDGES_MS.index(20)] + value["legacy"][LATENCY_EDGES_MS.index(50)] == 160
    assert value["legacy_p"]["p50"] == pytest.approx(20, abs=2) and value["sse_p"]["p99"] < 50


def test_an_offence_keeps_its_id(tmp_path: Path) -> None:
    truth = Truth()
    truth.drop("sse", 7, "user1")
    [one] = truth.compare(tmp_path).offences
    assert mismatch(one)["id"] == mismatch(replace(one, blame="capture", detail="seen again"))["id"]
