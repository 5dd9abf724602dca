"""Sweeps of every shape of table: the living stay, the gone go, and come back by a restore (MG11). until phase 3"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Bench, connection

Make = Callable[..., Bench]
ALIVE, GONE, OTHER = connection("alive"), connection("gone"), connection("other gone")


def test_rows_of_their_own(bench: Make) -> None:
    """MG11: age and TTL say nothing; only the gateway does."""
    table = bench(key="id")
    old: dict[str, Any] = {"ttl": {"N": "1"}, "connectedAt": {"N": "1"}}
    table.put({"id": {"S": ALIVE}, **old}, {"id": {"S": GONE}, "ttl": {"N": "99999999999"}, "blob": {"B": b"\x00\xff"}})
    before = table.items()
    table.gateway.living = {ALIVE}
    done = table.sweep()
    assert [item["id"]["S"] for item in table.items().values()] == [ALIVE]
    assert (done.counts["deleted"], done.counts["alive"]) == (1, 1)
    assert table.restore().counts["put"] == 1
    assert table.items() == before


def test_one_table_with_prefixes_and_a_numeric_sort_key(bench: Make) -> None:
    """MG11: other kinds of rows are not even asked about."""
    table = bench((("pk", "S"), ("sk", "N")), key="pk", id_prefix="WS#", row_prefix="WS#", sort_key="sk")
    table.put(*({"pk": {"S": f"WS#{one}"}, "sk": {"N": "1.5"}} for one in (ALIVE, GONE)))
    table.put({"pk": {"S": "ROOM#x"}, "sk": {"N": "1"}}, {"pk": {"S": GONE}, "sk": {"N": "1"}})
    before = table.items()
    table.gateway.living = {ALIVE}
    table.sweep()
    assert len(table.items()) == 3
    assert sorted(table.gateway.asked) == sorted([ALIVE, GONE])
    table.restore()
    assert table.items() == before


def test_several_rows_of_a_connection(bench: Make) -> None:
    """MG11: the id in the sort key, a row for every room."""
    table = bench((("room", "S"), ("who", "S")), key="who", id_prefix="C#", sort_key="who")
    table.put(*({"room": {"S": room}, "who": {"S": f"C#{one}"}} for room in "ab" for one in (ALIVE, GONE)))
    table.gateway.living = {ALIVE}
    table.sweep()
    assert {item["who"]["S"] for item in table.items().values()} == {f"C#{ALIVE}"}


HOLDERS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "keys of a map": ("", {"M": {ALIVE: {"M": {}}, GONE: {"S": "x"}}}, {"M": {ALIVE: {"M": {}}}}),
    "inside a map's entries": (
        "cid",
        {"M": {"u1": {"M": {"cid": {"S": ALIVE}}}, "u2": {"M": {"cid": {"S": GONE}, "n": {"N": "1"}}}}},
        {"M": {"u1": {"M": {"cid": {"S": ALIVE}}}}},
    ),
    "a map's values": (".", {"M": {"u1": {"S": ALIVE}, "u2": {"S": GONE}}}, {"M": {"u1": {"S": ALIVE}}}),
    "a set": ("", {"SS": [ALIVE, GONE]}, {"SS": [ALIVE]}),
    "a list": ("", {"L": [{"S": GONE}, {"S": ALIVE}]}, {"L": [{"S": ALIVE}]}),
    "a list of maps": (
        "cid",
        {"L": [{"M": {"cid": {"S": GONE}}}, {"M": {"cid": {"S": ALIVE}}}]},
        {"L": [{"M": {"cid": {"S": ALIVE}}}]},
    ),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_several_connections_in_an_item(bench: Make, name: str) -> None:
    """MG11: entries go, their item and the other entries stay."""
    map_id, before, after = HOLDERS[name]
    table = bench(key="id", map_attribute="online", map_id=map_id)
    table.put({"id": {"S": "room"}, "online": before, "title": {"S": "t"}}, {"id": {"S": "empty"}})
    table.gateway.living = {ALIVE}
    table.sweep()
    items = {item["id"]["S"]: item for item in table.items().values()}
    assert items["room"]["online"] == after
    assert items["room"]["title"] == {"S": "t"}
    assert table.restore().counts["put"] == 1
    back = {item["id"]["S"]: item for item in table.items().values()}["room"]["online"]
    ((kind, values),) = back.items()
    ((_, expected),) = before.items()
    assert (values == expected) if kind == "M" else sorted(map(str, values)) == sorted(map(str, expected))


def test_an_entry_that_changed_stays_and_its_neighbours_go(bench: Make) -> None:
    """MG11: conditions are per entry; a map may be written to while it is swept."""
    from .conftest import Meddled

    table = bench(key="id", map_attribute="online", map_id="cid")
    entries = {"u1": GONE, "u2": OTHER}
    table.put({"id": {"S": "r"}, "online": {"M": {u: {"M": {"cid": {"S": c}}} for u, c in entries.items()}}})
    again = {"done": False}

    def before(operation: str) -> None:
        if operation == "update_item" and not again["done"]:
            again["done"] = True
            table.gateway.living.add(ALIVE)
            table.dynamodb.update_item(
                TableName="Connections",
                Key={"id": {"S": "r"}},
                UpdateExpression="SET #o.u1.cid = :c, #o.u3 = :n",
                ExpressionAttributeNames={"#o": "online"},
                ExpressionAttributeValues={":c": {"S": ALIVE}, ":n": {"M": {"cid": {"S": ALIVE}}}},
            )

    done = table.sweep(client=Meddled(table.dynamodb, before, lambda _: None))
    (item,) = table.items().values()
    assert set(item["online"]["M"]) == {"u1", "u3"}
    assert (done.counts["deleted"], done.counts["changed"]) == (1, 1)


def test_what_is_not_known_stays(bench: Make) -> None:
    """MG11: 403, throttling and errors are no proof."""
    table = bench(key="id")
    table.put({"id": {"S": ALIVE}}, {"id": {"S": GONE}})
    table.gateway.unknown = {ALIVE: "ForbiddenException", GONE: "HTTP 503"}
    done = table.sweep()
    assert len(table.items()) == 2
    assert done.unknown == {"ForbiddenException": 1, "HTTP 503": 1}


def test_a_dry_run_changes_nothing(bench: Make) -> None:
    table = bench(key="id")
    table.put({"id": {"S": GONE}})
    done = table.sweep(execute=False)
    assert done.counts["gone"] == 1
    assert len(table.items()) == 1
    assert not list(table.folder.glob("exports/job/*.gz"))


def test_a_handshake_under_way_survives(bench: Make) -> None:
    """MG11: the gateway answers 410 until $connect has returned; the row is asked about when that is long over."""
    now = {"s": 0.0}
    table = bench(key="id")
    table.put({"id": {"S": ALIVE}}, {"id": {"S": GONE}})

    def wait(seconds: float) -> None:
        now["s"] += seconds
        if now["s"] > 29:
            table.gateway.living = {ALIVE}

    table.sweep(settle_s=30.0, clock=lambda: now["s"], wait=wait)
    assert [item["id"]["S"] for item in table.items().values()] == [ALIVE]


def test_a_newer_row_is_not_overwritten_by_a_restore(bench: Make) -> None:
    table = bench(key="ws")
    table.put({"id": {"S": "user"}, "ws": {"S": GONE}})
    table.sweep()
    table.put({"id": {"S": "user"}, "ws": {"S": ALIVE}})
    assert table.restore().counts["newer"] == 1
    (item,) = table.items().values()
    assert item["ws"]["S"] == ALIVE
