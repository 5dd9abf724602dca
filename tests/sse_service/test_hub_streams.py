"""Streams that grow, streams of back ends, several instances, limits."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import pytest

from sse_service.adapters.memory import MemoryBroker
from sse_service.app import Backends, make_backends
from sse_service.feed import TenantFeed
from sse_service.hub import IDLE_FEED_S
from sse_service.settings import Settings

pytestmark = pytest.mark.integration


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture(params=["auto", "portable"])
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """On both ways to the client."""
    return settings.replace(transport=request.param)


async def test_a_new_conversation_reaches_open_streams_without_a_reconnect(any_service: Any) -> None:
    """Participants and, where it is open, the whole tenant; nobody else."""
    async with any_service.stream("ann") as ann, any_service.stream("bob") as bob, any_service.stream("eve") as eve:
        await any_service.post("/api/conversations", "ann", {"conversationId": "c1", "participants": ["bob"]})
        assert (await bob.frame("conversation")).json == {
            "type": "conversation",
            "conversationId": "c1",
            "open": False,
        }
        await any_service.say("ann", "secret", room="c1")
        assert (await bob.frame("message")).json["message"] == "secret"
        await ann.frame("message")
        await any_service.room("everybody")
        await any_service.say("bob", "hello", room="everybody")
        assert (await eve.frame("message")).json["message"] == "hello"
        assert "secret" not in str(eve.frames)


async def test_a_conversation_made_while_away_is_replayed(any_service: Any) -> None:
    async with any_service.stream("ann") as ann:
        cursor = ann.frames[0].id
    await any_service.post("/api/conversations", "bob", {"conversationId": "c", "participants": ["ann"]})
    await any_service.say("bob", "1", room="c")
    async with any_service.stream("ann", cursor=cursor) as ann:
        await ann.frame("message")
        await any_service.say("bob", "2", room="c")
        await ann.frame("message", 2)
        assert [f.type for f in ann.frames] == ["ready", "conversation", "message", "message"]


async def test_a_stream_can_be_narrowed_to_conversations(service: Any) -> None:
    for room in ("a", "b", "c"):
        await service.room(room)
    async with service.stream("ann", "/api/chat/stream?conversationId=a&conversationId=b") as ann:
        await service.room("d")
        for room in ("a", "c", "d", "b"):
            await service.say("bob", room, room=room)
        await ann.frame("message", 2)
        assert [f.json["message"] for f in ann.of_type("message")] == ["a", "b"]


async def test_a_back_end_follows_the_whole_tenant_in_envelopes(any_service: Any) -> None:
    """MG8: what a bridge reads: every event of the tenant with its stored fields; resume as for everybody."""
    await any_service.room()
    async with any_service.stream("bridge", "/api/streams?topic=*", scope="streams:tenant") as bridge:
        sent = await any_service.say("ann", "hi")
        frame = await bridge.frame("message")
        envelope = frame.json
        assert envelope["id"] == frame.id
        assert (envelope["topic"], envelope["type"], envelope["origin"]) == ("room:main", "message", "rest")
        assert envelope["key"] == sent["messageId"]
        assert envelope["time"] == sent["timestamp"]
        assert envelope["data"]["message"] == "hi"
        checkpoint = frame.id
    events = [{"topic": "user:x", "type": "note", "data": [1], "origin": "legacy", "key": "k"}]
    await any_service.post("/api/events", "bridge", {"events": events}, scope="events:publish")
    path = "/api/streams?topic=*"
    async with any_service.stream("bridge", path, scope="streams:tenant", cursor=checkpoint) as bridge:
        note = (await bridge.frame("note")).json
        assert {k: note[k] for k in ("topic", "type", "origin", "key", "data")} == events[0]


async def test_chosen_topics_and_who_may_choose_them(any_service: Any) -> None:
    await any_service.room("main")
    await any_service.post("/api/conversations", "bob", {"conversationId": "private"})
    get: Callable[..., Any] = any_service.get
    for query, claims in (
        ("topic=*", {}),
        ("topic=room:private", {}),
        ("topic=room:nowhere", {}),
        ("topic=user:bob", {}),
        ("topic=tenant:other", {}),
        ("topic=tenant:other", {"scope": "streams:tenant"}),
        ("topic=room:main&topic=user:bob", {}),
    ):
        assert (await get(f"/api/streams?{query}", "ann", **claims)).status_code == 403, query
    for query in ("", "topic=", "topic=x", "topic=room:a%0ab", "&".join(["topic=room:main"] * 101)):
        assert (await get(f"/api/streams?{query}", "ann")).status_code == 400, query[:40]
    async with any_service.stream("ann", "/api/streams?topic=room:main&topic=user:ann") as ann:
        await any_service.say("bob", "hi")
        assert (await ann.frame("message")).json["data"]["message"] == "hi"


async def test_other_tenants_see_nothing_and_cannot_resume_with_a_foreign_id(any_service: Any) -> None:
    await any_service.room()
    await any_service.room(tenant="other")
    async with any_service.stream("ann") as ann, any_service.stream("ann", tenant="other") as other:
        await any_service.say("bob", "for demo only")
        seen = await ann.frame("message")
    async with any_service.stream("ann", tenant="other", cursor=ann.frames[0].id) as other:
        assert (await other.frame("reset")).json["reason"] == "unknown_log"
        assert [f.type for f in other.frames] == ["ready", "reset"]
    assert seen.json["message"] == "for demo only"


async def test_what_was_published_in_one_request_arrives_in_order_over_several_topics(service: Any) -> None:
    """One stream, three topics, one flush: merged by their place in the log."""
    for room in ("a", "b"):
        await service.room(room)
    async with service.stream("ann") as ann, service.stream("bob") as bob:
        events = [{"topic": f"room:{'ab'[n % 2]}", "type": "n", "data": n} for n in range(30)]
        events[7]["topic"] = events[8]["topic"] = "user:ann"
        await service.post("/api/events", "job", {"events": events}, scope="events:publish")
        await ann.frame("n", 30)
        await bob.frame("n", 28)
        assert [f.json for f in ann.of_type("n")] == list(range(30))
        assert [f.json for f in bob.of_type("n")] == [n for n in range(30) if n not in {7, 8}]


@pytest.mark.parametrize("moment", ["opening", "replay"])
async def test_a_feed_is_not_let_go_under_a_stream_that_begins(
    service: Any, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Nobody has followed the tenant for long, and the clockwork comes by just then."""
    await service.room()
    async with service.stream("ann") as ann:
        cursor = ann.frames[0].id
    await until(lambda: service.hub.open_streams == 0)
    hub, chat = service.hub, service.app.state.services.chat
    feed = await hub.feed("demo")
    rooms_of, recent, passes = chat.rooms_of, TenantFeed.recent, []

    def come_by() -> None:
        passes.append(hub._let_go(time.monotonic()))

    async def open_now(principal: Any) -> Any:
        come_by()
        return await rooms_of(principal)

    def replay_now(self: TenantFeed, *where: Any) -> Any:
        self.idle_since = time.monotonic() - 2 * IDLE_FEED_S  # it has been under way for as long as that
        come_by()
        return recent(self, *where)

    if moment == "opening":
        monkeypatch.setattr(chat, "rooms_of", open_now)
    else:
        monkeypatch.setattr(TenantFeed, "recent", replay_now)
    feed.idle_since = time.monotonic() - 2 * IDLE_FEED_S
    async with service.stream("ann", cursor=cursor) as ann:
        assert passes
        await service.say("bob", "hi")
        assert (await ann.frame("message")).json["message"] == "hi"
    await until(lambda: service.hub.open_streams == 0)
    feed.idle_since = time.monotonic() - 2 * IDLE_FEED_S
    assert hub._let_go(time.monotonic()) == [feed]


