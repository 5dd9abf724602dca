"""One behaviour suite over all brokers: memory, Redis, SQS in each of its modes (docs/decisions/0006).

Two instances share a log; nothing looks at it by itself here, so what arrives arrives because of the broker.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sse_service.adapters.dynamodb import Dynamo
from sse_service.adapters.memory import MemoryBroker
from sse_service.adapters.redis_broker import RedisBroker
from sse_service.adapters.sqs_broker import SqsBroker
from sse_service.broker_settings import SQS_MODES
from sse_service.hub import Hub
from sse_service.metrics import Metrics
from sse_service.ports import Batch, Broker, BrokerListener, Conversation
from sse_service.settings import Settings

from .broker_support import TENANT, WAIT_S, Instance, SharedLog, conversations, eventually
from .redis_support import Door, RedisServer, door_to


class Cluster:
    """Instances on one log and one broker, whose server stands behind a door."""

    def __init__(self, kind: str, settings: Settings, make: Callable[[Metrics], Broker], door: Door | None) -> None:
        self.kind = kind
        self.settings = settings
        self.log = SharedLog()
        self.door = door
        self._make = make
        self._stack = AsyncExitStack()

    async def instance(self, wrap: Callable[[Hub], BrokerListener] = lambda hub: hub) -> Instance:
        metrics = Metrics()
        made = Instance(self.settings, self.log, self._make(metrics), metrics, wrap)
        await made.start()
        self._stack.push_async_callback(made.close)
        return made

    async def talking(self, one: Instance, two: Instance) -> None:
        """Until what `one` publishes comes to `two`, which has a stream, by the broker itself."""
        if self.kind == "memory":
            return
        deadline = time.monotonic() + WAIT_S
        before = received_by(two)
        while received_by(two) == before:
            assert time.monotonic() < deadline, "no notification came"
            await one.publish("probe", topic="probe:x")
            for _ in range(20):
                if received_by(two) == before:
                    await asyncio.sleep(0.01)

    async def close(self) -> None:
        await self._stack.aclose()


def received_by(instance: Instance) -> float:
    return sum(instance.value("sse_broker_received_total", kind=kind) for kind in ("events", "position"))


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


async def make_cluster(kind: str, request: pytest.FixtureRequest, settings: Settings, stack: AsyncExitStack) -> Cluster:
    if kind == "memory":
        broker = MemoryBroker()
        return Cluster(kind, settings, lambda _: broker.for_instance(), None)
    if kind == "redis":
        server = request.getfixturevalue("redis_server")
        door = await stack.enter_async_context(door_to("127.0.0.1", server.port))
        url, prefix = f"redis://127.0.0.1:{door.port}/0", f"t{random.getrandbits(40)}"
        return Cluster(kind, settings, lambda metrics: RedisBroker(url, prefix, metrics, clock=time.time), door)
    return await make_sqs_cluster(kind.removeprefix("sqs-"), request, settings, stack)


async def make_sqs_cluster(
    mode: str, request: pytest.FixtureRequest, settings: Settings, stack: AsyncExitStack, **changes: Any
) -> Cluster:
    there = urlsplit(request.getfixturevalue("moto_url"))
    assert there.hostname is not None and there.port is not None
    door = await stack.enter_async_context(door_to(there.hostname, there.port))
    config: Settings = request.getfixturevalue("dynamo_settings").replace(
        broker="sqs", sqs_mode=mode, sqs_wait_s=1, aws_endpoint_url=f"http://127.0.0.1:{door.port}", **changes
    )
    rooms = conversations()
    await rooms.save(TENANT, Conversation("main", frozenset({"ann", "bob"}), False, "ann"))
    dynamo = Dynamo(config)
    await dynamo.connect()
    stack.push_async_callback(dynamo.close)
    await dynamo.create_tables()
    if mode == "provisioned":
        await provision(config)
    made = Cluster(
        f"sqs-{mode}", settings, lambda metrics: SqsBroker(config, dynamo, rooms.get, metrics, clock=time.time), door
    )
    made.config = config  # type: ignore[attr-defined]
    made.rooms = rooms  # type: ignore[attr-defined]
    return made


async def provision(config: Settings) -> None:
    """What somebody else does beforehand: the queues of ann and bob, of the tenant, and of three instances."""
    from sse_service.adapters.sqs import Sqs
    from sse_service.brokers.routing import Mailbox, instance_queue_name, queue_name

    sqs = Sqs(region=config.region, endpoint_url=config.aws_endpoint_url, polls=1, wait_s=1)
    await sqs.connect()
    prefix = config.table_prefix
    names = [queue_name(config.sqs_user_queue, prefix, Mailbox(TENANT, user)) for user in ("ann", "bob", "eve")]
    names.append(queue_name(config.sqs_tenant_queue, prefix, Mailbox(TENANT)))
    names += [instance_queue_name(config.sqs_instance_queue, prefix, slot, is_fifo=False) for slot in range(3)]
    for name in names:
        await sqs.make(name, {})
    await sqs.close()


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
    one, two, three = [await cluster.instance() for _ in range(3)]
    tabs = [await one.open("ann"), await two.open("ann"), await one.open("ann")]
    expected = texts(30)
    for text in expected:
        # From a third instance, which has no stream of hers.
        await three.publish(text, topic="user:ann")
    for tab in tabs:
        await tab.has(expected)


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


Outage = Callable[[], Awaitable[None]]


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
