"""Publishing by back ends over SQS (issue 4, item 4): appended once, deleted after it, invalid ones never lost."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sse_service.adapters.sqs import Outgoing, Sqs
from sse_service.app import make_backends
from sse_service.errors import UnavailableError
from sse_service.settings import Settings

from .broker_support import eventually


class Queue:
    """The ingest queue as a back end sees it, and its dead-letter queue."""

    def __init__(self, sqs: Sqs, url: str, dead_url: str) -> None:
        self.sqs = sqs
        self.url = url
        self.dead_url = dead_url

    async def send(self, body: Any, group: str = "") -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        fifo = (group, uuid.uuid4().hex) if group else None
        await self.sqs.send(self.url, [Outgoing(text, {}, fifo)])

    async def left(self, url: str = "") -> int:
        """Messages that are there, in flight or not."""
        found = await self.sqs.attributes(url or self.url)
        return int(found["ApproximateNumberOfMessages"]) + int(found["ApproximateNumberOfMessagesNotVisible"])

    async def is_empty(self) -> None:
        deadline = time.monotonic() + 20
        while await self.left():
            assert time.monotonic() < deadline, "messages stay in the queue"
            await asyncio.sleep(0.02)


async def make_queue(sqs: Sqs, *, fifo: bool = False, visibility_s: int = 1) -> Queue:
    name, end = f"t{uuid.uuid4().hex}-ingest", ".fifo" if fifo else ""
    kind = {"FifoQueue": "true"} if fifo else {}
    dead_url = await sqs.make(f"{name}-dead{end}", kind)
    arn = (await sqs.attributes(dead_url))["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "2"})
    attributes = {"RedrivePolicy": policy, "VisibilityTimeout": str(visibility_s), **kind}
    return Queue(sqs, await sqs.make(name + end, attributes), dead_url)


@pytest.fixture
async def sqs(moto_url: str) -> AsyncIterator[Sqs]:
    made = Sqs(region="ap-northeast-1", endpoint_url=moto_url, polls=2, wait_s=1)
    await made.connect()
    yield made
    await made.close()


@pytest.fixture
async def queue(sqs: Sqs) -> Queue:
    return await make_queue(sqs)


@pytest.fixture
def ingesting(settings: Settings, moto_url: str, queue: Queue) -> Settings:
    return settings.replace(ingest_queue_url=queue.url, aws_endpoint_url=moto_url, sqs_wait_s=1)


def event(data: Any, **more: Any) -> dict[str, Any]:
    return {"topic": "room:main", "type": "message", "data": data, **more}


async def logged(api: Any, count: int, tenant: str = "demo") -> list[Any]:
    deadline = time.monotonic() + 20
    while len(events := await api.events(tenant)) < count:
        assert time.monotonic() < deadline, f"only {len(events)} events"
        await asyncio.sleep(0.01)
    return list(events)


def value(api: Any, name: str, **labels: str) -> float:
    return api.backends.metrics.registry.get_sample_value(name, labels) or 0.0


async def test_events_of_a_message_are_appended_in_order_and_the_message_is_deleted(
    start_api: Any, ingesting: Settings, queue: Queue
) -> None:
    api = await start_api(ingesting)
    await queue.send({"tenant": "demo", "events": [event(n, key=f"k{n}", origin="worker") for n in range(5)]})
    await queue.send({"tenant": "other", "events": [event("x")]})
    events = await logged(api, 5)
    assert [(e.data, e.key, e.origin) for e in events] == [(str(n), f"k{n}", "worker") for n in range(5)]
    (other,) = await logged(api, 1, "other")
    assert other.origin == "ingest"
    await queue.is_empty()
    assert value(api, "sse_ingest_messages_total", result="published") == 2
    assert value(api, "sse_queue_age_seconds", queue="ingest") >= 0


async def test_a_stream_gets_what_a_worker_left_in_the_queue(
    start_service: Any, ingesting: Settings, queue: Queue
) -> None:
    service = await start_service(ingesting)
    async with service.stream("ann") as ann:
        await queue.send({"tenant": "demo", "events": [event({"n": 1}, topic="user:ann", type="job")]})
        assert (await ann.frame("job")).json == {"n": 1}


async def test_fault_16_a_message_that_comes_twice_is_published_once(
    start_api: Any, ingesting: Settings, queue: Queue
) -> None:
    """By the event's key; without one by the message's id, which a second delivery has as well."""
    api = await start_api(ingesting)
    body = {"tenant": "demo", "events": [event(1, key="a"), event(2, key="b")]}
    await queue.send(body)
    await queue.send(body)
    await eventually(
        lambda: value(api, "sse_ingest_messages_total", result="duplicate") == 1, "a duplicate that is known as one"
    )
    assert [e.key for e in await api.events()] == ["a", "b"]
    await queue.is_empty()


async def test_a_message_whose_publish_fails_stays_and_is_published_later(
    start_api: Any, ingesting: Settings, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is away: nothing is deleted; the next delivery publishes it, once."""
    backends = make_backends(ingesting, time.time)
    api = await start_api(ingesting, backends)
    chat = api.app.state.services.chat
    publish, failures = chat.publish_events, []

    async def fails_twice(*arguments: Any) -> Any:
        placed = await publish(*arguments)
        if len(failures) < 2:
            failures.append(1)
            raise UnavailableError("the answer was lost")
        return placed

    monkeypatch.setattr(chat, "publish_events", fails_twice)
    monkeypatch.setattr(backends.ingest, "_visibility_s", 1)
    await queue.send({"tenant": "demo", "events": [event("without a key"), event("another")]})
    # Received once more than the redrive policy allows would mean the dead-letter queue; moto moves it then.
    await eventually(lambda: len(failures) >= 1, "the failure")
    await logged(api, 2)
    await eventually(lambda: value(api, "sse_ingest_messages_total", result="retry") >= 1, "a retry")
    failures.append(1)
    await queue.is_empty()
    assert [e.data for e in await api.events()] == ['"without a key"', '"another"']


