"""Writes down where the capture has holes, and how much of it there is. until phase 3"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

from migrate.compare.deliveries import Span
from migrate.shadow.capture import Capture, Loss
from migrate.shadow.recorder import Recorder
from migrate.tee.records import TeeRecord

__all__ = ["Completeness"]

log = logging.getLogger("migrate.shadow")


class Completeness:
    """Of one run.

    Args:
        capture: what is known of the tee's workers.
        recorder: the rows.
    """

    def __init__(self, capture: Capture, recorder: Recorder) -> None:
        self._capture = capture
        self._recorder = recorder
        self._counted = (0, 0)

    @property
    def captured(self) -> int:
        return self._capture.captured

    @property
    def lost(self) -> int:
        return self._capture.lost

    def kept(self) -> dict[str, list[Any]]:
        """For the next process: see Capture.resumed."""
        return self._capture.kept()

    def seen(self, record: TeeRecord) -> None:
        """A record has arrived: what it says was lost before it is written."""
        self._write(self._capture.seen(record, time.monotonic()))

    def look(self) -> None:
        """Write what has been missing for too long."""
        self._write(self._capture.missing(time.monotonic()))

    def close(self) -> None:
        """Nothing more comes: what has not arrived is lost."""
        self._write(self._capture.missing(time.monotonic(), 0.0, 0.0))

    def count(self, through: float | None) -> None:
        """Write how much came and was lost since the last time, and until when all is replayed and written."""
        captured, lost = self.captured, self.lost
        self._recorder.count(captured - self._counted[0], lost - self._counted[1], through)
        self._counted = (captured, lost)

    def _write(self, losses: Iterable[Loss]) -> None:
        for loss in losses:
            log.warning("capture is incomplete: %s record(s), %s", loss.count, loss.reason)
            reason = f"{loss.count} record(s): {loss.reason}"
            self._recorder.span(Span("incomplete", None, None, loss.start, loss.end, reason))
