"""Who reads what the tee sends, and what each function was like before it: in the team's state table. until phase 3

The Lambdas send each record once, to one queue, so a second reader costs a user's message nothing. Each reader
(`bridge`, `shadow`) has a FIFO queue of its own, `ws2sse-tee-API-READER.fifo`, which `migrate.tee.distributor` fills
from the first one. Items: pk `tee#API`, sk `consumer#READER` {queue_url, since} and `function#NAME` {configuration}.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from migrate.control.table import ConditionFailedError, ControlTable
from migrate.tee.function_configuration import name_of
from migrate.tee.install import RETENTION_S, VISIBILITY_S

__all__ = ["Consumer", "TeeState", "consumer_queue"]

# An API's id has 10 characters, a queue's name 80.
QUEUE_NAME = "ws2sse-tee-{api_id}-{consumer}.fifo"


@dataclass(frozen=True)
class Consumer:
    """One reader: its name, its queue, and since when it reads (epoch seconds).

    Args:
        is_ordered: whether the queue hands out a connection's records one after the other. Without that, one that is
            in hand does not hold up the next, and the reader sorts them itself.
    """

    name: str
    queue_url: str
    since: float
    is_ordered: bool = True


def consumer_queue(sqs: Any, api_id: str, consumer: str) -> str:
    """URL of a reader's queue, made if it is missing."""
    return str(
        sqs.create_queue(
            QueueName=QUEUE_NAME.format(api_id=api_id, consumer=consumer),
            Attributes={
                "FifoQueue": "true",
                "DeduplicationScope": "messageGroup",
                "FifoThroughputLimit": "perMessageGroupId",
                "VisibilityTimeout": str(VISIBILITY_S),
                "MessageRetentionPeriod": str(RETENTION_S),
            },
        )["QueueUrl"]
    )


class TeeState:
    """What is known of one API's tee. Also the `Snapshots` of `install_tee`: a function's ARN and its name are one.

    Args:
        table: of the shared state.
    """

    def __init__(self, table: ControlTable, api_id: str) -> None:
        self._table = table
        self._pk = f"tee#{api_id}"

    def add(self, name: str, queue_url: str, *, is_ordered: bool = True) -> Consumer:
        """Register a reader; one that is registered keeps its beginning."""
        item = {
            "pk": self._pk,
            "sk": f"consumer#{name}",
            "queue_url": queue_url,
            "since": time.time(),
            "is_ordered": is_ordered,
        }
        try:
            self._table.put(item, condition="attribute_not_exists(pk)")
        except ConditionFailedError as error:
            item = error.item or item
        return _consumer(item)

    def remove(self, name: str) -> None:
        """Nothing is put into its queue any more, as soon as every distributor has looked again."""
        self._table.delete(self._pk, f"consumer#{name}")

    def consumers(self) -> list[Consumer]:
        """All readers, by name."""
        return [_consumer(item) for item in self._table.query(self._pk, since="consumer#", before="consumer#~")]

    def save(self, function: str, configuration: Mapping[str, Any]) -> None:
        """Keep a function's configuration unless there is one: a second start must not keep the tee's own."""
        item = {
            "pk": self._pk,
            "sk": f"function#{name_of(function)}",
            # As text: the order of variables is part of it.
            "configuration": json.dumps(configuration),
            "saved_at": time.time(),
        }
        with contextlib.suppress(ConditionFailedError):
            self._table.put(item, condition="attribute_not_exists(pk)")

    def read(self, function: str) -> dict[str, Any] | None:
        """What was kept of a function."""
        item = self._table.get(self._pk, f"function#{name_of(function)}")
        found: dict[str, Any] | None = json.loads(item["configuration"]) if item else None
        return found

    def forget(self, function: str) -> None:
        """Delete what was kept."""
        self._table.delete(self._pk, f"function#{name_of(function)}")


def _consumer(item: Mapping[str, Any]) -> Consumer:
    name = str(item["sk"]).partition("#")[2]
    return Consumer(name, str(item["queue_url"]), float(item["since"]), bool(item.get("is_ordered", True)))
