"""`migrate compare` over records as a command: bad input, reports, live, stored verdicts (MG7). until phase 3"""

# ruff: noqa: N803 - the arguments of Athena are called so

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pytest
import typer
from moto import mock_aws
from playwright.sync_api import sync_playwright
from typer.testing import CliRunner

from migrate.cli.compare import compare
from migrate.compare import session
from migrate.compare.athena import AthenaEngine, script
from migrate.compare.deliveries import DeliveryWriter
from migrate.compare.dialect import Athena, DuckDB
from migrate.compare.engine import Options, compare_records
from migrate.compare.files import open_run, spans_of
from migrate.compare.html import html_report
from migrate.compare.recorded import RunFacts
from migrate.compare.rules import rules_of
from migrate.compare.session import parse_moment
from migrate.compare.verdicts import last_verdict
from migrate.control.journal import Journal
from migrate.control.table import ControlTable
from migrate.errors import UsageError

_spec = importlib.util.spec_from_file_location("synthetic", Path(__file__).with_name("synthetic.py"))
assert _spec is not None and _spec.loader is not None
synthetic = sys.modules.setdefault("synthetic", importlib.util.module_from_spec(_spec))
if not hasattr(synthetic, "Truth"):
    _spec.loader.exec_module(synthetic)
Truth, CHAT, START, TODAY = synthetic.Truth, synthetic.CHAT, synthetic.START, synthetic.TODAY

app = typer.Typer()
app.command()(compare)

