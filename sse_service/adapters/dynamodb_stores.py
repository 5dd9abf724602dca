"""Messages, conversations and claims in DynamoDB.

Messages have the format of the rooms table of the stack that is left (partition key: the conversation, sort
key `timestamp` N in seconds with six decimals; messageId, userName, message), so that both can share one
table. In a table of our own the partition is `{tenant}#{conversation}`; a shared one knows no tenants and
belongs to one (SSE_MESSAGES_TENANT).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from sse_service.adapters.dynamodb import ConditionFailedError, Dynamo, Item
from sse_service.errors import UnavailableError
from sse_service.ports import Claim, Conversation, Message

__all__ = ["DynamoClaims", "DynamoConversations", "DynamoMessages"]

MICRO = 1_000_000
MAX_BUMPS = 1000
FAR_FUTURE_US = 10**18


def _seconds(timestamp_us: int) -> str:
    """Decimal text; DynamoDB numbers have 38 digits, so nothing is rounded."""
    return f"{timestamp_us // MICRO}.{timestamp_us % MICRO:06d}"


def _plain(part: str) -> str:
    """A part of a key that cannot contain the separator `#`."""
    return quote(part, safe="@.:+-_")


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
        return conversation_id if self._is_shared else f"{_plain(tenant)}#{conversation_id}"

    def _key(self, tenant: str, conversation_id: str, timestamp_us: int) -> Item:
        return {
            self._partition_key: {"S": self._partition(tenant, conversation_id)},
            "timestamp": {"N": _seconds(timestamp_us)},
        }

    async def put(self, tenant: str, message: Message, *, is_open: bool) -> Message:
        at = message.timestamp_us
        for _ in range(MAX_BUMPS):
            key = self._key(tenant, message.conversation_id, at)
            try:
                await self._dynamo.call(
                    "put_item",
                    TableName=self._table,
                    Item={
                        **key,
                        "messageId": {"S": message.message_id},
                        "userName": {"S": message.user_name},
                        "message": {"S": message.text},
                    },
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


def _message(conversation_id: str, item: Item) -> Message:
    return Message(
        conversation_id,
        item.get("messageId", {}).get("S", ""),
        item.get("userName", {}).get("S", ""),
        item.get("message", {}).get("S", ""),
        int(Decimal(item["timestamp"]["N"]) * MICRO),
    )


class DynamoConversations:
    """Table `{prefix}-conversations`, no index, so that every read can be consistent:

    CONV#{tenant}#{id}   META   {participants SS, isOpen, creator}
    USER#{tenant}#{user} {id}   one row per participant
    OPEN#{tenant}        {id}   one row per open conversation
    """

    def __init__(self, dynamo: Dynamo, table: str) -> None:
        self._dynamo = dynamo
        self._table = table

    async def get(self, tenant: str, conversation_id: str) -> Conversation | None:
        answer = await self._dynamo.call(
            "get_item",
            TableName=self._table,
            Key=_row(f"CONV#{_plain(tenant)}#{conversation_id}", "META"),
            ConsistentRead=True,
        )
        item = answer.get("Item")
        return _conversation(conversation_id, item) if item else None

    async def save(self, tenant: str, conversation: Conversation) -> Conversation:
        conversation_id = conversation.conversation_id
        sets = ["#creator = if_not_exists(#creator, :creator)"]
        names = {"#creator": "creator"}
        values: dict[str, Any] = {":creator": {"S": conversation.creator}}
        if conversation.is_open:
            sets.append("#open = :true")
            names["#open"] = "isOpen"
            values[":true"] = {"BOOL": True}
        expression = "SET " + ", ".join(sets)
        if conversation.participants:
            expression += " ADD #participants :participants"
            names["#participants"] = "participants"
            values[":participants"] = {"SS": sorted(conversation.participants)}
        answer = await self._dynamo.call(
            "update_item",
            TableName=self._table,
            Key=_row(f"CONV#{_plain(tenant)}#{conversation_id}", "META"),
            UpdateExpression=expression,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
        )
        rows = [f"USER#{_plain(tenant)}#{_plain(user)}" for user in sorted(conversation.participants)]
        if conversation.is_open:
            rows.append(f"OPEN#{_plain(tenant)}")
        # A crash here leaves rows missing; repeating the request puts them.
        for at in range(0, len(rows), 25):
            await asyncio.gather(
                *(
                    self._dynamo.call("put_item", TableName=self._table, Item=_row(row, conversation_id))
                    for row in rows[at : at + 25]
                )
            )
        return _conversation(conversation_id, answer["Attributes"])

    async def of_user(self, tenant: str, user: str) -> frozenset[str]:
        mine, everybodys = await asyncio.gather(
            self._ids(f"USER#{_plain(tenant)}#{_plain(user)}"), self._ids(f"OPEN#{_plain(tenant)}")
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
