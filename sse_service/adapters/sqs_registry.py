"""Who reads which queue: the table `{prefix}-user-queues` (ChatUserQueue).

Items (partition key tenant, sort key userId):
    mailbox   {tenant, userId, queueUrl, createdAt, readers: set of instance ids}
    tenant's  {tenant, userId: "#tenant", ...the same}
    instance  {tenant: "#instances", userId: slot number, instanceId, queueUrl, until}

An instance holds one slot by a lease, which it renews; a mailbox names its readers, and one whose lease has run
out is none. So a stream costs a write when its user's first one opens and one when the last has closed, and
nothing in between. Answers are kept CACHE_S: who begins to read looks at the log once more after that time.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote

from sse_service.adapters.dynamodb import ConditionFailedError, Dynamo, Item
from sse_service.brokers.routing import Mailbox, plain
from sse_service.errors import UnavailableError
from sse_service.ports import Clock

__all__ = ["CACHE_S", "LEASE_S", "MailboxRow", "QueueRegistry"]

CACHE_S = 1.0
LEASE_S = 30.0
CLOCKS_S = 5.0
"""Clocks of instances may differ by this much: a slot is taken over so long after its lease has run out."""
INSTANCES = "#instances"
WHOLE_TENANT = "#tenant"
MAX_CACHED = 10_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MailboxRow:
    """readers: ids of instances that poll it, some of which may be gone."""

    mailbox: Mailbox
    url: str
    readers: frozenset[str]


class QueueRegistry:
    def __init__(self, dynamo: Dynamo, table: str, instance: str, clock: Clock) -> None:
        self._dynamo = dynamo
        self._table = table
        self._instance = instance
        self._clock = clock
        self._kept: dict[object, tuple[float, object]] = {}

    async def connect(self) -> None:
        await self._dynamo.connect()

    async def _cached(self, key: object, read: Callable[[], Awaitable[T]]) -> T:
        now = time.monotonic()  # before the read: what is kept is never older than CACHE_S
        kept = self._kept.get(key)
        if kept is not None and now - kept[0] < CACHE_S:
            return kept[1]  # type: ignore[return-value] # a key belongs to one kind of read
        found = await read()
        if len(self._kept) >= MAX_CACHED:
            self._kept.clear()
        self._kept[key] = (now, found)
        return found

    # Instances ------------------------------------------------------------------------------------------

    async def claim_slot(self) -> int:
        """The lowest free slot, held for LEASE_S. Raises UnavailableError."""
        for _ in range(20):
            rows = await self._rows(INSTANCES)
            taken = {int(row["userId"]["S"]) for row in rows if not self._is_free(row)}
            slot = next(n for n in range(len(taken) + 1) if n not in taken)
            now = self._clock()
            try:
                await self._dynamo.call(
                    "put_item",
                    TableName=self._table,
                    Item=self._slot(slot, "", now),
                    ConditionExpression="attribute_not_exists(userId) OR #until < :free OR instanceId = :me",
                    ExpressionAttributeNames={"#until": "until"},
                    ExpressionAttributeValues={":free": {"N": str(now - CLOCKS_S)}, ":me": {"S": self._instance}},
                )
                return slot
            except ConditionFailedError:
                continue  # somebody else was quicker
        raise UnavailableError("no slot could be claimed: too many instances start at once")

    async def renew(self, slot: int, url: str) -> bool:
        """Hold the slot for another LEASE_S, and say which queue is read. False: it is somebody else's now."""
        try:
            await self._dynamo.call(
                "put_item",
                TableName=self._table,
                Item=self._slot(slot, url, self._clock()),
                ConditionExpression="instanceId = :me",
                ExpressionAttributeValues={":me": {"S": self._instance}},
            )
        except ConditionFailedError:
            return False
        return True

    async def give_up(self, slot: int) -> None:
        try:
            await self._dynamo.call(
                "delete_item",
                TableName=self._table,
                Key={"tenant": {"S": INSTANCES}, "userId": {"S": f"{slot:05d}"}},
                ConditionExpression="instanceId = :me",
                ExpressionAttributeValues={":me": {"S": self._instance}},
            )
        except ConditionFailedError:
            return

    async def instances(self, *, fresh: bool = False) -> dict[str, str]:
        """Ids of the instances whose lease has not run out, and the URLs of their queues ("": none)."""

        async def read() -> dict[str, str]:
            now = self._clock()
            rows = await self._rows(INSTANCES)
            return {
                row["instanceId"]["S"]: row["queueUrl"]["S"]
                for row in rows
                if float(row["until"]["N"]) + CLOCKS_S > now
            }

        if fresh:
            self._kept.pop(INSTANCES, None)
        return await self._cached(INSTANCES, read)

    def _slot(self, slot: int, url: str, now: float) -> Item:
        return {
            "tenant": {"S": INSTANCES},
            "userId": {"S": f"{slot:05d}"},
            "instanceId": {"S": self._instance},
            "queueUrl": {"S": url},
            "until": {"N": str(now + LEASE_S)},
        }

    def _is_free(self, row: Item) -> bool:
        return row["instanceId"]["S"] == self._instance or float(row["until"]["N"]) < self._clock() - CLOCKS_S

    # Mailboxes ------------------------------------------------------------------------------------------

    async def url_of(self, mailbox: Mailbox) -> str:
        """The queue that was agreed on, or ""."""
        row = await self._get(mailbox)
        return row.url if row is not None else ""

    async def read_from(self, mailbox: Mailbox, url: str) -> str:
        """This instance polls the mailbox. Returns its queue: of two that make one at once, both get the first."""
        answer = await self._dynamo.call(
            "update_item",
            TableName=self._table,
            Key=_key(mailbox),
            UpdateExpression="SET queueUrl = if_not_exists(queueUrl, :url), createdAt = if_not_exists(createdAt, :now)"
            " ADD readers :me",
            ExpressionAttributeValues={
                ":url": {"S": url},
                ":now": {"N": str(int(self._clock()))},
                ":me": {"SS": [self._instance]},
            },
            ReturnValues="ALL_NEW",
        )
        found: str = answer["Attributes"]["queueUrl"]["S"]
        return found

    async def replace_url(self, mailbox: Mailbox, old: str, new: str) -> str:
        """The old queue is gone. Returns the one that is agreed on now."""
        try:
            await self._dynamo.call(
                "update_item",
                TableName=self._table,
                Key=_key(mailbox),
                UpdateExpression="SET queueUrl = :new",
                ConditionExpression="queueUrl = :old OR attribute_not_exists(queueUrl)",
                ExpressionAttributeValues={":new": {"S": new}, ":old": {"S": old}},
            )
        except ConditionFailedError:
            return await self.url_of(mailbox)
        return new

    async def forget(self, mailbox: Mailbox, readers: Iterable[str] = ()) -> None:
        """These (this instance) do not poll it any more."""
        try:
            await self._dynamo.call(
                "update_item",
                TableName=self._table,
                Key=_key(mailbox),
                UpdateExpression="DELETE readers :gone",
                ConditionExpression="attribute_exists(userId)",
                ExpressionAttributeValues={":gone": {"SS": sorted(readers) or [self._instance]}},
            )
        except ConditionFailedError:
            return

    async def mailbox(self, mailbox: Mailbox) -> MailboxRow | None:
        return await self._cached(mailbox, lambda: self._get(mailbox))

    async def of_tenant(self, tenant: str) -> list[MailboxRow]:
        """Every mailbox of a tenant that somebody reads."""

        async def read() -> list[MailboxRow]:
            rows = [_row(tenant, item) for item in await self._rows(plain(tenant))]
            return [row for row in rows if row.readers]

        return await self._cached((tenant,), read)

    async def _get(self, mailbox: Mailbox) -> MailboxRow | None:
        answer = await self._dynamo.call("get_item", TableName=self._table, Key=_key(mailbox), ConsistentRead=True)
        item = answer.get("Item")
        return _row(mailbox.tenant, item) if item else None

    async def _rows(self, partition: str) -> list[Item]:
        return await self._dynamo.query(
            TableName=self._table,
            KeyConditionExpression="tenant = :tenant",
            ExpressionAttributeValues={":tenant": {"S": partition}},
        )


def _key(mailbox: Mailbox) -> Item:
    user = WHOLE_TENANT if mailbox.user is None else plain(mailbox.user)
    return {"tenant": {"S": plain(mailbox.tenant)}, "userId": {"S": user}}


def _row(tenant: str, item: Item) -> MailboxRow:
    name = item["userId"]["S"]
    user = None if name == WHOLE_TENANT else unquote(name)
    readers = frozenset(item.get("readers", {}).get("SS", ()))
    return MailboxRow(Mailbox(tenant, user), item.get("queueUrl", {}).get("S", ""), readers)