@pytest.mark.parametrize(
    "body",
    [
        "not json",
        "[]",
        {"events": [event(1)]},
        {"tenant": "demo", "events": []},
        {"tenant": "demo", "events": [event(1), event(2, type="ready")]},
        {"tenant": "demo", "events": [event(1, topic="tenant:other")]},
        {"tenant": "a\nb", "events": [event(1)]},
        '{"tenant": "demo", "events": [{"topic": "room:a", "type": "x", "data": "\\ud800"}]}',
        '{"tenant": "demo", "events": ' + "[" * 5000,
    ],
    ids=lambda body: repr(body)[:40],
)
async def test_an_invalid_message_goes_to_the_dead_letter_queue_and_holds_up_nobody(
    start_api: Any, ingesting: Settings, queue: Queue, body: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    backends = make_backends(ingesting, time.time)
    monkeypatch.setattr(backends.ingest, "_visibility_s", 0)  # visible again at once: a test does not wait
    api = await start_api(ingesting, backends)
    await queue.send(body)
    await queue.send({"tenant": "demo", "events": [event("good")]})
    assert [e.data for e in await logged(api, 1)] == ['"good"']
    deadline = time.monotonic() + 20
    while not await queue.left(queue.dead_url):
        assert time.monotonic() < deadline, "it never came to the dead-letter queue"
        await asyncio.sleep(0.02)
    await queue.is_empty()
    assert value(api, "sse_ingest_messages_total", result="invalid") >= 1
    assert len(await api.events()) == 1


async def test_a_fifo_queue_keeps_the_order_of_a_group(
    start_api: Any, settings: Settings, moto_url: str, sqs: Sqs
) -> None:
    queue = await make_queue(sqs, fifo=True)
    for n in range(12):
        await queue.send({"tenant": "demo", "events": [event(n)]}, group="room-main")
    api = await start_api(settings.replace(ingest_queue_url=queue.url, aws_endpoint_url=moto_url, sqs_wait_s=1))
    assert [e.data for e in await logged(api, 12)] == [str(n) for n in range(12)]


async def test_shutdown_finishes_what_is_in_hand(ingesting: Settings, queue: Queue) -> None:
    """A message that was received is published and deleted although the service ends."""
    backends = make_backends(ingesting, time.time)
    assert backends.ingest is not None
    begun, gate, done = asyncio.Event(), asyncio.Event(), []

    async def take(body: str, message_id: str) -> bool:
        begun.set()
        await gate.wait()
        done.append(body)
        return True

    await backends.ingest.start(take)
    await queue.send("slow")
    async with asyncio.timeout(20):
        await begun.wait()
    closing = asyncio.create_task(backends.ingest.close())
    await asyncio.sleep(0)
    gate.set()
    await closing
    assert done == ["slow"]
    assert await queue.left() == 0


async def test_without_a_queue_nothing_is_polled(settings: Settings) -> None:
    assert make_backends(settings, time.time).ingest is None
    assert dataclasses.replace(settings, ingest_queue_url="not a url").broker_problems(is_durable=False)
