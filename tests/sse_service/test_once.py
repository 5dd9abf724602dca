"""A slow first request and its repeats: one message, one event, whatever the lease does meanwhile."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from sse_service import once as once_module
from sse_service.adapters.memory import MemoryClaims, MemoryMessages
from sse_service.app import make_backends
from sse_service.auth import SCOPE_PUBLISH, Principal
from sse_service.chat.publishing import EventIn
from sse_service.errors import UnavailableError
from sse_service.events import EventId
from sse_service.once import Once
from sse_service.ports import Claim
from sse_service.settings import Settings
from sse_service.testing import FakeClock

LEASE_S = 0.3
WAIT_S = 10.0


@pytest.fixture(autouse=True)
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once_module, "LEASE_S", LEASE_S)
    monkeypatch.setattr(once_module, "RETRY_S", 0.02)


class SlowMessages(MemoryMessages):
    """The first put takes as long as the test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.puts = 0

    async def put(self, *arguments: Any, **options: Any) -> Any:
        self.puts += 1
        if self.puts == 1:
            await self.gate.wait()
        return await super().put(*arguments, **options)


class Claims(MemoryClaims):
    """is_away: of renewals and releases, as for one whose connection to the store is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.renewals = 0
        self.is_away = False

    async def renew(self, key: str, owner: str, lease_until: float) -> bool:
        self.renewals += 1
        if self.is_away:
            raise UnavailableError("away")
        return await super().renew(key, owner, lease_until)

    async def release(self, key: str, owner: str) -> None:
        if self.is_away:
            raise UnavailableError("away")
        await super().release(key, owner)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.005)


async def slow_api(settings: Settings, start_api: Any) -> tuple[Any, SlowMessages, Claims]:
    messages, claims = SlowMessages(), Claims()
    made = dataclasses.replace(make_backends(settings, time.time), messages=messages, claims=claims)
    api = await start_api(settings, made)
    await api.room("main", "ann")
    return api, messages, claims


SAY = {"conversationId": "main", "message": "once", "idempotencyKey": "k1"}


async def said(api: Any) -> Counter[str]:
    found = await api.get("/api/chat/history?conversationId=main", "ann")
    assert [message["message"] for message in found.json()["messages"]] == ["once"]
    return Counter(event.type for event in await api.events() if event.type == "message")


async def test_a_slow_request_keeps_its_claim(settings: Settings, start_api: Any) -> None:
    api, messages, claims = await slow_api(settings, start_api)
    first = asyncio.create_task(api.post("/api/chat/send", "ann", SAY))
    await until(lambda: messages.puts == 1)
    repeat = asyncio.create_task(api.post("/api/chat/send", "ann", SAY))
    # Three leases long: without renewing, the repeat would have taken over by now.
    await until(lambda: claims.renewals >= 9)
    assert messages.puts == 1 and not repeat.done()
    messages.gate.set()
    answers = [await first, await repeat]
    assert sorted(answer.status_code for answer in answers) == [200, 201]
    assert len({answer.json()["messageId"] for answer in answers}) == 1
    assert await said(api) == Counter(message=1)
    assert messages.puts == 1
    # Nothing is renewed any more.
    count = claims.renewals
    await asyncio.sleep(LEASE_S)
    assert claims.renewals == count


async def test_one_that_lost_its_claim_appends_nothing(settings: Settings, start_api: Any) -> None:
    """The first attempt hangs and cannot renew; the repeat takes over and ends; then the first one comes back."""
    api, messages, claims = await slow_api(settings, start_api)
    first = asyncio.create_task(api.post("/api/chat/send", "ann", SAY))
    await until(lambda: messages.puts == 1)
    claims.is_away = True
    await until(lambda: claims.renewals >= 2)
    second = await api.post("/api/chat/send", "ann", SAY)
    assert second.status_code == 201
    messages.gate.set()
    late = await first
    assert (late.status_code, late.json()["idempotencyKey"]) == (503, "k1") and "retry-after" in late.headers
    assert await said(api) == Counter(message=1)
    third = await api.post("/api/chat/send", "ann", SAY)
    assert third.json()["messageId"] == second.json()["messageId"]


async def test_a_claim_that_could_not_be_released_is_released_when_the_store_is_back() -> None:
    claims, clock = Claims(), FakeClock()
    once = Once(claims, clock, 1000)

    async def fail(*_: Any) -> dict[str, str]:
        claims.is_away = True
        raise UnavailableError("away")

    async def succeed(*_: Any) -> dict[str, str]:
        return {"x": "y"}

    with pytest.raises(UnavailableError):
        await once.run("k", {}, fail)
    # The lease has not run out (the clock stands still); only the release lets a repeat in.
    assert (await claims.claim("k", "you", {}, now=clock(), lease_s=1, keep_s=10)).state == "busy"
    claims.is_away = False
    assert await once.run("k", {}, succeed) == ({"x": "y"}, False)
    await once.close()


async def test_what_was_taken_over_and_let_go_is_still_looked_for_in_the_log(
    settings: Settings, start_api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier attempt appended "b" and died; its repeat claims "a" and "b", meets somebody at "a", and lets go."""
    api, _, claims = await slow_api(settings, start_api)
    chat = api.app.state.services.chat
    back = Principal("back", "demo", frozenset({SCOPE_PUBLISH}), 1e12)
    events = [EventIn("room:main", "job", {"n": name}, name) for name in ("a", "b")]
    tail = (await api.backends.log.tail("demo")).position
    drafts = [chat.publishing._draft(back, "e", event, 0.0) for event in events]
    await api.backends.log.append("demo", await api.backends.log.tail("demo"), drafts[1:], "dead")
    times = {"lease_s": 1000.0, "keep_s": 1e12}
    await claims.claim("EVENT#demo#b", "dead", {"after": str(tail)}, now=0, **times)  # run out long ago
    states = itertools.count()
    whole = MemoryClaims.claim

    async def claim(self: Any, key: str, owner: str, *arguments: Any, **options: Any) -> Any:
        found = await whole(self, key, owner, *arguments, **options)
        if key.endswith("#a") and next(states) == 0:
            await MemoryClaims.release(self, key, owner)
            return Claim("busy", found.facts, {})
        return found

    monkeypatch.setattr(MemoryClaims, "claim", claim)
    placed = await chat.publish_events(back, events)
    assert [one.was_there for one in placed] == [False, True]
    keys = Counter(event.key for event in await api.events())
    assert (keys["a"], keys["b"]) == (1, 1)
    assert placed[1].id == EventId(tail.epoch, tail.seq + 1)
