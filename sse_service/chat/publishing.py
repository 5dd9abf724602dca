"""Appending to the log for chat and for back ends: each event with a key once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sse_service.auth import SCOPE_PUBLISH, Principal, require_publishable
from sse_service.errors import InvalidInputError, TooLargeError
from sse_service.events import (
    RESERVED_TYPES,
    Draft,
    EventId,
    check_conversation_id,
    check_event_type,
    check_key,
    check_name,
    key_part,
    parse_topic,
)
from sse_service.once import Lease, Once
from sse_service.ports import Claim, Clock
from sse_service.publisher import Published, Publisher
from sse_service.wire import compact_json
from sse_service.work import PATIENCE_S, patiently

__all__ = ["EventIn", "Publishing", "in_turns"]

T = TypeVar("T")

AT_ONCE = 32
MAX_EVENTS = 500


@dataclass(frozen=True, slots=True)
class EventIn:
    """An event as a back end hands it in. ensure: (conversation id, open) to make if it is missing.
    exclude_user: somebody whose streams do not get it. ttl_s: seconds after which a replay leaves it out (0: never)."""

    topic: str
    type: str
    data: object
    key: str = ""
    origin: str = ""
    ensure: tuple[str, bool] | None = None
    exclude_user: str = ""
    ttl_s: float = 0.0


class Publishing:
    def __init__(
        self, publisher: Publisher, once: Once, clock: Clock, max_event_bytes: int, topic_kinds: Sequence[str]
    ) -> None:
        self.publisher = publisher
        self._topic_kinds = topic_kinds
        self.max_event_bytes = max_event_bytes
        self._once = once
        self._clock = clock

    async def publish_events(
        self,
        principal: Principal,
        events: Sequence[EventIn],
        ensure: Callable[[Principal, str, bool], Awaitable[None]],
    ) -> list[Published]:
        """Append events of a back end in their order; those whose key is known keep their first place.

        All of them are checked before anything is done. Raises InvalidInputError (field `events[i].name`),
        ForbiddenError, TooLargeError, UnavailableError.
        """
        principal.require(SCOPE_PUBLISH)
        if not 1 <= len(events) <= MAX_EVENTS:
            raise InvalidInputError("events", f"must have 1 to {MAX_EVENTS} entries")
        now = self._clock()
        drafts = [self._draft(principal, f"events[{i}]", event, now) for i, event in enumerate(events)]
        for event in events:
            if event.ensure is not None:
                await ensure(principal, *event.ensure)
        return await self.publish_once(principal.tenant, drafts)

    def _draft(self, principal: Principal, field: str, event: EventIn, now: float) -> Draft:
        topic = parse_topic(event.topic, self._topic_kinds, f"{field}.topic")
        require_publishable(principal, topic)
        kind = check_event_type(event.type, f"{field}.type")
        if kind in RESERVED_TYPES:
            raise InvalidInputError(f"{field}.type", f"{kind!r} is the service's own")
        try:
            data = compact_json(event.data)
        except (ValueError, RecursionError):
            raise InvalidInputError(f"{field}.data", "is not valid JSON in valid Unicode") from None
        if len(data.encode()) > self.max_event_bytes:
            raise TooLargeError(f"{field}.data", self.max_event_bytes)
        if event.ensure is not None:
            check_conversation_id(event.ensure[0], f"{field}.ensureConversation.conversationId")
        key = check_key(f"{field}.key", event.key) if event.key else ""
        origin = check_name(f"{field}.origin", event.origin, 64) if event.origin else principal.user[:64]
        exclude = check_name(f"{field}.excludeUser", event.exclude_user) if event.exclude_user else ""
        until = now + event.ttl_s if event.ttl_s else 0.0
        return Draft(topic, kind, data, now, origin, key, until, exclude)

    async def tell(self, tenant: str, draft: Draft, since: EventId | None = None) -> None:
        """Append one event with a key for work that nobody will repeat: waits for a log that is away.

        since: an earlier attempt may have appended it after that. Raises UnavailableError, TooLargeError.
        """
        start = since or await patiently(lambda: self.publisher.tail(tenant), PATIENCE_S)
        known = [since]

        async def attempt() -> None:
            since_now = known[0]
            known[0] = start  # whether this attempt is carried out may remain unknown
            await self.publisher.publish(tenant, [draft], [since_now] if since_now is not None else None)

        await patiently(attempt, PATIENCE_S)

    async def publish_once(self, tenant: str, drafts: Sequence[Draft]) -> list[Published]:
        """Append drafts; of those with a key only what was not appended before."""
        keyed = {draft.key: draft for draft in reversed(drafts) if draft.key}
        if not keyed:
            return await self.publisher.publish(tenant, drafts)
        facts = {"after": str(await self.publisher.tail(tenant))}
        names = {key: f"EVENT#{key_part(tenant)}#{key}" for key in keyed}
        async with self._once.lease() as lease:
            claims = await self._claim_all(lease, names, facts)
            todo: list[Draft] = []
            since: list[EventId | None] = []
            for draft in drafts:
                claim = claims.get(draft.key)
                if claim is None:
                    todo.append(draft)
                    since.append(None)
                elif claim.state != "done" and keyed[draft.key] is draft:
                    todo.append(draft)
                    taken = claim.state == "taken_over"
                    since.append(EventId.parse(claim.facts["after"]) if taken else None)
            lease.check()
            placed = await self.publisher.publish(tenant, todo, since if any(since) else None) if todo else []
            new = {draft.key: published for draft, published in zip(todo, placed, strict=True) if draft.key}
            await in_turns([lease.complete(names[key], {"id": str(one.id)}) for key, one in new.items()])
        ids = {id(draft): published for draft, published in zip(todo, placed, strict=True)}
        results = []
        for draft in drafts:
            if id(draft) in ids:
                results.append(ids[id(draft)])
            elif draft.key in new:
                results.append(Published(new[draft.key].id, was_there=True))
            else:
                first = EventId.parse(claims[draft.key].result["id"])
                assert first is not None  # noqa: S101 - written by `complete` above
                results.append(Published(first, was_there=True))
        return results

    async def _claim_all(self, lease: Lease, names: Mapping[str, str], facts: Mapping[str, str]) -> dict[str, Claim]:
        claims: dict[str, Claim] = {}

        async def claim(key: str, name: str) -> None:
            claims[key] = await lease.attempt(name, facts)

        await in_turns([claim(key, name) for key, name in names.items()])
        if any(claim.state == "busy" for claim in claims.values()):
            # Two that hold and wait could wait for each other: let go of all, then one by one in the same order
            # for everybody.
            await lease.release_all()
            claims.clear()
            for key in sorted(names):
                claims[key] = await lease.claim(names[key], facts)
        return claims


async def in_turns(jobs: Sequence[Awaitable[T]]) -> list[T]:
    """Results of coroutines, run a limited number at a time; the first exception is raised after all have ended."""
    problem: BaseException | None = None
    results: list[T] = []
    for at in range(0, len(jobs), AT_ONCE):
        for result in await asyncio.gather(*jobs[at : at + AT_ONCE], return_exceptions=True):
            if not isinstance(result, BaseException):
                results.append(result)
            elif problem is None:
                problem = result
    if problem is not None:
        raise problem
    return results
