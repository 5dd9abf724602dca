"""Messages, conversations and claims in DynamoDB.

Messages have the format of the rooms table of the stack that is left (partition key: the conversation, sort
key `timestamp` N in seconds with six decimals; messageId, userName, message), so that both can share one
table. In a table of our own the partition is `{tenant}#{conversation}`; a shared one knows no tenants and
belongs to one (SSE_MESSAGES_TENANT).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sse_service.adapters.dynamodb import ConditionFailedError, Dynamo, Item
from sse_service.errors import UnavailableError
from sse_service.events import key_part
from sse_service.ports import Attachment, Claim, Conversation, Departure, Message

__all__ = ["DynamoClaims", "DynamoConversations", "DynamoMessages"]

MICRO = 1_000_000
MAX_BUMPS = 1000
FAR_FUTURE_US = 10**18
UNTOLD = "UNTOLD"
MAX_TRANSACTION = 100
"""Actions in one transaction. Source: DynamoDB API reference, TransactWriteItems."""


def _seconds(timestamp_us: int) -> str:
    """Decimal text; DynamoDB numbers have 38 digits, so nothing is rounded."""
    return f"{timestamp_us // MICRO}.{timestamp_us % MICRO:06d}"


class SharedMessages:
    """Open conversations of one tenant in a table shared with the stack that is left, all others in our own.

    That stack knows neither tenants nor private conversations: whoever talks to it may read and write any partition of
    its table.
    """

    def __init__(self, shared: DynamoMessages, own: DynamoMessages, tenant: str) -> None:
        self._shared = shared
        self._own = own
        self._tenant = tenant

    def may_open(self, tenant: str) -> bool:
        return tenant != self._tenant

    def _of(self, tenant: str, is_open: bool) -> DynamoMessages:
        return self._shared if is_open and tenant == self._tenant else self._own

    async def put(self, tenant: str, message: Message, *, is_open: bool) -> Message:
        return await self._of(tenant, is_open).put(tenant, message, is_open=is_open)

    async def page(
        self,
        tenant: str,
        conversation_id: str,
        *,
        is_open: bool,
        limit: int,
        before_us: int | None,
        after_us: int | None,
    ) -> tuple[list[Message], bool]:
        return await self._of(tenant, is_open).page(
            tenant, conversation_id, is_open=is_open, limit=limit, before_us=before_us, after_us=after_us
        )

    async def count(
        self,
        tenant: str,
        conversation_id: str,
        *,
        is_open: bool,
        after_us: int | None,
        until_us: int | None,
        not_by: Collection[str],
        limit: int,
    ) -> int:
        return await self._of(tenant, is_open).count(
            tenant,
            conversation_id,
            is_open=is_open,
            after_us=after_us,
            until_us=until_us,
            not_by=not_by,
            limit=limit,
        )

    def has_other_writers(self, tenant: str, *, is_open: bool) -> bool:
        return self._of(tenant, is_open) is self._shared


class DynamoMessages:
    """One table. partition_key: its name. is_shared: partitions are named by the conversation alone."""

    def __init__(self, dynamo: Dynamo, table: str, partition_key: str, *, is_shared: bool = False) -> None:
        self._dynamo = dynamo
        self._table = table
        self._partition_key = partition_key
        self._is_shared = is_shared

    def may_open(self, tenant: str) -> bool:
        return True

    def _partition(self, tenant: str, conversation_id: str) -> str:
        return conversation_id if self._is_shared else f"{key_part(tenant)}#{conversation_id}"

    def _key(self, tenant: str, conversation_id: str, timestamp_us: int) -> Item:
        return {
            self._partition_key: {"S": self._partition(tenant, conversation_id)},
            "timestamp": {"N": _seconds(timestamp_us)},
        }

    def _facts(self, message: Message) -> Item:
        facts: Item = {
            "messageId": {"S": message.message_id},
            "userName": {"S": message.user_name},
            "message": {"S": message.text},
        }
        # A shared table keeps the format of its other writers; the sender is who the name says.
        if message.sender and not self._is_shared:
            facts["sender"] = {"S": message.sender}
        if message.attachment is not None:
            it = message.attachment
            texts = {"uploadId": it.upload_id, "owner": it.owner, "contentType": it.content_type, "name": it.name}
            facts["attachment"] = {"M": {name: {"S": text} for name, text in texts.items()}}
            facts["attachment"]["M"]["size"] = {"N": str(it.size)}
        return facts

    async def put(self, tenant: str, message: Message, *, is_open: bool) -> Message:
        at = message.timestamp_us
        for _ in range(MAX_BUMPS):
            key = self._key(tenant, message.conversation_id, at)
            try:
                await self._dynamo.call(
                    "put_item",
                    TableName=self._table,
                    Item={**key, **self._facts(message)},
                    ConditionExpression="attribute_not_exists(#key)",
                    ExpressionAttributeNames={"#key": self._partition_key},
                )
                return replace(message, timestamp_us=at)
            except ConditionFailedError:
                answer = await self._dynamo.call("get_item", TableName=self._table, Key=key, ConsistentRead=True)
                there = answer.get("Item")
                if there is not None and there.get("messageId", {}).get("S") == message.message_id:
                    return _message(message.conversation_id, there)
                at += 1
        raise UnavailableError("the conversation takes no more messages at this moment")

    async def page(
        self,
        tenant: str,
        conversation_id: str,
        *,
        is_open: bool,
        limit: int,
        before_us: int | None,
        after_us: int | None,
    ) -> tuple[list[Message], bool]:
        low = after_us + 1 if after_us is not None else 0
        high = before_us - 1 if before_us is not None else FAR_FUTURE_US
        if low > high:
            return [], False
        messages: list[Message] = []
        start: Mapping[str, Any] | None = None
        while len(messages) <= limit:
            paging = {"ExclusiveStartKey": start} if start else {}
            answer = await self._dynamo.call(
                "query",
                TableName=self._table,
                KeyConditionExpression="#key = :key AND #time BETWEEN :low AND :high",
                ExpressionAttributeNames={"#key": self._partition_key, "#time": "timestamp"},
                ExpressionAttributeValues={
                    ":key": {"S": self._partition(tenant, conversation_id)},
                    ":low": {"N": _seconds(low)},
                    ":high": {"N": _seconds(high)},
                },
                ScanIndexForward=False,
                Limit=limit + 1 - len(messages),
                ConsistentRead=True,
                **paging,
            )
            messages += [_message(conversation_id, item) for item in answer.get("Items", [])]
            start = answer.get("LastEvaluatedKey")
            if not start:
                break
        return messages[:limit][::-1], len(messages) > limit

    async def count(
        self,
        tenant: str,
        conversation_id: str,
        *,
        is_open: bool,
        after_us: int | None,
        until_us: int | None,
        not_by: Collection[str],
        limit: int,
    ) -> int:
        low = after_us + 1 if after_us is not None else 0
        high = until_us if until_us is not None else FAR_FUTURE_US
        if low > high:
            return 0
        author = "userName" if self._is_shared else "sender"
        names = {f":by{n}": {"S": name} for n, name in enumerate(sorted(not_by))}
        only = {"FilterExpression": f"NOT #author IN ({', '.join(names)})"} if names else {}
        count = 0
        start: Mapping[str, Any] | None = None
        while count < limit:
            paging = {"ExclusiveStartKey": start} if start else {}
            answer = await self._dynamo.call(
                "query",
                TableName=self._table,
                KeyConditionExpression="#key = :key AND #time BETWEEN :low AND :high",
                ExpressionAttributeNames={
                    "#key": self._partition_key,
                    "#time": "timestamp",
                    **({"#author": author} if names else {}),
                },
                ExpressionAttributeValues={
                    ":key": {"S": self._partition(tenant, conversation_id)},
                    ":low": {"N": _seconds(low)},
                    ":high": {"N": _seconds(high)},
                    **names,
                },
                Select="COUNT",
                # Read before the filter: no more than is wanted at the least.
                Limit=limit - count,
                ConsistentRead=True,
                **only,
                **paging,
            )
            count += answer["Count"]
            start = answer.get("LastEvaluatedKey")
            if not start:
                break
        return min(count, limit)

    def has_other_writers(self, tenant: str, *, is_open: bool) -> bool:
        return self._is_shared


def _message(conversation_id: str, item: Item) -> Message:
    return Message(
        conversation_id,
        item.get("messageId", {}).get("S", ""),
        item.get("userName", {}).get("S", ""),
        item.get("message", {}).get("S", ""),
        int(Decimal(item["timestamp"]["N"]) * MICRO),
        item.get("sender", {}).get("S", ""),
        _attachment(item),
    )


def _attachment(item: Item) -> Attachment | None:
    found = item.get("attachment", {}).get("M")
    if not found:
        return None
    return Attachment(
        found["uploadId"]["S"],
        found["owner"]["S"],
        found["contentType"]["S"],
        int(found["size"]["N"]),
        found["name"]["S"],
    )


class DynamoConversations:
    """Table `{prefix}-conversations`, no index, so that every read can be consistent:

    CONV#{tenant}#{id}   META   {participants SS, former SS, isOpen, creator, removals}
    USER#{tenant}#{user} {id}   one row per participant
    OPEN#{tenant}        {id}   one row per open conversation
    UNTOLD               {note} {tenant, conversationId, user}: a removal until streams were told of it

    META and the rows change in one transaction: whoever is not in META any more has no row that would open its streams.
    The same table holds the rows of dynamodb_inbox.py.
    """

    def __init__(self, dynamo: Dynamo, table: str) -> None:
        self._dynamo = dynamo
        self._table = table

    async def get(self, tenant: str, conversation_id: str) -> Conversation | None:
        answer = await self._dynamo.call(
            "get_item",
            TableName=self._table,
            Key=_row(f"CONV#{key_part(tenant)}#{conversation_id}", "META"),
            ConsistentRead=True,
        )
        item = answer.get("Item")
        return _conversation(conversation_id, item) if item else None

    async def save(self, tenant: str, conversation: Conversation) -> Conversation:
        conversation_id = conversation.conversation_id
        people = sorted(conversation.participants)
        # The first part makes it; META comes along with every part, so that none of them depends on another.
        for at in range(0, max(1, len(people)), MAX_TRANSACTION - 2):
            part = people[at : at + MAX_TRANSACTION - 2]
            rows = [f"USER#{key_part(tenant)}#{key_part(user)}" for user in part]
            if conversation.is_open:
                rows.append(f"OPEN#{key_part(tenant)}")
            await self._dynamo.transact(
                [
                    {"Update": self._widened(tenant, conversation, part)},
                    *({"Put": {"TableName": self._table, "Item": _row(row, conversation_id)}} for row in rows),
                ]
            )
        saved = await self.get(tenant, conversation_id)
        if saved is None:
            raise UnavailableError("the conversation was removed at the same moment")
        return saved

    def _widened(self, tenant: str, conversation: Conversation, people: list[str]) -> dict[str, Any]:
        sets = ["#creator = if_not_exists(#creator, :creator)"]
        names = {"#creator": "creator"}
        values: dict[str, Any] = {":creator": {"S": conversation.creator}}
        if conversation.is_open:
            sets.append("#open = :true")
            names["#open"] = "isOpen"
            values[":true"] = {"BOOL": True}
        expression = "SET " + ", ".join(sets)
        if people:
            expression += " ADD #participants :participants DELETE #former :participants"
            names |= {"#participants": "participants", "#former": "former"}
            values[":participants"] = {"SS": people}
        return {
            "TableName": self._table,
            "Key": _row(f"CONV#{key_part(tenant)}#{conversation.conversation_id}", "META"),
            "UpdateExpression": expression,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }

    async def remove(self, departure: Departure) -> Conversation | None:
        tenant, conversation_id, user = departure.tenant, departure.conversation_id, departure.user
        update = {
            "TableName": self._table,
            "Key": _row(f"CONV#{key_part(tenant)}#{conversation_id}", "META"),
            "UpdateExpression": "DELETE #participants :user ADD #former :user, #removals :one",
            "ConditionExpression": "contains(#participants, :name)",
            "ExpressionAttributeNames": {
                "#participants": "participants",
                "#former": "former",
                "#removals": "removals",
            },
            "ExpressionAttributeValues": {":user": {"SS": [user]}, ":one": {"N": "1"}, ":name": {"S": user}},
        }
        row = {"TableName": self._table, "Key": _row(f"USER#{key_part(tenant)}#{key_part(user)}", conversation_id)}
        facts = {"tenant": tenant, "conversationId": conversation_id, "user": user}
        note = {**_row(UNTOLD, departure.note), **{name: {"S": text} for name, text in facts.items()}}
        with contextlib.suppress(ConditionFailedError):  # removed before, or there is no such conversation
            await self._dynamo.transact(
                [{"Update": update}, {"Delete": row}, {"Put": {"TableName": self._table, "Item": note}}]
            )
        return await self.get(tenant, conversation_id)

    async def untold(self) -> list[Departure]:
        items = await self._dynamo.query(
            TableName=self._table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": UNTOLD}},
        )
        return [
            Departure(item["tenant"]["S"], item["conversationId"]["S"], item["user"]["S"], item["sk"]["S"])
            for item in items
        ]

    async def told(self, departure: Departure) -> None:
        await self._dynamo.call("delete_item", TableName=self._table, Key=_row(UNTOLD, departure.note))

    async def of_user(self, tenant: str, user: str) -> frozenset[str]:
        mine, everybodys = await asyncio.gather(
            self._ids(f"USER#{key_part(tenant)}#{key_part(user)}"), self._ids(f"OPEN#{key_part(tenant)}")
        )
        return mine | everybodys

    async def _ids(self, partition: str) -> frozenset[str]:
        items = await self._dynamo.query(
            TableName=self._table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": partition}},
        )
        return frozenset(item["sk"]["S"] for item in items)


def _row(partition: str, sort: str) -> Item:
    return {"pk": {"S": partition}, "sk": {"S": sort}}


def _conversation(conversation_id: str, item: Item) -> Conversation:
    return Conversation(
        conversation_id,
        frozenset(item.get("participants", {}).get("SS", ())),
        item.get("isOpen", {}).get("BOOL", False),
        item.get("creator", {}).get("S", ""),
        frozenset(item.get("former", {}).get("SS", ())),
        int(item.get("removals", {}).get("N", 0)),
    )


class DynamoClaims:
    """Table `{prefix}-claims`: {claim, state, owner, lease_until, facts, result (JSON text), expires_at}."""

    def __init__(self, dynamo: Dynamo, table: str) -> None:
        self._dynamo = dynamo
        self._table = table

    async def claim(
        self, key: str, owner: str, facts: Mapping[str, str], *, now: float, lease_s: float, keep_s: float
    ) -> Claim:
        item = {
            "claim": {"S": key},
            "state": {"S": "pending"},
            "owner": {"S": owner},
            "lease_until": {"N": str(now + lease_s)},
            "facts": {"S": json.dumps(dict(facts))},
            "expires_at": {"N": str(int(now + keep_s) + 1)},
        }
        try:
            await self._dynamo.call(
                "put_item",
                TableName=self._table,
                Item=item,
                # TTL deletes late: what has expired counts as gone.
                ConditionExpression="attribute_not_exists(claim) OR expires_at <= :now",
                ExpressionAttributeValues={":now": {"N": str(now)}},
            )
            return Claim("mine", facts, {})
        except ConditionFailedError:
            pass
        answer = await self._dynamo.call(
            "get_item", TableName=self._table, Key={"claim": {"S": key}}, ConsistentRead=True
        )
        there = answer.get("Item")
        if there is None:  # deleted this very moment
            return Claim("busy", facts, {})
        first_facts: Mapping[str, str] = json.loads(there["facts"]["S"])
        if there["state"]["S"] == "done":
            return Claim("done", first_facts, json.loads(there["result"]["S"]))
        if there["owner"]["S"] == owner:
            # Our own put, carried out at an attempt whose answer was lost (the SDK repeats by itself).
            return Claim("mine", first_facts, {})
        if float(there["lease_until"]["N"]) > now:
            return Claim("busy", first_facts, {})
        try:
            await self._dynamo.call(
                "update_item",
                TableName=self._table,
                Key={"claim": {"S": key}},
                UpdateExpression="SET #owner = :owner, lease_until = :lease",
                ConditionExpression="#owner = :old AND lease_until = :old_lease AND #state = :pending",
                ExpressionAttributeNames={"#owner": "owner", "#state": "state"},
                ExpressionAttributeValues={
                    ":owner": {"S": owner},
                    ":lease": item["lease_until"],
                    ":old": there["owner"],
                    ":old_lease": there["lease_until"],
                    ":pending": {"S": "pending"},
                },
            )
        except ConditionFailedError:
            return Claim("busy", first_facts, {})
        return Claim("taken_over", first_facts, {})

    async def complete(self, key: str, result: Mapping[str, str]) -> None:
        try:
            await self._dynamo.call(
                "update_item",
                TableName=self._table,
                Key={"claim": {"S": key}},
                UpdateExpression="SET #state = :done, #result = :result",
                # A record that has expired meanwhile is not made again.
                ConditionExpression="attribute_exists(claim)",
                ExpressionAttributeNames={"#state": "state", "#result": "result"},
                ExpressionAttributeValues={
                    ":done": {"S": "done"},
                    ":result": {"S": json.dumps(dict(result))},
                },
            )
        except ConditionFailedError:
            return

    async def renew(self, key: str, owner: str, lease_until: float) -> bool:
        try:
            await self._dynamo.call(
                "update_item",
                TableName=self._table,
                Key={"claim": {"S": key}},
                UpdateExpression="SET lease_until = :until",
                ConditionExpression="#owner = :owner AND #state = :pending",
                ExpressionAttributeNames={"#owner": "owner", "#state": "state"},
                ExpressionAttributeValues={
                    ":until": {"N": str(lease_until)},
                    ":owner": {"S": owner},
                    ":pending": {"S": "pending"},
                },
            )
        except ConditionFailedError:
            return False  # somebody took it over, or it was completed
        return True

    async def release(self, key: str, owner: str) -> None:
        try:
            await self._dynamo.call(
                "update_item",
                TableName=self._table,
                Key={"claim": {"S": key}},
                UpdateExpression="SET lease_until = :zero",
                ConditionExpression="#owner = :owner AND #state = :pending",
                ExpressionAttributeNames={"#owner": "owner", "#state": "state"},
                ExpressionAttributeValues={
                    ":zero": {"N": "0"},
                    ":owner": {"S": owner},
                    ":pending": {"S": "pending"},
                },
            )
        except ConditionFailedError:
            return  # somebody took it over, or it was completed
