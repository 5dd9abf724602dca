"""Record files: what is damaged, mixed or newer is said, what is cut is used. until phase 3"""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path as FilePath

import pytest

from migrate.compare import Capture, Delivery, Gap, Path, Send, Stack, Verdict, compare
from migrate.compare.records import RecordWriter, read_capture
from migrate.errors import UsageError


def record(directory: FilePath, run_id: str = "run-1", *, finish: bool = True) -> Capture:
    people = ["ann", "bob"]
    sends, deliveries = [], []
    with RecordWriter(directory, run_id, 1000.0) as writer:
        for n in range(60):
            text = f"안녕\u2028 {n}"
            send = Send(None if n % 2 else f"id-{n}", "ann", "main", text, Path.REST, 1000.0 + n, None, "", f" {n}")
            writer.send(send)
            sends.append(send)
            for stack in Stack:
                for person in people:
                    payload = {"message": text, "userName": "ann", "n": None}
                    seq = len(deliveries)
                    d = Delivery(stack, person, f"id-{n}", "main", "ann", seq, 1000.5 + n, 1000.0 + n, payload)
                    writer.delivery(d)
                    deliveries.append(d)
        gaps = [Gap(Stack.SSE, "bob", 900.0, 901.0, True, "rotate"), Gap(Stack.SSE, "x", -math.inf, math.inf, True)]
        if finish:
            writer.finish(people, (1000.0, 1060.0), gaps, ["a note"])
    return Capture(run_id, people, sends, deliveries, (1000.0, 1060.0), gaps, (), ["a note"])


def test_round_trip(tmp_path: FilePath) -> None:
    """What is read is what was written; only the owner may read the messages."""
    capture = record(tmp_path / "run")
    again = read_capture(tmp_path / "run")
    key = lambda d: d.seq  # noqa: E731
    assert sorted(again.deliveries, key=key) == list(capture.deliveries)
    assert list(again.sends) == list(capture.sends)
    assert (again.window, again.gaps, again.recipients) == (capture.window, capture.gaps, capture.recipients)
    assert compare(again) == compare(capture)
    assert compare(again).verdict is Verdict.PASS
    mode = (tmp_path / "run" / "sse.jsonl").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_cut_last_line(tmp_path: FilePath) -> None:
    """A cut last line is left out and reported; the verdict is never a pass."""
    record(tmp_path)
    file = tmp_path / "sse.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    capture = read_capture(tmp_path)
    assert capture.flaws == ["sse.jsonl ends in the middle of a line; the line is left out"]
    assert len(capture.deliveries) == 239
    assert compare(capture).verdict is not Verdict.PASS


def test_recorder_was_killed(tmp_path: FilePath) -> None:
    """Without run.json the run has no end: what is there is compared, and the verdict is inconclusive."""
    record(tmp_path, finish=False)
    report = compare(read_capture(tmp_path))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.counts.matched == 120
    assert "the recorder was stopped before its end" in report.reasons[0]


def edit(file: FilePath, number: int, **values: object) -> None:
    lines = file.read_text(encoding="utf-8").split("\n")
    lines[number] = json.dumps({**json.loads(lines[number]), **values})
    file.write_text("\n".join(lines), encoding="utf-8")


def damage(directory: FilePath, what: str) -> None:
    sse = directory / "sse.jsonl"
    if what == "newer":
        edit(sse, 0, schema=2)
    elif what == "mixed":
        record(directory.parent / "other", "run-2")
        (directory.parent / "other" / "sse.jsonl").replace(sse)
    elif what == "swapped":
        (directory / "websocket.jsonl").replace(sse)
        (directory / "websocket.jsonl").write_bytes(sse.read_bytes())
    elif what == "middle":
        lines = sse.read_bytes().split(b"\n")
        lines[5] = lines[5][:30]
        sse.write_bytes(b"\n".join(lines))
    elif what == "field":
        edit(sse, 7, received_at="soon")
    elif what == "missing":
        sse.unlink()
    elif what == "empty":
        sse.write_bytes(b"")
    elif what == "binary":
        sse.write_bytes(b"\xff\xfe\x00\n\x00\n")
    elif what == "headerless":
        sse.write_bytes(sse.read_bytes().partition(b"\n")[2])
    elif what == "clock":
        edit(sse, 0, clock="monotonic")
    elif what == "run":
        (directory / "run.json").write_text('{"schema":1,"run_id":"run-1","kind":"run"}')
    elif what == "list":
        (directory / "run.json").write_text("[]")


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("newer", "schema 2, this version reads up to 1"),
        ("mixed", "mixes records of several runs"),
        ("swapped", "holds deliveries websocket"),
        ("middle", "line 6 is damaged"),
        ("field", "line 8 is damaged"),
        ("missing", "is missing"),
        ("empty", "is empty"),
        ("binary", "is damaged"),
        ("headerless", "no header"),
        ("clock", "another clock"),
        ("run", "run.json is damaged"),
        ("list", "no header"),
    ],
)
def test_damaged(tmp_path: FilePath, what: str, says: str) -> None:
    """Each kind of damage is one clear sentence with the file's name, exit code 2."""
    record(tmp_path / "run")
    damage(tmp_path / "run", what)
    with pytest.raises(UsageError, match=says) as caught:
        read_capture(tmp_path / "run")
    assert "run" in caught.value.message
    assert caught.value.exit_code == 2


def test_one_run_in_one_directory(tmp_path: FilePath) -> None:
    """A second run never overwrites a first one; a file in the way is said."""
    record(tmp_path)
    with pytest.raises(UsageError, match="already holds a run"):
        record(tmp_path, "run-2")
    with pytest.raises(UsageError, match="there is no directory"):
        read_capture(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError):
        record(tmp_path / "file" / "run")
