"""What is done with messages that came out of a queue: tell the hub, pass on, wait until written, acknowledge.

A mailbox is shared by all instances with streams of its user, and SQS gives a message to one of them: that one
passes it on to the own queues of the others before it acknowledges it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sse_service.adapters.sqs import Outgoing, QueueMissingError, Sqs, SqsMessage
from sse_service.adapters.sqs_registry import QueueRegistry
from sse_service.brokers.notice import Received, decode
from sse_service.brokers.routing import Mailbox
from sse_service.errors import UnavailableError
from sse_service.metrics import Metrics
from sse_service.ports import BrokerListener, Clock

__all__ = ["MAX_RECEIVES", "Inbox"]

logger = logging.getLogger("sse_service.sqs")

MAX_RECEIVES = 5
"""After so many attempts a notification is let go: the log has what it tells of."""


class Inbox:
    def __init__(
        self,
        sqs: Sqs,
        registry: QueueRegistry,
        listener: BrokerListener,
        metrics: Metrics,
        *,
        instance: str,
        clock: Clock,
    ) -> None:
        self._sqs = sqs
        self._registry = registry
        self._listener = listener
        self._metrics = metrics
        self._instance = instance
        self._clock = clock

    async def take(self, url: str, messages: Sequence[SqsMessage], mailbox: Mailbox | None) -> None:
        """mailbox: whose queue it was; None: this instance's own."""
        oldest = min(message.sent_at for message in messages)
        kind = "instance" if mailbox is None else "tenant" if mailbox.user is None else "user"
        self._metrics.queue_age_seconds.labels(kind).set(max(0.0, self._clock() - oldest))
        finished: list[SqsMessage] = []
        readable: list[tuple[SqsMessage, Received]] = []
        for message in messages:
            try:
                readable.append((message, decode(message.body)))
            except ValueError as error:
                # Only a notification: whatever it wanted to say is in the log.
                logger.warning("a notification that is none: %s", error, extra={"messageId": message.message_id})
                self._metrics.broker_problems.labels("invalid").inc()
                self._listener.look(mailbox.tenant if mailbox is not None else None)
                finished.append(message)
        # Standard queues reorder: what came together is told in the log's order, which saves reads.
        readable.sort(key=lambda one: (one[1].notice.tenant, one[1].notice.position))
        for _, received in readable:
            self._tell(received)
        if mailbox is None or await self._pass_on(mailbox, readable):
            finished += await self._written(readable, mailbox)
        finished += self._given_up(readable, finished)
        await self._sqs.delete(url, finished)

    def _tell(self, received: Received) -> None:
        notice = received.notice
        self._metrics.broker_lag_seconds.observe(max(0.0, self._clock() - received.sent_at))
        self._metrics.broker_received.labels("events" if notice.batch else "position").inc()
        if received.origin == self._instance:
            return  # told when it was appended
        if notice.batch is not None:
            self._listener.accept(notice.batch)
        else:
            self._listener.look(notice.tenant)

    async def _pass_on(self, mailbox: Mailbox, readable: Sequence[tuple[SqsMessage, Received]]) -> bool:
        """To the other instances that read this mailbox. False: not all of them have it."""
        if not readable:
            return True
        try:
            row = await self._registry.mailbox(mailbox)
            readers = row.readers - {self._instance} if row is not None else frozenset[str]()
            instances = await self._registry.instances()
            if readers - instances.keys():
                # The list may be older than the row: only a fresh one can say whether somebody is new or gone.
                instances = await self._registry.instances(fresh=True)
            for instance in readers & instances.keys():
                bodies = [Outgoing(m.body, m.attributes) for m, one in readable if one.origin != instance]
                if bodies and (url := instances[instance]):
                    await self._sqs.send(url, bodies)
            if gone := readers - instances.keys():
                await self._registry.forget(mailbox, gone)
        except QueueMissingError as error:
            logger.warning("%s: its instance looks at the log", error)
            self._metrics.broker_problems.labels("missing_queue").inc()
        except UnavailableError as error:
            logger.warning("a notification could not be passed on: %s", error)
            self._metrics.broker_problems.labels("send").inc()
            return False
        return True

    async def _written(
        self, readable: Sequence[tuple[SqsMessage, Received]], mailbox: Mailbox | None
    ) -> list[SqsMessage]:
        """Those whose events the streams here have been written."""
        user = mailbox.user if mailbox is not None else None
        done: list[SqsMessage] = []
        answers: dict[str, bool] = {}
        # The last position of each tenant speaks for those before it.
        for message, received in reversed(readable):
            notice = received.notice
            if notice.tenant not in answers:
                try:
                    answers[notice.tenant] = await self._listener.written(notice.tenant, notice.position, user)
                except UnavailableError:
                    answers[notice.tenant] = False  # it comes again when the log may be back
            if answers[notice.tenant]:
                done.append(message)
        return done

    def _given_up(
        self, readable: Sequence[tuple[SqsMessage, Received]], finished: Sequence[SqsMessage]
    ) -> list[SqsMessage]:
        receipts = {message.receipt for message in finished}
        given_up = []
        for message, received in readable:
            if message.receipt not in receipts and message.count >= MAX_RECEIVES:
                logger.warning(
                    "a notification was let go after %d attempts; the log has its events",
                    message.count,
                    extra={"messageId": message.message_id, "tenant": received.notice.tenant},
                )
                self._metrics.broker_problems.labels("given_up").inc()
                self._listener.look(received.notice.tenant)
                given_up.append(message)
        return given_up
