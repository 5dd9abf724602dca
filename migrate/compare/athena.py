"""The same comparison on Amazon Athena, over records under an S3 prefix. until phase 3

`s3://BUCKET/PREFIX/RUN/deliveries/...`: the files as DeliveryWriter leaves them, JSON lines. Tables that a comparison
makes are dropped at its end; their data stays in the workgroup's place for results, whose life cycle removes it.

Sources: CREATE TABLE AS, https://docs.aws.amazon.com/athena/latest/ug/create-table-as.html; OpenX JSON SerDe,
https://docs.aws.amazon.com/athena/latest/ug/openx-json-serde.html; a table's files are all objects below its location,
hidden ones (`.`, `_`) excepted, https://docs.aws.amazon.com/athena/latest/ug/tables-location-format.html
"""

# ruff: noqa: S608 - see migrate.compare.sql
from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from migrate.compare.deliveries import SCHEMA, Span
from migrate.compare.dialect import Athena, Dialect, DuckDB, literal
from migrate.compare.duck import DELIVERIES, SENDS
from migrate.compare.engine import OnStep, Options, compare_records
from migrate.compare.files import NoDeliveriesError, NoRecordsError, progress_of, spans_from
from migrate.compare.recorded import RecordedReport, RunFacts
from migrate.compare.rules import Rules
from migrate.compare.sql import VIEWS, steps
from migrate.config import Config
from migrate.errors import MigrateError, UsageError

__all__ = ["AthenaEngine", "compare_prefix", "external_table", "script"]

POLL_S = 0.5
_TABLES = "deliveries|send_rows|spans|sends|grouped|many|repeated|pairs|odd|repaired|found|late|wanted"
_USES = re.compile(rf"\b(from|join) ({_TABLES})\b")


def external_table(name: str, columns: Mapping[str, str], location: str) -> str:
    """The DDL of a table over record files."""
    types = {"varchar": "string", "integer": "int"}
    fields = ", ".join(
        f"`{column}` {types.get(kind, kind)}" for column, kind in {**columns, "schema": "integer"}.items()
    )
    return (
        f"create external table {name} ({fields}) row format serde 'org.openx.data.jsonserde.JsonSerDe' "
        f"location {literal(location)}"
    )


def script(rules: Sequence[Rules], options: Options, source: str, *, athena: bool) -> str:
    """The statements of a comparison, to read or to run by hand.

    The times between which messages are judged stand as 0 and 1e18 where the options leave them open: a comparison
    takes them from the records.
    """
    dialect: Dialect = Athena() if athena else DuckDB()
    where = "feature in (" + ", ".join(literal(one.feature) for one in rules) + ")"
    if options.tenant is not None:
        where += f" and tenant = {literal(options.tenant)}"
    lines = [f"-- engine: {dialect.name}; records: {source}"]
    if athena:
        lines += [
            external_table("deliveries_files", DELIVERIES, f"{source}/RUN/deliveries/") + ";",
            "create view deliveries as select * from deliveries_files where schema is null;",
            external_table("send_files", SENDS, f"{source}/RUN/sends/") + ";",
            "create view send_rows as select * from send_files where schema is null;",
        ]
    start, stop = options.since or 0.0, options.until or 1e18
    island_s = max(3 * options.settle_s, 30.0)
    for name, select in steps(dialect, rules, where, start=start, stop=stop, island_s=island_s):
        lines.append(f"create {'view' if name in VIEWS else 'table'} {name} as {select.strip()};")
    return "\n\n".join(lines) + "\n"


