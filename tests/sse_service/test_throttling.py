"""DynamoDB throttles every call for a while, with publishers, senders, readers and reconnecting streams at work.

Source of the answers: DynamoDB developer guide, "Error handling with DynamoDB". The deadlines of the code are scaled
by its settings, so that the time of the outage is twice the one for which an append is tried, as ten seconds are.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from moto.dynamodb.responses import DynamoHandler

from sse_service.settings import Settings
from sse_service.testing import Frame, SseReader

PUBLISH_TIMEOUT_S = 0.4
OUTAGE_S = 2 * PUBLISH_TIMEOUT_S
WAIT_S = 20.0
ROOM = "room:main"


class Throttle:
    """Between DynamoDB's front door and its tables."""

    def __init__(self) -> None:
        self.is_on = False
        self.refused: Counter[str] = Counter()
        self._codes = itertools.cycle(["ProvisionedThroughputExceededException", "ThrottlingException"])

    def answer(self, operation: str) -> tuple[int, dict[str, str], str] | None:
        if not self.is_on:
            return None
        self.refused[operation] += 1
        kind = f"com.amazonaws.dynamodb.v20120810#{next(self._codes)}"
        headers = {"status": "400", "x-amzn-errortype": kind, "content-type": "application/x-amz-json-1.0"}
        return 400, headers, json.dumps({"__type": kind, "message": "The level of configured throughput was exceeded"})


@pytest.fixture
def throttle(moto_url: str) -> Iterator[Throttle]:
    made = Throttle()
    whole = DynamoHandler.call_action

    def call_action(handler: Any) -> Any:
        operation = handler.headers["X-Amz-Target"].partition(".")[2]
        return made.answer(operation) or whole(handler)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DynamoHandler, "call_action", call_action)
        yield made


@dataclass
class Caller:
    """One that repeats until it is told that it succeeded. Every answer is a success or a clear refusal."""

    name: str
    accepted: list[str] = field(default_factory=list)
    refusals: int = 0

    async def insist(self, attempt: Callable[[], Any]) -> httpx.Response:
        while True:
            answer: httpx.Response = await attempt()
            if answer.is_success:
                return answer
            assert answer.status_code == 503, f"{self.name}: {answer.status_code} {answer.text}"
            assert int(answer.headers["retry-after"]) >= 1 and answer.json()["type"] == "urn:sse-service:unavailable"
            self.refusals += 1
            await asyncio.sleep(0.02)  # instead of Retry-After: the deadlines are scaled as well


class Follower:
    """Resumes by its last event id. leaves_after: it ends a stream by itself after so many events, if not 0."""

    def __init__(self, service: Any, headers: dict[str, str], leaves_after: int = 0) -> None:
        self.service = service
        self.headers = headers
        self.leaves_after = leaves_after
        self.reader = SseReader()
        self.seen: list[str] = []
        self.refusals = 0
        self.kinds: Counter[str] = Counter()

    async def run(self) -> None:
        while True:
            headers = dict(self.headers)
            if self.reader.last_event_id:
                headers["last-event-id"] = self.reader.last_event_id
            async with self.service.client.stream("GET", "/api/chat/stream", headers=headers, timeout=None) as answer:
                if answer.status_code == 200:
                    await self._read(answer)
                else:
                    assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1, answer.status_code
                    self.refusals += 1
            await asyncio.sleep(0.02)

    async def _read(self, answer: httpx.Response) -> None:
        known = self.reader.last_event_id
        self.reader = SseReader()
        self.reader.last_event_id = known
        count = 0
        async for chunk in answer.aiter_raw():
            for frame in self.reader.feed(chunk):
                count += self._take(frame)
            if self.leaves_after and count >= self.leaves_after:
                return

    def _take(self, frame: Frame) -> int:
        self.kinds[frame.type] += 1
        if frame.type != "message":
            return 0
        # Exactly once: what was seen does not come again to one that resumes properly.
        assert frame.id not in self.seen
        self.seen.append(frame.id)
        return 1


@asynccontextmanager
async def background(*coroutines: Any) -> AsyncIterator[list[asyncio.Task[Any]]]:
    tasks = [asyncio.create_task(one) for one in coroutines]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], Any], what: str, tasks: list[asyncio.Task[Any]]) -> None:
    async with asyncio.timeout(WAIT_S):
        try:
            while not condition():
                for task in tasks:
                    if task.done() and not task.cancelled():
                        task.result()
                await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"no {what}") from None


