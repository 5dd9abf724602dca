"""Writes the rows of a run, each once, whoever says it twice: a queue, a resumed stream, a worker that was killed.
until phase 3

What was written in the last quarter of an hour is read back at the start: a message is deleted from the queue, and a
stream's place kept, only after its rows were written, so nothing older can come again.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

from migrate.compare.deliveries import DeliveryRow, DeliveryWriter, SendRow, Span

__all__ = ["Recorder"]

RECENT_S = 900.0
KEPT = 500_000


class Recorder:
    """Rows of one run.

    Args:
        writer: of the run; this is its only user.
    """

    def __init__(self, writer: DeliveryWriter) -> None:
        self._writer = writer
        self._seen: OrderedDict[Hashable, None] = OrderedDict()
        # From here on it is recorded, however long the first record takes.
        writer.count(0, 0)
        self._through: float | None = None
        self.legacy = 0
        self.sse = 0
        self.sends = 0
        for kind, row in _recent(writer.run_directory):
            self._note(_send_key(row["request_id"]) if kind == "sends" else _delivery_key(**row))

    def delivery(self, row: DeliveryRow) -> bool:
        """Write a delivery unless it was written before."""
        if not self._note(_delivery_key(row.stack, row.tenant, row.recipient, row.connection_id, row.seq)):
            return False
        self._writer.delivery(row)
        if row.stack == "legacy":
            self.legacy += 1
        else:
            self.sse += 1
        return True

    def send(self, row: SendRow) -> bool:
        """Write an entering frame unless it was written before."""
        if not self._note(_send_key(row.request_id)):
            return False
        self._writer.send(row)
        self.sends += 1
        return True

    def has_send(self, request_id: str) -> bool:
        """Whether this frame's replay is over."""
        return _send_key(request_id) in self._seen

    def span(self, row: Span) -> None:
        """Write a time in which something was not recorded."""
        self._writer.span(row)

    def count(self, captured: int, lost: int, through: float | None = None) -> None:
        """Write how many records came and were lost since the last call, and until when all is replayed and written."""
        if captured or lost or through != self._through:
            self._through = through
            self._writer.count(captured, lost, through=through)

    def finished(self, through: float) -> None:
        """Write that all of it was replayed, and nothing has come for a while: nothing is under way any more."""
        self._writer.count(0, 0, at=0.0, through=through)

    def flush(self) -> None:
        """Hand everything to the operating system: a worker that is killed now loses nothing of it."""
        self._writer.flush()

    def close(self) -> None:
        """Complete all files."""
        self._writer.close()

    def _note(self, key: Hashable) -> bool:
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > KEPT:
            self._seen.popitem(last=False)
        return True


def _send_key(request_id: str) -> Hashable:
    return ("send", request_id)


def _delivery_key(
    stack: str, tenant: str, recipient: str, connection_id: str | None, seq: int, **_: object
) -> Hashable:
    return (stack, tenant, recipient, connection_id, seq)


def _recent(directory: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    oldest = time.time() - RECENT_S
    for kind in ("sends", "deliveries"):
        for path in sorted((directory / kind).glob("*")):
            if path.stat().st_mtime < oldest:
                continue
            with path.open("rb") as file:
                next(file, None)  # the header
                for line in file:
                    if line.endswith(b"\n"):
                        yield kind, json.loads(line)
