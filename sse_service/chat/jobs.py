"""Agent runs and library jobs: begun by a request, worked on by the responder, told as notifications.

`agent_run_notification` goes to all streams of the user, `library_processing_notification` to the tenant. Each run ends
with `completed` or `failed`, once: also when the service goes down (then it says "interrupted"), and when the instance
that had it died (said by whoever asks for it next, when its lease has run out).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sse_service.auth import Principal
from sse_service.chat.publishing import Publishing
from sse_service.errors import ConflictError, NotFoundError, ResponderFailedError, UnavailableError
from sse_service.events import Draft, Topic, check_key, check_name, key_part, tenant_topic, user_topic
from sse_service.metrics import Metrics
from sse_service.ports import Clock, Job, JobStore
from sse_service.responder import Feature, Output, Respond, check_output, run
from sse_service.wire import compact_json
from sse_service.work import INTERRUPTED, PATIENCE_S, Work, patiently

__all__ = ["AGENT_RUN", "LIBRARY", "JobKind", "Jobs", "shown"]

logger = logging.getLogger("sse_service.jobs")

LEASE_S = 30.0
MAX_NOTIFICATIONS = 10_000


@dataclass(frozen=True, slots=True)
class JobKind:
    """id_field, subject_field: what its payloads call the job, and what it is about. step_field: where it stands."""

    feature: Feature
    id_field: str
    subject_field: str
    step_field: str
    is_tenants: bool

    @property
    def event_type(self) -> str:
        return f"{self.feature}_notification"

    def topic(self, tenant: str, user: str) -> Topic:
        return tenant_topic(tenant) if self.is_tenants else user_topic(user)


AGENT_RUN = JobKind("agent_run", "run_id", "agent_id", "step", is_tenants=False)
LIBRARY = JobKind("library_processing", "job_id", "library_id", "document", is_tenants=True)


def shown(kind: JobKind, job: Job) -> dict[str, object]:
    """The job as its latest notification has it."""
    facts: dict[str, object] = {
        "type": kind.event_type,
        kind.id_field: job.id,
        kind.subject_field: job.subject,
        "status": job.status,
        "progress": job.progress,
    }
    if job.step and job.status == "running":
        facts[kind.step_field] = job.step
    if job.result:
        facts["result"] = json.loads(job.result)
    if job.index >= 0:
        facts["index"] = job.index
    return facts


class Jobs:
    """max_s: the longest a job may take. keep_s: how long its state can be asked for."""

    def __init__(
        self,
        respond: Respond,
        store: JobStore,
        publishing: Publishing,
        work: Work,
        metrics: Metrics,
        clock: Clock,
        *,
        max_s: float,
        keep_s: float,
    ) -> None:
        self.work = work
        self._respond = respond
        self._store = store
        self._publishing = publishing
        self._metrics = metrics
        self._clock = clock
        self._max_s = max_s
        self._keep_s = keep_s

    async def begin(
        self, principal: Principal, kind: JobKind, subject: str, fields: Mapping[str, object], job_id: str
    ) -> tuple[Job, bool]:
        """Accept a job and work on it. Returns it and whether it was there before (a repeat starts nothing).

        Raises BusyError, ConflictError (the id is somebody else's), UnavailableError.
        """
        check_name(kind.subject_field, subject)
        job_id = check_key(kind.id_field, job_id) if job_id else str(uuid.uuid4())
        tenant, user = principal.tenant, principal.user
        now, owner = self._clock(), uuid.uuid4().hex
        job = Job(kind.feature, job_id, user, subject, "running", 0, "", "", -1, owner, now + LEASE_S)
        there = await self._store.get(tenant, kind.feature, job_id, now=now)
        if there is None:
            self.work.enter(tenant, user)
            try:
                there = await self._store.begin(tenant, job, now=now, keep_s=self._keep_s)
                if there.owner == owner:
                    running = _Running(self, tenant, kind, job)
                    request: dict[str, Any] = {
                        "feature": kind.feature,
                        "id": job_id,
                        "user_id": user,
                        "tenant_id": tenant,
                        "input": dict(fields),
                    }
                    self.work.start(running.work(request), (tenant, user))
                    return job, False
            except BaseException:
                self.work.leave(tenant, user)
                raise
            self.work.leave(tenant, user)
        if there.user != user:
            raise ConflictError(f"{kind.id_field}: somebody else has used this id")
        return await self._checked(tenant, kind, there), True

    async def state(self, principal: Principal, kind: JobKind, job_id: str) -> Job:
        """How far it is. Raises NotFoundError: also where it is another user's, unless it is the tenant's."""
        check_key(kind.id_field, job_id)
        job = await self._store.get(principal.tenant, kind.feature, job_id, now=self._clock())
        if job is None or (job.user != principal.user and not kind.is_tenants):
            raise NotFoundError(f"there is no such {kind.id_field}")
        return await self._checked(principal.tenant, kind, job)

    async def _checked(self, tenant: str, kind: JobKind, job: Job) -> Job:
        """The job; where nobody works on it any more, it has failed, and that is told now."""
        if job.status != "running" or job.lease_until > self._clock():
            return job
        owner = uuid.uuid4().hex
        ended = replace(job, status="failed", result=_interrupted(), owner=owner, index=job.index + 1)
        if not await self._store.save(tenant, ended, owner=job.owner):
            there = await self._store.get(tenant, kind.feature, job.id, now=self._clock())
            return there if there is not None else job
        await self.tell(tenant, kind, ended)
        self._metrics.jobs.labels(kind.feature, "interrupted").inc()
        return ended

    # For what runs --------------------------------------------------------------------------------------

    async def tell(self, tenant: str, kind: JobKind, job: Job) -> None:
        facts = shown(kind, job)
        key = f"job:{kind.feature}:{key_part(job.id)}:{job.index}:{job.status}"
        draft = Draft(kind.topic(tenant, job.user), kind.event_type, compact_json(facts), self._clock(), "rest", key)
        await self._publishing.tell(tenant, draft)

    async def hold(self, running: _Running) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 3)
            try:
                await running.renew()
            except UnavailableError:
                logger.warning("the lease of a job could not be renewed; trying again")

    def now(self) -> float:
        return self._clock()

    def ended(self, kind: JobKind, how: str) -> None:
        self._metrics.jobs.labels(kind.feature, how).inc()

    @property
    def respond(self) -> Respond:
        return self._respond

    @property
    def max_s(self) -> float:
        return self._max_s

    @property
    def store(self) -> JobStore:
        return self._store

    @property
    def max_event_bytes(self) -> int:
        return self._publishing.max_event_bytes


class _LostError(Exception):
    """Somebody else has declared the job dead."""


class _Running:
    """One job while this instance works on it."""

    def __init__(self, jobs: Jobs, tenant: str, kind: JobKind, job: Job) -> None:
        self._jobs = jobs
        self._tenant = tenant
        self._kind = kind
        self._job = job
        self._told = 0

    async def work(self, request: dict[str, Any]) -> None:
        holder = asyncio.create_task(self._jobs.hold(self))
        how, result = "failed", ""
        cancelled: asyncio.CancelledError | None = None
        try:
            async with asyncio.timeout(self._jobs.max_s):
                result = await self._outputs(request)
            how = "completed"
        except asyncio.CancelledError as error:
            how, result, cancelled = "interrupted", _interrupted(), error
            logger.warning("a job was interrupted", extra={self._kind.id_field: self._job.id, "why": INTERRUPTED})
        except _LostError:
            return
        except Exception:
            logger.exception("the responder failed", extra={self._kind.id_field: self._job.id})
        finally:
            holder.cancel()
        await self._end("completed" if how == "completed" else "failed", result)
        self._jobs.ended(self._kind, how)
        if cancelled is not None:
            raise cancelled

    async def _outputs(self, request: dict[str, Any]) -> str:
        """Works until the end; returns the result as JSON text."""
        result: str | None = None
        async with contextlib.aclosing(run(self._jobs.respond, request)) as items:
            async for item in items:
                output = check_output(self._kind.feature, item)
                if result is not None:
                    raise ResponderFailedError("more after its result")
                if output.is_result:
                    result = self._result_text(output)
                    continue
                await self._progress(output)
        return result or ""

    def _result_text(self, output: Output) -> str:
        try:
            text = compact_json(output.result)
        except (TypeError, ValueError, RecursionError):
            raise ResponderFailedError("the result is not JSON") from None
        if len(text.encode()) + 1024 > self._jobs.max_event_bytes:
            raise ResponderFailedError("the result does not fit into an event")
        return text

    async def _progress(self, output: Output) -> None:
        if self._told >= MAX_NOTIFICATIONS:
            raise ResponderFailedError(f"more than {MAX_NOTIFICATIONS} notifications")
        if len(output.step.encode()) > 4096:
            raise ResponderFailedError("a step is longer than 4096 bytes")
        self._job = replace(
            self._job,
            progress=output.progress or 0,
            step=output.step,
            index=self._told,
            lease_until=self._jobs.now() + LEASE_S,
        )
        self._told += 1
        if not await self._save(self._job):
            raise _LostError
        await self._jobs.tell(self._tenant, self._kind, self._job)

    async def renew(self) -> None:
        self._job = replace(self._job, lease_until=self._jobs.now() + LEASE_S)
        await self._jobs.store.save(self._tenant, self._job, owner=self._job.owner)

    async def _end(self, status: str, result: str) -> None:
        is_done = status == "completed"
        ended = replace(
            self._job,
            status="completed" if is_done else "failed",
            progress=100 if is_done else self._job.progress,
            result=result,
            index=self._told,
        )
        # Stored first: what is asked for is right also where telling fails, and one job never ends in two ways.
        if await self._save(ended):
            await self._jobs.tell(self._tenant, self._kind, ended)

    async def _save(self, job: Job) -> bool:
        return await patiently(lambda: self._jobs.store.save(self._tenant, job, owner=job.owner), PATIENCE_S)


def _interrupted() -> str:
    return compact_json({"error": INTERRUPTED})
