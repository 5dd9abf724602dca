"""The comparison's SQL, and Athena being asked it (MG7). until phase 3"""

# ruff: noqa: N803 - the arguments of Athena are called so

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pytest

from migrate.compare.athena import AthenaEngine, script
from migrate.compare.dialect import Athena, DuckDB
from migrate.compare.engine import Options, compare_records
from migrate.compare.files import open_run, spans_of
from migrate.compare.recorded import RunFacts
from migrate.compare.rules import rules_of

from .compare_support import TOML, run
from .synthetic import CHAT, START, TODAY, Normalise, Truth

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
        CHAT, normalise=tuple(Normalise(path=f"a.{form}", as_=form) for form in every), id="deep.id",
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


def test_the_newest_run_under_an_s3_prefix_is_found(aws: None, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = Truth()
    truth.counts.append((10, 0, truth.end))
    directory = truth.write(project / "records")
    toml = TOML.replace('records = "records"', 'records = "s3://bucket"')
    (project / "migrate.toml").write_text(toml, encoding="utf-8")
    fake = FakeAthena(directory)
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
