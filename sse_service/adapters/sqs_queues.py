"""Finding and making the brokers' queues, as the settings permit."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from sse_service.adapters.sqs import QueueMissingError, Sqs
from sse_service.adapters.sqs_registry import QueueRegistry
from sse_service.brokers.routing import Mailbox, instance_queue_name, queue_name
from sse_service.metrics import Metrics
from sse_service.settings import Settings

__all__ = ["Queues"]

logger = logging.getLogger("sse_service.sqs")


class Queues:
    """Queues of mailboxes and instances. Every method raises UnavailableError."""

    def __init__(self, sqs: Sqs, registry: QueueRegistry, settings: Settings, metrics: Metrics) -> None:
        self._sqs = sqs
        self._registry = registry
        self._settings = settings
        self._metrics = metrics
        self._is_fifo = settings.sqs_mode == "fifo"

    def name_of(self, mailbox: Mailbox) -> str:
        settings = self._settings
        pattern = settings.sqs_tenant_queue if mailbox.user is None else settings.sqs_user_queue
        return queue_name(pattern, settings.table_prefix, mailbox)

    async def of_mailbox(self, mailbox: Mailbox) -> str:
        """The queue this instance is to poll, from now on named among its readers; "" when it is not there."""
        url = await self._registry.url_of(mailbox) or await self._open(self.name_of(mailbox))
        return await self._registry.read_from(mailbox, url) if url else ""

    async def repair(self, mailbox: Mailbox, missing_url: str) -> str:
        """The queue of a mailbox was deleted: another one, agreed on by all; "" when none can be had."""
        url = await self._registry.url_of(mailbox)
        if url and url != missing_url:
            return url
        url = await self._open(self.name_of(mailbox))
        return await self._registry.replace_url(mailbox, missing_url, url) if url else ""

    async def of_instance(self, slot: int) -> str:
        """The queue of a slot; "" when it is not there."""
        settings = self._settings
        return await self._open(
            instance_queue_name(settings.sqs_instance_queue, settings.table_prefix, slot, is_fifo=self._is_fifo),
            is_fifo=self._is_fifo,
        )

    async def _open(self, name: str, *, is_fifo: bool = False) -> str:
        if self._settings.creates_queues:
            return await self._sqs.make(name, self._attributes(is_fifo))
        try:
            return await self._sqs.find(name)
        except QueueMissingError:
            self._metrics.broker_problems.labels("missing_queue").inc()
            logger.error(  # noqa: TRY400 - the name says it all
                "there is no queue %s and none may be made; its streams look at the log every %g s instead",
                name,
                self._settings.log_check_s,
                extra={"queue": name},
            )
            return ""

    def _attributes(self, is_fifo: bool) -> Mapping[str, str]:
        """Source: SQS API reference, CreateQueue; high throughput for FIFO queues: developer guide."""
        common = {
            "VisibilityTimeout": str(self._settings.sqs_visibility_s),
            "MessageRetentionPeriod": str(self._settings.sqs_retention_s),
            "ReceiveMessageWaitTimeSeconds": str(self._settings.sqs_wait_s),
        }
        if not is_fifo:
            return common
        return {
            **common,
            "FifoQueue": "true",
            "ContentBasedDeduplication": "false",
            "DeduplicationScope": "messageGroup",
            "FifoThroughputLimit": "perMessageGroupId",
        }
