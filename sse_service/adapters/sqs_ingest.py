"""Events that back ends publish over SQS (SSE_INGEST_QUEUE_URL).

A message is deleted after its events were appended, never before. One that cannot be understood is never deleted
here: it becomes visible again until the queue's redrive policy moves it to the dead-letter queue (SQS developer
guide, "Using dead-letter queues"). Who may send to the queue may publish: the permission is sqs:SendMessage.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Sequence

from sse_service.adapters.sqs import QueueMissingError, Sqs, SqsMessage
from sse_service.adapters.tasks import end
from sse_service.brokers.backoff import Backoff
from sse_service.errors import RequestError, UnavailableError
from sse_service.metrics import Metrics
from sse_service.ports import Clock, TakeEvents
from sse_service.settings import Settings

__all__ = ["SqsIngest"]

logger = logging.getLogger("sse_service.ingest")

FINISH_S = 15.0
"""Longer than a publish is tried (claims and append)."""


class SqsIngest:
    def __init__(self, settings: Settings, metrics: Metrics, *, clock: Clock, rng: random.Random | None = None) -> None:
        self._url = settings.ingest_queue_url
        self._is_fifo = self._url.endswith(".fifo")
        self._polls = settings.ingest_polls
        self._wait_s = settings.sqs_wait_s
        self._visibility_s = settings.ingest_visibility_s
        self._metrics = metrics
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._sqs = Sqs(
            region=settings.region,
            endpoint_url=settings.aws_endpoint_url,
            polls=self._polls,
            wait_s=self._wait_s,
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._in_hand: set[asyncio.Task[None]] = set()
        self._has_dead_letters = True

    async def start(self, take: TakeEvents) -> None:
        """Raises StartupError; a queue that is away is tried again."""
        await self._sqs.connect()
        self._tasks = [asyncio.create_task(self._check())]
        self._tasks += [asyncio.create_task(self._keep_polling(take)) for _ in range(self._polls)]

    async def close(self) -> None:
        """No more polls; what is in hand is published and deleted."""
        await end(self._tasks)
        self._tasks = []
        if self._in_hand:
            _, late = await asyncio.wait(self._in_hand, timeout=FINISH_S)
            await end(late)  # not deleted: another instance receives them
        await self._sqs.close()

    async def _check(self) -> None:
        """Say at the start what would be found out late."""
        try:
            attributes = await self._sqs.attributes(self._url)
            policy = json.loads(attributes.get("RedrivePolicy") or "{}")
        except (QueueMissingError, UnavailableError, ValueError) as error:
            logger.warning("the ingest queue's attributes cannot be read: %s", error)
            return
        if not policy.get("deadLetterTargetArn"):
            self._has_dead_letters = False
            logger.warning(
                "the ingest queue has no dead-letter queue: messages that cannot be understood stay in it until they "
                "expire",
                extra={"queue": self._url},
            )

    async def _keep_polling(self, take: TakeEvents) -> None:
        backoff = Backoff(self._rng)
        while True:
            try:
                messages = await self._sqs.receive(self._url, wait_s=self._wait_s, visibility_s=self._visibility_s)
            except (QueueMissingError, UnavailableError) as error:
                self._metrics.ingested.labels("unreachable").inc()
                if not backoff.attempt:
                    logger.warning("the ingest queue cannot be polled: %s", error)
                await asyncio.sleep(backoff.next_s())
                continue
            except Exception:
                logger.exception("polling the ingest queue failed")
                await asyncio.sleep(backoff.next_s())
                continue
            backoff.reset()
            oldest = min((message.sent_at for message in messages), default=self._clock())
            self._metrics.queue_age_seconds.labels("ingest").set(max(0.0, self._clock() - oldest))
            if messages:
                task = asyncio.create_task(self._take_all(messages, take))
                self._in_hand.add(task)
                task.add_done_callback(self._in_hand.discard)
                # Shielded: the end of polling is not the end of what was received.
                await asyncio.shield(task)

    async def _take_all(self, messages: Sequence[SqsMessage], take: TakeEvents) -> None:
        try:
            lanes: dict[str, list[SqsMessage]] = {}
            for message in messages:
                # A FIFO queue promises an order within a group; a standard one promises none.
                lanes.setdefault(message.group if self._is_fifo else message.message_id, []).append(message)
            results = await asyncio.gather(*(self._take_in_order(lane, take) for lane in lanes.values()))
            await self._sqs.delete(self._url, [message for done in results for message in done])
        except Exception:
            logger.exception("messages of the ingest queue were not taken; they come again")

    async def _take_in_order(self, messages: Sequence[SqsMessage], take: TakeEvents) -> list[SqsMessage]:
        """Those that can be deleted; after one that cannot, none."""
        done: list[SqsMessage] = []
        for message in messages:
            if not await self._take(message, take):
                break
            done.append(message)
        return done

    async def _take(self, message: SqsMessage, take: TakeEvents) -> bool:
        facts = {"messageId": message.message_id, "receiveCount": message.count}
        try:
            is_new = await take(message.body, message.message_id)
        except RequestError as error:
            if error.status >= 500 or error.status == 429:
                logger.warning("an ingest message has to wait: %s", error.detail, extra=facts)
                self._metrics.ingested.labels("retry").inc()
                return False
            logger.warning("an ingest message cannot be published: %s", error.detail, extra=facts)
            self._metrics.ingested.labels("invalid").inc()
            await self._put_off(message)
            return False
        except Exception:
            logger.exception("an ingest message was not published", extra=facts)
            self._metrics.ingested.labels("retry").inc()
            return False
        self._metrics.ingested.labels("published" if is_new else "duplicate").inc()
        return True

    async def _put_off(self, message: SqsMessage) -> None:
        """Nobody will take it away: try it ever more seldom."""
        if self._has_dead_letters:
            return
        try:
            await self._sqs.show_later(self._url, message, self._visibility_s * 2 ** min(message.count, 12))
        except (QueueMissingError, UnavailableError) as error:
            logger.warning("an invalid message could not be put off: %s", error)
