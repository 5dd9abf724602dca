"""Whether everything the tee saw has arrived, from the numbers on its records. Pure. until phase 3

Records of one worker of Lambda are numbered; those of one connection arrive in order, those of a worker may not, so a
number counts as lost only when it has been missing for a while. A worker that had something waiting and was not heard
of again has been ended by Lambda with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from migrate.tee.records import TeeRecord

__all__ = ["Capture", "Loss"]

# A worker sends its records in order; queues hand them out again after 10 s when whoever had them died.
MISSING_S = 30.0
SILENT_S = 120.0
# A worker that nobody hears of is forgotten; Lambda ends idle ones within the hour.
FORGET_S = 7200.0


@dataclass(frozen=True)
class Loss:
    """Records that are gone: how many, within which time (epoch seconds), and why."""

    count: int
    start: float
    end: float
    reason: str


@dataclass
class _Worker:
    highest: int
    last_at: float
    heard: float
    waiting: int = 0
    missing: dict[int, tuple[float, float, float]] = field(default_factory=dict)


class Capture:
    """What arrived of each worker, and what did not."""

    def __init__(self) -> None:
        self._workers: dict[str, _Worker] = {}
        self.captured = 0
        self.lost = 0

    def seen(self, record: TeeRecord, now: float) -> list[Loss]:
        """Note a record. Returns what it says was lost before it.

        Args:
            now: monotonic seconds.
        """
        if record.part > 1:
            return []
        self.captured += 1
        worker = self._workers.get(record.env)
        start = worker.last_at if worker is not None else record.at
        losses = []
        if record.env:
            self._number(record, now)
        if record.dropped_before:
            # Given up by the tee before it got a number: only this says so.
            losses.append(
                Loss(record.dropped_before, min(start, record.at), record.at, "the tee could not send records")
            )
        if record.truncated:
            losses.append(Loss(1, record.at, record.at, "the tee had to leave a payload out"))
        self.lost += sum(loss.count for loss in losses)
        return losses

    def _number(self, record: TeeRecord, now: float) -> None:
        worker = self._workers.get(record.env)
        if worker is None:
            self._workers[record.env] = _Worker(record.number, record.at, now, record.waiting)
            return
        worker.missing.pop(record.number, None)
        for number in range(worker.highest + 1, record.number):
            worker.missing[number] = (now, worker.last_at, record.at)
        if record.number > worker.highest:
            worker.highest, worker.last_at, worker.waiting = record.number, record.at, record.waiting
        # Given up ones have had a number of their own: they are told by `dropped_before` already.
        for number in sorted(worker.missing)[: record.dropped_before]:
            del worker.missing[number]
        worker.heard = now

    def kept(self) -> dict[str, list[Any]]:
        """What is known of the workers, for the next process: see `resumed`."""
        return {
            name: [one.highest, one.last_at, one.waiting, [[n, *span[1:]] for n, span in one.missing.items()]]
            for name, one in self._workers.items()
        }

    @classmethod
    def resumed(cls, kept: Mapping[str, list[Any]], now: float) -> Capture:
        """Go on where another process was ended: what it had not got is still to come, or lost."""
        capture = cls()
        for name, (highest, last_at, waiting, missing) in kept.items():
            worker = _Worker(highest, last_at, now, waiting)
            worker.missing = {number: (now, start, end) for number, start, end in missing}
            capture._workers[name] = worker
        return capture

    def missing(self, now: float, wait_s: float = MISSING_S, silent_s: float = SILENT_S) -> list[Loss]:
        """What has been missing for too long by now; told once."""
        losses = []
        for name, worker in list(self._workers.items()):
            gone = [number for number, (since, _, _) in worker.missing.items() if now - since >= wait_s]
            if gone:
                spans = [worker.missing.pop(number) for number in gone]
                start, end = min(span[1] for span in spans), max(span[2] for span in spans)
                losses.append(Loss(len(gone), start, end, "records of the tee did not arrive"))
            if worker.waiting and now - worker.heard >= silent_s:
                end = worker.last_at + max(silent_s, now - worker.heard)
                losses.append(Loss(worker.waiting, worker.last_at, end, "a worker ended with records"))
                worker.waiting = 0
            if now - worker.heard >= FORGET_S:
                del self._workers[name]
        self.lost += sum(loss.count for loss in losses)
        return losses
