"""DuckDB as the engine of a comparison: loads record files, holds the tables. until phase 3"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb

from migrate.compare.deliveries import SCHEMA, Span
from migrate.compare.dialect import Dialect, DuckDB, literal
from migrate.compare.files import RunFiles
from migrate.errors import UsageError

__all__ = ["DuckEngine"]

DELIVERIES = {
    "stack": "varchar", "feature": "varchar", "tenant": "varchar", "recipient": "varchar", "sender": "varchar",
    "stream": "varchar", "message_id": "varchar", "cause": "varchar", "seq": "bigint", "sent_at": "double",
    "at": "double", "outcome": "varchar", "connection_id": "varchar", "payload": "varchar",
}  # fmt: skip
SENDS = {
    "feature": "varchar", "tenant": "varchar", "sender": "varchar", "request_id": "varchar", "at": "double",
    "payload": "varchar", "replayed": "varchar", "status": "integer", "reason": "varchar", "replayed_at": "double",
}  # fmt: skip
# Only the header of a file has this field.
_HEADER = "schema"
# A frame of 128 KB may need six characters for each of its bytes.
_LARGEST = 4 * 1024 * 1024
_PLACE = re.compile(r'in file "([^"]+)"(?:, in line (\d+))?')


class DuckEngine:
    """A private database in memory that spills to a temporary folder. A context manager.

    Args:
        memory: DuckDB's limit; what it needs beyond goes to the temporary folder.
    """

    dialect: Dialect = DuckDB()

    def __init__(self, memory: str = "1400MB", threads: int | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="migrate-compare-"))
        self.folder.chmod(0o700)
        self._db = duckdb.connect(":memory:")
        for setting in (
            f"memory_limit = {literal(memory)}",
            f"temp_directory = {literal(str(self.folder / 'spill'))}",
            "preserve_insertion_order = false",
            "TimeZone = 'UTC'",
            # Nothing is fetched from anywhere.
            "autoinstall_known_extensions = false",
        ):
            self._db.execute(f"set {setting}")
        if threads:
            self._db.execute(f"set threads = {threads}")
        self._copies: dict[Path, Path] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def load(self, run: RunFiles, spans: Sequence[Span]) -> None:
        """Make the views `deliveries` and `send_rows` and the table `spans`.

        Raises: UsageError: a Parquet file that is damaged or of a newer schema.
        """
        for path in (path for kind in ("deliveries", "sends") for path in run.files[kind]):
            if path.suffix == ".parquet":
                self._check_parquet(path, DELIVERIES if path.parent.name == "deliveries" else SENDS)
        self.execute(f"create or replace view deliveries as {self._source(run, 'deliveries', DELIVERIES)}")
        self.execute(f"create or replace view send_rows as {self._source(run, 'sends', SENDS)}")
        self.load_spans(spans)

    def load_spans(self, spans: Sequence[Span]) -> None:
        """Make the table `spans`."""
        self.execute(
            'create or replace table spans (kind varchar, stack varchar, rh ubigint, "start" double, "end" double)'
        )
        for span in spans:
            self._db.execute(
                "insert into spans select ?, ?, case when ? is null then null else hash(?) end, ?, ?",
                [span.kind, span.stack, span.recipient, span.recipient, span.start, _end(span)],
            )

    def table(self, name: str, select: str) -> None:
        """Make a table of a query."""
        self.execute(f"create or replace table {name} as {select}")

    def view(self, name: str, select: str) -> None:
        """Make a view."""
        self.execute(f"create or replace view {name} as {select}")

    def drop(self, name: str) -> None:
        self.execute(f"drop table if exists {name}")

    def rows(self, select: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        try:
            return self._db.execute(select).fetchall()
        except duckdb.InterruptException:
            # Ctrl-C while a query ran.
            raise KeyboardInterrupt from None
        except duckdb.Error as error:
            raise _said(error) from None

    def execute(self, statement: str) -> None:
        """Carry out a statement. Raises: UsageError: a damaged record file."""
        try:
            self._db.execute(statement)
        except duckdb.InterruptException:
            raise KeyboardInterrupt from None
        except duckdb.Error as error:
            raise _said(error) from None

    def _source(self, run: RunFiles, kind: str, columns: dict[str, str]) -> str:
        names = ", ".join(f'"{name}"' for name in columns)
        parts = []
        lines = [self._whole(path, run) for path in run.files[kind] if path.suffix != ".parquet"]
        if lines:
            parts.append(self.lines_query(lines, columns))
        if tables := [path for path in run.files[kind] if path.suffix == ".parquet"]:
            files = ", ".join(literal(str(path)) for path in tables)
            parts.append(f"select {names} from read_parquet([{files}])")  # noqa: S608
        if not parts:
            empty = ", ".join(f'cast(null as {type_}) as "{name}"' for name, type_ in columns.items())
            parts.append(f"select {empty} where false")
        return " union all ".join(parts)

    def lines_query(self, paths: Sequence[Path], columns: dict[str, str]) -> str:
        """A query over JSON lines, without their headers."""
        names = ", ".join(f'"{name}"' for name in columns)
        fields = ", ".join(f"{literal(name)}: {literal(type_)}" for name, type_ in columns.items())
        files = ", ".join(literal(str(path)) for path in paths)
        return (
            f"select {names} from read_json([{files}], format = 'newline_delimited', columns = {{{fields}, "  # noqa: S608
            f"'{_HEADER}': 'integer'}}, maximum_object_size = {_LARGEST}) where {_HEADER} is null"
        )

    def _whole(self, path: Path, run: RunFiles) -> Path:
        """The file, or a copy of its whole lines where it is cut or still growing."""
        if path not in run.cut and path.suffix != ".open":
            return path
        copy = self._copies.setdefault(path, self.folder / f"{len(self._copies)}.jsonl")
        size = run.cut.get(path)
        with path.open("rb") as source, copy.open("wb") as target:
            left = size if size is not None else path.stat().st_size
            while left > 0 and (block := source.read(min(left, 1 << 20))):
                target.write(block)
                left -= len(block)
        copy.chmod(0o600)
        return copy

    def _check_parquet(self, path: Path, columns: dict[str, str]) -> None:
        file = literal(str(path))
        try:
            found = {str(name) for (name,) in self._db.execute(
                f"select name from parquet_schema({file})").fetchall()}  # fmt: skip  # noqa: S608
            kept = dict(
                self._db.execute(f"select decode(key), decode(value) from parquet_kv_metadata({file})").fetchall()  # noqa: S608
            )
        except duckdb.Error:
            raise UsageError(f"{path} is damaged or no Parquet file", "copy it again, or move it away") from None
        schema = kept.get("schema", str(SCHEMA))
        if not schema.isdecimal() or int(schema) > SCHEMA:
            raise UsageError(
                f"{path} has schema {schema}, this version reads up to {SCHEMA}",
                "compare it with the version of migrate that recorded it",
            )
        if missing := sorted(set(columns) - found):
            raise UsageError(f"{path} has no column {missing[0]}", "it is no file of delivery records; move it away")


def _end(span: Span) -> float:
    return 1e18 if span.end is None else span.end


def _said(error: duckdb.Error) -> UsageError:
    """A damaged record file as one sentence. Raises: the error itself, when it is none."""
    text = str(error)
    place = _PLACE.search(text)
    if place:
        line = f", line {place.group(2)}" if place.group(2) else ""
        return UsageError(f"{place.group(1)}{line} is damaged", "copy it again, or move it away and compare the rest")
    if isinstance(error, duckdb.IOException | duckdb.ConversionException | duckdb.InvalidInputException):
        return UsageError(f"the records cannot be read: {json.dumps(text.splitlines()[0][:200])}", "copy them again")
    raise error
