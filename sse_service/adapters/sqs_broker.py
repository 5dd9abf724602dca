"""Instances tell each other over SQS, in the modes of SSE_SQS_MODE (docs/decisions/0006).

shard, fifo: every instance has a queue and is sent everything. tenant, user, provisioned: a notification goes to
the queues (mailboxes) of those it concerns; the instance that receives it passes it on to the others that read the
mailbox too. Every instance holds a slot by a lease, and with it a queue of its own.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Sequence

from sse_service.adapters.dynamodb import Dynamo
from sse_service.adapters.sqs import Outgoing, QueueMissingError, Sqs, SqsMessage
from sse_service.adapters.sqs_inbox import Inbox
from sse_service.adapters.sqs_polls import MailboxPolls, Polling, poll
from sse_service.adapters.sqs_queues import Queues
from sse_service.adapters.sqs_registry import CACHE_S, LEASE_S, QueueRegistry
from sse_service.adapters.sqs_routes import Members, Routes
from sse_service.adapters.tasks import end
from sse_service.brokers.backoff import Backoff
from sse_service.brokers.interest import Interest
from sse_service.brokers.outbox import Outbox
from sse_service.brokers.routing import Mailbox, plain
from sse_service.errors import UnavailableError
from sse_service.metrics import Metrics
from sse_service.ports import Batch, BrokerListener, Clock
from sse_service.settings import Settings

__all__ = ["SqsBroker"]

logger = logging.getLogger("sse_service.sqs")

FLUSH_S = 2.0
SWEEP_S = 1.0
MISSING_RETRY_S = 30.0
SENDS_AT_ONCE = 16
LOOK_AGAIN_S = CACHE_S + 0.5
"""For so long after this instance said that it reads a queue, others may not have seen it."""


class SqsBroker:
    def __init__(
        self,
        settings: Settings,
        dynamo: Dynamo,
        members: Members,
        metrics: Metrics,
        *,
        clock: Clock,
        rng: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._instance = uuid.uuid4().hex
        self._sqs = Sqs(
            region=settings.region,
            endpoint_url=settings.aws_endpoint_url,
            polls=settings.sqs_max_polls,
            wait_s=settings.sqs_wait_s,
        )
        self._registry = QueueRegistry(dynamo, f"{settings.table_prefix}-user-queues", self._instance, clock)
        self._queues = Queues(self._sqs, self._registry, settings, metrics)
        self._routes = Routes(
            self._registry, members, metrics, mode=settings.sqs_mode, instance=self._instance, clock=clock
        )
        self._times = Polling(settings.sqs_wait_s, settings.sqs_visibility_s)
        self._outbox = Outbox()
        self._to_send = asyncio.Event()
        self._tenants: Interest[str] = Interest(settings.sqs_linger_s)
        self._followed: Interest[Mailbox] = Interest(settings.sqs_linger_s)
        self._opening: dict[Mailbox, asyncio.Task[None]] = {}
        self._retry_at: dict[Mailbox, float] = {}
        self._slot: int | None = None
        self._own_url = ""
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, listener: BrokerListener) -> None:
        """Raises StartupError; SQS or DynamoDB being away is tried again."""
        await self._sqs.connect()
        await self._registry.connect()
        self._listener = listener
        self._inbox = Inbox(
            self._sqs, self._registry, listener, self._metrics, instance=self._instance, clock=self._clock
        )
        # One poll is kept for the instance's own queue.
        self._polls = MailboxPolls(
            self._sqs,
            self._times,
            self._inbox.take,
            self._repair,
            max_polls=self._settings.sqs_max_polls - 1,
            rng=self._rng,
        )
        self._tasks = [
            asyncio.create_task(work)
            for work in (self._keep_slot(), self._keep_sending(), self._keep_receiving(), self._sweep())
        ]

    async def close(self) -> None:
        deadline = time.monotonic() + FLUSH_S
        while self._tasks and self._outbox and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        await end([*self._tasks, *self._opening.values()])
        if self._tasks:
            await self._polls.close()
            await self._leave()
        self._tasks = []
        await self._sqs.close()

    async def _leave(self) -> None:
        """Others need not wait for the lease to run out."""
        try:
            async with asyncio.timeout(FLUSH_S):
                for mailbox in self._polls.mailboxes:
                    await self._registry.forget(mailbox)
                if self._slot is not None:
                    await self._registry.give_up(self._slot)
        except (UnavailableError, TimeoutError):
            logger.warning("the instance's slot could not be given up; its lease will run out")

    # Who listens here -----------------------------------------------------------------------------------

    def follow(self, tenant: str, user: str | None) -> None:
        self._tenants.follow(tenant)
        mailbox = self._mailbox_of(tenant, user)
        is_new = self._followed.follow(mailbox)
        if self._settings.uses_mailboxes and is_new and self._tasks:
            self._open(mailbox)

    def unfollow(self, tenant: str, user: str | None) -> None:
        now = time.monotonic()
        self._tenants.unfollow(tenant, now)
        self._followed.unfollow(self._mailbox_of(tenant, user), now)

    def _mailbox_of(self, tenant: str, user: str | None) -> Mailbox:
        return Mailbox(tenant) if self._settings.sqs_mode == "tenant" else Mailbox(tenant, user)

    def _open(self, mailbox: Mailbox) -> None:
        if mailbox not in self._opening:
            task = self._opening[mailbox] = asyncio.create_task(self._opens(mailbox))
            task.add_done_callback(lambda _: self._opening.pop(mailbox, None))

    async def _opens(self, mailbox: Mailbox) -> None:
        """Say that this instance reads the mailbox, and begin to poll it."""
        backoff = Backoff(self._rng)
        while mailbox in self._followed:
            if self._slot is None:
                # A reader without a lease counts as gone.
                await asyncio.sleep(0.05)
                continue
            try:
                url = await self._queues.of_mailbox(mailbox)
            except UnavailableError as error:
                logger.warning("the queue of a mailbox is not to be had: %s", error, extra={"tenant": mailbox.tenant})
                self._metrics.broker_problems.labels("queue").inc()
                await asyncio.sleep(backoff.next_s())
                continue
            if url:
                self._polls.add(mailbox, url)
                self._look_twice(mailbox.tenant)
            else:
                self._retry_at[mailbox] = time.monotonic() + MISSING_RETRY_S
            return

    async def _repair(self, mailbox: Mailbox, url: str) -> str:
        self._metrics.broker_problems.labels("missing_queue").inc()
        repaired = await self._queues.repair(mailbox, url)
        self._look_twice(mailbox.tenant)
        return repaired

    def _look_twice(self, tenant: str | None = None) -> None:
        """Now, and when everybody else must have seen that we read the queue."""
        self._listener.look(tenant)
        asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self._look_unless_closed, tenant)

    def _look_unless_closed(self, tenant: str | None) -> None:
        if self._tasks:
            self._listener.look(tenant)

    async def _sweep(self) -> None:
        """Stop polling what nobody has followed for a while; try again for queues that were missing."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now = time.monotonic()
            self._tenants.drop_idle(now)
            for mailbox in self._followed.drop_idle(now):
                self._polls.remove(mailbox)
                self._retry_at.pop(mailbox, None)
                if self._settings.uses_mailboxes:
                    await self._forget(mailbox)
            if self._settings.uses_mailboxes:
                polled = self._polls.mailboxes
                for mailbox in list(self._followed):
                    if mailbox not in polled and now >= self._retry_at.get(mailbox, 0.0):
                        self._open(mailbox)

    async def _forget(self, mailbox: Mailbox) -> None:
        try:
            await self._registry.forget(mailbox)
        except UnavailableError as error:
            logger.warning("a mailbox keeps this instance as its reader: %s", error)
        except Exception:
            logger.exception("a mailbox keeps this instance as its reader")

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
                await self._send(await self._routes.of(notices))
            except asyncio.CancelledError:
                self._outbox.restore(notices)
                raise
            except UnavailableError as error:
                self._metrics.broker_dropped.inc(self._outbox.restore(notices))
                self._metrics.broker_problems.labels("send").inc()
                if not backoff.attempt:
                    logger.warning("notifications wait: %s", error)
                await asyncio.sleep(backoff.next_s())
            except Exception:
                # Whatever it is, the next notification gets its own chance; the log has all of them.
                logger.exception("notifications were not sent")
                self._metrics.broker_problems.labels("send").inc()
            else:
                backoff.reset()
                for notice in notices:
                    self._metrics.broker_sent.labels("events" if notice.batch else "position").inc()

    async def _send(self, by_queue: dict[str, list[Outgoing]]) -> None:
        """To all queues, a few at a time. Raises UnavailableError after all have been tried."""
        gate = asyncio.Semaphore(SENDS_AT_ONCE)

        async def send(url: str, messages: Sequence[Outgoing]) -> None:
            async with gate:
                try:
                    await self._sqs.send(url, messages)
                except QueueMissingError as error:
                    # Its readers notice at their next poll, mend it and look at the log.
                    logger.warning("%s; its readers will make another", error)
                    self._metrics.broker_problems.labels("missing_queue").inc()

        results = await asyncio.gather(*(send(*one) for one in by_queue.items()), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    # This instance's own queue --------------------------------------------------------------------------

    async def _keep_slot(self) -> None:
        backoff = Backoff(self._rng)
        renewed_at = 0.0
        while True:
            try:
                if self._slot is None:
                    slot = await self._registry.claim_slot()
                    self._own_url = await self._queues.of_instance(slot)
                    if await self._registry.renew(slot, self._own_url):
                        self._slot = slot
                        self._took_slot()
                elif not await self._registry.renew(self._slot, self._own_url):
                    logger.warning("slot %d was taken over: this instance was silent for too long", self._slot)
                    self._slot, self._own_url = None, ""
                    continue
                renewed_at = time.monotonic()
                backoff.reset()
                await asyncio.sleep(LEASE_S / 3)
            except UnavailableError as error:
                logger.warning("the instance's slot could not be held: %s", error)
                if time.monotonic() - renewed_at > LEASE_S:
                    self._metrics.broker_connected.set(0)
                await asyncio.sleep(backoff.next_s())
            except Exception:
                logger.exception("the instance's slot could not be held")
                await asyncio.sleep(backoff.next_s())

    def _took_slot(self) -> None:
        self._metrics.broker_connected.set(1)
        # Whoever noticed that the lease had run out may have struck this instance off its mailboxes.
        for mailbox in self._polls.mailboxes:
            self._polls.remove(mailbox)
            self._open(mailbox)
        self._look_twice()

    async def _keep_receiving(self) -> None:
        backoff = Backoff(self._rng)
        was_away = False
        while True:
            url, slot = self._own_url, self._slot
            if not url or slot is None:
                await asyncio.sleep(0.05)
                continue
            try:
                await poll(self._sqs, url, self._times, self._take_own, None, self._times.wait_s)
            except QueueMissingError:
                self._metrics.broker_problems.labels("missing_queue").inc()
                await self._renew_queue(slot)
                await asyncio.sleep(backoff.next_s())
            except UnavailableError as error:
                was_away = True
                self._metrics.broker_problems.labels("receive").inc()
                if not backoff.attempt:
                    logger.warning("this instance's queue could not be polled: %s", error)
                await asyncio.sleep(backoff.next_s())
            except Exception:
                logger.exception("receiving failed")
                await asyncio.sleep(backoff.next_s())
            else:
                backoff.reset()
                if was_away:
                    was_away = False
                    self._metrics.broker_reconnects.inc()
                    self._listener.look()

    async def _renew_queue(self, slot: int) -> None:
        try:
            self._own_url = await self._queues.of_instance(slot) or self._own_url
        except UnavailableError as error:
            logger.warning("the instance's queue cannot be made again: %s", error)
        else:
            self._look_twice()

    async def _take_own(self, url: str, messages: list[SqsMessage], mailbox: Mailbox | None) -> None:
        """What is for tenants that nobody here follows is acknowledged unread."""
        followed = {plain(tenant) for tenant in self._tenants}
        wanted = [one for one in messages if one.attributes.get("tenant", "") in followed | {""}]
        unwanted = [one for one in messages if one.attributes.get("tenant", "") not in followed | {""}]
        if unwanted:
            await self._sqs.delete(url, unwanted)
        if wanted:
            await self._inbox.take(url, wanted, mailbox)
