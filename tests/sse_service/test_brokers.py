"""One behaviour suite over all brokers: memory, Redis, SQS in each of its modes (docs/decisions/0006).

Two instances share a log; nothing looks at it by itself here, so what arrives arrives because of the broker.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from sse_service.adapters.dynamodb import Dynamo
from sse_service.adapters.redis_broker import RedisBroker
from sse_service.broker_settings import SQS_MODES
from sse_service.hub import Hub
from sse_service.ports import Batch, BrokerListener
from sse_service.settings import Secret, Settings

from .broker_support import Cluster, eventually, make_cluster
from .redis_support import RedisServer


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


KINDS = ["memory", "redis", *(f"sqs-{mode}" for mode in SQS_MODES)]


@pytest.fixture(params=KINDS)
async def cluster(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        made = await make_cluster(request.param, request, settings, stack)
        yield made
        await made.close()


@pytest.fixture(params=KINDS[1:])
async def far_cluster(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Cluster]:
    """Those with a server, that can be away."""
    async with AsyncExitStack() as stack:
        made = await make_cluster(request.param, request, settings, stack)
        yield made
        await made.close()


def texts(count: int, name: str = "e") -> list[str]:
    return [f"{name}{n}" for n in range(count)]


# What every broker does ------------------------------------------------------------------------------------


async def test_what_is_published_on_one_instance_reaches_streams_on_the_other(cluster: Cluster) -> None:
    one, two = await cluster.instance(), await cluster.instance()
    ann, bob = await one.open("ann"), await two.open("bob")
    expected = []
    for n in range(12):
        await (one, two)[n % 2].publish(f"e{n}")
        expected.append(f"e{n}")
    await ann.has(expected)
    await bob.has(expected)


async def test_sq2_two_tabs_of_a_user_on_two_instances_both_get_everything(cluster: Cluster) -> None:
    """Fault 10: one queue of a user read by two instances must not make them steal from each other."""
    deaf: list[Deaf] = []

    def wrap(hub: Hub) -> BrokerListener:
        deaf.append(Deaf(hub))
        return deaf[-1]

    one, two, three = [await cluster.instance(wrap) for _ in range(3)]
    tabs = [await one.open("ann"), await two.open("ann"), await one.open("ann")]
    await cluster.talking(three, one)
    await cluster.talking(three, two)
    await cluster.agreed("ann", one, two, known_to=(one, two, three))
    for listener in deaf:
        listener.is_deaf = True
    expected = texts(12)
    for count, text in enumerate(expected, start=1):
        # From a third instance, which has no stream of hers. Each must come by itself: a later one would reveal a gap.
        await three.publish(text, topic="user:ann")
        for tab in tabs:
            await tab.has(expected[:count])


class Deaf:
    """A hub that in the end hears only of what came: no look at the log makes up for what did not."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.is_deaf = False

    def accept(self, batch: Batch) -> None:
        self._hub.accept(batch)

    def look(self, tenant: str | None = None) -> None:
        if not self.is_deaf:
            self._hub.look(tenant)

    async def written(self, tenant: str, position: Any, user: str | None = None) -> bool:
        return self.is_deaf or await self._hub.written(tenant, position, user)


async def test_everything_of_a_tenant_and_the_tenants_own_topic_arrive(cluster: Cluster) -> None:
    one, two = await cluster.instance(), await cluster.instance()
    observer = await two.open("eve", everything=True)
    bob = await two.open("bob", "tenant:demo")
    await one.publish("to ann", topic="user:ann")
    await one.publish("to all", topic="tenant:demo")
    await one.publish("in the room")
    await observer.has(["to ann", "to all", "in the room"])
    await bob.has(["to all"])


async def test_tenants_do_not_hear_of_each_other(cluster: Cluster) -> None:
    one, two = await cluster.instance(), await cluster.instance()
    here, there = await two.open("ann", "room:x"), await two.open("ann", "room:x", tenant="other#1")
    await one.publish("here", topic="room:x")
    await one.publish("there", topic="room:x", tenant="other#1")
    await here.has(["here"])
    await there.has(["there"])


class Careless:
    """Loses, doubles and delays what the broker says to a hub; says everything right from `honest` on."""

    def __init__(self, hub: Hub, seed: int) -> None:
        self._hub = hub
        self._rng = random.Random(seed)
        self._late: list[Batch] = []
        self.count = 0

    def accept(self, batch: Batch) -> None:
        self.count += 1
        choice = self._rng.randrange(4)
        if choice == 1:
            self._hub.accept(batch)
            self._hub.accept(batch)
        elif choice == 2:
            self._late.append(batch)
        elif choice == 3 and self._late:
            self._hub.accept(batch)
            self._hub.accept(self._late.pop())

    def look(self, tenant: str | None = None) -> None:
        self._hub.look(tenant)

    async def written(self, tenant: str, position: Any, user: str | None = None) -> bool:
        return True  # as if: the queue must not be what saves us here

    def make_up(self) -> None:
        """As the periodic look at the log."""
        self._hub.look()


async def test_a_lost_doubled_or_late_notification_is_harmless(cluster: Cluster) -> None:
    careless: list[Careless] = []

    def wrap(hub: Hub) -> BrokerListener:
        careless.append(Careless(hub, seed=7))
        return careless[0]

    one, two = await cluster.instance(), await cluster.instance(wrap)
    bob = await two.open("bob")
    await cluster.talking(one, two)
    told = careless[0].count
    for n in range(40):
        await one.publish(f"e{n}")
        await asyncio.sleep(0.005)  # several notifications, not one of them all

    def makes_up() -> bool:
        careless[0].make_up()
        return len(bob.texts) >= 40

    await eventually(lambda: careless[0].count > told, "a notification")
    await eventually(makes_up, "all events")
    await bob.has(texts(40))


