"""What is SQS's own: whose queues there are, who polls them and for how long, and when a message is acknowledged."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from sse_service.adapters.dynamodb import Dynamo
from sse_service.adapters.sqs import Outgoing, Sqs, SqsMessage
from sse_service.adapters.sqs_inbox import MAX_RECEIVES, Inbox
from sse_service.adapters.sqs_registry import CLOCKS_S, LEASE_S, QueueRegistry
from sse_service.brokers.notice import Notice, encode
from sse_service.brokers.routing import Mailbox, queue_name
from sse_service.errors import UnavailableError
from sse_service.events import EventId
from sse_service.metrics import Metrics
from sse_service.settings import Settings
from sse_service.testing import FakeClock

from .broker_support import TENANT, WAIT_S, Cluster, Instance, make_sqs_cluster


@pytest.fixture
async def sqs(moto_url: str) -> AsyncIterator[Sqs]:
    """Somebody who looks at the queues from outside."""
    made = Sqs(region="ap-northeast-1", endpoint_url=moto_url, polls=1, wait_s=1)
    await made.connect()
    yield made
    await made.close()


@pytest.fixture
async def start(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Callable[..., Any]]:
    """start(mode, **settings): a cluster on SQS."""
    async with AsyncExitStack() as stack:

        async def make(mode: str, **changes: Any) -> Cluster:
            made = await make_sqs_cluster(mode, request, settings, stack, **changes)
            stack.push_async_callback(made.close)
            return made

        yield make


async def until(condition: Callable[[], Any], what: str) -> Any:
    """`condition` is asked again and again; it may be a coroutine function."""
    deadline = time.monotonic() + WAIT_S
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, f"it never came to this: {what}"
        await asyncio.sleep(0.02)


def user_queue(cluster: Cluster, user: str) -> str:
    return queue_name(cluster.config.sqs_user_queue, cluster.config.table_prefix, Mailbox(TENANT, user))


def instance_queue(instance: Instance) -> str:
    """The name of its own queue, once it has one."""
    broker: Any = instance.broker
    name: str = broker._own_url.rpartition("/")[2]
    assert name
    return name


async def rows(cluster: Cluster) -> dict[str, Any]:
    """ChatUserQueue: userId -> row."""
    dynamo = Dynamo(cluster.config)
    await dynamo.connect()
    try:
        items = await dynamo.query(
            TableName=f"{cluster.config.table_prefix}-user-queues",
            KeyConditionExpression="tenant = :tenant",
            ExpressionAttributeValues={":tenant": {"S": TENANT}},
        )
    finally:
        await dynamo.close()
    return {item["userId"]["S"]: item for item in items}


async def messages_in(sqs: Sqs, url: str) -> int:
    found = await sqs.attributes(url)
    return int(found["ApproximateNumberOfMessages"]) + int(found["ApproximateNumberOfMessagesNotVisible"])


# A queue per user -------------------------------------------------------------------------------------------------


async def test_sq4_a_users_queue_is_made_at_first_use_and_kept_in_the_table(start: Any, sqs: Sqs) -> None:
    cluster = await start("user")
    one, two = await cluster.instance(), await cluster.instance()
    await asyncio.gather(one.open("ann"), two.open("ann"))

    async def both_read() -> bool:
        row = (await rows(cluster)).get("ann", {})
        return len(row.get("readers", {}).get("SS", ())) == 2

    await until(both_read, "two readers")
    row = (await rows(cluster))["ann"]
    assert row["queueUrl"]["S"].endswith("/" + user_queue(cluster, "ann"))
    made = await sqs.attributes(row["queueUrl"]["S"])
    assert int(made["VisibilityTimeout"]) < int(made["MessageRetentionPeriod"])


async def test_sq2_a_queue_is_polled_a_while_longer_than_its_last_stream(start: Any) -> None:
    cluster = await start("user", sqs_linger_s=0.5)
    one = await cluster.instance()
    tab = await one.open("ann")
    broker: Any = one.broker
    await until(lambda: broker._polls.mailboxes == {Mailbox(TENANT, "ann")}, "a poll")
    await tab.close()
    again = await one.open("ann")  # as after a reload: nothing is made or registered again
    assert broker._polls.mailboxes == {Mailbox(TENANT, "ann")}
    await again.close()

    async def is_forgotten() -> bool:
        return "readers" not in (await rows(cluster))["ann"]

    await until(is_forgotten, "no reader")
    assert broker._polls.mailboxes == set()


async def test_sq4_a_deleted_queue_is_made_again(start: Any, sqs: Sqs) -> None:
    """QueueDoesNotExist is mended by whoever polls it, and nothing is lost meanwhile."""
    cluster = await start("user")
    one, two = await cluster.instance(), await cluster.instance()
    bob = await two.open("bob")
    await cluster.talking(one, two)
    for name in (user_queue(cluster, "bob"), instance_queue(one), instance_queue(two)):
        await sqs._call("delete_queue", name, QueueUrl=await sqs.find(name))
    expected = []
    for n in range(5):
        await one.publish(f"e{n}")
        expected.append(f"e{n}")
    await bob.has(expected)
    await until(lambda: two.value("sse_broker_problems_total", kind="missing_queue"), "a problem that is counted")
    await cluster.talking(one, two)


async def test_more_users_than_polls_take_turns(start: Any) -> None:
    cluster = await start("user", sqs_max_polls=3)
    one, two = await cluster.instance(), await cluster.instance()
    tabs = {user: await two.open(user, f"user:{user}") for user in ("ann", "bob", "eve", "dan", "joe")}
    for user in tabs:
        await one.publish(f"to {user}", topic=f"user:{user}")
    for user, tab in tabs.items():
        await tab.has([f"to {user}"])
    broker: Any = two.broker
    assert len(broker._polls._tasks) <= 2


async def test_who_reads_alone_what_he_publishes_needs_no_queue(start: Any, sqs: Sqs) -> None:
    cluster = await start("user")
    one = await cluster.instance()
    ann = await one.open("ann")
    await one.publish("e0")
    await ann.has(["e0"])
    await one.close()
    assert one.value("sse_broker_received_total", kind="events") == 0


# Queues that somebody else makes ------------------------------------------------------------------------------------


async def test_sq4_provisioned_queues_are_found_by_name_and_none_is_made(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = await start("provisioned")

    async def refuse(*_: Any) -> str:
        raise AssertionError("CreateQueue is not permitted")

    monkeypatch.setattr(Sqs, "make", refuse)
    one, two = await cluster.instance(), await cluster.instance()
    tabs = await one.open("ann"), await two.open("ann")
    await cluster.talking(one, two)
    for n in range(6):
        await (one, two)[n % 2].publish(f"e{n}")
    for tab in tabs:
        await tab.has([f"e{n}" for n in range(6)])


async def test_sq4_a_queue_that_was_not_provisioned_is_said_and_the_stream_works_from_the_log(
    start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = await start("provisioned")
    # The hub of a durable log looks at it every now and then.
    cluster.settings = cluster.config.replace(log_check_s=0.1)
    one, two = await cluster.instance(), await cluster.instance()
    tab = await two.open("nobody-knows")
    name = user_queue(cluster, "nobody-knows")
    await until(lambda: two.value("sse_broker_problems_total", kind="missing_queue"), "a problem that is counted")
    assert any(name in record.getMessage() for record in caplog.records if record.levelno == logging.ERROR)
    await one.publish("e0")
    await tab.has(["e0"])


# Acknowledgement ----------------------------------------------------------------------------------------------------


async def test_sq2_fault_11_a_message_is_deleted_only_after_it_was_written(start: Any, sqs: Sqs) -> None:
    cluster = await start("shard", sqs_visibility_s=5)
    one, two = await cluster.instance(), await cluster.instance()
    bob = await two.open("bob")
    await cluster.talking(one, two)
    url = await sqs.find(instance_queue(two))

    async def is_empty() -> bool:
        return await messages_in(sqs, url) == 0

    await until(is_empty, "an empty queue")
    received = two.value("sse_broker_received_total", kind="events")
    bob.flowing.clear()
    await one.publish("e0")
    await until(lambda: two.value("sse_broker_received_total", kind="events") > received, "the notification")
    assert await messages_in(sqs, url) == 1
    bob.flowing.set()
    await bob.has(["e0"])
    await until(is_empty, "an acknowledgement")


async def test_what_is_no_notification_is_counted_and_does_not_come_again(start: Any, sqs: Sqs) -> None:
    cluster = await start("shard")
    one, two = await cluster.instance(), await cluster.instance()
    bob = await two.open("bob")
    await cluster.talking(one, two)
    url = await sqs.find(instance_queue(two))
    await sqs.send(url, [Outgoing("hello"), Outgoing("{}", {"tenant": TENANT})])
    await until(lambda: two.value("sse_broker_problems_total", kind="invalid") == 2, "two problems")
    await one.publish("e0")
    await bob.has(["e0"])

    async def is_empty() -> bool:
        return await messages_in(sqs, url) == 0

    await until(is_empty, "an empty queue")


class Away:
    """A hub whose log cannot be read."""

    def __init__(self) -> None:
        self.looked: list[str | None] = []

    def accept(self, batch: Any) -> None: ...

    def look(self, tenant: str | None = None) -> None:
        self.looked.append(tenant)

    async def written(self, *_: Any) -> bool:
        raise UnavailableError("the log is away")


class Deletes:
    def __init__(self) -> None:
        self.deleted: list[str] = []

    async def delete(self, url: str, messages: Any) -> None:
        self.deleted += [message.message_id for message in messages]


async def test_a_message_that_always_fails_does_not_loop_for_ever() -> None:
    queue: Any = Deletes()
    hub = Away()
    registry: Any = None  # an instance's own queue needs none
    metrics = Metrics()
    inbox = Inbox(queue, registry, hub, metrics, instance="me", clock=time.time)
    body = encode(Notice(TENANT, EventId("e", 7)), "other", time.time())
    messages = [SqsMessage(f"m{count}", f"r{count}", body, count, time.time(), "", {}) for count in (1, MAX_RECEIVES)]
    await inbox.take("url", messages, None)
    assert queue.deleted == [f"m{MAX_RECEIVES}"]
    assert metrics.registry.get_sample_value("sse_broker_problems_total", {"kind": "given_up"}) == 1
    assert TENANT in hub.looked


async def test_what_concerns_nobody_here_is_deleted_unread(start: Any, sqs: Sqs) -> None:
    """By the message attribute `tenant`; `userId` names the user where there is only one."""
    cluster = await start("shard")
    one, two = await cluster.instance(), await cluster.instance()
    await two.open("bob")
    await cluster.talking(one, two)
    before = received(two)
    await one.publish("x", topic="user:zoe", tenant="other")
    await until(lambda: one.value("sse_broker_sent_total", kind="events") > 0, "a notification")
    url = await sqs.find(instance_queue(two))

    async def is_empty() -> bool:
        return await messages_in(sqs, url) == 0

    await until(is_empty, "an empty queue")
    assert received(two) == before


def received(instance: Instance) -> float:
    return sum(instance.value("sse_broker_received_total", kind=kind) for kind in ("events", "position"))


async def test_sq4_messages_name_tenant_and_user_and_fifo_ones_their_group(start: Any, sqs: Sqs) -> None:
    for mode, end in (("shard", ""), ("fifo", ".fifo")):
        cluster = await start(mode)
        one = await cluster.instance()
        # An instance that holds a slot and never polls its queue.
        dynamo = Dynamo(cluster.config)
        await dynamo.connect()
        registry = QueueRegistry(dynamo, f"{cluster.config.table_prefix}-user-queues", "silent", time.time)
        attributes = {"FifoQueue": "true"} if end else {}
        url = await sqs.make(f"{cluster.config.table_prefix}-instance-silent{end}", attributes)
        slot = await registry.claim_slot()
        assert await registry.renew(slot, url)
        broker: Any = one.broker
        broker._registry._kept.clear()
        await one.publish("a", "b", topic="user:ann#1")
        found: list[SqsMessage] = []

        async def both() -> bool:
            found.extend(await sqs.receive(url, wait_s=1, visibility_s=30))  # noqa: B023
            return len(found) >= (2 if end else 1)  # noqa: B023

        await until(both, "the messages")
        assert {message.attributes["tenant"] for message in found} == {TENANT}
        assert {message.attributes["userId"] for message in found} == {"ann%231"}
        assert {message.group for message in found} == ({"demo/user:ann%231"} if end else {""})
        await dynamo.close()


# Slots ----------------------------------------------------------------------------------------------------------------


async def test_a_slot_is_held_by_a_lease_and_taken_over_after_it(dynamo_settings: Settings) -> None:
    dynamo = Dynamo(dynamo_settings.replace(broker="sqs"))
    await dynamo.connect()
    await dynamo.create_tables()
    clock, table = FakeClock(), f"{dynamo_settings.table_prefix}-user-queues"
    one, two, three = (QueueRegistry(dynamo, table, name, clock) for name in ("one", "two", "three"))
    assert sorted(await asyncio.gather(one.claim_slot(), two.claim_slot())) == [0, 1]
    slot = await one.claim_slot()  # the same again
    assert await one.renew(slot, "url-1")
    assert set(await three.instances(fresh=True)) == {"one", "two"}
    clock.advance(LEASE_S + 2 * CLOCKS_S)
    assert await three.instances(fresh=True) == {}
    assert await three.claim_slot() == 0
    assert await three.renew(0, "url-3")
    for registry in (one, two):
        kept = await registry.renew(0, "stolen")
        assert not kept
    assert (await one.instances(fresh=True))["three"] == "url-3"
    await three.give_up(0)
    assert "three" not in await one.instances(fresh=True)
    await dynamo.close()


async def test_sq4_two_that_make_a_users_queue_at_once_agree_on_one(dynamo_settings: Settings) -> None:
    dynamo = Dynamo(dynamo_settings.replace(broker="sqs"))
    await dynamo.connect()
    await dynamo.create_tables()
    table, ann = f"{dynamo_settings.table_prefix}-user-queues", Mailbox("a#b", "ann")
    one, two = (QueueRegistry(dynamo, table, name, FakeClock()) for name in ("one", "two"))
    urls = await asyncio.gather(one.read_from(ann, "url-1"), two.read_from(ann, "url-2"))
    assert len(set(urls)) == 1
    other = {"url-1": "url-2", "url-2": "url-1"}[urls[0]]
    # Only who knows the queue that is gone may replace it.
    assert await one.replace_url(ann, other, "url-3") == urls[0]
    assert await one.replace_url(ann, urls[0], "url-3") == "url-3"
    assert await two.replace_url(ann, urls[0], "url-4") == "url-3"
    (row,) = await two.of_tenant("a#b")
    assert (row.mailbox, row.url, row.readers) == (ann, "url-3", {"one", "two"})
    await one.forget(ann)
    await one.forget(Mailbox("a#b", "never"))
    found = await QueueRegistry(dynamo, table, "x", FakeClock()).of_tenant("a#b")
    assert [row.readers for row in found] == [{"two"}]
    await dynamo.close()
