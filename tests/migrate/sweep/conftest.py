"""A table, a gateway and a killer for sweeps. until phase 3"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest

from migrate.config.model import Table
from migrate.control.checkpoints import Checkpoints
from migrate.control.table import ControlTable
from migrate.sweep.restore import Restored, restore
from migrate.sweep.segment import Deleter, Paces, Segment
from migrate.tables.export import DiskExport, pages_of
from migrate.tables.gateway import Answer, Verdict
from migrate.tables.pace import Pace
from migrate.tables.rows import Rows

T = TypeVar("T")
REGION = "eu-west-1"


def connection(name: object) -> str:
    """An id in API Gateway's form."""
    return base64.urlsafe_b64encode(hashlib.sha256(str(name).encode()).digest()[:11]).decode()


@pytest.fixture
def dynamodb(aws: None) -> Any:
    return boto3.client("dynamodb", REGION)


class Killed(BaseException):
    """kill -9."""


class Direct(Executor):
    """Runs what it is given at once, in order: the same interleaving every time."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(call(*args, **kwargs))
        return future

    def map(
        self, fn: Callable[..., T], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[T]:
        return iter([fn(*each) for each in zip(*iterables, strict=True)])


class Gateway:
    """Who lives; asked by the sweep.

    Args:
        living: ids.
    """

    def __init__(self, living: Iterable[str] = ()) -> None:
        self.living = set(living)
        self.unknown: dict[str, str] = {}
        self.asked: list[str] = []

    def ask(self, one: str) -> Answer:
        self.asked.append(one)
        if one in self.unknown:
            return Answer(Verdict.UNKNOWN, self.unknown[one])
        return Answer(Verdict.ALIVE if one in self.living else Verdict.GONE)


class Meddled:
    """A client whose calls run through `before`, told the operation, and `after`.

    Args:
        deleted: how often each key was deleted.
    """

    def __init__(
        self,
        client: Any,
        before: Callable[[str], None],
        after: Callable[[str], None],
        deleted: Counter[str] | None = None,
    ) -> None:
        self._client, self._before, self._after = client, before, after
        self._deleted = Counter[str]() if deleted is None else deleted
        self.exceptions = client.exceptions

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._client, name)

        def call(**arguments: Any) -> Any:
            self._before(name)
            answer = operation(**arguments)
            self._deleted[str(arguments.get("Key"))] += name == "delete_item"
            self._after(name)
            return answer

        return call


class Bench:
    """One table with everything around it."""

    def __init__(self, dynamodb: Any, folder: Path, table: Table, keys: tuple[tuple[str, str], ...]) -> None:
        self.dynamodb, self.folder, self.table = dynamodb, folder, table
        self.rows = Rows(table, [name for name, _ in keys])
        for name in (table.name, "state"):
            if name in dynamodb.list_tables()["TableNames"]:
                dynamodb.delete_table(TableName=name)
        dynamodb.create_table(
            TableName=table.name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[
                {"AttributeName": name, "KeyType": kind}
                for (name, _), kind in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name, kind in keys],
        )
        self.control = ControlTable(dynamodb, "state")
        self.control.ensure()
        self.gateway = Gateway()
        self.runs = 0

    def put(self, *items: dict[str, Any]) -> None:
        for item in items:
            self.dynamodb.put_item(TableName=self.table.name, Item=item)

    def items(self) -> dict[str, dict[str, Any]]:
        """By their keys."""
        found = self.dynamodb.scan(TableName=self.table.name, ConsistentRead=True)["Items"]
        return {str(self.rows.key_of(item)): item for item in found}

    def sweep(
        self,
        *,
        client: Any = None,
        execute: bool = True,
        settle_s: float = 0.0,
        clock: Callable[[], float] | None = None,
        wait: Callable[[float], None] | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> Segment:
        """One process's work on the whole table."""
        self.runs += 1
        fast = [Pace(1e9, sleep=lambda _: None) for _ in range(3)]
        export = DiskExport(self.folder / "exports" / "job", f"{self.runs:06d}")
        deleter = Deleter(export, Checkpoints(self.control), "job", settle_s) if execute else None
        more: dict[str, Any] = {key: value for key, value in (("clock", clock), ("wait", wait)) if value is not None}
        segment = Segment(
            client or self.dynamodb, self.rows, self.gateway, Paces(*fast), Direct(), 0, 1,  # type: ignore[arg-type]  # a stand-in
            deleter=deleter, check=check, **more,
        )  # fmt: skip
        try:
            segment.run()
        finally:
            export.close()
        return segment

    def restore(self, *, execute: bool = True) -> Restored:
        pages = pages_of(self.folder, "job", lambda: None)
        return restore(
            self.dynamodb,
            {self.table.name: self.rows}.get,
            pages,
            Direct(),
            Pace(1e9, sleep=lambda _: None),
            execute=execute,
        )


@pytest.fixture
def bench(dynamodb: Any, tmp_path: Path) -> Callable[..., Bench]:
    def make(keys: tuple[tuple[str, str], ...] = (("id", "S"),), **settings: Any) -> Bench:
        table = Table(name="Connections", role="connections", **settings)
        return Bench(dynamodb, tmp_path, table, keys)

    return make
