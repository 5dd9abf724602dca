"""`migrate compare` over records as a command: bad input, reports, live, stored verdicts (MG7). until phase 3"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pytest

from migrate.compare import session
from migrate.compare.deliveries import DeliveryWriter
from migrate.compare.session import parse_moment
from migrate.compare.verdicts import last_verdict
from migrate.control.journal import Journal
from migrate.control.table import ControlTable
from migrate.errors import UsageError

from .compare_support import only, run
from .synthetic import START, Truth


def test_pass_fail_and_inconclusive_have_their_exit_codes(project: Path) -> None:
    truth = Truth()
    truth.write(project / "records")
    code, out, _ = run(project, "--no-save")
    first, second, *_ = out.splitlines()
    assert (code, second.split()[0]) == (0, "PASS")
    assert re.fullmatch(r"compared: records of run \S+, \S+Z to \S+Z", first)
    assert run(project, "--no-save", "--min-samples", "9999")[0] == 4
    truth.double("sse", 3, "user1")
    truth.write(project / "records", "run2")
    code, out, _ = run(project, "--no-save", "--records", str(project / "records" / "run2"), "--json")
    report = json.loads(out)
    assert (code, report["verdict"], report["run_id"]) == (3, "fail", "run2")
    assert report["offenders"][0]["kind"] == "duplicate"
    assert report["features"]["chat"]["counts"]["duplicate_sse"] == 1


def test_the_newest_of_several_runs_is_compared_and_named(project: Path) -> None:
    truth = Truth()
    old = truth.write(project / "records", "run1")
    for path in old.rglob("*.jsonl"):
        os.utime(path, (1, 1))
    truth.write(project / "records", "run2")
    _, out, _ = run(project, "--no-save")
    assert "newest of 2 runs" in out
    assert "run run2" in out


def test_a_file_that_is_completed_while_it_is_read_is_read_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MG7: a live run's writer renames its files when they are full."""
    Truth().write(project / "records")
    done = only(project)
    growing = done.with_suffix(".open")
    done.rename(growing)
    real = session.open_run

    def open_then_complete(directory: Path) -> Any:
        files = real(directory)
        if growing.exists():
            growing.rename(done)
        return files

    monkeypatch.setattr(session, "open_run", open_then_complete)
    code, out, err = run(project, "--no-save")
    assert (code, out.splitlines()[1].split()[0]) == (0, "PASS"), err


def test_a_cut_file_is_read_to_its_last_whole_line_and_makes_it_inconclusive(project: Path) -> None:
    Truth().write(project / "records")
    path = only(project)
    path.write_bytes(path.read_bytes()[:-20])
    code, out, _ = run(project, "--no-save")
    assert code == 4
    assert "ends in the middle of a line" in out


def test_an_open_file_of_a_killed_writer_counts(project: Path) -> None:
    Truth().write(project / "records")
    path = only(project)
    path.write_bytes(path.read_bytes()[:-20])
    path.rename(path.with_suffix(".open"))
    code, out, _ = run(project, "--no-save", "--json")
    assert code == 0, out
    assert json.loads(out)["features"]["chat"]["recorded"]["legacy"] == 160


def test_damaged_mixed_and_newer_files_are_errors_that_name_the_file(project: Path) -> None:
    Truth().write(project / "records")
    path = only(project)
    good = path.read_bytes()
    lines = good.split(b"\n")
    for bad, said in (
        (b"\n".join([*lines[:5], b'{"stack": "legacy", nonsense', *lines[5:]]), "is damaged"),
        (b"\n".join([*lines[:5], lines[5].replace(b'"sse"', b'"elsewhere"'), *lines[6:]]), "unknown stack"),
        (good.replace(b'"schema":1', b'"schema":2', 1), "has schema 2, this version reads up to 1"),
        (b"no header\n" + good, "no header of a record file"),
        (b"", "is empty"),
    ):
        path.write_bytes(bad)
        code, _, err = run(project, "--no-save")
        assert code == 2, said
        assert said in err
        assert "hint:" in err
        assert "Traceback" not in err
    path.write_bytes(good)
    other = Truth().write(project / "elsewhere", "run9")
    (stray,) = (other / "deliveries").iterdir()
    stray.rename(path.parent / stray.name)
    code, _, err = run(project, "--no-save")
    assert code == 2
    assert "mixes records of several runs" in err


def test_damaged_and_newer_parquet_is_an_error(project: Path) -> None:
    Truth().write(project / "records")
    path = only(project)
    path.rename(path.with_suffix(".parquet"))
    code, _, err = run(project, "--no-save")
    assert code == 2
    assert "no Parquet file" in err
    target = path.with_suffix(".parquet")
    duckdb.sql(f"copy (select 1 as a) to '{target}' (format parquet, kv_metadata {{schema: '7'}})")
    assert "has schema 7" in run(project, "--no-save")[2]
    duckdb.sql(f"copy (select 1 as a) to '{target}' (format parquet)")
    assert "has no column" in run(project, "--no-save")[2]


def test_parquet_and_json_lines_say_the_same(project: Path) -> None:
    truth = Truth()
    truth.drop("sse", 4, "user1")
    truth.double("sse", 9, "user2")
    truth.write(project / "records")
    first = json.loads(run(project, "--no-save", "--json")[1])
    for kind in ("deliveries", "sends"):
        path = only(project, kind)
        header = json.loads(path.read_text("utf-8").splitlines()[0])
        body = path.read_text("utf-8").split("\n", 1)[1]
        path.write_text(body, encoding="utf-8")
        columns = ", ".join(f'"{name}"' for name in json.loads(body.splitlines()[0]))
        duckdb.sql(
            f"copy (select {columns} from read_json('{path}', format='newline_delimited')) "
            f"to '{path.with_suffix('.parquet')}' (format parquet, kv_metadata {{schema: '{header['schema']}'}})"
        )
        path.unlink()
    second = json.loads(run(project, "--no-save", "--json")[1])
    assert first["features"]["chat"]["counts"] == second["features"]["chat"]["counts"]
    assert second["features"]["chat"]["counts"]["missing_sse"] == 1