TOML = """
schema = 1
[project]
name = "demo"
records = "records"
[api]
id = "abc"
stage = "prod"
region = "eu-west-1"
[shadow]
settle_s = 0.2
[gates]
min_samples = 10
max_loss = 0.05
[[features]]
name = "chat"
frames = ["message"]
order_by = "roomId"
sent_at = "timestamp"
ignore = [
  {path = "messageId", reason = "own ids", expires = "2999-01-01"},
  {path = "timestamp", reason = "own clocks", expires = "2999-01-01"},
]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "migrate.toml").write_text(TOML, encoding="utf-8")
    return tmp_path


def run(project: Path, *options: str) -> tuple[int, str, str]:
    arguments = ["--config", str(project / "migrate.toml"), "--state-dir", str(project / "state"), *options]
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def only(project: Path, kind: str = "deliveries") -> Path:
    [path] = (project / "records" / "run1" / kind).iterdir()
    return Path(path)


def test_pass_fail_and_inconclusive_have_their_exit_codes(project: Path) -> None:
    truth = Truth()
    truth.write(project / "records")
    code, out, _ = run(project, "--no-save")
    assert (code, out.split()[0]) == (0, "PASS")
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
    assert (code, out.split()[0]) == (0, "PASS"), err


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


def test_the_html_report_stands_alone_and_nothing_in_a_frame_runs(project: Path) -> None:
    truth = Truth()
    evil = "</pre></details><script>alert(1)</script><img src=x onerror=alert(2)>\u202e"
    truth.change("sse", 5, "user2", message=evil, **{'"><b>': 1})
    [row] = truth.rows["sse", 6, "user3"]
    truth.rows["sse", 6, "user3"] = [replace(row, recipient="<i>eve</i>")]
    truth.write(project / "records")
    target = project / "report.html"
    code, _, _ = run(project, "--no-save", "--html", str(target))
    page = target.read_text("utf-8")
    assert code == 3
    assert "<script" not in page
    assert "<img" not in page
    assert "<i>" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "\u202e" not in page
    assert re.search(r"<mark>.*&lt;/pre&gt;", page)
    # Nothing is fetched: no address but the icon, which is none.
    assert re.findall(r"(?:src|href)=\"([^\"]*)\"", page) == ["data:,"]
    assert "url(" not in page
    assert "http:" not in page and "https:" not in page
    assert page.count("<svg") == page.count('role="img"') == 2
    assert "default-src 'none'" in page


def test_a_report_without_deliveries_is_a_page_too(project: Path) -> None:
    report = Truth(messages=2).compare(project / "r", tenant="nobody")
    assert "nothing was judged" in html_report(report)


def test_the_verdict_is_stored_for_the_gates_and_journaled(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    truth = Truth()
    truth.write(project / "records")
    with mock_aws():
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


# Functions and words of the shared SQL; each of them is Trino's (https://trino.io/docs/current/functions.html).
SHARED = {
    "and", "as", "avg", "between", "bigint", "by", "case", "cast", "chr", "coalesce", "count", "cross", "current",
    "distinct", "double", "else", "end", "false", "floor", "following", "from", "greatest", "group", "in", "is", "join",
    "lag", "least", "left", "like", "lower", "max", "min", "not", "null", "on", "or", "order", "over", "partition",
    "preceding", "range", "row", "row_number", "rows", "select", "sum", "then", "trim", "try_cast", "unbounded",
    "all", "union", "values", "varchar", "when", "where", "with",
}  # fmt: skip
ATHENA_ONLY = {
    "array", "array_join", "array_sort", "concat_ws", "from_big_endian_64", "from_iso8601_timestamp",
    "json_extract", "json_extract_scalar", "json_format", "json_parse", "map", "map_concat", "map_filter",
    "to_unixtime", "to_utf8", "try", "xxhash64",
}  # fmt: skip


def calls(sql: str) -> set[str]:
    """Names that are called as functions."""
    return {name.lower() for name in re.findall(r"\b([a-z_0-9]+)\s*\(", re.sub(r"'(?:[^']|'')*'", "''", sql))}


def test_the_sql_for_athena_uses_what_trino_has_and_nothing_of_duckdbs_own() -> None:
    every = ("number", "lower", "trim", "time", "sorted")
    feature = replace(
        CHAT, normalise=tuple(synthetic.Normalise(path=f"a.{form}", as_=form) for form in every), id="deep.id",
        ignore=(*CHAT.ignore, replace(CHAT.ignore[0], path="meta.node")),
    )  # fmt: skip
    text = script([rules_of(feature, TODAY)], Options(tenant="o'neil"), "s3://b/p", athena=True)
    own = {"deliveries_files", "send_files", "v", "w", "string"}
    assert calls(text) - SHARED - ATHENA_ONLY - own - {"k", "t"} == set()
    assert "::" not in text
    for word in ("qualify", "exclude", "list_sort", "json_merge_patch", "filter (where", "any_value"):
        assert word not in text.lower()
    assert "tenant = 'o''neil'" in text
    # Beside the expressions of the dialects the text is the same.
    here = script([rules_of(CHAT, TODAY)], Options(), "records", athena=False)
    assert calls(here) - SHARED - {"hash", "json_merge_patch", "k", "t"} == set()


class FakeAthena:
    """Athena's API over a DuckDB that holds the records; it is asked in DuckDB's dialect."""

    def __init__(self, run_directory: Path) -> None:
        self.db = duckdb.connect()
        self.directory = run_directory
        self.results: dict[str, Any] = {}
        self.statements: list[str] = []

    def start_query_execution(self, QueryString: str, **_: Any) -> dict[str, str]:
        self.statements.append(QueryString)
        text = re.sub(r" with \(format = 'PARQUET'\)", "", QueryString)
        if external := re.match(
            r"create external table (\S+) \((.*)\) row format .* location 's3://bucket/run1/(\w+)/'", text
        ):
            name, fields, kind = external.groups()
            columns = dict(field.rsplit(" ", 1) for field in fields.replace("`", "").split(", "))
            types = {"string": "varchar", "int": "integer"}
            listed = ", ".join(f"'{column}': '{types.get(kind_, kind_)}'" for column, kind_ in columns.items())
            text = (
                f"create table {name} as select * from read_json('{self.directory}/{kind}/*.jsonl', "
                f"format='newline_delimited', columns={{{listed}}})"
            )
        text = text.replace("cast(rh as bigint)", "cast(rh as ubigint)")
        query = f"q{len(self.statements)}"
        done = self.db.execute(text)
        self.results[query] = (done.description or [], done.fetchall() if done.description else [])
        return {"QueryExecutionId": query}

    def get_query_execution(self, QueryExecutionId: str) -> dict[str, Any]:
        return {"QueryExecution": {"Status": {"State": "SUCCEEDED"}}}

    def get_query_results(self, QueryExecutionId: str, NextToken: str = "0", **_: Any) -> dict[str, Any]:
        columns, rows = self.results[QueryExecutionId]
        names = {"DOUBLE": "double", "VARCHAR": "varchar"}
        info = [{"Type": names.get(str(column[1]), "bigint")} for column in columns]
        cells = [{"Data": [{"VarCharValue": column[0]} for column in columns]}]
        cells += [{"Data": [{} if value is None else {"VarCharValue": str(value)} for value in row]} for row in rows]
        at = int(NextToken)
        page: dict[str, Any] = {"ResultSet": {"ResultSetMetadata": {"ColumnInfo": info}, "Rows": cells[at : at + 50]}}
        if at + 50 < len(cells):
            page["NextToken"] = str(at + 50)
        return page


def test_athena_is_asked_the_same_and_says_the_same(tmp_path: Path) -> None:
    truth = Truth()
    truth.drop("sse", 4, "user1")
    truth.change("sse", 8, "user1", message="x")
    here = truth.compare(tmp_path / "a", max_loss=0.0)
    directory = truth.write(tmp_path / "b")
    fake = FakeAthena(directory)
    spans, captured, lost = spans_of(open_run(directory))
    options = Options(min_samples=10, until=truth.end + 1, settle_s=0.0, max_loss=0.0)
    with AthenaEngine(fake, "db", "primary", sleep=lambda _: None) as engine:
        assert isinstance(engine.dialect, Athena)
        engine.dialect = DuckDB()
        engine.load("s3://bucket/run1", spans)
        there = compare_records(
            engine, [rules_of(CHAT, TODAY)], options, RunFacts("run1", (0, 0), 0, 0, captured, lost),
            started=START, made_at=START,
        )  # fmt: skip
    assert there.features[0].counts == here.features[0].counts
    assert there.features[0].latency == here.features[0].latency
    assert [one.key for one in there.offences] == [one.key for one in here.offences]
    made = {
        name
        for line in fake.statements
        for name in re.findall(r"^create (?:or replace )?(?:external )?(?:table|view) (\S+)", line)
    }
    dropped = {name for line in fake.statements for name in re.findall(r"^drop (?:table|view) if exists (\S+)", line)}
    assert made <= dropped


def test_sql_is_printed_for_either_engine(project: Path) -> None:
    code, out, _ = run(project, "--sql")
    assert (code, "json_merge_patch" in out) == (0, True)
    code, out, _ = run(project, "--sql", "--engine", "athena")
    assert (code, "json_parse" in out, "org.openx.data.jsonserde" in out) == (0, True, True)


def test_the_newest_run_under_an_s3_prefix_is_found(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    truth = Truth()
    truth.counts.append((10, 0, truth.end))
    directory = truth.write(project / "records")
    toml = TOML.replace('records = "records"', 'records = "s3://bucket"')
    (project / "migrate.toml").write_text(toml, encoding="utf-8")
    fake = FakeAthena(directory)
    with mock_aws():
        s3 = boto3.client("s3", region_name="eu-west-1")
        s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        code, _, err = run(project, "--engine", "athena", "--no-save")
        assert (code, "holds no delivery records" in err) == (2, True)
        for path in directory.rglob("*.jsonl"):
            s3.upload_file(str(path), "bucket", str(path.relative_to(project / "records")))
        clients = {"s3": s3, "athena": fake}
        monkeypatch.setattr("migrate.config.load.Config.client", lambda _, name: clients[name])
        monkeypatch.setattr("migrate.compare.athena.Athena", DuckDB)
        code, out, err = run(project, "--engine", "athena", "--no-save", "--json")
        assert code == 0, err
        report = json.loads(out)
        assert (report["run_id"], report["captured"]) == ("run1", 10)
        assert report["features"]["chat"]["counts"]["missing_sse"] == 0


@pytest.mark.browser
def test_the_page_opens_offline_on_a_phone_and_runs_nothing(project: Path) -> None:
    truth = Truth()
    truth.change("sse", 5, "user2", message="<script>document.title='owned'</script>" + "x" * 500)
    truth.write(project / "records")
    target = project / "report.html"
    run(project, "--no-save", "--html", str(target))
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "no Chromium on PATH: run `make browser`"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 360, "height": 700}, offline=True, color_scheme="dark")
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda request: said.append(request.url))
        page.goto(target.as_uri())
        page.locator("details").last.scroll_into_view_if_needed()
        assert page.title() == "FAIL: deliveries compared"
        assert said == [target.as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert page.locator("mark").count() == 2
        assert page.get_by_role("img").count() == 2
        context.close()
        browser.close()