async def test_a_large_batch_is_told_as_a_position_and_read_from_the_log(cluster: Cluster) -> None:
    one, two = await cluster.instance(), await cluster.instance()
    bob = await two.open("bob")
    large = "x" * 100_000
    await one.publish(large, "small")
    await bob.has([large, "small"])


async def test_publishing_at_once_on_both_keeps_one_order(cluster: Cluster) -> None:
    one, two = await cluster.instance(), await cluster.instance()
    ann, bob = await one.open("ann"), await two.open("bob")
    await asyncio.gather(*(((one, two)[n % 2]).publish(f"e{n}") for n in range(40)))
    await ann.until(lambda: len(ann.texts) == 40, "40 events")
    await bob.has(ann.texts)


# With a server that can be away ------------------------------------------------------------------------------


async def test_a_broker_that_was_away_loses_nothing(far_cluster: Cluster) -> None:
    """The log decides: when the broker is back every stream has everything, though nothing is published any more."""
    assert far_cluster.door is not None
    one, two = await far_cluster.instance(), await far_cluster.instance()
    ann, bob = await one.open("ann"), await two.open("bob")
    await far_cluster.talking(one, two)
    await one.publish("before")
    await bob.has(["before"])
    await far_cluster.door.shut()
    for n in range(20):
        await (one, two)[n % 2].publish(f"e{n}")
    far_cluster.door.open()
    await ann.has(["before", *texts(20)])
    await bob.has(["before", *texts(20)])
    await one.publish("after")
    await bob.has(["before", *texts(20), "after"])


async def test_streams_open_while_the_broker_is_away(far_cluster: Cluster) -> None:
    assert far_cluster.door is not None
    await far_cluster.door.shut()
    one, two = await far_cluster.instance(), await far_cluster.instance()
    bob = await two.open("bob")
    await one.publish("e0")
    far_cluster.door.open()
    await bob.has(["e0"])


async def test_notify_never_waits_and_forgets_no_position(far_cluster: Cluster) -> None:
    """More than fits into the queue while the broker is away: events are dropped, where they led is not."""
    assert far_cluster.door is not None
    one, two = await far_cluster.instance(), await far_cluster.instance()
    bob = await two.open("bob")
    await far_cluster.talking(one, two)
    await one.publish("first")
    await bob.has(["first"])
    await far_cluster.door.shut()
    body = "y" * 60_000
    for _ in range(10):  # 36 MB, and 8 MB are kept
        await one.publish(*[body] * 60)
    assert one.value("sse_broker_dropped_total") > 0
    far_cluster.door.open()
    await bob.until(lambda: len(bob.texts) == 601, "everything")
    assert bob.numbers == sorted(set(bob.numbers))


async def test_the_next_instance_takes_over(far_cluster: Cluster) -> None:
    """An instance ends, another one begins: its streams hear of what the others publish."""
    one, two = await far_cluster.instance(), await far_cluster.instance()
    bob = await two.open("bob")
    await one.publish("e0")
    await bob.has(["e0"])
    cursor = bob.reader.last_event_id
    await two.close()
    await one.publish("e1")
    three = await far_cluster.instance()
    bob = await three.open("bob", cursor=cursor)
    await bob.has(["e1"])
    await one.publish("e2")
    await bob.has(["e1", "e2"])


async def test_a_redis_server_that_restarts_loses_nothing(settings: Settings, tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    made = Cluster(
        "redis", settings, lambda metrics: RedisBroker(server.url, "restart", metrics, clock=time.time), None
    )
    try:
        one, two = await made.instance(), await made.instance()
        bob = await two.open("bob")
        expected = []
        for round_ in range(3):
            for n in range(10):
                if n == 3:
                    server.stop()
                if n == 7:
                    server.start()
                expected.append(f"{round_}.{n}")
                await one.publish(expected[-1])
            await bob.has(expected)
        assert two.value("sse_broker_reconnects_total") >= 3
    finally:
        await made.close()
        server.stop()


@pytest.mark.parametrize("broker", ["redis", "sqs"])
async def test_two_services_as_their_settings_make_them(
    start_service: Any, dynamo_settings: Settings, redis_server: RedisServer, broker: str
) -> None:
    """Over HTTP, with the log in DynamoDB; two tabs of one user on two instances (SQ2, SQ8)."""
    settings = dynamo_settings.replace(
        broker=broker, redis_url=Secret(redis_server.url), sqs_mode="user", sqs_wait_s=1, log_check_s=0
    )
    dynamo = Dynamo(settings)
    await dynamo.connect()
    await dynamo.create_tables()
    await dynamo.close()
    one, two = await start_service(settings), await start_service(settings)
    await one.room()
    async with one.stream("ann") as first, two.stream("ann") as second, two.stream("bob") as bob:
        for n in range(6):
            await (one, two)[n % 2].say("eve", str(n))
        for stream in (first, second, bob):
            await stream.frame("message", 6)
            assert [frame.json["message"] for frame in stream.of_type("message")] == [str(n) for n in range(6)]
    exposition = (await one.client.get("/metrics")).text
    assert "sse_broker_connected 1.0" in exposition
