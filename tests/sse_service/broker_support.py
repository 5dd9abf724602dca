"""Instances of the service without HTTP: a hub, a publisher and a broker on one log, and tabs that read streams."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest

from sse_service.adapters.dynamodb import Dynamo
from sse_service.adapters.memory import MemoryBroker, MemoryConversations, MemoryEventLog
from sse_service.adapters.redis_broker import RedisBroker
from sse_service.adapters.sqs import Sqs
from sse_service.adapters.sqs_broker import SqsBroker
from sse_service.auth import Principal
from sse_service.brokers.routing import Mailbox, instance_queue_name, queue_name
from sse_service.events import Draft, EventId, Topic
from sse_service.hub import Hub
from sse_service.metrics import Metrics
from sse_service.ports import Batch, Broker, BrokerListener, Conversation
from sse_service.publisher import Publisher
from sse_service.response import EventStreamResponse
from sse_service.settings import Settings
from sse_service.testing import Frame, SseReader

from .redis_support import Door, door_to

TENANT = "demo"
WAIT_S = 20.0


class SharedLog:
    """The memory log as several processes share a store: no immediate appends, conflicts, no periodic look."""

    def __init__(self) -> None:
        self._log = MemoryEventLog(time.time, retention_s=3600, max_bytes=1 << 30)
        self.reads = 0

    def __getattr__(self, name: str) -> Any:
        if name == "append_now":
            raise AttributeError(name)
        return getattr(self._log, name)

    async def read(self, *arguments: Any, **options: Any) -> Any:
        self.reads += 1
        return await self._log.read(*arguments, **options)


class Instance:
    """wrap: what stands between the broker and the hub (for notifications that go wrong)."""

    def __init__(
        self,
        settings: Settings,
        log: SharedLog,
        broker: Broker,
        metrics: Metrics,
        wrap: Callable[[Hub], BrokerListener] = lambda hub: hub,
    ) -> None:
        self.log: Any = log
        self.broker = broker
        self.metrics = metrics
        self.hub = Hub(settings, self.log, metrics, clock=time.time, broker=broker)
        self._wrap = wrap
        self.publisher = Publisher(
            self.log, self._deliver, metrics, clock=time.time, max_event_bytes=1 << 17, timeout_s=10
        )
        self.tabs: list[Tab] = []
        self._is_closed = False

    def _deliver(self, batch: Batch) -> None:
        self.hub.accept(batch)
        self.broker.notify(batch)

    async def start(self) -> None:
        self.hub.start()
        await self.broker.start(self._wrap(self.hub))

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        for tab in self.tabs:
            await tab.close()
        await self.publisher.close()
        await self.broker.close()
        await self.hub.close()

    async def publish(self, *texts: str, topic: str = "room:main", tenant: str = TENANT) -> None:
        drafts = [Draft(topic, "m", f'"{text}"', time.time()) for text in texts]
        await self.publisher.publish(tenant, drafts)

    async def open(
        self,
        user: str,
        *topics: str,
        everything: bool = False,
        cursor: str | None = None,
        tenant: str = TENANT,
    ) -> Tab:
        feed = await self.hub.feed(tenant)
        located = await feed.locate(cursor)
        principal = Principal(user, tenant, frozenset(), time.time() + 1e6)
        wanted = None if everything else {Topic(t) for t in (topics or ("room:main", f"user:{user}"))}
        self.hub.limits.enter(tenant, user, "")
        writer = self.hub.writer_for(principal, wanted, envelope=everything, joins=False)
        response = EventStreamResponse(self.hub, feed, located, writer, self.metrics)
        tab = Tab(response)
        self.tabs.append(tab)
        await tab.until(lambda: tab.reader.last_event_id, "the first event")
        return tab

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


class Tab:
    """A client that reads; as the bundled ones it ignores what it has seen."""

    def __init__(self, response: EventStreamResponse) -> None:
        self.reader = SseReader()
        self.frames: list[Frame] = []
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._gone = asyncio.Event()
        self._more = asyncio.Event()
        self._task = asyncio.create_task(response({"type": "http"}, self._receive, self._send))  # type: ignore[arg-type]

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self.flowing.wait()
        self.frames += self.reader.feed(message.get("body", b""))
        self._more.set()

    @property
    def texts(self) -> list[str]:
        bodies = [frame.json for frame in self.frames if frame.type == "m"]
        # A stream of everything has envelopes.
        return [body["data"] if isinstance(body, dict) else body for body in bodies]

    @property
    def numbers(self) -> list[int]:
        ids = [EventId.parse(frame.id) for frame in self.frames if frame.type == "m"]
        return [one.seq for one in ids if one is not None]

    async def until(self, condition: Callable[[], Any], what: str) -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                while not condition():
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"no {what}; got {self.texts[-20:]}") from None

    async def has(self, texts: list[str]) -> None:
        """Exactly these, in this order, each once, with growing ids."""
        await self.until(lambda: len(self.texts) >= len(texts), f"{len(texts)} events")
        assert self.texts == texts
        assert self.numbers == sorted(set(self.numbers))

    async def close(self) -> None:
        self._gone.set()
        self.flowing.set()
        await asyncio.gather(self._task)


async def eventually(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"it never came to this: {what}")
        await asyncio.sleep(0.01)


class Cluster:
    """Instances on one log and one broker, whose server stands behind a door."""

    config: Settings
    """Of an SQS broker."""

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

    async def agreed(self, user: str, *readers: Instance, known_to: tuple[Instance, ...]) -> None:
        """Until all of these know that the readers read the user's queue: what one of them receives before that is not
        passed on, and the others look at the log instead (sqs_broker.LOOK_AGAIN_S)."""
        if self.kind not in {"sqs-user", "sqs-provisioned", "sqs-tenant"}:
            return
        mailbox = Mailbox(TENANT) if self.kind == "sqs-tenant" else Mailbox(TENANT, user)
        wanted = {reader.broker._instance for reader in readers}  # type: ignore[attr-defined]  # an SqsBroker
        deadline = time.monotonic() + WAIT_S
        for instance in known_to:
            registry = instance.broker._registry  # type: ignore[attr-defined]
            while True:
                row, instances = await registry.mailbox(mailbox), await registry.instances()
                if (
                    row is not None
                    and row.readers >= wanted
                    and wanted <= {one for one, url in instances.items() if url}
                ):
                    break
                assert time.monotonic() < deadline, f"{wanted} are not known to read {mailbox}"
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        await self._stack.aclose()


def received_by(instance: Instance) -> float:
    return sum(instance.value("sse_broker_received_total", kind=kind) for kind in ("events", "position"))


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
    # What instances know of each other is kept for a shorter time: a test need not wait a second for it.
    patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    patch.setattr("sse_service.adapters.sqs_registry.CACHE_S", 0.2)
    patch.setattr("sse_service.adapters.sqs_broker.LOOK_AGAIN_S", 0.4)
    there = urlsplit(request.getfixturevalue("moto_url"))
    assert there.hostname is not None and there.port is not None
    door = await stack.enter_async_context(door_to(there.hostname, there.port))
    config: Settings = request.getfixturevalue("dynamo_settings").replace(
        broker="sqs", sqs_mode=mode, sqs_wait_s=1, aws_endpoint_url=f"http://127.0.0.1:{door.port}", **changes
    )
    rooms = MemoryConversations()
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
    made.config = config
    return made


async def provision(config: Settings) -> None:
    """What somebody else does beforehand: the queues of ann and bob, of the tenant, and of three instances."""
    sqs = Sqs(region=config.region, endpoint_url=config.aws_endpoint_url, polls=1, wait_s=1)
    await sqs.connect()
    prefix = config.table_prefix
    names = [queue_name(config.sqs_user_queue, prefix, Mailbox(TENANT, user)) for user in ("ann", "bob", "eve")]
    names.append(queue_name(config.sqs_tenant_queue, prefix, Mailbox(TENANT)))
    names += [instance_queue_name(config.sqs_instance_queue, prefix, slot, is_fifo=False) for slot in range(3)]
    for name in names:
        await sqs.make(name, {})
    await sqs.close()
