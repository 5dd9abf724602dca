"""SQS: the connection, and what its errors mean. Imports aiobotocore; everybody else asks this one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from sse_service.errors import SseServiceError, StartupError, UnavailableError

__all__ = ["Outgoing", "QueueMissingError", "Sqs", "SqsMessage"]

logger = logging.getLogger("sse_service.sqs")

BATCH = 10
"""Entries of SendMessageBatch, DeleteMessageBatch and ReceiveMessage (SQS API reference)."""
MAX_CALL_BYTES = 256 << 10
"""Of all entries of a SendMessageBatch together: 1 MiB today, but 256 KiB for queues and endpoints as they were
before August 2025; this much is taken everywhere."""

MISSING = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
EXISTS = frozenset({"QueueAlreadyExists", "QueueNameExists", "AWS.SimpleQueueService.QueueNameExists"})


class QueueMissingError(SseServiceError):
    """There is no such queue."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        super().__init__(f"there is no queue {queue}")


@dataclass(frozen=True, slots=True)
class SqsMessage:
    """A received message. sent_at: UNIX seconds; group: MessageGroupId of a FIFO queue, or ""."""

    message_id: str
    receipt: str
    body: str
    count: int
    sent_at: float
    group: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send. fifo: its group and deduplication ids."""

    body: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    fifo: tuple[str, str] | None = None

    def entry(self, number: int) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "Id": str(number),
            "MessageBody": self.body,
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value} for name, value in self.attributes.items() if value
            },
        }
        if self.fifo is not None:
            entry["MessageGroupId"], entry["MessageDeduplicationId"] = self.fifo
        return entry

    @property
    def size(self) -> int:
        return len(self.body.encode()) + sum(len(name) + len(value) + 8 for name, value in self.attributes.items())


class Sqs:
    """region, endpoint_url: as in Settings. polls: requests that may wait for messages at once."""

    def __init__(self, *, region: str, endpoint_url: str, polls: int, wait_s: int) -> None:
        self._region = region
        self._endpoint_url = endpoint_url
        self._polls = polls
        self._wait_s = wait_s
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def connect(self) -> None:
        """Make the client; nothing is asked of the network. Raises StartupError."""
        if self._client is not None:
            return
        config = AioConfig(
            connect_timeout=2,
            # A long poll answers after its wait at the latest.
            read_timeout=self._wait_s + 10,
            max_pool_connections=self._polls + 32,
            retries={"mode": "standard", "max_attempts": 2},
        )
        try:
            self._client = await self._stack.enter_async_context(
                get_session().create_client(
                    "sqs", region_name=self._region, endpoint_url=self._endpoint_url or None, config=config
                )
            )
        except (BotoCoreError, ValueError) as error:
            raise StartupError(
                f"no SQS client: {error}", "check AWS_REGION, AWS_ENDPOINT_URL and the credentials"
            ) from None

    async def close(self) -> None:
        self._client = None
        await self._stack.aclose()

    async def _call(self, operation: str, queue: str, **arguments: Any) -> dict[str, Any]:
        """One request. Raises QueueMissingError, UnavailableError."""
        if self._client is None:
            raise UnavailableError("SQS is not connected")
        try:
            answer: dict[str, Any] = await getattr(self._client, operation)(**arguments)
            return answer
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in MISSING:
                raise QueueMissingError(queue) from None
            raise UnavailableError(f"SQS {operation} on {queue}: {code}", code=code) from error
        except BotoCoreError as error:
            raise UnavailableError(f"SQS {operation}: {type(error).__name__}") from error

    # Queues ---------------------------------------------------------------------------------------------

    async def find(self, name: str) -> str:
        """The URL of a queue. Raises QueueMissingError, UnavailableError."""
        url: str = (await self._call("get_queue_url", name, QueueName=name))["QueueUrl"]
        return url

    async def make(self, name: str, attributes: Mapping[str, str]) -> str:
        """The URL of a queue, made if it is missing; one that exists with other attributes is taken as it is."""
        try:
            answer = await self._call("create_queue", name, QueueName=name, Attributes=dict(attributes))
        except UnavailableError as error:
            if error.extra.get("code") in EXISTS:
                return await self.find(name)
            raise
        url: str = answer["QueueUrl"]
        return url

    async def attributes(self, url: str) -> Mapping[str, str]:
        answer = await self._call("get_queue_attributes", url, QueueUrl=url, AttributeNames=["All"])
        found: Mapping[str, str] = answer.get("Attributes", {})
        return found

    # Messages -------------------------------------------------------------------------------------------

    async def receive(self, url: str, *, wait_s: int, visibility_s: int) -> list[SqsMessage]:
        """At most ten; waits for the first one. Raises QueueMissingError, UnavailableError."""
        answer = await self._call(
            "receive_message",
            url,
            QueueUrl=url,
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=wait_s,
            VisibilityTimeout=visibility_s,
            MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount", "MessageGroupId"],
            MessageAttributeNames=["tenant", "userId"],
        )
        return [_message(one) for one in answer.get("Messages", [])]

    async def delete(self, url: str, messages: Sequence[SqsMessage]) -> None:
        """Acknowledge. What is not deleted comes again, so a failure is only logged."""
        for at in range(0, len(messages), BATCH):
            part = messages[at : at + BATCH]
            entries = [{"Id": str(i), "ReceiptHandle": one.receipt} for i, one in enumerate(part)]
            try:
                answer = await self._call("delete_message_batch", url, QueueUrl=url, Entries=entries)
            except (QueueMissingError, UnavailableError) as error:
                logger.warning("messages could not be deleted: %s", error)
                continue
            for failed in answer.get("Failed", []):
                logger.warning(
                    "message %s could not be deleted: %s", part[int(failed["Id"])].message_id, failed.get("Code")
                )

    async def send(self, url: str, messages: Sequence[Outgoing]) -> None:
        """Send all, in their order. Raises QueueMissingError, UnavailableError (some may have been sent)."""
        for part in _calls(messages):
            entries = [one.entry(i) for i, one in enumerate(part)]
            answer = await self._call("send_message_batch", url, QueueUrl=url, Entries=entries)
            if failed := answer.get("Failed"):
                raise UnavailableError(
                    f"SQS took only {len(part) - len(failed)} of {len(part)}: {failed[0].get('Code')}"
                )

    async def show_later(self, url: str, message: SqsMessage, after_s: int) -> None:
        """Let an unacknowledged message be received again after so long (at most 12 hours)."""
        await self._call(
            "change_message_visibility",
            url,
            QueueUrl=url,
            ReceiptHandle=message.receipt,
            VisibilityTimeout=min(after_s, 43_200),
        )


def _calls(messages: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    part: list[Outgoing] = []
    size = 0
    for one in messages:
        if part and (len(part) == BATCH or size + one.size > MAX_CALL_BYTES):
            yield part
            part, size = [], 0
        part.append(one)
        size += one.size
    if part:
        yield part


def _message(raw: Mapping[str, Any]) -> SqsMessage:
    system = raw.get("Attributes", {})
    return SqsMessage(
        raw["MessageId"],
        raw["ReceiptHandle"],
        raw["Body"],
        int(system.get("ApproximateReceiveCount", "1")),
        int(system.get("SentTimestamp", "0")) / 1000,
        system.get("MessageGroupId", ""),
        {name: value.get("StringValue", "") for name, value in raw.get("MessageAttributes", {}).items()},
    )
