"""Limits: open streams per user, address and node; how often things may be done; sizes. All of them bounded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_service.auth import Principal
from sse_service.errors import RateLimitedError, TooManyStreamsError
from sse_service.limits import Buckets, OpenStreams, Rates
from sse_service.settings import Settings
from sse_service.testing import FakeClock, make_token


def bearer_of(service: Any, user: str) -> dict[str, str]:
    secret = service.app.state.services.settings.jwt_secret
    return {"authorization": f"Bearer {make_token(secret, user, expires_at=time.time() + 600)}"}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def test_each_limit_refuses_the_one_too_many_and_counts_nothing_then() -> None:
    streams = OpenStreams(per_user=2, per_address=3, per_node=4)
    streams.enter("t", "ann", "a1")
    streams.enter("t", "ann", "a1")
    for _ in range(3):
        with pytest.raises(TooManyStreamsError) as caught:
            streams.enter("t", "ann", "a1")
        assert caught.value.scope == "user"
    streams.enter("other", "ann", "a1")  # the same name in another tenant is somebody else
    with pytest.raises(TooManyStreamsError) as caught:
        streams.enter("t", "bob", "a1")
    assert caught.value.scope == "address"
    streams.enter("t", "bob", "a2")
    with pytest.raises(TooManyStreamsError) as caught:
        streams.enter("t", "eve", "a3")
    assert caught.value.scope == "node"


def test_who_leaves_makes_room_and_is_forgotten() -> None:
    streams = OpenStreams(per_user=1, per_address=1, per_node=1)
    for n in range(100):
        streams.enter("t", f"u{n}", f"a{n}")
        streams.leave("t", f"u{n}", f"a{n}")
    assert streams.total == 0
    assert not streams._users and not streams._addresses


# How often ---------------------------------------------------------------------------------------------------


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket: Buckets[str] = Buckets(per_s=2, burst=4)
    assert [bucket.take("ann", 100.0) for _ in range(4)] == [0.0] * 4
    assert bucket.take("ann", 100.0) == 0.5
    assert bucket.take("ann", 100.4) == pytest.approx(0.1)  # a refusal takes nothing
    assert bucket.take("ann", 100.5) == 0.0
    assert bucket.take("bob", 100.5) == 0.0  # everybody has their own


def test_what_costs_more_than_the_burst_can_be_paid_from_a_full_bucket() -> None:
    bucket: Buckets[str] = Buckets(per_s=10, burst=5)
    assert bucket.take("ann", 0.0, 25) == 0.0
    assert bucket.take("ann", 0.0) == pytest.approx(2.1)
    assert bucket.take("ann", 2.1) == 0.0


def test_no_rate_is_no_limit_and_keeps_nothing() -> None:
    bucket: Buckets[int] = Buckets(per_s=0, burst=1)
    assert {bucket.take(n, 0.0) for n in range(100)} == {0.0} and len(bucket) == 0


def test_buckets_are_bounded_and_forget_those_that_are_full_again() -> None:
    bucket: Buckets[int] = Buckets(per_s=1, burst=2, max_keys=100)
    for n in range(10_000):
        bucket.take(n, 0.0)
    assert len(bucket) == 100
    for n in range(60):
        bucket.take(-1, 100.0 + n)
    assert len(bucket) <= 1


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 8)), max_size=60))
def test_never_more_than_burst_plus_rate_times_time(steps: list[tuple[float, int]]) -> None:
    """Whatever the pattern; only the last cost may go beyond, and is paid for later."""
    bucket: Buckets[str] = Buckets(per_s=3, burst=8)
    now, taken = 0.0, 0
    for pause, cost in steps:
        now += pause
        if bucket.take("ann", now, cost) == 0.0:
            taken += cost
        assert taken <= 8 + 3 * now + 1e-6


def principal(user: str = "ann", *scopes: str) -> Principal:
    return Principal(user, "demo", frozenset(scopes), 0.0)


def test_rates_are_per_user_and_back_ends_are_counted_by_events() -> None:
    clock = FakeClock()
    settings = Settings(send_per_s=1, send_burst=2, publish_per_s=100, publish_burst=500)
    rates = Rates(settings, clock)
    for _ in range(2):
        rates.act(principal())
    with pytest.raises(RateLimitedError) as caught:
        rates.act(principal())
    assert (caught.value.retry_after_s, caught.value.status) == (1, 429)
    rates.act(principal("bob"))
    worker = principal("worker", "events:publish")
    for _ in range(10):
        rates.act(worker)
    rates.publish(worker, 500)
    with pytest.raises(RateLimitedError) as caught:
        rates.publish(worker, 200)
    assert caught.value.retry_after_s == 2
    clock.advance(2)
    rates.publish(worker, 200)


def test_an_ipv6_client_cannot_multiply_itself() -> None:
    streams = OpenStreams(per_user=9, per_address=2, per_node=9)
    streams.enter("t", "a", "2001:db8::1")
    streams.enter("t", "b", "2001:db8::2")
    with pytest.raises(TooManyStreamsError):
        streams.enter("t", "c", "2001:db8::3")
    streams.leave("t", "a", "2001:db8::1")
    streams.enter("t", "c", "2001:db8::3")


# Over HTTP ---------------------------------------------------------------------------------------------------


async def test_sending_too_fast_is_a_429_with_a_time(start_api: Any, settings: Settings) -> None:
    api = await start_api(settings.replace(send_per_s=0.5, send_burst=3))
    await api.room("main", "ann", "bob")
    answers = [await api.post("/api/chat/send", "ann", {"conversationId": "main", "message": str(n)}) for n in range(5)]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 429, 429]
    assert answers[-1].headers["retry-after"] == "2"
    assert answers[-1].headers["content-type"] == "application/problem+json"
    assert answers[-1].json()["type"] == "urn:sse-service:rate_limited"
    assert (await api.get("/api/chat/history?conversationId=main", "ann")).status_code == 200
    assert (await api.post("/api/chat/send", "bob", {"conversationId": "main", "message": "x"})).status_code == 201


async def test_publishing_too_many_events_publishes_none(start_api: Any, settings: Settings) -> None:
    api = await start_api(settings.replace(publish_per_s=1, publish_burst=500))
    body = {"events": [{"topic": "room:a", "type": "x", "data": n} for n in range(300)]}
    scope = {"scope": "events:publish"}
    assert (await api.post("/api/events", "worker", body, **scope)).status_code == 201
    refused = await api.post("/api/events", "worker", body, **scope)
    assert refused.status_code == 429 and refused.headers["retry-after"] == "100"
    assert len(await api.events()) == 300


@pytest.mark.integration
async def test_a_client_that_comes_back_in_a_tight_loop_is_slowed_down(start_service: Any, settings: Settings) -> None:
    service = await start_service(settings.replace(max_streams_per_user=2, opens_per_minute=60))
    statuses = []
    for _ in range(12):
        async with service.client.stream("GET", "/api/chat/stream", headers=bearer_of(service, "ann")) as answer:
            statuses.append(answer.status_code)
            if answer.status_code == 429:
                assert int(answer.headers["retry-after"]) >= 1
                assert (await answer.aread()) and answer.json()["type"] == "urn:sse-service:rate_limited"
        await until(lambda: service.hub.limits.total == 0)
    assert statuses[:8] == [200] * 8 and 429 in statuses[8:]
    async with service.stream("bob"):
        pass  # nobody else notices


@pytest.mark.integration
async def test_streams_per_address_count_the_client_behind_the_proxy(start_service: Any, settings: Settings) -> None:
    """A forged X-Forwarded-For neither escapes the limit nor uses up another's."""
    service = await start_service(
        settings.replace(max_streams_per_address=1, forwarded_allow_ips=("127.0.0.1", "10.0.0.0/8"))
    )

    @asynccontextmanager
    async def behind(forwarded: str, user: str) -> AsyncIterator[int]:
        headers = {**bearer_of(service, user), "x-forwarded-for": forwarded}
        async with service.client.stream("GET", "/api/chat/stream", headers=headers) as answer:
            chunks = answer.aiter_raw()
            if answer.status_code == 200:
                await anext(chunks)
            yield answer.status_code

    async with behind("203.0.113.1", "a") as first, behind("203.0.113.2", "b") as second:
        assert (first, second) == (200, 200)
        async with behind("9.9.9.9, 203.0.113.1", "c") as forged, behind("203.0.113.1, 10.1.1.1", "d") as hop:
            assert (forged, hop) == (429, 429)