async def test_ten_seconds_of_throttling_lose_nothing(
    dynamo_tables: Settings, start_service: Any, bearer: Any, throttle: Throttle
) -> None:
    settings = dynamo_tables.replace(
        publish_timeout_s=PUBLISH_TIMEOUT_S, send_per_s=1000, send_burst=1000, opens_per_minute=6000
    )
    one, two = await start_service(settings), await start_service(settings)
    await one.room("main")
    publishes, sends, reads = Caller("publisher"), Caller("sender"), Caller("reader")
    stop = asyncio.Event()

    async def publish() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            event = {"topic": ROOM, "type": "message", "data": {"n": f"p{number}"}, "key": f"p{number}"}
            service = (one, two)[number % 2]
            await publishes.insist(
                lambda service=service, event=event: service.post(
                    "/api/events", "back", {"events": [event]}, scope="events:publish"
                )
            )
            publishes.accepted.append(f"p{number}")

    async def send() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            body = {"conversationId": "main", "message": f"s{number}", "idempotencyKey": f"s{number}"}
            service = (two, one)[number % 2]
            await sends.insist(lambda service=service, body=body: service.post("/api/chat/send", "ann", body))
            sends.accepted.append(f"s{number}")

    async def read() -> None:
        while not stop.is_set():
            await reads.insist(lambda: one.get("/api/chat/history?conversationId=main", "ann"))
            await asyncio.sleep(0.01)

    followers = [
        Follower(one, bearer("ann")),
        Follower(two, bearer("bob")),
        Follower(two, bearer("cid"), leaves_after=1),  # comes back in the middle of it
    ]
    async with background(publish(), send(), read(), *(one.run() for one in followers)) as tasks:
        await until(lambda: min(len(f.seen) for f in followers) >= 5, "events before it", tasks)
        followers[0].leaves_after = 1
        throttle.is_on = True
        began = asyncio.get_running_loop().time()
        late = Follower(one, bearer("dee"))  # comes in the midst of it
        tasks.append(asyncio.create_task(late.run()))
        followers.append(late)

        def has_hurt_everybody() -> bool:
            is_long = asyncio.get_running_loop().time() - began >= OUTAGE_S
            return is_long and min(publishes.refusals, sends.refusals, reads.refusals, late.refusals) >= 3

        await until(has_hurt_everybody, "refusals for every kind of caller", tasks)
        during = len(publishes.accepted), len(sends.accepted)
        assert throttle.refused["PutItem"] and throttle.refused["Query"]
        throttle.is_on = False
        await until(
            lambda: len(publishes.accepted) > during[0] + 5 and len(sends.accepted) > during[1] + 5,
            "successes after it",
            tasks,
        )
        stop.set()
        await asyncio.gather(*tasks[:3])
        found = await one.get("/api/chat/history?conversationId=main&limit=100&order=desc", "ann")
        # Everything that was answered with success is there, once, however often it was repeated.
        texts = Counter(message["message"] for message in found.json()["messages"])
        assert texts == Counter(sends.accepted[-100:])
        log = one.app.state.services.hub._log
        tail = await log.tail("demo")
        everything = (await log.read("demo", tail.position._replace(seq=0), max_bytes=1 << 30)).events
        events = [event for event in everything if event.type == "message" and event.topic == ROOM]
        said = Counter(
            str(data.get("n") or data.get("message")) for data in (json.loads(event.data) for event in events)
        )
        assert said == Counter([*publishes.accepted, *sends.accepted])
        # And the streams, those that stayed and those that came back, have all of it in the order of the log.
        ids = [str(event.id) for event in events]
        for follower in followers:
            await until(lambda f=follower: f.seen and f.seen[-1] == ids[-1], "catching up", tasks[3:])
            assert follower.seen == ids[ids.index(follower.seen[0]) :]
            assert follower.kinds["reset"] == 0
    for service in (one, two):
        publisher = service.app.state.services.chat.publishing.publisher
        assert publisher._waiting_bytes == 0 and not any(writer._waiting for writer in publisher._writers.values())
