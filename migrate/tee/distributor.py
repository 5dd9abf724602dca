"""From the tee's queue to the queue of each reader, in order and once. until phase 3

One SendMessage in the Lambda's own time, whoever reads; here ten records take a receive, a delete, and a send for each
reader. A record is deleted only when every reader's queue has it. Stopped in between it is sent again, which a FIFO
queue drops for five minutes by its deduplication id (Amazon SQS guide, "Exactly-once processing"), and readers of the
bridge and of the shadow are idempotent beyond that. Several distributors may run: a message group is with one of them
at a time.

A reader whose queue refuses (no permission, a key that is off) holds the others up for `HOLD_S` at most: until then
what it refuses stays in the queue, and they get theirs; after that, and at once what no second try can change, it is
put aside, until the queue takes records again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from migrate.clients import Backoff
from migrate.tee.consumers import Consumer

__all__ = ["HOLD_S", "REFRESH_S", "Aside", "Distributor"]

Aside = Callable[[str, Sequence[str], str], None]
"""Told the reader, the records and why."""

log = logging.getLogger("migrate.tee")

BATCH = 10
LONG_POLL_S = 2
# Of one SendMessageBatch, in bytes: 256 KiB, whatever the queue's own limit is now.
MAX_BATCH_BYTES = 256 * 1024
HOLD_S = 60.0
"""How long a reader may refuse before the others wait no more; far below the five minutes of deduplication."""
REFRESH_S = 1.0
"""How old the list of readers may be: a new one gets everything from that much later on."""


class Distributor:
    """Copies until it is stopped.

    Args:
        sqs: a boto3 SQS client of its own.
        queue_url: the tee's queue.
        consumers: lists the readers.
        aside: keeps what a reader has refused for too long.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        sqs: Any,
        queue_url: str,
        consumers: Callable[[], Sequence[Consumer]],
        aside: Aside = lambda *_: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._list = consumers
        self._known: Sequence[Consumer] = ()
        self._looked_at = float("-inf")
        self._stop = threading.Event()
        self._aside = aside
        self._clock = clock
        self._refuses_since: dict[str, float] = {}
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
                # One reader that refuses does not slow the others down: what it held up is hidden for a while, and
                # without more the next receive waits by itself.
                self._stop.wait(0.05 if self._refuses_since else backoff.delay_s(failures - 1))

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
        held: list[Exception] = []
        for consumer in self._consumers():
            try:
                self._give(consumer, messages)
            except Exception as error:
                held.append(error)  # the others first
        if held:
            raise held[0]
        self._delete(messages)
        self.copied += len(messages)
        return len(messages)

    def _consumers(self) -> Sequence[Consumer]:
        if time.monotonic() - self._looked_at >= REFRESH_S:
            self._known = self._list()
            self._looked_at = time.monotonic()
        return self._known

    def _give(self, consumer: Consumer, messages: Sequence[dict[str, Any]]) -> None:
        """Raises: whatever a reader's queue says, while the others wait for it."""
        refused: list[dict[str, Any]] = []
        why: Exception | None = None
        for part in _parts(messages):
            try:
                refused += self._send(consumer, part)
            except Exception as error:
                refused, why = [*refused, *part], error
        if not refused:
            if self._refuses_since.pop(consumer.name, None) is not None:
                log.warning("the queue of %s takes records again", consumer.name)
            return
        why = why or RuntimeError(f"{len(refused)} record(s) were refused")
        since = self._refuses_since.setdefault(consumer.name, self._clock())
        if self._clock() - since < HOLD_S:
            raise why
        log.warning("%d record(s) that %s refuses are put aside: %s", len(refused), consumer.name, type(why).__name__)
        self._aside(consumer.name, [str(message["Body"]) for message in refused], f"{type(why).__name__}: {why}"[:300])

    def _send(self, consumer: Consumer, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those that it refuses, and may take later."""
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
            return []
        failed = {int(one["Id"]): one for one in answer.get("Failed", ())}
        never = [messages[index]["Body"] for index, one in failed.items() if one.get("SenderFault")]
        if never:
            # Refused for what it is, as one that is too large for this queue: it would be so the next time.
            codes = ", ".join(sorted({str(one.get("Code")) for one in failed.values() if one.get("SenderFault")}))
            log.warning("%d record(s) are refused by %s for what they are: %s", len(never), consumer.name, codes)
            self._aside(consumer.name, never, f"refused for what it is: {codes}")
        return [messages[index] for index, one in failed.items() if not one.get("SenderFault")]

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
