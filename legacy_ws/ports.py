"""What the core needs from the outside: a table, something that posts to connections, a function that takes jobs, a
queue. until phase 3

Adapters: `dynamo.Table`, `aws.ManagementApi`, `aws.AsyncFunction`, `aws.FifoQueue`; the tests have fakes of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from legacy_ws.schema import Item

__all__ = ["AnswerQueue", "ConnectionTable", "JobTaker", "Poster"]


class ConnectionTable(Protocol):
    """One DynamoDB table, seen by its key."""

    def put(self, item: Mapping[str, object]) -> None:
        """Write a row, replacing one with the same key."""

    def get(self, key: Mapping[str, object]) -> Item | None:
        """The row, read consistently; None when there is none."""

    def delete(self, key: Mapping[str, object]) -> None:
        """Remove the row; nothing happens when there is none."""

    def update_existing(
        self, key: Mapping[str, object], values: Mapping[str, object], *, only_if_absent: Sequence[str] = ()
    ) -> bool:
        """Set attributes of a row that exists (and lacks `only_if_absent`); False when it does not, nothing
        written.
        """

    def pages(self, *, attributes: Sequence[str] | None = None) -> Iterator[list[Item]]:
        """Every row, page by page, read consistently."""

    def index_pages(self, index: str, equals: Mapping[str, object]) -> Iterator[list[Item]]:
        """Every row of an index whose attributes equal `equals`, page by page."""


class Poster(Protocol):
    """The `@connections` API of one stage."""

    def post(self, connection_id: str, data: bytes) -> None:
        """Send one text frame.

        Raises: ConnectionGoneError: 410. SendFailedError: anything else, with `retryable`.
        """

    def disconnect(self, connection_id: str) -> None:
        """Close the connection. Raises: as `post`."""


class JobTaker(Protocol):
    """A function that is handed work and not waited for."""

    def hand_over(self, payload: bytes) -> None:
        """Hand over one job. Raises: HandOffError: it was not taken."""


class AnswerQueue(Protocol):
    """A queue that keeps the order of a group and drops repeats."""

    def send(self, body: str, *, group: str, deduplication: str) -> None:
        """Put one message behind the others of its group. Raises: HandOffError: it was not taken."""
