"""From the tee's queue to the queue of each reader, in order and once. until phase 3

One SendMessage in the Lambda's own time, whoever reads; here ten records take a receive, a delete, and a send for each
reader. A record is deleted only when every reader's queue has it. Stopped in between it is sent again, which a FIFO
queue drops for five minutes by its deduplication id (Amazon SQS guide, "Exactly-once processing"), and readers of the
bridge and of the shadow are idempotent beyond that. Several distributors may run: a message group is with one of them
at a time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from migrate.clients import Backoff
from migrate.tee.consumers import Consumer

__all__ = ["REFRESH_S", "Distributor"]

log = logging.getLogger("migrate.tee")

BATCH = 10
LONG_POLL_S = 2
# Of one SendMessageBatch, in bytes: 256 KiB, whatever the queue's own limit is now.
MAX_BATCH_BYTES = 256 * 1024
REFRESH_S = 1.0
"""How old the list of readers may be: a new one gets everything from that much later on."""


class Distributor:
    """Copies until it is stopped.

    Args:
        sqs: a boto3 SQS client of its own.
        queue_url: the tee's queue.
        consumers: lists the readers.
    """

    def __init__(self, sqs: Any, queue_url: str, consumers: Callable[[], Sequence[Consumer]]) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._list = consumers
        self._known: Sequence[Consumer] = ()
        self._looked_at = float("-inf")
        self._stop = threading.Event()
        self.copied = 0

    def start(self) -> None:
        """Run in a thread of its own, which ends with the process."""
        threading.Thread(target=self.run, name="tee-distributor", daemon=True).start()

    def stop(self) -> None:
        """End after the batch in hand."""
        self._stop.set()

    def run(self) -> None:
        """Work until stopped; whatever happens to the queues is tried again."""
        backoff, failures = Backoff(), 0
        while not self._stop.is_set():
            try:
                self.once()
                failures = 0
            except Exception as error:
                failures += 1
                log.warning("records of the tee are not distributed: %s", type(error).__name__)
                self._stop.wait(backoff.delay_s(failures - 1))

    def once(self, wait_s: int = LONG_POLL_S) -> int:
        """Copy one batch; how many records it had."""
        answer = self._sqs.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=wait_s,
            AttributeNames=["MessageGroupId", "MessageDeduplicationId"],
        )
        messages = answer.get("Messages", [])
        if not messages:
            return 0
        for consumer in self._consumers():
            for part in _parts(messages):
                self._send(consumer, part)
        self._delete(messages)
        self.copied += len(messages)
        return len(messages)

    def _consumers(self) -> Sequence[Consumer]:
        if time.monotonic() - self._looked_at >= REFRESH_S:
            self._known = self._list()
            self._looked_at = time.monotonic()
        return self._known

    def _send(self, consumer: Consumer, messages: Sequence[dict[str, Any]]) -> None:
        try:
            answer = self._sqs.send_message_batch(
                QueueUrl=consumer.queue_url,
                Entries=[
                    {
                        "Id": str(index),
                        "MessageBody": message["Body"],
                        "MessageGroupId": message["Attributes"][
                            "MessageGroupId" if consumer.is_ordered else "MessageDeduplicationId"
                        ],
                        "MessageDeduplicationId": message["Attributes"]["MessageDeduplicationId"],
                    }
                    for index, message in enumerate(messages)
                ],
            )
        except self._sqs.exceptions.QueueDoesNotExist:
            # Somebody deleted a reader's queue: the others must not wait for it.
            log.warning("the queue of %s is gone", consumer.name)
            return
        if answer.get("Failed"):
            raise RuntimeError(f"{len(answer['Failed'])} record(s) were refused")

    def _delete(self, messages: Sequence[dict[str, Any]]) -> None:
        answer = self._sqs.delete_message_batch(
            QueueUrl=self._queue_url,
            Entries=[
                {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]} for index, message in enumerate(messages)
            ],
        )
        if answer.get("Failed"):
            raise RuntimeError(f"{len(answer['Failed'])} record(s) could not be deleted")


def _parts(messages: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Messages in order, in batches that SQS takes."""
    parts: list[list[dict[str, Any]]] = []
    used = MAX_BATCH_BYTES
    for message in messages:
        size = len(message["Body"].encode("utf-8", "surrogatepass"))
        if used + size > MAX_BATCH_BYTES:
            parts.append([])
            used = 0
        parts[-1].append(message)
        used += size
    return parts
