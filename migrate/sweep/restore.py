"""Puts back what a sweep deleted, and proves it. until phase 3 (MG11)

Nothing that is there now is overwritten: an item is put where none has its key, an entry where its map has none.
Afterwards every record is read again and compared with the export, value by value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from migrate.errors import GateClosedError, MigrateError
from migrate.tables.dynamojson import canonical, decode, digest
from migrate.tables.export import Page
from migrate.tables.pace import Pace
from migrate.tables.rows import Entry, Rows

__all__ = ["Restored", "restore"]


@dataclass
class Restored:
    """What came of it.

    Args:
        counts: records, put, same (was there already, as it was), newer (something else has its key: kept), missing
            (an entry whose item is gone), wrong (not as in the export although it was put).
        problems: of the export.
    """

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def restore(
    dynamodb: Any,
    rows_of: Callable[[str], Rows | None],
    pages: Iterable[Page],
    pool: Executor,
    pace: Pace,
    *,
    execute: bool,
    check: Callable[[], None] = lambda: None,
) -> Restored:
    """Put every record back, newest first, and read it again.

    Args:
        rows_of: a table's shape by its name; None: not one of ours.
        execute: False: only say what would come of it.

    Raises: GateClosedError: a record is not what was written.
    """
    result = Restored()

    def one(record: dict[str, Any]) -> Counter[str]:
        check()
        rows = rows_of(record["table"])
        if rows is None:
            return Counter({"other table": 1})
        restored = _Restored(dynamodb, rows, pace, execute)
        return restored.row(record) if record["kind"] == "row" else restored.entries(record)

    for page in pages:
        if page.problem:
            result.problems.append(f"{page.source}: {page.problem}")
        for record in page.records:
            body = {key: value for key, value in record.items() if key not in {"sha256", "at"}}
            if digest(body) != record.get("sha256"):
                raise GateClosedError(f"a record of {page.source} is not what was written: its digest differs", None)
        for counts in pool.map(one, page.records):
            result.counts.update(counts)
        result.counts["records"] += len(page.records)
    return result


class _Restored:
    def __init__(self, dynamodb: Any, rows: Rows, pace: Pace, execute: bool) -> None:
        self._dynamodb, self._rows, self._pace, self._execute = dynamodb, rows, pace, execute

    def row(self, record: dict[str, Any]) -> Counter[str]:
        item = decode(record["item"])
        now = self._read(decode(record["key"]))
        if now is not None:
            return Counter({"same" if canonical(now) == canonical(item) else "newer": 1})
        if not self._execute:
            return Counter({"put": 1})
        put = self._write(self._dynamodb.put_item, self._rows.put(item))
        now = self._read(decode(record["key"]))
        if now is not None and canonical(now) == canonical(item):
            return Counter({"put" if put else "same": 1})
        # Somebody else was between: what is there is theirs. Nothing there at all is our failure.
        return Counter({"newer" if now is not None else "wrong": 1})

    def entries(self, record: dict[str, Any]) -> Counter[str]:
        key, kind = decode(record["key"]), record["type"]
        found: Counter[str] = Counter()
        now = self._read(key)
        for one in record["entries"]:
            entry = Entry("", str(one["key"]), decode({"v": one["value"]})["v"])
            state = self._rows.holds(now, kind, entry)
            if state != "none":
                found["same" if state == "same" else "newer"] += 1
            elif now is None:
                found["missing"] += 1
            elif not self._execute:
                found["put"] += 1
            else:
                put = any(
                    self._write(self._dynamodb.update_item, arguments)
                    for arguments in self._rows.addition(key, kind, entry)
                )
                state = self._rows.holds(self._read(key), kind, entry)
                found[{"same": "put" if put else "same", "other": "newer", "none": "wrong"}[state]] += 1
        return found

    def _read(self, key: dict[str, Any]) -> dict[str, Any] | None:
        try:
            answer = self._dynamodb.get_item(TableName=self._rows.table.name, Key=key, ConsistentRead=True)
        except (ClientError, BotoCoreError) as error:
            raise self._said(error) from error
        item: dict[str, Any] | None = answer.get("Item")
        return item

    def _write(self, operation: Callable[..., Any], arguments: dict[str, Any]) -> bool:
        self._pace.take()
        try:
            operation(**arguments)
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        except ClientError as error:
            # A path into a map that is not there.
            if error.response["Error"]["Code"] == "ValidationException" and "path" in str(error):
                return False
            raise self._said(error) from error
        except BotoCoreError as error:
            raise self._said(error) from error
        return True

    def _said(self, error: ClientError | BotoCoreError) -> MigrateError:
        said = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        return MigrateError(f"the table {self._rows.table.name} could not be used: {said}", "restore again: it goes on")
