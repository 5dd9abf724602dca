"""What lets a browser's EventSource in: single-use tickets, sessions, and what neither can be used for."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from sse_service.adapters.memory_sessions import MemorySessions
from sse_service.auth import Principal
from sse_service.errors import UnauthorizedError, UnavailableError
from sse_service.events import Topic
from sse_service.logs import JsonFormatter
from sse_service.settings import Settings
from sse_service.testing import FakeClock, SseReader
from sse_service.tickets import SessionStore, Tickets

HOUR = 3600.0


@pytest.fixture(params=["memory", "dynamodb"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[SessionStore]:
    if request.param == "memory":
        yield MemorySessions()
        return
    from sse_service.adapters.dynamodb import Dynamo
    from sse_service.adapters.dynamodb_sessions import DynamoSessions

    settings: Settings = request.getfixturevalue("dynamo_settings")
    dynamo = Dynamo(settings)
    await dynamo.connect()
    await dynamo.create_tables()
    yield DynamoSessions(dynamo, f"{settings.table_prefix}-claims")
    await dynamo.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def person(clock: FakeClock, user: str = "ann", ttl_s: float = HOUR) -> Principal:
    return Principal(user, "demo", frozenset({"b", "a"}), clock() + ttl_s)


# The rules, over both stores -------------------------------------------------------------------------------


async def test_a_ticket_opens_once_and_for_its_session_again(store: SessionStore, clock: FakeClock) -> None:
    tickets = Tickets(store, clock, ttl_s=30)
    ticket = await tickets.issue(person(clock), {Topic("room:a")})
    assert ticket.expires_in_s == 30
    first = await tickets.redeem(ticket.ticket, "")
    assert (first.principal, first.topics) == (person(clock), {Topic("room:a")})
    assert first.session is not None
    clock.advance(600)  # long after the ticket alone would have expired: EventSource reconnects
    again = await tickets.redeem(ticket.ticket, first.session)
    assert again.principal == first.principal and again.session is None
    alone = await tickets.resume(first.session)
    assert alone.principal == first.principal
    for cookie in ("", "x", "A" * 43, "é"):
        with pytest.raises(UnauthorizedError):
            await tickets.redeem(ticket.ticket, cookie)


async def test_of_many_at_once_one_gets_in(store: SessionStore, clock: FakeClock) -> None:
    """Two instances share the store: the conditional write decides."""
    here, there = Tickets(store, clock, ttl_s=30), Tickets(store, clock, ttl_s=30)
    ticket = (await here.issue(person(clock))).ticket
    tries = [(here, there)[n % 2].redeem(ticket, "") for n in range(10)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(not isinstance(result, BaseException) for result in results) == 1
    assert all(isinstance(result, UnauthorizedError) for result in results if isinstance(result, BaseException))


async def test_an_unused_ticket_expires_and_so_does_everything_with_the_token(
    store: SessionStore, clock: FakeClock
) -> None:
    tickets = Tickets(store, clock, ttl_s=30)
    unused = (await tickets.issue(person(clock))).ticket
    used = (await tickets.issue(person(clock, ttl_s=100))).ticket
    session = (await tickets.redeem(used, "")).session or ""
    short = await tickets.issue(person(clock, ttl_s=5))
    assert short.expires_in_s == 5
    clock.advance(31)
    with pytest.raises(UnauthorizedError):
        await tickets.redeem(unused, "")
    assert await tickets.redeem(used, session)
    clock.advance(69.5)
    for attempt in (tickets.redeem(used, session), tickets.resume(session)):
        with pytest.raises(UnauthorizedError):
            await attempt


async def test_sq8_tabs_of_one_browser_share_the_cookie(store: SessionStore, clock: FakeClock) -> None:
    """A browser has one cookie jar: the second tab's ticket must not cut off the first tab's reconnect."""
    tickets = Tickets(store, clock, ttl_s=30)
    one = (await tickets.issue(person(clock))).ticket
    cookie = (await tickets.redeem(one, "")).session or ""
    clock.advance(300)
    two = (await tickets.issue(person(clock))).ticket  # a newer token, which lasts longer
    joined = await tickets.redeem(two, cookie)
    assert joined.session == cookie  # the same, set again for its longer life
    three = (await tickets.issue(person(clock))).ticket
    assert (await tickets.redeem(three, cookie)).session is None
    for ticket in (one, two, three):
        assert (await tickets.redeem(ticket, cookie)).principal.user == "ann"
    assert (await tickets.resume(cookie)).principal.expires_at == clock() + HOUR


async def test_another_users_cookie_gives_nothing_away(store: SessionStore, clock: FakeClock) -> None:
    """Somebody else logs in on the same browser: the ticket decides, and the old cookie is replaced."""
    tickets = Tickets(store, clock, ttl_s=30)
    ann = (await tickets.issue(person(clock))).ticket
    old = (await tickets.redeem(ann, "")).session or ""
    bob = (await tickets.issue(person(clock, "bob"))).ticket
    grant = await tickets.redeem(bob, old)
    assert grant.principal.user == "bob" and grant.session not in {None, old}
    with pytest.raises(UnauthorizedError):
        await tickets.redeem(ann, grant.session or "")


async def test_what_is_stored_is_no_ticket(clock: FakeClock) -> None:
    store = MemorySessions()
    tickets = Tickets(store, clock, ttl_s=30)
    ticket = (await tickets.issue(person(clock))).ticket
    session = (await tickets.redeem(ticket, "")).session or ""
    stored = repr(store._records)
    assert ticket not in stored and session not in stored


async def test_the_memory_store_is_bounded_and_forgets(clock: FakeClock) -> None:
    store = MemorySessions(max_records=100)
    for n in range(1000):
        await store.put(f"k{n}", {}, expires_at=clock() + 10 + n % 7)
    assert len(store) == 100 and len(store._ends) <= 400
    for _ in range(5000):
        await store.put("same", {}, expires_at=clock() + 5)
    assert len(store._ends) <= 400
    clock.advance(60)
    assert await store.get("k999", now=clock()) is None
    assert len(store) == 0


# Over HTTP -------------------------------------------------------------------------------------------------


async def issue(service: Any, user: str = "ann", body: object = None, **claims: Any) -> str:
    answer = await service.post("/api/streams/tickets", user, body, **claims)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert set(answer.json()) == {"ticket", "expiresIn"} and 0 < answer.json()["expiresIn"] <= 30
    ticket: str = answer.json()["ticket"]
    return ticket


async def opened(service: Any, path: str, reader: SseReader, **headers: str) -> tuple[httpx.Response, list[Any]]:
    """The head and first events of a stream, or the whole of any other answer; then the client leaves."""
    async with service.client.stream("GET", path, headers=headers) as response:
        frames: list[Any] = []
        if response.status_code != 200:
            await response.aread()
            return response, frames
        async for chunk in response.aiter_raw():
            frames += reader.feed(chunk)
            if frames:
                break
        return response, frames


def cookie_of(response: httpx.Response) -> str:
    return response.headers["set-cookie"].split(";")[0].partition("=")[2]


@pytest.mark.integration
async def test_event_sources_reconnect_with_the_used_ticket_and_the_cookie(service: Any) -> None:
    """The whole life: ticket, cookie, automatic reconnect to the same URL with Last-Event-ID, nothing lost."""
    await service.room()
    url = f"/api/chat/stream?ticket={await issue(service)}"
    reader = SseReader()
    first, frames = await opened(service, url, reader)
    assert (first.status_code, frames[0].type) == (200, "ready")
    service.client.cookies.clear()  # what follows sets it by hand, as it must be for plain http
    await service.say("bob", "while away")
    cookie = f"sse_session={cookie_of(first)}"
    async with service.client.stream(
        "GET", url, headers={"cookie": cookie, "last-event-id": reader.last_event_id}
    ) as again:
        assert again.status_code == 200 and "set-cookie" not in again.headers
        got: list[Any] = []
        async with asyncio.timeout(10):
            async for chunk in again.aiter_raw():
                got += reader.feed(chunk)
                if any(frame.type == "message" for frame in got):
                    break
    assert got[0].json["recovered"] is True
    assert [frame.json["message"] for frame in got if frame.type == "message"] == ["while away"]
    refused, _ = await opened(service, url, SseReader())
    assert refused.status_code == 401 and "POST /api/streams/tickets" in refused.json()["detail"]
    alone, frames = await opened(service, "/api/chat/stream", SseReader(), cookie=cookie)
    assert (alone.status_code, frames[0].type) == (200, "ready")


@pytest.mark.integration
async def test_the_cookie_says_where_and_how_long_and_nothing_of_the_token(service: Any, bearer: Any) -> None:
    ticket = await issue(service, ttl_s=600)
    response, _ = await opened(service, f"/api/streams?topic=user:ann&ticket={ticket}", SseReader())
    name, *attributes = [part.strip() for part in response.headers["set-cookie"].split(";")]
    assert name.startswith("sse_session=") and len(name) == len("sse_session=") + 43
    # By chance, a random id may hold "eyJ": a token has dots as well.
    assert not re.search(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}", name)
    lower = {attribute.lower() for attribute in attributes}
    assert {"httponly", "path=/api/streams", "samesite=strict"} <= lower
    age = next(int(a.partition("=")[2]) for a in lower if a.startswith("max-age="))
    assert 590 <= age <= 600
    assert "secure" not in lower  # http between two ends on this machine


@pytest.mark.integration
@pytest.mark.parametrize("host", ["chat.example", "10.0.0.5:8080"])
async def test_the_cookie_is_secure_wherever_else_it_is_sent(service: Any, host: str) -> None:
    response, _ = await opened(service, f"/api/chat/stream?ticket={await issue(service)}", SseReader(), host=host)
    assert "; secure" in response.headers["set-cookie"].lower()


@pytest.mark.integration
async def test_samesite_and_path_are_settings(start_service: Any, settings: Settings) -> None:
    service = await start_service(settings.replace(cookie_samesite="none", cookie_path="/sse"))
    response, _ = await opened(service, f"/api/chat/stream?ticket={await issue(service)}", SseReader())
    cookie = response.headers["set-cookie"].lower()
    assert "samesite=none" in cookie and "; secure" in cookie and "path=/sse" in cookie


async def test_a_cookie_changes_nothing(memory_api: Any) -> None:
    """CSRF: only GET streams take it."""
    ticket = await issue(memory_api)
    store, services = memory_api.backends.sessions, memory_api.app.state.services
    session = (await services.tickets.redeem(ticket, "")).session
    assert len(store) == 2
    headers = {"cookie": f"sse_session={session}"}
    for method, path, body in (
        ("POST", "/api/chat/send", {"conversationId": "main", "message": "x"}),
        ("POST", "/api/conversations", {"conversationId": "main"}),
        ("POST", "/api/events", {"events": [{"topic": "room:a", "type": "x", "data": 1}]}),
        ("POST", "/api/streams/tickets", None),
        ("GET", "/api/chat/history?conversationId=main", None),
        ("POST", f"/api/streams/tickets?ticket={ticket}", None),
    ):
        answer = await memory_api.client.request(method, path, json=body, headers=headers)
        assert answer.status_code == 401, path


async def test_pages_of_other_origins_cannot_use_the_cookie(start_api: Any, settings: Settings) -> None:
    api = await start_api(settings.replace(cors_origins=("https://app.example",)))
    session = (await api.app.state.services.tickets.redeem(await issue(api), "")).session
    headers = {"cookie": f"sse_session={session}", "origin": "https://evil.example"}
    answer = await api.client.get("/api/streams?topic=room:none", headers=headers)
    assert answer.status_code == 403 and "SSE_CORS_ORIGINS" in answer.json()["detail"]
    for origin in ("https://app.example", "http://service"):
        answer = await api.client.get("/api/streams?topic=room:none", headers={**headers, "origin": origin})
        assert answer.status_code == 403 and "topic" in answer.json()["detail"]  # it got as far as the topic


async def test_credentials_are_never_for_just_any_origin(start_api: Any, settings: Settings) -> None:
    for origins, allowed in ((("https://app.example",), "true"), (("*",), None)):
        api = await start_api(settings.replace(cors_origins=origins))
        answer = await api.client.get("/healthz", headers={"origin": "https://app.example"})
        assert answer.headers.get("access-control-allow-credentials") == allowed


@pytest.mark.integration
async def test_a_ticket_for_certain_topics_opens_no_others(service: Any) -> None:
    await service.room("main")
    await service.room("other")
    ticket = await issue(service, body={"topics": ["room:main", "user:ann"]})
    path = f"/api/streams?topic=room:main&ticket={ticket}"
    response, _ = await opened(service, path, SseReader())
    assert response.status_code == 200
    cookie = f"sse_session={cookie_of(response)}"
    for other in (
        "/api/streams?topic=room:other&topic=room:main",
        "/api/chat/stream",
        "/api/streams?topic=tenant:demo",
    ):
        separator = "&" if "?" in other else "?"
        answer, _ = await opened(service, f"{other}{separator}ticket={ticket}", SseReader(), cookie=cookie)
        assert answer.status_code == 403
    assert service.hub.limits.total <= 1


@pytest.mark.parametrize("topics", [[], ["nonsense"], ["room:a\nid: 1"], ["room:\0"], ["room:a"] * 101, "room:a", [5]])
async def test_topics_of_a_ticket_are_checked(memory_api: Any, topics: object) -> None:
    answer = await memory_api.post("/api/streams/tickets", "ann", {"topics": topics})
    assert answer.status_code == 400


async def test_a_ticket_does_not_widen_what_its_user_may_read(memory_api: Any) -> None:
    await memory_api.room("private", "bob", "ann")
    ticket = await issue(memory_api, body={"topics": ["room:private"]})
    left = await memory_api.delete("/api/conversations/participants?conversationId=private&user=ann", "ann")
    assert left.status_code == 200
    answer = await memory_api.client.get(f"/api/streams?topic=room:private&ticket={ticket}")
    assert answer.status_code == 403


@pytest.mark.parametrize("topic", ["room:private", "room:nowhere", "user:bob", "tenant:other", "*"])
async def test_no_ticket_is_issued_for_what_its_owner_may_not_read(memory_api: Any, topic: str) -> None:
    await memory_api.room("private", "bob")
    answer = await memory_api.post("/api/streams/tickets", "ann", {"topics": ["user:ann", topic]})
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")


@pytest.mark.parametrize("ticket", ["x", "A" * 43, "..%2f", "%00", "a%0d%0ab", "A" * 5000])
async def test_an_invented_ticket_is_a_401(memory_api: Any, ticket: str) -> None:
    answer = await memory_api.client.get(f"/api/chat/stream?ticket={ticket}")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.integration
async def test_a_session_ends_with_the_token_it_came_from(service: Any) -> None:
    """In mid-stream: a farewell with the reason, and a clean end; coming back is a 401."""
    ticket = await issue(service, ttl_s=1.5)
    reader, frames, cookie = SseReader(), [], ""
    async with asyncio.timeout(10), service.client.stream("GET", f"/api/chat/stream?ticket={ticket}") as response:
        cookie = cookie_of(response)
        async for chunk in response.aiter_raw():
            frames += reader.feed(chunk)
    assert (frames[-1].type, frames[-1].json["reason"]) == ("farewell", "token_expired")
    answer, _ = await opened(service, f"/api/chat/stream?ticket={ticket}", SseReader(), cookie=f"sse_session={cookie}")
    assert answer.status_code == 401


@pytest.mark.integration
async def test_no_ticket_and_no_cookie_is_ever_logged(service: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ticket = await issue(service)
    response, _ = await opened(service, f"/api/chat/stream?ticket={ticket}", SseReader())
    await opened(service, f"/api/chat/stream?ticket={ticket}", SseReader())
    ours = [record for record in caplog.records if record.name.startswith(("sse_service", "uvicorn"))]
    assert ours
    for line in (JsonFormatter().format(record) for record in ours):
        assert ticket not in line and cookie_of(response) not in line


@pytest.mark.integration
async def test_a_limit_that_passes_does_not_end_an_event_source(start_service: Any, settings: Settings) -> None:
    """200, when to come back, a farewell with the reason: any other status would end its reconnecting for good."""
    service = await start_service(settings.replace(max_streams_per_user=1))
    url = f"/api/chat/stream?ticket={await issue(service)}"
    async with service.stream("ann") as ann:
        position = ann.frames[0].id
        response = await service.client.get(url, headers={"last-event-id": position})
        assert response.status_code == 200 and "set-cookie" in response.headers
        reader = SseReader()
        (farewell,) = reader.feed(response.content)
        assert (farewell.type, farewell.json["reason"]) == ("farewell", "too_many_streams")
        assert reader.retry_ms == farewell.json["retryMs"] == 5000
        assert farewell.id == position
        refused = await service.get("/api/chat/stream", "ann")
        assert refused.status_code == 429 and refused.headers["retry-after"] == "5"
    text = (await service.client.get("/metrics")).text
    assert 'sse_streams_refused_total{reason="too_many_streams"} 1.0' in text


async def test_a_store_that_is_away_does_not_end_an_event_source(
    memory_api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = await issue(memory_api)

    async def away(*_: object, **__: object) -> None:
        raise UnavailableError("away", retry_after_s=2)

    monkeypatch.setattr(memory_api.backends.sessions, "get", away)
    answer = await memory_api.client.get(f"/api/chat/stream?ticket={ticket}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    reader = SseReader()
    (farewell,) = reader.feed(answer.content)
    assert (farewell.json["reason"], reader.retry_ms) == ("unavailable", 2000)


# The developer's switch ------------------------------------------------------------------------------------


@pytest.mark.integration
async def test_fault_14_a_user_id_in_a_header_counts_only_with_the_switch(
    start_service: Any, settings: Settings, service: Any
) -> None:
    path, dev = "/api/chat/history?conversationId=none", {"x-user-id": "ann"}
    assert (await service.client.get(path, headers=dev)).status_code == 401
    switched = await start_service(settings.replace(dev_auth=1))
    assert (await switched.client.get(path, headers=dev)).status_code == 403
    assert (await switched.client.get(path)).status_code == 401
    for more in (
        {"x-forwarded-for": "1.2.3.4"},
        {"forwarded": "for=1.2.3.4"},
        {"host": "rebound.example"},
        {"x-user-id": "a" * 300},
        {"x-tenant-id": "a\tb"},
        {"authorization": "Bearer nonsense"},
    ):
        assert (await switched.client.get(path, headers={**dev, **more})).status_code == 401, more
    body = {"events": [{"topic": "room:a", "type": "x", "data": 1}]}
    assert (await switched.client.post("/api/events", json=body, headers=dev)).status_code == 403