class AthenaEngine:
    """An Athena workgroup as engine. A context manager: its tables are dropped at the end.

    Args:
        client: boto3 client of Athena.
        sleep: waits between questions about a query's state.
    """

    def __init__(self, client: Any, database: str, workgroup: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self.dialect: Dialect = Athena()
        self._client, self._database, self._workgroup, self._sleep = client, database, workgroup, sleep
        self._prefix = f"ws2sse_{secrets.token_hex(4)}_"
        self._made: list[str] = []
        self._views: list[str] = []

    def __enter__(self) -> AthenaEngine:
        return self

    def __exit__(self, *_: object) -> None:
        for kind, names in (("view", self._views), ("table", self._made)):
            for name in names:
                try:
                    self._run(f"drop {kind} if exists {name}")
                except MigrateError:
                    # What is left is empty of data and named after this tool.
                    continue

    def load(self, location: str, spans: Sequence[Span]) -> None:
        """Make the tables over the files of one run."""
        for name, folder, columns in (("deliveries", "deliveries", DELIVERIES), ("send_rows", "sends", SENDS)):
            files = f"{self._prefix}{name}_files"
            self._run(external_table(files, columns, f"{location}/{folder}/"))
            self._made.append(files)
            self._run(f'create view {self._prefix}{name} as select * from {files} where "schema" is null')
            self._views.append(f"{self._prefix}{name}")
        rows = [
            f"({literal(span.kind)}, {'null' if span.stack is None else literal(span.stack)}, "
            f"{'null' if span.recipient is None else self.dialect.hash(literal(span.recipient))}, "
            f"{float(span.start)!r}, {1e18 if span.end is None else float(span.end)!r})"
            for span in spans
        ] or ["('', '', 0, 0.0, -1.0)"]
        self.table(
            "spans",
            "select cast(kind as varchar) as kind, cast(stack as varchar) as stack, cast(rh as bigint) as rh, "
            'cast("start" as double) as "start", cast("end" as double) as "end" '
            f'from (values {", ".join(rows)}) as v (kind, stack, rh, "start", "end")',
        )

    def table(self, name: str, select: str) -> None:
        """Make a table of a query; one of that name that this comparison made before is dropped."""
        full = f"{self._prefix}{name}"
        if full in self._made:
            self._run(f"drop table if exists {full}")
        else:
            self._made.append(full)
        self._run(f"create table {full} with (format = 'PARQUET') as {self._named(select)}")

    def view(self, name: str, select: str) -> None:
        """Make a view."""
        self._run(f"create or replace view {self._prefix}{name} as {self._named(select)}")
        self._views.append(f"{self._prefix}{name}")

    def rows(self, select: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        query = self._run(self._named(select))
        rows: list[tuple[Any, ...]] = []
        token: dict[str, str] = {}
        first = True
        while True:
            page = self._call("get_query_results", QueryExecutionId=query, MaxResults=1000, **token)
            kinds = [column["Type"] for column in page["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]]
            # The first row of a SELECT's results is its columns' names.
            for row in page["ResultSet"]["Rows"][1 if first else 0 :]:
                rows.append(tuple(_value(kind, cell) for kind, cell in zip(kinds, row["Data"], strict=True)))
            first = False
            if not page.get("NextToken"):
                return rows
            token = {"NextToken": page["NextToken"]}

    def _named(self, select: str) -> str:
        return _USES.sub(lambda use: f"{use.group(1)} {self._prefix}{use.group(2)}", select)

    def _run(self, statement: str) -> str:
        started = self._call(
            "start_query_execution",
            QueryString=statement,
            QueryExecutionContext={"Database": self._database},
            WorkGroup=self._workgroup,
        )
        query = str(started["QueryExecutionId"])
        while True:
            status = self._call("get_query_execution", QueryExecutionId=query)["QueryExecution"]["Status"]
            if status["State"] == "SUCCEEDED":
                return query
            if status["State"] in ("FAILED", "CANCELLED"):
                said = str(status.get("StateChangeReason", ""))[:300]
                raise UsageError(
                    f"Athena could not compare: {said or status['State'].lower()}",
                    "check --database, --workgroup (it needs a place for results) and the role's permissions",
                )
            self._sleep(POLL_S)

    def _call(self, operation: str, **arguments: Any) -> Any:
        try:
            return getattr(self._client, operation)(**arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            raise UsageError(f"Athena refused {operation}: {code}", "check --workgroup and permissions") from None
        except BotoCoreError as error:
            raise MigrateError(f"Athena could not be reached: {type(error).__name__}", "check the network") from None


def _value(kind: str, cell: Mapping[str, str]) -> Any:
    text = cell.get("VarCharValue")
    if text is None:
        return None
    if kind in ("tinyint", "smallint", "integer", "bigint"):
        return int(text)
    if kind in ("double", "float", "real", "decimal"):
        return float(text)
    return text


def compare_prefix(
    config: Config,
    source: str,
    rules: Sequence[Rules],
    options: Options,
    database: str,
    workgroup: str,
    on_step: OnStep,
) -> RecordedReport:
    """Compare the newest run under an S3 prefix."""
    on_step("listing the records")
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    s3 = config.client("s3")
    run, header, lines = _newest(s3, bucket, prefix.strip("/"))
    spans, captured, lost = spans_from(lines["spans"], lines["counts"], f"s3://{bucket}/{run}")
    facts = RunFacts(str(header.get("run_id", "")), (0.0, 0.0), 0, 0, captured, lost)
    with AthenaEngine(config.client("athena"), database, workgroup) as engine:
        on_step("making tables over the records")
        engine.load(f"s3://{bucket}/{run}", spans)
        return compare_records(
            engine,
            rules,
            options,
            facts,
            started=header.get("started"),
            made_at=datetime.now(UTC).timestamp(),
            progress=progress_of(lines["counts"]),
            on_step=on_step,
        )


def _newest(s3: Any, bucket: str, prefix: str) -> tuple[str, dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """The newest run's key, a header of its deliveries, and the lines of its spans and counts."""
    runs: dict[str, datetime] = {}
    keys: dict[str, list[str]] = {}
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/" if prefix else ""):
            for item in page.get("Contents", []):
                run, _, rest = str(item["Key"]).rpartition("/")[0].rpartition("/")
                if rest in ("deliveries", "sends", "spans", "counts"):
                    runs[run] = max(runs.get(run, item["LastModified"]), item["LastModified"])
                    keys.setdefault(f"{run}/{rest}", []).append(item["Key"])
        if not runs:
            raise NoRecordsError(f"s3://{bucket}/{prefix} holds no delivery records", "copy a run's directory there")
        newest = max(runs, key=lambda name: runs[name])
        lines = {
            kind: [line for key in keys.get(f"{newest}/{kind}", []) for line in _lines(s3, bucket, key)[1:]]
            for kind in ("spans", "counts")
        }
        deliveries = keys.get(f"{newest}/deliveries", [])
        if not deliveries:
            raise NoDeliveriesError(
                f"s3://{bucket}/{newest} holds no deliveries yet, so there is no verdict",
                "copy the run's directory there as a whole",
            )
        raw = s3.get_object(Bucket=bucket, Key=deliveries[0], Range="bytes=0-4095")["Body"].read()
        header = json.loads(raw.partition(b"\n")[0])
    except (ClientError, BotoCoreError) as error:
        raise UsageError(
            f"s3://{bucket}/{prefix} cannot be read: {error}", "check the bucket and permissions"
        ) from None
    except ValueError:
        raise UsageError(f"s3://{bucket}/{prefix} holds a damaged record file", "copy it again") from None
    if not isinstance(header, dict) or int(header.get("schema", 0)) > SCHEMA:
        raise UsageError(f"s3://{bucket}/{newest} has a schema that this version does not read", "use a newer version")
    return newest, header, lines


def _lines(s3: Any, bucket: str, key: str) -> list[dict[str, Any]]:
    raw = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return [json.loads(line) for line in raw.splitlines()]
