"""The event log in a DynamoDB table: one partition per tenant (docs/decisions/0003).

Items of the table `{prefix}-events` (partition key tenant, sort key seq):
    batch  {tenant, seq: number of its first event, count, epoch, batch: id of the append,
            events: list of lists [topic, type, data, time, origin, key] and, where an event has
            them, [until, exclude] behind, expires_at}
    head   {tenant, seq: 0, epoch, start, used}        no expires_at

An append is one put of the number after the tail, on condition that it is not there. Rules that keep it exact
although items expire, and expire in any order: an expired item does not exist, deleted or not; a tail is
trusted only well before its batch expires; where every batch has expired, a new epoch begins.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from sse_service.adapters.dynamodb import ConditionFailedError, Dynamo, Item
from sse_service.errors import AppendConflictError, HistoryGoneError, UnavailableError
from sse_service.events import Draft, Event, EventId, base36
from sse_service.ports import Batch, Clock, Page, Tail

__all__ = ["DynamoEventLog"]

PAGE_ITEMS = 1000


class DynamoEventLog:
    def __init__(self, dynamo: Dynamo, table: str, clock: Clock, *, retention_s: float) -> None:
        self._dynamo = dynamo
        self._table = table
        self._clock = clock
        self._retention_s = retention_s
        self._margin_s = min(300.0, retention_s / 10)
        """Clocks of instances may differ by this much."""
        self._is_checked = False

    async def start(self) -> None:
        await self._dynamo.connect()
        if not self._is_checked:
            await self._dynamo.check_tables()
            self._is_checked = True

    async def close(self) -> None:
        await self._dynamo.close()

    # The end of the log ---------------------------------------------------------------------------------

    async def tail(self, tenant: str) -> Tail:
        for _ in range(20):
            found = await self._look_at_tail(tenant)
            if found is not None:
                return found
        raise UnavailableError("the event log is being set up by too many at once")

    async def _look_at_tail(self, tenant: str) -> Tail | None:
        """One attempt; None when somebody else changed the head at the same moment."""
        now = self._clock()
        newest = await self._newest(tenant, below=None)
        last = 0
        if newest is not None:
            last = _last(newest)
            expires_at = _number(newest, "expires_at")
            if expires_at > now + self._margin_s:
                return Tail(EventId(newest["epoch"]["S"], last), expires_at - 2 * self._margin_s)
        head = (await self._dynamo.call("get_item", **self._at(tenant, 0), ConsistentRead=True)).get("Item")
        epoch = base36((int(now * 1000) << 10) | secrets.randbelow(1024))
        fresh = {"epoch": {"S": epoch}, "start": {"N": str(last)}, "used": {"BOOL": False}}
        try:
            if head is None:
                await self._dynamo.call(
                    "put_item",
                    TableName=self._table,
                    Item={"tenant": {"S": tenant}, "seq": {"N": "0"}, **fresh},
                    ConditionExpression="attribute_not_exists(#seq)",
                    ExpressionAttributeNames={"#seq": "seq"},
                )
            elif not head["used"]["BOOL"] and last <= _number(head, "start"):
                # Begun, and nothing appended since: whoever appends marks the head first.
                return Tail(
                    EventId(head["epoch"]["S"], int(head["start"]["N"])),
                    now + self._retention_s - 2 * self._margin_s,
                    is_unused=True,
                )
            else:
                # Everything of the last epoch has expired; where it ended can no longer be known.
                await self._dynamo.call(
                    "put_item",
                    TableName=self._table,
                    Item={"tenant": {"S": tenant}, "seq": {"N": "0"}, **fresh},
                    ConditionExpression="#epoch = :old",
                    ExpressionAttributeNames={"#epoch": "epoch"},
                    ExpressionAttributeValues={":old": head["epoch"]},
                )
        except ConditionFailedError:
            return None
        return Tail(EventId(epoch, last), now + self._retention_s - 2 * self._margin_s, is_unused=True)

    async def _newest(self, tenant: str, below: int | None) -> Item | None:
        """The batch with the greatest first number (not above `below`)."""
        answer = await self._dynamo.call(
            "query",
            TableName=self._table,
            KeyConditionExpression="#tenant = :tenant AND #seq BETWEEN :low AND :high",
            ExpressionAttributeNames={"#tenant": "tenant", "#seq": "seq"},
            ExpressionAttributeValues={
                ":tenant": {"S": tenant},
                ":low": {"N": "1"},
                ":high": {"N": str(below if below is not None else 10**15)},
            },
            ScanIndexForward=False,
            Limit=1,
            ConsistentRead=True,
        )
        items: list[Item] = answer.get("Items", [])
        return items[0] if items else None

    # Appending ------------------------------------------------------------------------------------------

    async def append(self, tenant: str, tail: Tail, drafts: Sequence[Draft], batch_id: str) -> Batch:
        epoch, first = tail.position.epoch, tail.position.seq + 1
        if tail.is_unused:
            await self._mark_used(tenant, epoch, first)
        expires_at = int(self._clock() + self._retention_s) + 1
        try:
            await self._dynamo.call(
                "put_item",
                TableName=self._table,
                Item={
                    "tenant": {"S": tenant},
                    "seq": {"N": str(first)},
                    "count": {"N": str(len(drafts))},
                    "epoch": {"S": epoch},
                    "batch": {"S": batch_id},
                    # Not one JSON text: that would escape the data's own quotes, and an item that was
                    # measured in bytes of its events could come to twice its size.
                    "events": {"L": [_row(draft) for draft in drafts]},
                    "expires_at": {"N": str(expires_at)},
                },
                ConditionExpression="attribute_not_exists(#seq)",
                ExpressionAttributeNames={"#seq": "seq"},
            )
        except ConditionFailedError:
            raise AppendConflictError(tenant, first) from None
        events = tuple(Event.of(d, tenant, EventId(epoch, first + i)) for i, d in enumerate(drafts))
        return Batch(tenant, events, batch_id, expires_at - 2 * self._margin_s)

    async def _mark_used(self, tenant: str, epoch: str, first: int) -> None:
        # Before the first put, not after it: a crash in between must not leave events behind a head that
        # says there never were any.
        try:
            await self._dynamo.call(
                "update_item",
                **self._at(tenant, 0),
                UpdateExpression="SET #used = :true",
                ConditionExpression="#epoch = :epoch",
                ExpressionAttributeNames={"#used": "used", "#epoch": "epoch"},
                ExpressionAttributeValues={":true": {"BOOL": True}, ":epoch": {"S": epoch}},
            )
        except ConditionFailedError:
            raise AppendConflictError(tenant, first) from None

    # Reading --------------------------------------------------------------------------------------------

    async def read(self, tenant: str, after: EventId, *, max_bytes: int, aligned: bool = False) -> Page:
        items: list[Item] = []
        start = after.seq + 1
        if not aligned:
            covering = await self._newest(tenant, below=after.seq + 1)
            if covering is None:
                if after.seq > 0:
                    await self._check_beginning(tenant, after)
            elif _last(covering) > after.seq:
                items.append(covering)
                start = _last(covering) + 1
            else:
                self._check_end(tenant, covering, after)
        more = False
        if not items or _size(items) < max_bytes:
            answer = await self._dynamo.call(
                "query",
                TableName=self._table,
                KeyConditionExpression="#tenant = :tenant AND #seq >= :start",
                ExpressionAttributeNames={"#tenant": "tenant", "#seq": "seq"},
                ExpressionAttributeValues={":tenant": {"S": tenant}, ":start": {"N": str(start)}},
                Limit=PAGE_ITEMS,
                ConsistentRead=True,
            )
            items += answer.get("Items", [])
            more = "LastEvaluatedKey" in answer
        else:
            more = True
        if not items and not aligned and after.seq == 0:
            await self._check_beginning(tenant, after)
        return self._page(tenant, after, items, more, max_bytes)

    async def _check_beginning(self, tenant: str, after: EventId) -> None:
        """A cursor with no batch at or before it is right only at the very beginning of an epoch."""
        tail = await self.tail(tenant)
        if tail.position != after:
            same_log = tail.position.epoch == after.epoch
            ahead = same_log and after.seq > tail.position.seq
            raise HistoryGoneError(tenant, "ahead" if ahead else "expired" if same_log else "unknown_log")

    def _check_end(self, tenant: str, newest: Item, after: EventId) -> None:
        """The cursor is not inside a batch: it must be the end of the newest one."""
        if newest["epoch"]["S"] != after.epoch:
            raise HistoryGoneError(tenant, "unknown_log")
        if _last(newest) < after.seq:
            raise HistoryGoneError(tenant, "ahead")
        if _number(newest, "expires_at") <= self._clock():
            raise HistoryGoneError(tenant, "expired")

    def _page(self, tenant: str, after: EventId, items: Sequence[Item], more: bool, max_bytes: int) -> Page:
        events: list[Event] = []
        batch_ids: set[str] = set()
        expected, size, trusted_until = after.seq + 1, 0, 0.0
        now = self._clock()
        for item in items:
            if size and size >= max_bytes:
                more = True
                break
            first, epoch = int(item["seq"]["N"]), item["epoch"]["S"]
            if epoch != after.epoch:
                if not events:
                    raise HistoryGoneError(tenant, "unknown_log")
                more = True  # the next page says so
                break
            if first > expected or _number(item, "expires_at") <= now:
                raise HistoryGoneError(tenant, "expired")
            for i, row in enumerate(item["events"]["L"]):
                if first + i >= expected:
                    events.append(_event(tenant, EventId(epoch, first + i), row["L"]))
            expected = _last(item) + 1
            size += _size([item])
            batch_ids.add(item["batch"]["S"])
            trusted_until = _number(item, "expires_at") - 2 * self._margin_s
        end = events[-1].id if events else after
        return Page(tuple(events), end, more, trusted_until, frozenset(batch_ids))

    def _at(self, tenant: str, seq: int) -> dict[str, Any]:
        return {"TableName": self._table, "Key": {"tenant": {"S": tenant}, "seq": {"N": str(seq)}}}


def _row(draft: Draft) -> dict[str, Any]:
    texts = [draft.topic, draft.type, draft.data, draft.origin, draft.key]
    topic, kind, data, origin, key = ({"S": text} for text in texts)
    rest = [{"N": repr(draft.until)}, {"S": draft.exclude}] if draft.until or draft.exclude else []
    return {"L": [topic, kind, data, {"N": repr(draft.time)}, origin, key, *rest]}


def _event(tenant: str, event_id: EventId, row: list[Any]) -> Event:
    topic, kind, data, time, origin, key, *rest = row
    until, exclude = (float(rest[0]["N"]), rest[1]["S"]) if rest else (0.0, "")
    return Event(
        event_id, tenant, topic["S"], kind["S"], data["S"], float(time["N"]), origin["S"], key["S"], until, exclude
    )


def _last(batch: Item) -> int:
    return int(batch["seq"]["N"]) + int(batch["count"]["N"]) - 1


def _number(item: Item, name: str) -> float:
    return float(item[name]["N"])


def _size(items: Sequence[Item]) -> int:
    return sum(len(row["L"][2]["S"]) + 100 for item in items for row in item["events"]["L"])
