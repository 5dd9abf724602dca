"""Inboxes and jobs in this process."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import islice

from sse_service.ports import Cursor, Job

__all__ = ["MemoryInbox", "MemoryJobs"]


class MemoryInbox:
    def __init__(self) -> None:
        self._activity: dict[tuple[str, str], int] = {}
        self._cursors: dict[tuple[str, str, str], Cursor] = {}

    async def touch(self, tenant: str, conversation_id: str, at_us: int) -> None:
        key = (tenant, conversation_id)
        self._activity[key] = max(at_us, self._activity.get(key, 0))

    async def activity(self, tenant: str, conversation_ids: Collection[str]) -> Mapping[str, int]:
        return {name: self._activity[tenant, name] for name in conversation_ids if (tenant, name) in self._activity}

    async def advance(self, tenant: str, user: str, conversation_id: str, up_to_us: int) -> Cursor:
        key = (tenant, user, conversation_id)
        cursor = self._cursors.get(key)
        if cursor is None or cursor.up_to_us < up_to_us:
            cursor = self._cursors[key] = Cursor(up_to_us, cursor.up_to_us if cursor is not None else 0)
        return cursor

    async def cursors(self, tenant: str, user: str, conversation_ids: Collection[str]) -> Mapping[str, Cursor]:
        found = {name: self._cursors.get((tenant, user, name)) for name in conversation_ids}
        return {name: cursor for name, cursor in found.items() if cursor is not None}


@dataclass(slots=True)
class _Record:
    job: Job
    expires_at: float


class MemoryJobs:
    """The oldest go when they have expired, or when there are too many."""

    def __init__(self, max_records: int = 50_000) -> None:
        self._max_records = max_records
        self._records: dict[tuple[str, str, str], _Record] = {}

    async def begin(self, tenant: str, job: Job, *, now: float, keep_s: float) -> Job:
        there = await self.get(tenant, job.kind, job.id, now=now)
        if there is not None:
            return there
        self._records.pop((tenant, job.kind, job.id), None)
        for key in list(islice(self._records, 2)):
            if self._records[key].expires_at <= now or len(self._records) >= self._max_records:
                del self._records[key]
        self._records[tenant, job.kind, job.id] = _Record(job, now + keep_s)
        return job

    async def get(self, tenant: str, kind: str, job_id: str, *, now: float) -> Job | None:
        record = self._records.get((tenant, kind, job_id))
        return record.job if record is not None and record.expires_at > now else None

    async def save(self, tenant: str, job: Job, *, owner: str) -> bool:
        record = self._records.get((tenant, job.kind, job.id))
        if record is None or record.job.owner != owner or record.job.status != "running":
            return False
        record.job = job
        return True