def test_in_the_first_seconds_of_a_run_there_is_no_verdict(project: Path) -> None:
    """It ended with 2, wrong usage; and where an older run lay beside it, that one was judged again."""
    old = Truth().write(project / "records", "run1")
    for path in [old, *old.rglob("*")]:
        os.utime(path, (1, 1))
    writer = DeliveryWriter(project / "records", "run2", "shadow-test")
    code, out, err = run(project, "--no-save", "--json")
    assert (code, json.loads(out)["verdict"]) == (4, "inconclusive")
    assert "run2 holds no deliveries yet, so there is no verdict" in err
    assert "hint: in its first seconds" in err
    # A file is open, and what is in it not written out yet.
    (project / "records" / "run2" / "deliveries" / "00000001-shadow-test.open").touch()
    assert run(project, "--no-save", "--since", "1h")[0] == 4
    writer.close()


def test_unknown_feature_empty_directory_and_wrong_times_are_usage_errors(project: Path) -> None:
    code, _, err = run(project, "--feature", "nothing", "--no-save")
    assert (code, "there is no feature 'nothing'" in err, "chat" in err) == (2, True, True)
    assert "there is no directory" in run(project, "--since", "1h", "--no-save")[2]
    (project / "records").mkdir()
    code, _, err = run(project, "--since", "1h", "--no-save")
    assert (code, "holds no delivery records" in err) == (2, True)
    Truth().write(project / "records")
    assert "is no time" in run(project, "--since", "yesterday-ish", "--no-save")[2]
    assert "not before" in run(project, "--since", "1h", "--until", "2h", "--no-save")[2]
    assert "there is no directory" in run(project, "--html", str(project / "no" / "r.html"), "--no-save")[2]
    assert "s3://" in run(project, "--engine", "athena", "--no-save")[2]


def test_moments() -> None:
    assert parse_moment("15m", 10_000) == 10_000 - 900
    assert parse_moment("2026-11-22T10:00:00Z", 0) == parse_moment("2026-11-22T10:00:00", 0) == 1795341600
    assert parse_moment("12.5", 0) == 12.5
    with pytest.raises(UsageError):
        parse_moment("-1h", 0)


def test_the_verdict_is_stored_for_the_gates_and_journaled(aws: None, project: Path) -> None:
    truth = Truth()
    truth.write(project / "records")
    code, _, err = run(project)
    assert (code, err) == (0, "")
    table = ControlTable(boto3.client("dynamodb", region_name="eu-west-1"), "ws2sse-migration")
    stored = last_verdict(table, "chat")
    assert stored is not None
    assert (stored.verdict, stored.complete, stored.run_id) == ("pass", True, "run1")
    assert stored.expected > 100
    # Its age is that of what was judged, not that of the command.
    assert stored.age_s(truth.end) < 2
    kept = json.loads(Path(stored.report).read_text("utf-8"))
    assert kept["verdict"] == "pass"
    assert Path(stored.report).stat().st_mode & 0o077 == 0
    assert next(Journal(table).entries()).facts["report_digest"] == stored.digest
    # One tenant's verdict is none for all.
    run(project, "--tenant", "acme", "--min-samples", "99999")
    again = last_verdict(table, "chat")
    assert again is not None and again.verdict == "pass"
    tenant = last_verdict(table, "chat", "acme")
    assert tenant is not None and tenant.verdict == "inconclusive"
    assert last_verdict(table, "other") is None


def test_a_table_that_cannot_be_reached_does_not_change_the_verdict(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    Truth().write(project / "records")
    code, _, err = run(project)
    assert code == 0
    assert "not stored for the gates" in err


def test_follow_says_changes_of_the_verdict_and_each_new_offender_once(project: Path) -> None:
    """A live run: waiting, then a pass, then a loss; Ctrl-C ends it with the last verdict's exit code."""
    process = subprocess.Popen(
        [sys.executable, "-m", "migrate", "compare", "--config", str(project / "migrate.toml"), "--follow",
         "--interval", "0.2", "--json", "--no-save"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        assert "waiting for records" in process.stderr.readline()
        truth = Truth(messages=60)
        truth.double("sse", 45, "user2")
        rows = sorted((row.at, row.seq, row) for rows in truth.rows.values() for row in rows)
        with DeliveryWriter(project / "records", "run1", "w1", clock=lambda: START) as writer:
            for send in truth.sends.values():
                writer.send(send)
            for _, _, row in rows[: len(rows) // 2]:
                writer.delivery(row)
            writer.flush()
            verdict = json.loads(process.stdout.readline())
            assert (verdict["event"], verdict["verdict"]) == ("verdict", "pass")
            for _, _, row in rows[len(rows) // 2 :]:
                writer.delivery(row)
            writer.flush()
            verdict = json.loads(process.stdout.readline())
            offender = json.loads(process.stdout.readline())
            assert (verdict["event"], verdict["verdict"]) == ("verdict", "fail")
            assert (offender["event"], offender["kind"], offender["recipient"]) == ("offender", "duplicate", "user2")
        process.send_signal(signal.SIGINT)
        rest = [json.loads(line) for line in process.stdout.read().splitlines()]
        assert process.wait() == 3
        assert [line["event"] for line in rest] == ["end"]
        # Everything was read once, the part that was renamed as well.
        assert rest[0]["features"]["chat"]["recorded"]["sse"] == 241
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
