"""What the tee saw and never arrived is known and told once. until phase 3 (MG6)"""

from __future__ import annotations

import json

from shadow_support import record

from migrate.shadow.capture import SILENT_S, Capture


def test_all_there_in_whatever_order_is_complete() -> None:
    """MG6: records of one worker come by different connections, and so out of order."""
    capture = Capture()
    for number in (1, 3, 2, 5, 4):
        assert capture.seen(record(number=number, at=1000.0 + number), 10.0 + number) == []
    assert capture.missing(1000.0, wait_s=30) == []
    assert (capture.captured, capture.lost) == (5, 0)


def test_a_hole_is_a_loss_after_a_while_and_told_once() -> None:
    """MG6: with the time in which it lies."""
    capture = Capture()
    capture.seen(record(number=1, at=1000.0), 10.0)
    capture.seen(record(number=4, at=1003.0), 11.0)
    assert capture.missing(12.0, wait_s=30) == []
    [loss] = capture.missing(60.0, wait_s=30)
    assert (loss.count, loss.start, loss.end) == (2, 1000.0, 1003.0)
    assert capture.missing(100.0, wait_s=30) == []
    assert capture.lost == 2


def test_what_the_tee_gave_up_is_counted_once() -> None:
    """MG6: records that were dropped have numbers as well; they are not lost twice."""
    capture = Capture()
    capture.seen(record(number=1, at=1000.0), 10.0)
    [loss] = capture.seen(record(number=4, at=1003.0, dropped_before=2), 11.0)
    assert (loss.count, loss.start, loss.end) == (2, 1000.0, 1003.0)
    assert capture.missing(100.0, wait_s=30) == []
    assert capture.lost == 2


def test_a_worker_that_ended_with_records_is_noticed() -> None:
    """MG6: its last message said that more were to come."""
    capture = Capture()
    capture.seen(record(number=1, waiting=3), 10.0)
    assert capture.missing(11.0) == []
    [loss] = capture.missing(11.0 + SILENT_S)
    assert loss.count == 3
    assert capture.missing(12.0 + SILENT_S) == []


def test_a_worker_that_was_there_before_the_run_has_no_hole() -> None:
    """MG6: a run that begins in the middle has not lost the beginning."""
    capture = Capture()
    capture.seen(record(number=700), 10.0)
    capture.seen(record(number=701), 11.0)
    assert capture.missing(1000.0) == []


def test_parts_are_one_record_and_a_left_out_payload_is_a_loss() -> None:
    """MG6: a comparison over it is not complete."""
    capture = Capture()
    capture.seen(record(number=1, part=1, parts=2), 10.0)
    capture.seen(record(number=1, part=2, parts=2), 10.0)
    assert capture.captured == 1
    assert capture.seen(record(number=2, truncated=True), 11.0)[0].count == 1


def test_a_worker_that_was_killed_leaves_what_it_knew() -> None:
    """MG6: a hole across two processes is a hole, and what was missing may still come."""
    first = Capture()
    first.seen(record(number=1, at=1000.0), 10.0)
    first.seen(record(number=4, at=1003.0), 10.0)
    second = Capture.resumed(json.loads(json.dumps(first.kept())), 50.0)
    second.seen(record(number=3, at=1002.0), 51.0)
    second.seen(record(number=6, at=1005.0), 51.0)
    [loss] = second.missing(100.0, wait_s=30)
    assert (loss.count, loss.start, loss.end) == (2, 1000.0, 1005.0)
