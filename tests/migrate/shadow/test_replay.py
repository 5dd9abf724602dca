"""Calls wait as long as the service wants, and end where waiting does not help. until phase 3 (MG6)"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from migrate.shadow import replay
from migrate.shadow.replay import Replayer
from migrate.shadow.translate import Call, Cause

CALL = Call("chat", "POST", "/api/chat/send", {"message": "hi"}, ("chat", "demo", "main"), "main")
CAUSE = Cause("r-1", "ann", "demo", 1.0)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was slept: nothing really is."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(replay.asyncio, "sleep", sleep)
    return found


def replayed(
    answers: Callable[[httpx.Request], httpx.Response], limit: float = 0, calls: int = 1, call: Call = CALL
) -> list[object]:
    async def run() -> list[object]:
        transport = httpx.MockTransport(answers)
        async with httpx.AsyncClient(transport=transport, base_url="http://shadow") as http:
            one = Replayer(http, lambda user, tenant, scopes, ttl: f"{user}@{tenant}{scopes}", lambda: limit)
            return [await one(call, CAUSE) for _ in range(calls)]

    return list(asyncio.run(run()))


def test_the_room_is_made_once_and_the_call_is_the_users(slept: list[float]) -> None:
    seen: list[tuple[str, str]] = []

    def answers(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.path, request.headers["authorization"]))
        return httpx.Response(201, json={"messageId": "m"})

    [first, second] = replayed(answers, calls=2)
    assert first.is_ok and second.answer == {"messageId": "m"}  # type: ignore[attr-defined]
    assert [path for path, _ in seen] == ["/api/conversations", "/api/chat/send", "/api/chat/send"]
    assert seen[1][1] == "Bearer ann@demo()"


def test_a_call_for_a_back_end_has_its_scopes(slept: list[float]) -> None:
    seen: list[str] = []

    def answers(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(201, json={})

    replayed(answers, call=replace(CALL, room="", scopes=("events:publish",)))
    assert seen == ["Bearer ann@demo('events:publish',)"]


def test_a_busy_service_is_left_alone_as_long_as_it_says(slept: list[float]) -> None:
    """MG6: back-pressure; nothing is given up."""
    left = [429, 503, 503]

    def answers(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("send") and left:
            return httpx.Response(left.pop(), headers={"retry-after": "7"})
        return httpx.Response(201, json={})

    [outcome] = replayed(answers)
    assert outcome.is_ok  # type: ignore[attr-defined]
    assert sum(1 for seconds in slept if seconds >= 6.9) >= 3


def test_a_service_that_is_away_is_waited_for(slept: list[float]) -> None:
    """MG6: restarted in the middle, it gets what was waiting."""
    refusals = [1] * 20

    def answers(request: httpx.Request) -> httpx.Response:
        if refusals:
            refusals.pop()
            raise httpx.ConnectError("refused")
        return httpx.Response(201, json={})

    assert replayed(answers)[0].is_ok  # type: ignore[attr-defined]


@pytest.mark.parametrize(("status", "requests"), [(403, 1), (500, 5)])
def test_what_it_refuses_is_recorded_with_its_status(slept: list[float], status: int, requests: int) -> None:
    """MG6: a refusal is an answer; an error is tried again a few times."""
    count = 0

    def answers(request: httpx.Request) -> httpx.Response:
        nonlocal count
        if request.url.path.endswith("send"):
            count += 1
            return httpx.Response(status, json={"title": "No", "detail": "the user's text"})
        return httpx.Response(201)

    [outcome] = replayed(answers)
    assert (outcome.status, outcome.reason, count) == (status, f"HTTP {status}: No", requests)  # type: ignore[attr-defined]


def test_no_faster_than_allowed(slept: list[float]) -> None:
    """MG6: ten a second are a tenth of a second apart."""
    replayed(lambda request: httpx.Response(201, json={}), limit=10, calls=5)
    assert sum(1 for seconds in slept if seconds > 0.05) >= 4
