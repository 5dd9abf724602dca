"""The tee's records for the shadow, from its queue, in the order in which they happened. until phase 3

Records arrive as their Lambdas ended, so each waits a moment and goes on in the order of what it posted, which is what
the legacy stack's clients saw. The queue must not hold back a connection's next record while one is in hand
(`Consumer.is_ordered`): what others said after it would go first. A message is deleted when whoever has it says so.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from migrate.shadow.faults import Faults
from migrate.tee.records import MalformedRecordError, TeeRecord, parse_record

__all__ = ["HOLD_S", "Intake", "Taken"]

BATCH = 10
LONG_POLL_S = 1
HOLD_S = 1.5
MOST = 1000
# How many receives run one after the other before those that are due are looked for.
ROUNDS = 20


@dataclass(slots=True)
class Taken:
    """A record with what deletes it."""

    record: TeeRecord
    receipt: str
    due: float
    is_noted: bool = False

    @property
    def key(self) -> tuple[str, str, int]:
        return (self.record.env, self.record.request_id, self.record.part)

    @property
    def order(self) -> float:
        posts = self.record.posts
        return min((post.at for post in posts), default=self.record.at)


class Intake:
    """Reads one queue.

    Args:
        sqs: a boto3 SQS client; its calls run in a thread.
        queue_url: the shadow's own.
        faults: loses records on purpose.
    """

    def __init__(self, sqs: Any, queue_url: str, faults: Faults) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._faults = faults
        self._waiting: dict[tuple[str, str, int], Taken] = {}
        self._in_hand: dict[tuple[str, str, int], Taken] = {}
        self.received = 0
        self.malformed = 0
        self.is_empty = False

    def __len__(self) -> int:
        return len(self._waiting) + len(self._in_hand)

    async def fill(self, most: int = MOST) -> None:
        """Receive what is there, up to `most` in memory; waits a second when nothing is."""
        for _ in range(ROUNDS):
            if len(self) >= most:
                await asyncio.sleep(0.02)
                return
            wait_s = 0 if self._waiting else LONG_POLL_S
            messages = await asyncio.to_thread(self._receive, wait_s)
            self.is_empty = not messages
            if not messages:
                if wait_s == 0:
                    await asyncio.sleep(0.02)
                return
            await self._take(messages)

    async def _take(self, messages: list[dict[str, Any]]) -> None:
        unusable = []
        for message in messages:
            try:
                record = parse_record(message["Body"])
            except MalformedRecordError:
                self.malformed += 1
                unusable.append(message["ReceiptHandle"])
                continue
            taken = Taken(record, message["ReceiptHandle"], time.monotonic() + HOLD_S)
            known = self._in_hand.get(taken.key) or self._waiting.get(taken.key)
            if known is not None:
                # It became visible again while it waits here: only the latest receipt deletes it.
                known.receipt = taken.receipt
                continue
            self.received += 1
            if self._faults.loses_record():
                unusable.append(message["ReceiptHandle"])
                continue
            self._waiting[taken.key] = taken
        await self._delete(unusable)

    def due(self) -> list[Taken]:
        """Those that have waited long enough, in order."""
        now = time.monotonic()
        found = [taken for taken in self._waiting.values() if taken.due <= now]
        # Whatever is earlier goes first, also when it came later.
        latest = max((taken.order for taken in found), default=0.0)
        found = [taken for taken in self._waiting.values() if taken.due <= now or taken.order < latest]
        for taken in found:
            self._in_hand[taken.key] = self._waiting.pop(taken.key)
        return sorted(found, key=lambda taken: taken.order)

    async def done(self, handled: list[Taken]) -> None:
        """Delete records whose rows have been written."""
        await self._delete([taken.receipt for taken in handled])
        for taken in handled:
            self._in_hand.pop(taken.key, None)

    async def _delete(self, receipts: list[str]) -> None:
        for start in range(0, len(receipts), BATCH):
            await asyncio.to_thread(self._delete_batch, receipts[start : start + BATCH])

    def _receive(self, wait_s: int) -> list[dict[str, Any]]:
        answer = self._sqs.receive_message(QueueUrl=self._queue_url, MaxNumberOfMessages=BATCH, WaitTimeSeconds=wait_s)
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found

    def _delete_batch(self, receipts: list[str]) -> None:
        # One that could not be deleted comes again, and is known.
        self._sqs.delete_message_batch(
            QueueUrl=self._queue_url,
            Entries=[{"Id": str(index), "ReceiptHandle": receipt} for index, receipt in enumerate(receipts)],
        )
