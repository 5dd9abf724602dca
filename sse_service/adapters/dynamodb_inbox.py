"""Inboxes and jobs in DynamoDB: rows of the table `{prefix}-conversations`, next to what they belong to.

    LAST#{tenant}#{id}     ACTIVITY  {at N}                    one row per conversation, moves forward only
    READ#{tenant}#{user}   {id}      {upTo N, previous N}      one row per reader and conversation, moves forward only
    JOB#{tenant}#{kind}    {job id}  {user, subject, status, progress, step, result, index, owner, lease_until,
                                      expires_at}

Times are UNIX microseconds, leases UNIX seconds; rows with `expires_at` are deleted by TTL, and count as gone before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Any, Literal

from sse_service.adapters.dynamodb import ConditionFailedError, Dynamo, Item
from sse_service.events import key_part
from sse_service.ports import Cursor, Job

__all__ = ["DynamoInbox", "DynamoJobs"]


class DynamoInbox:
    def __init__(self, dynamo: Dynamo, table: str) -> None:
        self._dynamo = dynamo
        self._table = table

    async def touch(self, tenant: str, conversation_id: str, at_us: int) -> None:
        with contextlib.suppress(ConditionFailedError):  # a later message was first
            await self._dynamo.call(
                "update_item",
                TableName=self._table,
                Key=_last(tenant, conversation_id),
                UpdateExpression="SET #at = :at",
                ConditionExpression="attribute_not_exists(#at) OR #at < :at",
                ExpressionAttributeNames={"#at": "at"},
                ExpressionAttributeValues={":at": {"N": str(at_us)}},
            )

    async def activity(self, tenant: str, conversation_ids: Collection[str]) -> Mapping[str, int]:
        names = {_last(tenant, name)["pk"]["S"]: name for name in conversation_ids}
        items = await self._dynamo.batch_get(self._table, [_last(tenant, name) for name in names.values()])
        return {names[item["pk"]["S"]]: int(item["at"]["N"]) for item in items}

    async def advance(self, tenant: str, user: str, conversation_id: str, up_to_us: int) -> Cursor:
        key = _read(tenant, user, conversation_id)
        with contextlib.suppress(ConditionFailedError):  # as far, or further, already
            answer = await self._dynamo.call(
                "update_item",
                TableName=self._table,
                Key=key,
                UpdateExpression="SET previous = if_not_exists(upTo, :zero), upTo = :upTo",
                ConditionExpression="attribute_not_exists(upTo) OR upTo < :upTo",
                ExpressionAttributeValues={":upTo": {"N": str(up_to_us)}, ":zero": {"N": "0"}},
                ReturnValues="ALL_NEW",
            )
            return _cursor(answer["Attributes"])
        answer = await self._dynamo.call("get_item", TableName=self._table, Key=key, ConsistentRead=True)
        return _cursor(answer["Item"])

    async def cursors(self, tenant: str, user: str, conversation_ids: Collection[str]) -> Mapping[str, Cursor]:
        keys = [_read(tenant, user, name) for name in dict.fromkeys(conversation_ids)]
        items = await self._dynamo.batch_get(self._table, keys)
        return {item["sk"]["S"]: _cursor(item) for item in items}


def _last(tenant: str, conversation_id: str) -> Item:
    return {"pk": {"S": f"LAST#{key_part(tenant)}#{conversation_id}"}, "sk": {"S": "ACTIVITY"}}


def _read(tenant: str, user: str, conversation_id: str) -> Item:
    return {"pk": {"S": f"READ#{key_part(tenant)}#{key_part(user)}"}, "sk": {"S": conversation_id}}


def _cursor(item: Item) -> Cursor:
    return Cursor(int(item["upTo"]["N"]), int(item["previous"]["N"]))


class DynamoJobs:
    def __init__(self, dynamo: Dynamo, table: str) -> None:
        self._dynamo = dynamo
        self._table = table

    async def begin(self, tenant: str, job: Job, *, now: float, keep_s: float) -> Job:
        key = _job_key(tenant, job.kind, job.id)
        try:
            await self._dynamo.call(
                "put_item",
                TableName=self._table,
                Item={**key, **_facts(job), "expires_at": {"N": str(int(now + keep_s) + 1)}},
                # TTL deletes late: what has expired counts as gone.
                ConditionExpression="attribute_not_exists(pk) OR expires_at <= :now",
                ExpressionAttributeValues={":now": {"N": str(now)}},
            )
        except ConditionFailedError:
            there = await self.get(tenant, job.kind, job.id, now=now)
            return there if there is not None else job
        return job

    async def get(self, tenant: str, kind: str, job_id: str, *, now: float) -> Job | None:
        answer = await self._dynamo.call(
            "get_item", TableName=self._table, Key=_job_key(tenant, kind, job_id), ConsistentRead=True
        )
        item = answer.get("Item")
        if not item or float(item["expires_at"]["N"]) <= now:
            return None
        return _job(kind, job_id, item)

    async def save(self, tenant: str, job: Job, *, owner: str) -> bool:
        facts = _facts(job)
        names = {f"#{n}": name for n, name in enumerate(facts)}
        values: dict[str, Any] = {f":{n}": value for n, value in enumerate(facts.values())}
        try:
            await self._dynamo.call(
                "update_item",
                TableName=self._table,
                Key=_job_key(tenant, job.kind, job.id),
                UpdateExpression="SET " + ", ".join(f"#{n} = :{n}" for n in range(len(facts))),
                ConditionExpression="#owner = :mine AND #status = :running",
                ExpressionAttributeNames={**names, "#owner": "owner", "#status": "status"},
                ExpressionAttributeValues={**values, ":mine": {"S": owner}, ":running": {"S": "running"}},
            )
        except ConditionFailedError:
            return False
        return True


def _job_key(tenant: str, kind: str, job_id: str) -> Item:
    return {"pk": {"S": f"JOB#{key_part(tenant)}#{kind}"}, "sk": {"S": job_id}}


def _facts(job: Job) -> Item:
    return {
        "user": {"S": job.user},
        "subject": {"S": job.subject},
        "status": {"S": job.status},
        "progress": {"N": str(job.progress)},
        "step": {"S": job.step},
        "result": {"S": job.result},
        "index": {"N": str(job.index)},
        "owner": {"S": job.owner},
        "lease_until": {"N": str(job.lease_until)},
    }


def _job(kind: str, job_id: str, item: Item) -> Job:
    status: Literal["running", "completed", "failed"] = item["status"]["S"]  # written by _facts only
    return Job(
        kind,
        job_id,
        item["user"]["S"],
        item["subject"]["S"],
        status,
        int(item["progress"]["N"]),
        item["step"]["S"],
        item["result"]["S"],
        int(item["index"]["N"]),
        item["owner"]["S"],
        float(item["lease_until"]["N"]),
    )