async def test_two_tabs_of_one_user_both_receive_everything(service: Any) -> None:
    """SQ8, SQ2: streams do not take each other's events."""
    await service.room()
    async with service.stream("ann") as one, service.stream("ann") as two:
        for n in range(5):
            await service.say("bob", str(n))
        for tab in (one, two):
            await tab.frame("message", 5)


# Several instances ----------------------------------------------------------------------------------------


async def test_instances_on_one_log_find_each_others_events(start_service: Any, dynamo_tables: Settings) -> None:
    """No broker between them: the periodic look at the log finds what nobody told."""
    one, two = await start_service(dynamo_tables), await start_service(dynamo_tables)
    await one.room()
    async with one.stream("ann") as ann, two.stream("bob") as bob:
        for n in range(3):
            await (one, two)[n % 2].say("eve", str(n))
        for stream in (ann, bob):
            await stream.frame("message", 3)
            assert [f.json["message"] for f in stream.of_type("message")] == ["0", "1", "2"]


async def test_instances_with_a_broker_tell_each_other_at_once(start_service: Any, dynamo_tables: Settings) -> None:
    settings = dynamo_tables.replace(log_check_s=0)
    broker = MemoryBroker()

    def backends() -> Backends:
        return dataclasses.replace(make_backends(settings, time.time), broker=broker.for_instance())

    one, two = await start_service(settings, backends()), await start_service(settings, backends())
    await one.room()
    async with one.stream("ann") as ann, two.stream("bob") as bob:
        await asyncio.gather(*((one, two)[n % 2].say("eve", str(n)) for n in range(20)))
        await ann.frame("message", 20)
        await bob.frame("message", 20)
        assert [f.id for f in ann.of_type("message")] == [f.id for f in bob.of_type("message")]


