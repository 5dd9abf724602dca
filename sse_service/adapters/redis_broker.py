"""Instances tell each other over Redis or Valkey (publish/subscribe). The only file that imports redis.

One channel per tenant, `{prefix}:events:{tenant}`; an instance is subscribed to those of tenants with open
streams here. Publish/subscribe is at most once and forgets what it has sent (Redis documentation, "Redis
Pub/Sub", "Delivery semantics"), so every confirmation of a subscription, the first one and those after each
reconnect, makes the hub look at the tenant's log; what a publisher could not send while the server was away
goes out afterwards as positions.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from sse_service.adapters.tasks import end
from sse_service.brokers.backoff import Backoff
from sse_service.brokers.interest import Interest
from sse_service.brokers.notice import decode, encode
from sse_service.brokers.outbox import Outbox
from sse_service.errors import StartupError
from sse_service.metrics import Metrics
from sse_service.ports import Batch, BrokerListener, Clock

__all__ = ["RedisBroker"]

logger = logging.getLogger("sse_service.redis")

SILENCE_S = 10.0
"""After so long without a message the server is asked whether it is there; it has as long to answer."""
LINGER_S = 60.0
FLUSH_S = 2.0
CHANNELS_AT_ONCE = 500
AWAY = (RedisError, OSError, TimeoutError)


class RedisBroker:
    def __init__(
        self, url: str, prefix: str, metrics: Metrics, *, clock: Clock, rng: random.Random | None = None
    ) -> None:
        self._url = url
        self._channel_prefix = f"{prefix}:events"
        self._metrics = metrics
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._origin = uuid.uuid4().hex
        self._outbox = Outbox()
        self._to_send = asyncio.Event()
        self._tenants: Interest[str] = Interest(LINGER_S)
        self._changed = asyncio.Event()
        self._listener: BrokerListener | None = None
        self._redis: Any = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, listener: BrokerListener) -> None:
        """Raises StartupError for a URL that cannot be used; a server that is away is tried again."""
        self._listener = listener
        try:
            self._redis = Redis.from_url(
                self._url,
                protocol=2,
                socket_connect_timeout=3,
                socket_timeout=5,
                # It would reconnect without a word, and nobody would look for what was missed.
                retry=Retry(NoBackoff(), 0),
            )
        except (ValueError, TypeError):
            # The text of the error may quote the URL, and that a password.
            raise StartupError("SSE_REDIS_URL cannot be used", "redis://[user:password@]host:port/db") from None
        self._tasks = [asyncio.create_task(self._keep_listening()), asyncio.create_task(self._keep_sending())]

    async def close(self) -> None:
        deadline = time.monotonic() + FLUSH_S
        while self._tasks and self._outbox and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        await end(self._tasks)
        self._tasks = []
        if self._redis is not None:
            await self._redis.aclose()
            self._redis = None

    # Sending --------------------------------------------------------------------------------------------

    def notify(self, batch: Batch) -> None:
        if not self._outbox.put(batch):
            self._metrics.broker_dropped.inc()
        self._to_send.set()

    async def _keep_sending(self) -> None:
        backoff = Backoff(self._rng)
        while True:
            await self._to_send.wait()
            notices = self._outbox.take()
            if not notices:
                self._to_send.clear()
                continue
            try:
                pipe = self._redis.pipeline(transaction=False)
                for notice in notices:
                    pipe.publish(self._channel(notice.tenant), encode(notice, self._origin, self._clock()))
                await pipe.execute()
            except asyncio.CancelledError:
                self._outbox.restore(notices)
                raise
            except AWAY as error:
                self._metrics.broker_dropped.inc(self._outbox.restore(notices))
                self._metrics.broker_problems.labels("send").inc()
                if not backoff.attempt:
                    logger.warning("notifications wait, Redis did not take them: %s", _words(error))
                await asyncio.sleep(backoff.next_s())
            else:
                backoff.reset()
                for notice in notices:
                    self._metrics.broker_sent.labels("events" if notice.batch else "position").inc()

    def _channel(self, tenant: str) -> str:
        return f"{self._channel_prefix}:{tenant}"

    # Listening ------------------------------------------------------------------------------------------

    def follow(self, tenant: str, user: str | None) -> None:
        if self._tenants.follow(tenant):
            self._changed.set()

    def unfollow(self, tenant: str, user: str | None) -> None:
        self._tenants.unfollow(tenant, time.monotonic())

    async def _keep_listening(self) -> None:
        backoff = Backoff(self._rng)
        while True:
            try:
                await self._listen(backoff)
            except AWAY as error:
                # Each of them: a wrong password does not mend itself. At most one line in 5 s.
                logger.warning("not connected to Redis: %s", _words(error))
                self._metrics.broker_problems.labels("connection").inc()
            except Exception:
                logger.exception("listening to Redis failed")
            finally:
                self._metrics.broker_connected.set(0)
            await asyncio.sleep(backoff.next_s())
            self._metrics.broker_reconnects.inc()

    async def _listen(self, backoff: Backoff) -> None:
        """One connection, until it breaks. Raises what broke it."""
        pubsub: PubSub = self._redis.pubsub()
        tasks: list[asyncio.Task[None]] = []
        try:
            # Nothing is published there: it tells that we are connected, with no tenant as well.
            await pubsub.subscribe(self._channel_prefix)
            self._changed.set()
            tasks = [
                asyncio.create_task(self._read(pubsub, backoff)),
                asyncio.create_task(self._subscribe(pubsub)),
            ]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await end(tasks)
            await pubsub.aclose()  # type: ignore[no-untyped-call] # redis has no annotation there

    async def _subscribe(self, pubsub: PubSub) -> None:
        """Keep the subscriptions what the open streams need."""
        subscribed: set[str] = set()
        while True:
            self._changed.clear()
            self._tenants.drop_idle(time.monotonic())
            wanted = set(self._tenants)
            for change, tenants in ((pubsub.subscribe, wanted - subscribed), (pubsub.unsubscribe, subscribed - wanted)):
                channels = [self._channel(tenant) for tenant in sorted(tenants)]
                for at in range(0, len(channels), CHANNELS_AT_ONCE):
                    await change(*channels[at : at + CHANNELS_AT_ONCE])
            subscribed = wanted
            try:
                async with asyncio.timeout(LINGER_S / 4):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _read(self, pubsub: PubSub, backoff: Backoff) -> None:
        was_asked = False
        while True:
            message = await pubsub.get_message(timeout=SILENCE_S)
            if message is None:
                if was_asked:
                    raise TimeoutError("no answer to PING")
                was_asked = True
                await pubsub.ping()
                continue
            was_asked = False
            kind = message["type"]
            if kind == "message":
                self._take(message["data"])
            elif kind == "subscribe":
                self._subscribed(message["channel"].decode(), backoff)

    def _subscribed(self, channel: str, backoff: Backoff) -> None:
        assert self._listener is not None  # noqa: S101 - set before anything is read
        if channel == self._channel_prefix:
            backoff.reset()
            self._metrics.broker_connected.set(1)
            logger.info("connected to Redis")
        else:
            # Whatever was published before this moment was told to nobody here.
            self._listener.look(channel.removeprefix(f"{self._channel_prefix}:"))

    def _take(self, data: bytes) -> None:
        assert self._listener is not None  # noqa: S101 - set before anything is read
        try:
            received = decode(data)
        except ValueError as error:
            logger.warning("a notification that is none: %s", error)
            self._metrics.broker_problems.labels("invalid").inc()
            return
        if received.origin == self._origin:
            return
        notice = received.notice
        self._metrics.broker_lag_seconds.observe(max(0.0, self._clock() - received.sent_at))
        self._metrics.broker_received.labels("events" if notice.batch else "position").inc()
        if notice.batch is not None:
            self._listener.accept(notice.batch)
        else:
            self._listener.look(notice.tenant)


def _words(error: BaseException) -> str:
    """What a log may say of it: redis names host and port, never the URL."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
