"""People's own records tell what was lost, doubled, or shown to a stranger, and in which step (MG16). until phase 3"""

from __future__ import annotations

from migrate.rehearse.ledger import Ledger, Said, StepCount


def ledger() -> Ledger:
    """Ann says one thing to Ben and Cleo before a move, and one while they move."""
    made = Ledger(["ann", "ben", "cleo"])
    made.said.append(Said("one", "ann", "before", "websocket", frozenset({"ben", "cleo"}), 1.0))
    made.said.append(Said("two", "ann", "moving", "sse", frozenset({"ben", "cleo"}), 2.0))
    return made


def everybody_hears(made: Ledger, one: str, two: str) -> None:
    """Ben and Cleo hear both texts once, over these transports."""
    for name in ("ben", "cleo"):
        made.records[name].hear(one, "one")
        made.records[name].hear(two, "two")


def test_each_once_is_right_also_over_two_stacks_at_once() -> None:
    made = ledger()
    everybody_hears(made, "websocket", "websocket")
    made.records["ben"].hear("sse", "two")
    assert made.wrong() == []
    assert made.by_step() == {"before": StepCount(1, 2), "moving": StepCount(1, 2)}


def test_what_is_lost_is_named_with_its_step() -> None:
    made = ledger()
    for name, text in (("ben", "one"), ("cleo", "one"), ("ben", "two")):
        made.records[name].hear("websocket", text)
    [wrong] = made.wrong()
    assert (wrong.text, wrong.step, wrong.by, wrong.via, wrong.recipient, wrong.times) == (
        "two", "moving", "ann", "sse", "cleo", 0,
    )  # fmt: skip
    assert str(wrong) == "'two', said by ann over sse in step moving, was not heard by cleo"
    assert made.by_step()["moving"] == StepCount(said=1, due=2, lost=1)
    assert made.missing(before=1.5) == []


def test_people_wait_while_something_is_under_way_and_not_for_what_is_lost() -> None:
    made = ledger()
    assert not made.is_behind(3.0)
    assert made.is_behind(5.0)
    # Nobody waits for ever: what is not there by now is lost, and is said to be.
    assert not made.is_behind(20.0)
    everybody_hears(made, "sse", "sse")
    assert not made.is_behind(5.0)


def test_twice_over_one_stack_is_doubled_and_a_stranger_is_told() -> None:
    made = ledger()
    everybody_hears(made, "websocket", "sse")
    made.records["cleo"].hear("sse", "two")
    made.records["ann"].hear("websocket", "one")
    assert sorted(map(str, made.wrong())) == [
        "'one', said by ann over websocket in step before, was shown though it is not theirs by ann",
        "'two', said by ann over sse in step moving, was heard 2 times by cleo",
    ]
    assert made.by_step()["moving"] == StepCount(said=1, due=2, doubled=1)
