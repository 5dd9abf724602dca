"""All open streams of this instance: their feeds, heartbeats, ages, limits and their common end."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

from sse_service.auth import Principal
from sse_service.deadlines import Deadlines
from sse_service.errors import UnavailableError
from sse_service.events import KEEPALIVE_TYPE, EventId, Topic
from sse_service.fanout import push_all
from sse_service.feed import TenantFeed
from sse_service.limits import OpenStreams
from sse_service.metrics import Metrics
from sse_service.ports import Batch, Broker, Clock, EventLog
from sse_service.profiles import JITTER
from sse_service.settings import Settings
from sse_service.shared import SharedBytes
from sse_service.stream import EndReason, State, StreamLimits, SubscriberStream
from sse_service.subscriber import Subscriber
from sse_service.wire import HEARTBEAT, control_frame
from sse_service.writer import StreamWriter

__all__ = ["Hub"]

logger = logging.getLogger("sse_service.hub")

SLOTS = 15
"""Heartbeats are spread over so many moments of an interval."""
IDLE_FEED_S = 300.0
DRAIN_AT_ONCE = 200
_UNDER_WAY = frozenset({State.REPLAY, State.LIVE})
WRITTEN_WAIT_S = 2.0
"""How long `written` waits for slow clients."""


class Hub:
    def __init__(
        self,
        settings: Settings,
        log: EventLog,
        metrics: Metrics,
        *,
        clock: Clock,
        monotonic: Clock = time.monotonic,
        rng: random.Random | None = None,
        broker: Broker | None = None,
    ) -> None:
        self.limits = OpenStreams(settings.max_streams_per_user, settings.max_streams_per_address, settings.max_streams)
        self.is_draining = False
        self._settings = settings
        self._log = log
        self._metrics = metrics
        self._clock = clock
        self._monotonic = monotonic
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._broker = broker
        self._feeds: dict[str, TenantFeed] = {}
        self._starting: dict[str, asyncio.Task[TenantFeed]] = {}
        self._dirty: dict[TenantFeed, None] = {}
        self._writers: dict[Subscriber, TenantFeed] = {}
        self._slots: list[dict[Subscriber, None]] = [{} for _ in range(SLOTS)]
        self._slot = 0
        self._deadlines: Deadlines[Subscriber] = Deadlines(min(1.0, max(0.05, settings.effective_max_age_s / 100)))
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        # Who does not take what is written, and how much of it was left when it was last looked at.
        self._blocked: dict[Subscriber, int] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._beat()), asyncio.create_task(self._watch())]
        if self._settings.is_durable and self._settings.log_check_s:
            self._tasks.append(asyncio.create_task(self._check_logs()))

    async def close(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        tasks = [*self._tasks, *self._starting.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for feed in list(self._feeds.values()):
            await feed.close()

    # Events -------------------------------------------------------------------------------------------

    def accept(self, batch: Batch) -> None:
        """A batch was appended, here or elsewhere. Nobody follows the tenant: nothing to do."""
        feed = self._feeds.get(batch.tenant)
        if feed is not None:
            feed.accept(batch)

    def look(self, tenant: str | None = None) -> None:
        """There may be more in the log of a tenant (None: of any) than was told here: read it now."""
        for name in [tenant] if tenant is not None else list(self._feeds):
            feed = self._feeds.get(name)
            # Also where nobody is attached yet: a stream in its replay goes as far as the feed.
            if feed is not None:
                feed.hurry()

    async def written(self, tenant: str, position: EventId, user: str | None = None) -> bool:
        """Whether the streams here (of `user`) have been written everything up to `position`.

        Waits a little for slow clients. A stream that opens later reads the log. Raises UnavailableError.
        """
        feed = self._feeds.get(tenant)
        if feed is None:
            return True
        if not feed.follows(position):
            await feed.catch_up()
        feed.flush()
        waiting = [writer for writer in feed.writers if user is None or writer.user == user]
        deadline = self._monotonic() + WRITTEN_WAIT_S
        while waiting := [w for w in waiting if w in feed.writers and (w.is_busy or w.stream.pending_bytes)]:
            if self._monotonic() >= deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    def _schedule_flush(self, feed: TenantFeed) -> None:
        if not self._dirty:
            # Everything that is published in this iteration of the loop goes out in one write per stream.
            asyncio.get_running_loop().call_soon(self._flush)
        self._dirty[feed] = None

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, {}
        for feed in dirty:
            feed.flush()

    async def feed(self, tenant: str) -> TenantFeed:
        """The feed of a tenant, started where its log ends. Raises UnavailableError."""
        if self.is_draining:
            raise UnavailableError("the service is going down; another instance will answer", retry_after_s=1)
        task = self._starting.get(tenant)
        feed = self._feeds.get(tenant)
        if feed is not None and task is None:
            feed.idle_since = self._monotonic()  # somebody is on the way: not now
            return feed
        if task is None:
            task = self._starting[tenant] = asyncio.create_task(self._start_feed(tenant))
            task.add_done_callback(lambda done: self._was_started(tenant, done))
        return await asyncio.shield(task)

    def _was_started(self, tenant: str, task: asyncio.Task[TenantFeed]) -> None:
        self._starting.pop(tenant, None)
        if not task.cancelled():
            task.exception()  # seen, also where everybody who asked has left meanwhile

    async def _start_feed(self, tenant: str) -> TenantFeed:
        tail = await self._log.tail(tenant)
        feed = TenantFeed(
            tenant,
            tail,
            self._log,
            self._metrics,
            clock=self._clock,
            ring_bytes=self._settings.ring_bytes,
            schedule_flush=self._schedule_flush,
        )
        self._feeds[tenant] = feed
        try:
            # What was appended between the look at the tail and now was told to nobody.
            await feed.catch_up()
        except BaseException:
            del self._feeds[tenant]
            raise
        return feed

    # Streams ------------------------------------------------------------------------------------------

    def writer_for(
        self,
        principal: Principal,
        topics: set[Topic] | None,
        *,
        envelope: bool,
        joins: bool,
        address: str = "",
        named_keepalive: bool = False,
    ) -> StreamWriter:
        """A stream that has not begun: its limits, and when it will end.

        It has been counted (`limits.enter`) and is no longer once it is over, or forgotten.
        """
        settings, now = self._settings, self._monotonic()
        max_age_s = settings.effective_max_age_s * (1 + JITTER * (2 * self._rng.random() - 1))
        limits = StreamLimits(
            buffer_bytes=settings.stream_buffer_bytes,
            end_at=now + max_age_s,
            token_expires_at=now + max(0.0, principal.expires_at - self._clock()),
            send_timeout_s=settings.send_timeout_s,
            # Streams that end together do not come back together.
            retry_ms=int(settings.retry_ms * (1 + 2 * self._rng.random())),
            named_keepalive=named_keepalive,
        )
        return StreamWriter(
            SubscriberStream(limits),
            self,
            user=principal.user,
            address=address,
            topics=topics,
            envelope=envelope,
            joins=joins,
        )

    def forget(self, writer: Subscriber, feed: TenantFeed) -> None:
        """It will not begin, or is over."""
        self.limits.leave(feed.tenant, writer.user, writer.address)

    def note_blocked(self, writer: Subscriber) -> None:
        """What was written to `writer` is not taken; from now on its time-out counts."""
        writer.stream.blocked(self._monotonic())
        self._blocked[writer] = writer.unsent_bytes

    def enter(self, writer: Subscriber, feed: TenantFeed) -> None:
        """The response has begun; the stream counts, ages and can be drained."""
        writer.slot = (self._slot - 1) % SLOTS
        self._add(writer, feed)
        self._metrics.open_streams.inc()
        if self._broker is not None:
            self._broker.follow(feed.tenant, None if writer.is_whole else writer.user)
        if self.is_draining:
            writer.end(EndReason.SHUTDOWN)

    def replace(self, begun: Subscriber, writer: Subscriber) -> None:
        """`writer` goes on with the stream that `begun` has begun; not attached to the feed yet."""
        feed = self._writers[begun]
        self._remove(begun)
        writer.slot = begun.slot
        self._add(writer, feed)

    def _add(self, writer: Subscriber, feed: TenantFeed) -> None:
        self._writers[writer] = feed
        self._slots[writer.slot][writer] = None
        self._deadlines.add(writer, writer.stream.next_deadline)
        self._set_alarm()

    def _remove(self, writer: Subscriber) -> None:
        del self._writers[writer]
        self._slots[writer.slot].pop(writer, None)
        self._deadlines.discard(writer, writer.stream.next_deadline)
        self._blocked.pop(writer, None)

    def leave(self, writer: Subscriber) -> None:
        """The stream is over."""
        feed = self._writers.get(writer)
        if feed is None:
            return
        self._remove(writer)
        feed.detach(writer)
        self.forget(writer, feed)
        reason = writer.stream.end_reason
        self._metrics.open_streams.dec()
        if self._broker is not None:
            self._broker.unfollow(feed.tenant, None if writer.is_whole else writer.user)
        self._metrics.streams_ended.labels(reason.value if reason else "disconnect").inc()
        logger.info(
            "stream ended: %s",
            reason.value if reason else "disconnect",
            extra={"tenant": feed.tenant, "userId": writer.user},
        )
        if reason is EndReason.SLOW:
            self._metrics.evictions.labels("cut" if writer.gave_up else "told").inc()

    def end(self, writer: Subscriber, reason: EndReason) -> None:
        """End one stream, after everything that was published before."""
        feed = self._writers.get(writer)
        if feed is not None:
            feed.flush()
            writer.end(reason, feed.position)

    def _set_alarm(self) -> None:
        """One timer for all streams, at the earliest of their deadlines."""
        at = self._deadlines.next
        if at is None or (self._alarm is not None and self._alarm_at <= at):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = asyncio.get_running_loop().call_later(max(0.0, at - self._monotonic()), self._end_due)

    def _end_due(self) -> None:
        self._alarm = None
        now = self._monotonic()
        for writer in self._deadlines.due(now):
            reason = writer.stream.due(now)
            if reason is not None:
                self.end(writer, reason)
        self._set_alarm()

    @property
    def open_streams(self) -> int:
        return len(self._writers)

    # The clockwork ------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        heartbeat = SharedBytes(HEARTBEAT)
        interval_s = self._settings.effective_heartbeat_s / SLOTS
        while True:
            await asyncio.sleep(interval_s)
            plain = []
            for writer in list(self._slots[self._slot]):
                if writer.stream.state is not State.LIVE:
                    continue
                if writer.stream.limits.named_keepalive:
                    writer.push(self._keepalive(writer))
                else:
                    plain.append(writer)
            push_all(plain, heartbeat)
            self._slot = (self._slot + 1) % SLOTS

    async def tell(self, about: Callable[[str, str], bytes]) -> None:
        """Write each stream of a user the frames that `about(tenant, user)` gives; b"" for none."""
        for count, (writer, feed) in enumerate(list(self._writers.items()), start=1):
            if not writer.is_whole and writer.stream.state in _UNDER_WAY and (data := about(feed.tenant, writer.user)):
                writer.push(SharedBytes(data))
            if count % DRAIN_AT_ONCE == 0:
                await asyncio.sleep(0)

    def _keepalive(self, writer: Subscriber) -> SharedBytes:
        """A heartbeat that scripts see. It moves a quiet stream's cursor on, so that it does not grow too old."""
        feed = self._writers[writer]
        feed.flush()
        return SharedBytes(control_frame(KEEPALIVE_TYPE, feed.position, {"position": str(feed.position)}))

    async def _watch(self) -> None:
        """Stalled clients are cut off; feeds that nobody follows are let go."""
        while True:
            await asyncio.sleep(min(1.0, self._settings.send_timeout_s / 4))
            now = self._monotonic()
            for writer, left in list(self._blocked.items()):
                unsent = writer.unsent_bytes
                if not writer.is_busy:
                    del self._blocked[writer]
                elif unsent < left:  # it takes something
                    self._blocked[writer] = unsent
                    writer.stream.unblocked()
                    writer.stream.blocked(now)
                elif writer.stream.is_stalled(now):
                    del self._blocked[writer]
                    writer.stream.end_reason = EndReason.SLOW
                    writer.abort()
            for feed in self._let_go(now):
                await feed.close()
            for feed in list(self._feeds.values()):
                if feed.is_behind:
                    feed.hurry()

    def _let_go(self, now: float) -> list[TenantFeed]:
        """Forget the feeds that nobody has followed for long; they are to be closed."""
        idle = [feed for feed in self._feeds.values() if not feed.writers and now - feed.idle_since > IDLE_FEED_S]
        if idle:
            # A stream in its replay is not attached yet, and would be to a feed that nobody tells anything.
            followed = set(self._writers.values())
            idle = [feed for feed in idle if feed not in followed]
        for feed in idle:
            del self._feeds[feed.tenant]
        return idle

    async def _check_logs(self) -> None:
        """Look for what no broker told of; one small read per tenant with open streams."""
        while True:
            await asyncio.sleep(self._settings.log_check_s)
            for feed in list(self._feeds.values()):
                if feed.writers:
                    try:
                        await feed.catch_up()
                    except UnavailableError:
                        continue  # the feed has said so in the log; the next round tries again
                    except Exception:
                        # One tenant's trouble must not end the looking for all of them.
                        logger.exception("looking for events failed", extra={"tenant": feed.tenant})

    # The end ------------------------------------------------------------------------------------------

    async def drain(self, grace_s: float, on_progress: Callable[[int], None] | None = None) -> int:
        """Tell every stream goodbye and wait until they are gone. Returns how many had to be cut off."""
        self.is_draining = True
        deadline = self._monotonic() + grace_s
        for count, writer in enumerate(list(self._writers), start=1):
            self.end(writer, EndReason.SHUTDOWN)
            if count % DRAIN_AT_ONCE == 0:
                await asyncio.sleep(0)
        while self._writers and self._monotonic() < deadline:
            if on_progress is not None:
                on_progress(len(self._writers))
            await asyncio.sleep(0.02)
        left = list(self._writers)
        for writer in left:
            writer.abort()
        return len(left)
