"""Loss, duplicates and order are found by ids: what the figures of every load test stand on."""

from __future__ import annotations

from loadtests.users.ledger import Ledger, Outcome, Sent

SECOND = 1_000_000_000


def ledger(*receivers: str, own: bool = True) -> Ledger:
    made = Ledger(lost_after_s=5)
    for name in receivers:
        made.join(name, "room:a", 0, own=own)
    return made


def said(seq: int, at: float = 1.0, sender: str = "ann", group: str = "room:a") -> Sent:
    return Sent(group, sender, seq, int(at * SECOND))


def test_what_one_receiver_has_not_got_is_lost_for_that_one() -> None:
    made = ledger("ann", "ben")
    made.sent([said(0), said(1)])
    for receiver, seq in (("ann", 0), ("ann", 1), ("ben", 1)):
        assert made.received(receiver, "ann", seq) is Outcome.FRESH
    assert made.awaited()
    assert made.expire(int(5.5 * SECOND)) == []
    assert [(loss.receiver, loss.sent.seq) for loss in made.expire(7 * SECOND)] == [("ben", 0)]
    assert not made.awaited()
    assert made.expire(99 * SECOND) == []


def test_the_last_message_of_all_is_missed_as_well() -> None:
    made = ledger("ben")
    made.sent([said(0), said(1)])
    made.received("ben", "ann", 0)
    assert [loss.sent.seq for loss in made.expire(10 * SECOND)] == [1]


def test_twice_is_told_before_and_after_it_was_judged() -> None:
    made = ledger("ben")
    made.sent([said(0)])
    assert [made.received("ben", "ann", 0) for _ in range(2)] == [Outcome.FRESH, Outcome.DUPLICATE]
    made.expire(10 * SECOND)
    assert made.received("ben", "ann", 0) is Outcome.DUPLICATE


def test_order_is_per_sender() -> None:
    made = ledger("ben")
    assert made.received("ben", "ann", 1) is Outcome.FRESH
    assert made.received("ben", "cid", 0) is Outcome.FRESH
    assert made.received("ben", "ann", 0) is Outcome.OUT_OF_ORDER
    assert made.received("ben", "cid", 2) is Outcome.FRESH
    # What a history brings has no place in the order.
    assert made.received("ben", "cid", 1, ordered=False) is Outcome.FRESH


def test_late_is_neither_lost_nor_twice() -> None:
    made = ledger("ben")
    made.sent([said(0)])
    assert len(made.expire(10 * SECOND)) == 1
    assert made.received("ben", "ann", 0) is Outcome.LATE
    assert made.received("ben", "ann", 0) is Outcome.DUPLICATE


def test_nothing_is_expected_from_before_somebody_came_or_after_they_went() -> None:
    made = ledger("ben")
    made.join("dee", "room:a", 2 * SECOND, own=True)
    made.sent([said(0, at=1.0)])
    made.received("ben", "ann", 0)
    assert made.expire(10 * SECOND) == []
    made.sent([said(1, at=11.0)])
    made.received("dee", "ann", 1)
    made.leave("ben")
    assert made.expire(20 * SECOND) == []


def test_whoever_does_not_hear_themselves_does_not_miss_it() -> None:
    made = ledger("ann", "ben", own=False)
    made.sent([said(0)])
    made.received("ben", "ann", 0)
    assert not made.awaited()
    assert made.expire(10 * SECOND) == []


def test_other_groups_do_not_get_it() -> None:
    made = ledger("ben")
    made.sent([said(0, group="room:other")])
    assert not made.awaited()
    assert made.expire(10 * SECOND) == []
    assert made.has("room:a") and not made.has("room:other")


def test_a_history_brings_what_was_missed_and_no_more() -> None:
    made = ledger("ben")
    made.sent([said(0), said(1)])
    made.received("ben", "ann", 0)
    assert made.knows("ben", "ann", 0) and not made.knows("ben", "ann", 1)
    made.expire(10 * SECOND)
    # Lost so far: a history may still bring it.
    assert made.knows("ben", "ann", 0) and not made.knows("ben", "ann", 1)
