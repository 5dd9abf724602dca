"""One segment of a sweep: read, wait until handshakes are over, ask, export, delete, checkpoint. until phase 3 (MG11)

The order is what makes it safe to be killed anywhere: a row is exported for good before it is deleted, and a page is
checkpointed after its rows are. What is done twice then is asking and exporting; a row is deleted only as it was read.
What is about to go is noted before (`migrate.sweep.reckoning`), so that who goes on can count what is gone already.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from migrate.control.checkpoints import Checkpoints
from migrate.errors import MigrateError
from migrate.sweep.reckoning import Reckoning
from migrate.tables.dynamojson import decode, digest, encode
from migrate.tables.export import Export
from migrate.tables.gateway import Answer, Gateway, Verdict
from migrate.tables.pace import Pace
from migrate.tables.rows import Entry, Item, Rows

__all__ = ["Deleter", "Paces", "Segment", "Stopped"]

T = TypeVar("T")
R = TypeVar("R")

PAGE = 250
TRIES = 4


class Stopped(Exception):  # noqa: N818 - no error: somebody asked for it
    """The sweep was told to stop; it goes on from its checkpoint."""


@dataclass
class Paces:
    """How fast each kind of call is."""

    scan: Pace
    ask: Pace
    delete: Pace


@dataclass
class Deleter:
    """What an executing sweep has more than a dry run."""

    export: Export
    checkpoints: Checkpoints
    job: str
    settle_s: float


@dataclass
class _Read:
    items: list[Item]
    at: float
    last_key: Item | None
    bytes: float = 0.0
    found: list[tuple[Item, list[Entry]]] = field(default_factory=list)


class Segment:
    """One segment.

    Args:
        dynamodb: boto3 client.
        number, total: Scan's Segment and TotalSegments.
        pool: runs questions and deletions; hands: how many of this segment's at a time.
        deleter: None for a dry run.
        check: called often; raises what ends the work (Stopped, a lost lock).
        ahead, ahead_bytes: rows, and bytes of them, read ahead at most.
        clock, wait: seconds; waits at most so long.
    """

    def __init__(
        self,
        dynamodb: Any,
        rows: Rows,
        gateway: Gateway,
        paces: Paces,
        pool: Executor,
        number: int,
        total: int,
        *,
        deleter: Deleter | None,
        check: Callable[[], None],
        hands: int = 16,
        ahead: int = 10_000,
        ahead_bytes: float = 32e6,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._dynamodb, self._rows, self._gateway = dynamodb, rows, gateway
        self._paces, self._pool, self._hands = paces, pool, hands
        self._number, self._total = number, total
        self._deleter, self._check = deleter, check
        self._ahead, self._ahead_bytes = ahead, ahead_bytes
        self._clock, self._wait = clock, wait
        self.counts: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.done = False
        self._reckoning = Reckoning(whole=rows.whole)
        self._last_key: Item | None = None

    def run(self) -> None:
        """To the end, from the last checkpoint.

        Raises: Stopped; RefusedError: the lock was lost; MigrateError: the table or the export cannot be used.
        """
        start = self._resume()
        if self.done:
            return
        pages: deque[_Read] = deque()
        ahead, held, ended = 0, 0.0, False
        while pages or not ended:
            self._check()
            due = pages and self._clock() >= pages[0].at + self._settle_s
            room = not pages or (ahead < self._ahead and held < self._ahead_bytes)
            if not ended and not due and room:
                page = self._scan(start)
                start, ended = page.last_key, page.last_key is None
                pages.append(page)
                ahead, held = ahead + len(page.items), held + page.bytes
            elif due:
                page = pages.popleft()
                ahead, held = ahead - len(page.items), held - page.bytes
                self._page(page)
            else:
                self._wait(min(0.5, max(0.01, pages[0].at + self._settle_s - self._clock())))
        self.done = True

    @property
    def _settle_s(self) -> float:
        return self._deleter.settle_s if self._deleter else 0.0

    def _resume(self) -> Item | None:
        if self._deleter is None:
            return None
        kept = self._deleter.checkpoints.get(self._deleter.job, f"{self._number:05d}") or {}
        self.counts.update(kept.get("counts", {}))
        self.unknown.update(kept.get("unknown", {}))
        self.done = bool(kept.get("done"))
        self._reckoning = Reckoning(kept.get("under_way", ""), whole=self._rows.whole)
        last = kept.get("last_key")
        self._last_key = decode(last) if last else None
        return self._last_key

    def _scan(self, start: Item | None) -> _Read:
        arguments: dict[str, Any] = {
            "TableName": self._rows.table.name,
            "Segment": self._number,
            "TotalSegments": self._total,
            "Limit": PAGE,
            "ReturnConsumedCapacity": "TOTAL",
        }
        if start:
            arguments["ExclusiveStartKey"] = start
        if self._deleter is None:
            # Only what tells a connection; the whole item is read when it is to be exported.
            wanted = dict.fromkeys([*self._rows.keys, self._rows.table.map_attribute or self._rows.table.key])
            names = {f"#n{number}": name for number, name in enumerate(wanted)}
            arguments |= {"ProjectionExpression": ",".join(names), "ExpressionAttributeNames": names}
        answer = self._call(self._dynamodb.scan, self._paces.scan, arguments)
        page = _Read(answer["Items"], self._clock(), answer.get("LastEvaluatedKey"))
        # An eventually consistent read of 8 KB is one unit ("Read and write capacity units").
        page.bytes = 8192.0 * float(answer.get("ConsumedCapacity", {}).get("CapacityUnits", 0.0))
        page.found = [(item, entries) for item in page.items if (entries := self._rows.entries(item))]
        return page

    def _page(self, page: _Read) -> None:
        counts = Counter({"rows": len(page.items)})
        asked = [entry.connection_id for _, entries in page.found for entry in entries]
        answers = dict(zip(asked, self._each(self._ask, asked), strict=True))
        gone: list[tuple[Item, list[Entry]]] = []
        for item, entries in page.found:
            dead = [entry for entry in entries if answers[entry.connection_id].verdict is Verdict.GONE]
            if dead:
                gone.append((item, dead))
        for answer in answers.values():
            counts[answer.verdict.value] += 1
            if answer.verdict is Verdict.UNKNOWN:
                self.unknown[answer.reason] += 1
        counts["connections"] += len(answers)
        if self._deleter is not None:
            here = self._reckoning.marks(self._named(page.found))
            self.counts.update(self._reckoning.deleted_before(here, last=page.last_key is None))
            if gone:
                self._check()
                self._checkpoint(self._last_key, self._deleter, self._reckoning.begin(self._named(gone)), done=False)
                self._delete(gone, counts, self._deleter)
            self.counts.update(counts)
            self._checkpoint(page.last_key, self._deleter, self._reckoning.kept(), done=page.last_key is None)
            self._last_key = page.last_key
        else:
            self.counts.update(counts)

    def _named(self, found: Sequence[tuple[Item, list[Entry]]]) -> list[tuple[Item, list[str]]]:
        """Keys of items, and the connections in each."""
        return [(self._rows.key_of(item), [entry.connection_id for entry in entries]) for item, entries in found]

    def _each(self, call: Callable[[T], R], things: Sequence[T]) -> list[R]:
        """What the call gives for each, in order; done by a few hands that take one after the other.

        Raises: what the first call that failed raised, once no other is under way.
        """
        left = deque(enumerate(things))
        found: dict[int, R] = {}

        def hand() -> None:
            while True:
                try:
                    number, thing = left.popleft()
                except IndexError:
                    return
                try:
                    found[number] = call(thing)
                except BaseException:
                    left.clear()
                    raise

        hands = [self._pool.submit(hand) for _ in range(min(self._hands, len(things)))]
        wait_for(hands)
        for one in hands:
            one.result()
        return [found[number] for number in range(len(things))]

    def _ask(self, connection_id: str) -> Answer:
        for _ in range(TRIES):
            self._check()
            self._paces.ask.take()
            answer = self._gateway.ask(connection_id)
            self._paces.ask.observe(answer.latency_s, throttled=answer.reason if answer.throttled else "")
            if not answer.throttled:
                break
        return answer

    def _delete(self, gone: list[tuple[Item, list[Entry]]], counts: Counter[str], deleter: Deleter) -> None:
        records = [self._record(item, entries) for item, entries in gone]
        deleter.export.write(self._number, records)
        counts["exported"] += sum(len(entries) for _, entries in gone)
        if self._rows.whole:
            deletions = [self._rows.deletion(item) for item, _ in gone]
            for removed in self._each(lambda one: self._remove(self._dynamodb.delete_item, one), deletions):
                counts["deleted" if removed else "changed"] += 1
            return
        for item, entries in gone:
            left = self._take_out(item, entries)
            counts["changed"] += left
            counts["deleted"] += len(entries) - left

    def _take_out(self, item: Item, entries: list[Entry]) -> int:
        """Take entries out of an item; how many of them had changed, and stay."""
        left = 0
        for arguments, part in self._rows.removals(item, entries):
            if self._remove(self._dynamodb.update_item, arguments):
                continue
            if "L" in item[self._rows.table.map_attribute]:
                left += self._take_out_of_list(item, part)
            elif len(part) == 1:
                left += 1
            else:
                left += sum(self._take_out(item, [one]) for one in part)
        return left

    def _take_out_of_list(self, item: Item, entries: list[Entry]) -> int:
        """A list has places, no keys: whoever else writes to it makes it another one, so it is read again."""
        values = [entry.value for entry in entries]
        for _ in range(TRIES):
            arguments = {"TableName": self._rows.table.name, "Key": self._rows.key_of(item), "ConsistentRead": True}
            now = self._call(self._dynamodb.get_item, self._paces.scan, arguments).get("Item")
            still = [entry for entry in self._rows.entries(now) if entry.value in values] if now else []
            if not now or not still:
                return 0
            for change, _ in self._rows.removals(now, still):
                if self._remove(self._dynamodb.update_item, change):
                    return 0
        return len(entries)

    def _remove(self, operation: Callable[..., Any], arguments: dict[str, Any]) -> bool:
        """Whether it was as it had been read, and is gone now."""
        self._check()
        if self._paces.delete.capacity:
            arguments = {**arguments, "ReturnConsumedCapacity": "TOTAL"}
        try:
            self._call(operation, self._paces.delete, arguments)
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _record(self, item: Item, entries: list[Entry]) -> dict[str, Any]:
        record: dict[str, Any] = {"table": self._rows.table.name, "key": encode(self._rows.key_of(item))}
        if self._rows.whole:
            record |= {"kind": "row", "item": encode(item)}
        else:
            attribute = self._rows.table.map_attribute
            record |= {
                "kind": "entries",
                "attribute": attribute,
                "type": next(iter(item[attribute])),
                "entries": [{"key": entry.key, "value": encode(entry.value)} for entry in entries],
            }
        return {**record, "at": time.time(), "sha256": digest(record)}

    def _checkpoint(self, last_key: Item | None, deleter: Deleter, under_way: str, *, done: bool) -> None:
        value: dict[str, Any] = {
            "done": done,
            "under_way": under_way,
            "counts": dict(self.counts),
            "unknown": dict(self.unknown),
            "at": time.time(),
        }
        if last_key is not None:
            value["last_key"] = encode(last_key)
        deleter.checkpoints.put(deleter.job, f"{self._number:05d}", value)

    def _call(self, operation: Callable[..., Any], pace: Pace, arguments: dict[str, Any]) -> dict[str, Any]:
        """A call of DynamoDB at its pace; throttling is tried again, with growing pauses."""
        for attempt in range(8):
            pace.take()
            began = self._clock()
            try:
                answer: dict[str, Any] = operation(**arguments)
            except self._dynamodb.exceptions.ConditionalCheckFailedException:
                pace.observe(self._clock() - began)
                raise
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code not in {
                    "ProvisionedThroughputExceededException",
                    "ThrottlingException",
                    "RequestLimitExceeded",
                }:
                    raise MigrateError(f"the table {self._rows.table.name} could not be used: {code}", None) from error
                pace.observe(0.0, throttled=code)
                self._check()
                self._wait(0.05 * 2**attempt)
            except BotoCoreError as error:
                raise MigrateError(
                    f"the table {self._rows.table.name} could not be reached: {type(error).__name__}", "try again"
                ) from error
            else:
                units = answer.get("ConsumedCapacity", {}).get("CapacityUnits", 0.0)
                pace.observe(self._clock() - began, units=float(units))
                return answer
        raise MigrateError(f"the table {self._rows.table.name} stays throttled", "run the sweep again later, or slower")