@pytest.mark.integration
async def test_without_trusted_proxies_the_header_counts_for_nothing(service: Any) -> None:
    headers = {**bearer_of(service, "ann"), "x-forwarded-for": "203.0.113.1"}
    async with service.client.stream("GET", "/api/chat/stream", headers=headers) as answer:
        chunks = answer.aiter_raw()
        await anext(chunks)
        assert set(service.hub.limits._addresses) == {"127.0.0.1"}


@pytest.mark.integration
async def test_a_hundred_thousand_topics_are_refused_before_they_are_read(service: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    many = "&".join(["topic=room:a"] * 100_000)
    writer.write(f"GET /api/streams?{many} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    # The connection ends it before it is read; where the server lets it through, the application does (414).
    assert head.startswith(b"HTTP/1.1 431 ")
    assert service.hub.limits.total == 0


async def test_too_many_topics_are_refused(memory_api: Any) -> None:
    many = "&".join(["topic=room:a"] * 4_500)
    answer = await memory_api.get(f"/api/streams?{many}", "ann")
    assert answer.status_code == 414 and answer.headers["content-type"] == "application/problem+json"
    some = "&".join(["topic=room:a"] * 101)
    assert (await memory_api.get(f"/api/streams?{some}", "ann")).status_code == 400
    conversations = "&".join(["conversationId=a"] * 101)
    assert (await memory_api.get(f"/api/chat/stream?{conversations}", "ann")).status_code == 400
    body = {"events": [{"topic": "room:a", "type": "x", "data": 1}] * 10_000}
    answer = await memory_api.post("/api/events", "worker", body, scope="events:publish")
    assert answer.status_code == 400
    tickets = {"topics": ["room:a"] * 50_000}
    assert (await memory_api.post("/api/streams/tickets", "ann", tickets)).status_code == 400
    assert memory_api.app.state.services.hub.limits.total == 0


async def test_huge_headers_are_refused(memory_api: Any) -> None:
    answer = await memory_api.client.get("/healthz", headers={"x-filler": "x" * 70_000})
    assert answer.status_code == 431
    assert answer.json()["requestId"] == answer.headers["x-request-id"]