async def test_a_lost_notification_is_noticed_at_the_next_one_and_read_from_the_log(
    start_service: Any, dynamo_tables: Settings
) -> None:
    settings = dynamo_tables.replace(log_check_s=0)
    broker = MemoryBroker()

    class Lossy:
        """Loses the second notification."""

        def __init__(self) -> None:
            self.inner = broker.for_instance()
            self.count = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def notify(self, batch: Any) -> None:
            self.count += 1
            if self.count != 3:  # the first one announces the conversation
                self.inner.notify(batch)

    lossy: Any = Lossy()
    one = await start_service(settings, dataclasses.replace(make_backends(settings, time.time), broker=lossy))
    two = await start_service(
        settings, dataclasses.replace(make_backends(settings, time.time), broker=broker.for_instance())
    )
    async with two.stream("bob") as bob:
        await one.room()
        for n in range(3):
            await one.say("eve", str(n))
        await bob.frame("message", 3)
        assert [f.json["message"] for f in bob.of_type("message")] == ["0", "1", "2"]
    registry = two.app.state.services.metrics.registry
    assert registry.get_sample_value("sse_gaps_total") == 1


async def test_a_stream_resumes_on_another_instance_that_has_heard_nothing_yet(
    start_service: Any, dynamo_tables: Settings
) -> None:
    """Its cursor is ahead of what that instance was told; the log says that it is right."""
    settings = dynamo_tables.replace(log_check_s=0)
    one, two = await start_service(settings), await start_service(settings)
    await one.room()
    async with two.stream("somebody"):
        async with one.stream("ann") as ann:
            await one.say("bob", "1")
            seen = await ann.frame("message")
        await one.say("bob", "2")
        async with two.stream("ann", cursor=seen.id) as ann:
            assert ann.frames[0].json["recovered"] is True
            assert (await ann.frame("message")).json["message"] == "2"


async def test_many_resumes_from_one_place_share_their_reads(start_service: Any, dynamo_tables: Settings) -> None:
    service = await start_service(dynamo_tables.replace(ring_bytes=1 << 10))
    await service.room()
    async with service.stream("ann") as ann:
        start = ann.frames[0].id
    for n in range(30):
        await service.say("bob", str(n))
    registry = service.app.state.services.metrics.registry

    async def resume(user: str) -> None:
        async with service.stream(user, cursor=start) as stream:
            await stream.frame("message", 30)

    await asyncio.gather(*(resume(f"u{n}") for n in range(12)))
    assert registry.get_sample_value("sse_log_reads_total", {"why": "resume"}) < 12
    assert registry.get_sample_value("sse_replayed_events_total") == 12 * 30


# Limits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "scope", "users"),
    [
        ({"max_streams_per_user": 2}, "user", ["ann", "ann", "ann"]),
        ({"max_streams_per_address": 2}, "address", ["ann", "bob", "eve"]),
        ({"max_streams": 2}, "node", ["ann", "bob", "eve"]),
    ],
)
async def test_one_stream_too_many_is_a_429(
    start_service: Any, settings: Settings, changes: dict[str, int], scope: str, users: list[str]
) -> None:
    service = await start_service(settings.replace(**changes))
    async with service.stream(users[0]):
        async with service.stream(users[1]):
            refused = await service.get("/api/chat/stream", users[2])
            assert refused.status_code == 429
            assert refused.json()["scope"] == scope and int(refused.headers["retry-after"]) > 0
        async with asyncio.timeout(5):
            while service.hub.limits.total > 1:
                await asyncio.sleep(0.01)
        async with service.stream(users[2]):
            pass
