"""What a process that ended in the middle of a page had deleted of it. until phase 3 (MG11)"""

from __future__ import annotations

from migrate.sweep.reckoning import MOST, Reckoning
from migrate.tables.rows import Item


def named(*numbers: int) -> list[tuple[Item, list[str]]]:
    return [({"id": {"S": str(number)}}, [f"c{number}"]) for number in numbers]


def after(reckoning: Reckoning, *numbers: int, last: bool = False) -> dict[str, int]:
    return dict(reckoning.deleted_before(reckoning.marks(named(*numbers)), last=last))


def test_rows_that_new_ones_pushed_into_the_next_page_are_not_called_gone() -> None:
    kept = Reckoning(whole=True).begin(named(1, 2, 3))
    again = Reckoning(kept, whole=True)
    assert after(again, 2, 10) == {}, "1 and 3 may be in the next page"
    told = after(again, 3, 11)
    assert told == {"rows": 1, "connections": 1, "gone": 1, "exported": 1, "deleted": 1}
    assert after(again, last=True) == {}, "counted once"


def test_a_kill_in_the_first_page_after_a_kill_forgets_nothing() -> None:
    first = Reckoning(Reckoning(whole=True).begin(named(1, 2, 3)), whole=True)
    assert after(first, 3) == {}
    second = Reckoning(first.begin(named(3)), whole=True)
    assert after(second, last=True)["deleted"] == 3


def test_connections_inside_an_item_are_told_apart() -> None:
    item: Item = {"id": {"S": "room"}}
    kept = Reckoning(whole=False).begin([(item, ["a", "b"])])
    again = Reckoning(kept, whole=False)
    told = again.deleted_before(again.marks([(item, ["b", "c"])]), last=True)
    assert told == {"connections": 1, "gone": 1, "exported": 1, "deleted": 1}


def test_the_note_stays_far_below_what_an_item_may_have() -> None:
    reckoning = Reckoning(whole=True)
    assert len(reckoning.begin(named(*range(MOST)))) < 110_000
    assert reckoning.begin(named(*range(MOST + 1))) == ""
