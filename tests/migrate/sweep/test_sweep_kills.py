"""Killed anywhere, with the application at work all the while: no living row is lost, and no ghost is forgotten (MG11).
until phase 3"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrate.tables.export import pages_of

from .conftest import Bench, Killed, Meddled, connection

Make = Callable[..., Bench]

# What the application does meanwhile: to which row, and what.
DEEDS = st.tuples(st.integers(0, 7), st.sampled_from(["reconnect", "disconnect", "touch"]))
PLANS = st.lists(st.tuples(st.integers(0, 25), DEEDS), max_size=4)
KILLS = st.lists(st.tuples(st.integers(0, 25), st.booleans()), max_size=4)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(living=st.sets(st.integers(0, 7)), plan=PLANS, kills=KILLS, page=st.integers(1, 4))
def test_rows_by_user(
    bench: Make, living: set[int], plan: list[tuple[int, tuple[int, str]]], kills: list[tuple[int, bool]], page: int
) -> None:
    """A row for every user, used again when he comes back: what is deleted is deleted as it was read, or not at all."""
    world = _World(bench(key="ws"), living)
    world.run(plan, kills, page)
    world.judge()


class _World:
    """Eight users, their rows, the gateway, and what must hold at the end."""

    def __init__(self, table: Bench, living: set[int]) -> None:
        self.table = table
        for old in table.folder.glob("exports/job/*"):
            old.unlink()
        self.rows = {user: connection(f"{user}-0") for user in range(8)}
        for user, one in self.rows.items():
            table.put({"id": {"S": str(user)}, "ws": {"S": one}, "n": {"N": "0"}})
        self.first = table.items()
        table.gateway.living = {self.rows[user] for user in living}
        self.touched: set[int] = set()
        self.deleted: Counter[str] = Counter()
        self.times = 0
        self.counts: Counter[str] = Counter()

    def deed(self, user: int, what: str) -> None:
        self.touched.add(user)
        self.times += 1
        key = {"id": {"S": str(user)}}
        if what == "disconnect":
            self.table.gateway.living.discard(self.rows.pop(user, ""))
            self.table.dynamodb.delete_item(TableName="Connections", Key=key)
        elif what == "reconnect":
            self.table.gateway.living.discard(self.rows.get(user, ""))
            self.rows[user] = connection(f"{user}-{self.times}")
            self.table.gateway.living.add(self.rows[user])
            self.table.put({**key, "ws": {"S": self.rows[user]}, "n": {"N": str(self.times)}})
        elif user in self.rows:
            self.table.put({**key, "ws": {"S": self.rows[user]}, "n": {"N": str(self.times)}})

    def run(self, plan: list[tuple[int, tuple[int, str]]], kills: list[tuple[int, bool]], page: int) -> None:
        deeds = dict(plan)
        calls = {"n": 0}
        left = list(kills)

        def before(operation: str) -> None:
            if calls["n"] in deeds:
                self.deed(*deeds.pop(calls["n"]))
            calls["n"] += 1
            self._maybe_kill(left, calls["n"], after=False)

        def after(operation: str) -> None:
            self._maybe_kill(left, calls["n"], after=True)

        from migrate.sweep import segment

        kept, segment.PAGE = segment.PAGE, page
        try:
            for _ in range(len(kills) + 1):
                calls["n"] = 0
                try:
                    client = Meddled(self.table.dynamodb, before, after, self.deleted)
                    self.counts = self.table.sweep(client=client).counts
                except Killed:
                    continue
                break
        finally:
            segment.PAGE = kept

    @staticmethod
    def _maybe_kill(left: list[tuple[int, bool]], number: int, *, after: bool) -> None:
        if left and left[0] == (number, after):
            left.pop(0)
            raise Killed

    def judge(self) -> None:
        now = self.table.items()
        here = {item["ws"]["S"] for item in now.values()}
        if not self.touched:
            # Told as it was, whatever was killed: what went is counted once, and so is what stayed.
            told = {name: self.counts[name] for name in ("rows", "alive", "gone", "exported", "deleted", "changed")}
            gone = self.deleted.total()
            assert told == {"rows": 8, "alive": 8 - gone, "gone": gone, "exported": gone, "deleted": gone, "changed": 0}
        lost = {one for one in self.rows.values() if one in self.table.gateway.living} - here
        assert not lost, "a living connection's row is gone"
        for user, one in self.rows.items():
            if user not in self.touched:
                assert (one in here) == (one in self.table.gateway.living), "a ghost stayed"
                times = self.deleted[str({"id": {"S": str(user)}})]
                assert times == (one not in self.table.gateway.living), f"deleted {times} times"
        exported = (
            {
                str({"id": record["key"]["id"]})
                for page in pages_of(self.table.folder, "job", lambda: None)
                for record in page.records
            }
            if self._exports()
            else set()
        )
        untouched = {key: item for key, item in self.first.items() if int(item["id"]["S"]) not in self.touched}
        assert {key for key in untouched if key not in now} <= exported, "a row was deleted without an export"
        if exported:
            result = self.table.restore()
            assert not result.counts["wrong"]
        back = self.table.items()
        for key, item in untouched.items():
            assert back[key] == item, "a deleted row did not come back as it was"
        for key, item in now.items():
            assert back[key] == item, "a restore changed what was there"

    def _exports(self) -> list[Any]:
        return list(self.table.folder.glob("exports/job/*.gz"))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=KILLS, living=st.sets(st.integers(0, 5)), kind=st.sampled_from(["SS", "M", "L"]))
def test_maps_sets_and_lists(bench: Make, kills: list[tuple[int, bool]], living: set[int], kind: str) -> None:
    """The same inside items: each is left with its living connections, whatever came between."""
    table = bench(key="id", map_attribute="on")
    for old in table.folder.glob("exports/job/*"):
        old.unlink()
    ids = [connection(number) for number in range(6)]
    holders: dict[str, Any] = {
        "SS": {"SS": ids},
        "M": {"M": {one: {"N": "1"} for one in ids}},
        "L": {"L": [{"S": one} for one in ids]},
    }
    table.put({"id": {"S": "a"}, "on": holders[kind]}, {"id": {"S": "b"}, "on": holders[kind]})
    table.gateway.living = {ids[number] for number in living}
    left, calls = list(kills), {"n": 0}

    def meddle(after: bool) -> Callable[[str], None]:
        def at(operation: str) -> None:
            calls["n"] += not after
            _World._maybe_kill(left, calls["n"], after=after)

        return at

    for _ in range(len(kills) + 1):
        calls["n"] = 0
        try:
            counts = table.sweep(client=Meddled(table.dynamodb, meddle(False), meddle(True))).counts
            break
        except Killed:
            continue
    assert counts["exported"] == counts["deleted"] == 2 * (6 - len(living))
    for item in table.items().values():
        held = {entry.connection_id for entry in table.rows.entries(item)}
        assert held == table.gateway.living
    if len(living) < 6:
        table.restore()
        for item in table.items().values():
            assert {entry.connection_id for entry in table.rows.entries(item)} == set(ids)
