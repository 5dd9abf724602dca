"""What the page shows, from what each source found. until phase 3 (MG18)"""

from __future__ import annotations

import json
from typing import Any

import pytest

from migrate.dashboard.model import RINGS, SECTIONS, Board, Change, Finding, empty, plain

NOW = 1_800_000_000.0


def told(changes: list[Change]) -> dict[str, Change]:
    return {change.section: change for change in changes}


def rows(*open_: int) -> list[dict[str, Any]]:
    return [{"stack": "legacy", "feature": "chat", "open": number} for number in open_]


def mismatch(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"m{number}", "at": NOW, "kind": "missing", **more}


def test_before_anything_is_known_every_section_is_there() -> None:
    assert tuple(empty()) == SECTIONS
    [first] = Board(("records",)).first()
    assert first.value == [{"name": "records", "state": "away", "why": "not asked yet", "at": None, "since": None}]


def test_rows_of_several_sources_stand_side_by_side() -> None:
    board = Board()
    board.take("legacy-connections", Finding({"connections": rows(7)}), NOW)
    service = Finding({"connections": [{"stack": "sse", "feature": "chat", "open": 3}]})
    value = told(board.take("sse-metrics", service, NOW + 1))["connections"].value
    assert [(row["stack"], row["open"]) for row in value["rows"]] == [("legacy", 7), ("sse", 3)]


def test_what_a_source_that_is_away_said_to_be_open_is_shown_no_more() -> None:
    """A service that does not answer has no open streams that anybody knows of."""
    board = Board()
    board.take("sse-metrics", Finding({"connections": rows(3), "cutover": [{"feature": "chat"}]}), NOW)
    changes = told(board.take("sse-metrics", Finding(state="away", why="does not answer"), NOW + 1))
    assert changes["connections"].value["rows"] == []
    assert "cutover" not in changes
    [source] = changes["sources"].value
    assert (source["state"], source["why"], source["at"]) == ("away", "does not answer", NOW + 1)


def test_since_when_a_source_stands_as_it_does_is_known() -> None:
    """Its last look is no answer: a page that says "3 s ago" of one that is away for an hour misleads."""
    board = Board(("cutover",))
    away = Finding(state="away", why="does not answer")
    moments = [(away, NOW), (away, NOW + 60), (Finding(), NOW + 70), (away, NOW + 90), (away, NOW + 99)]
    since = [told(board.take("cutover", found, at)).get("sources") for found, at in moments]
    assert [one.value[0]["since"] for one in since if one is not None] == [NOW, NOW, NOW + 70, NOW + 90]


def test_what_says_the_same_is_not_told_again_until_its_time_has_to_move() -> None:
    board = Board()
    assert "connections" in told(board.take("a", Finding({"connections": rows(1)}), NOW))
    assert "connections" not in told(board.take("a", Finding({"connections": rows(1)}), NOW + 3))
    assert "connections" in told(board.take("a", Finding({"connections": rows(1)}), NOW + 11))
    assert "connections" in told(board.take("a", Finding({"connections": rows(2)}), NOW + 12))


def test_new_items_are_told_alone_and_known_ones_not_at_all() -> None:
    board = Board()
    found = Finding(items={"mismatches": [mismatch(1), mismatch(2)]})
    assert [item["id"] for item in told(board.take("records", found, NOW))["mismatches"].items] == ["m1", "m2"]
    assert "mismatches" not in told(board.take("records", found, NOW + 1))


def test_an_action_that_has_ended_replaces_itself() -> None:
    board = Board()
    started = {"id": "1", "action": "cutover", "outcome": "started"}
    board.take("journal", Finding(items={"journal": [started, {"id": "2", "outcome": "done"}]}), NOW)
    ended = Finding(items={"journal": [{**started, "outcome": "done"}]})
    change = told(board.take("journal", ended, NOW + 1))["journal"]
    assert [(item["id"], item["outcome"]) for item in change.value] == [("1", "done"), ("2", "done")]


@pytest.mark.parametrize("section", RINGS)
def test_lists_keep_their_newest_items(section: str) -> None:
    board = Board()
    limit = RINGS[section]
    board.take("x", Finding(items={section: [{"id": str(number)} for number in range(limit + 50)]}), NOW)
    change = told(board.take("x", Finding(items={section: [{"id": str(limit + 49), "outcome": "done"}]}), NOW))[section]
    assert [item["id"] for item in change.value] == [str(number) for number in range(50, limit + 50)]


def test_a_series_is_of_the_last_two_minutes_and_says_what_is_not_known() -> None:
    board = Board()
    for second in range(200):
        board.take("sse-metrics", Finding({"deliveries": {"sse": {int(NOW) + second: float(second)}}}), NOW + second)
    found = Finding({"deliveries": {"legacy": {int(NOW) + 198: 5.0}}})
    value = told(board.take("legacy-messages", found, NOW + 199))["deliveries"].value
    assert [point["t"] for point in value["series"]] == [int(NOW) + second for second in range(80, 200)]
    assert value["series"][-1] == {"t": int(NOW) + 199, "legacy": None, "sse": 199.0, "shadow": None}
    assert (value["legacy_per_s"], value["sse_per_s"]) == (5.0, 199.0)


def test_the_best_source_that_is_up_to_date_gives_the_rate() -> None:
    board = Board()
    now = int(NOW)
    board.take("cloudwatch", Finding({"deliveries": {"legacy": {now - 70: 9.0}}}), NOW)
    value = told(board.take("records", Finding({"deliveries": {"legacy": {now - 4: 4.0}}}), NOW))["deliveries"].value
    assert value["legacy_per_s"] == 4.0
    # The shadow was stopped: a minute later what CloudWatch says is the newer word, old as it is.
    found = Finding({"deliveries": {"legacy": {now - 100: 8.0}}})
    assert told(board.take("cloudwatch", found, NOW + 60))["deliveries"].value["legacy_per_s"] == 9.0


def test_a_rate_that_stopped_coming_is_not_shown_for_ever() -> None:
    """A service that went away has no rate, and its line ends."""
    board = Board()
    board.take("sse-metrics", Finding({"deliveries": {"sse": {int(NOW): 9.0}}}), NOW)
    away = Finding(state="away", why="does not answer")
    assert "deliveries" not in told(board.take("sse-metrics", away, NOW + 5))
    value = told(board.take("sse-metrics", away, NOW + 15))["deliveries"].value
    assert value["sse_per_s"] is None and value["series"][-1]["sse"] == 9.0
    assert told(board.take("sse-metrics", away, NOW + 200))["deliveries"].value["series"] == []


def compared(feature: str, expected: int, source: str) -> dict[str, Any]:
    return {"feature": feature, "expected": expected, "source": source}


def test_what_is_compared_now_stands_before_a_stored_verdict() -> None:
    board = Board()
    board.take(
        "verdicts", Finding({"comparison": [compared("chat", 9, "stored"), compared("files", 8, "stored")]}), NOW
    )
    live = Finding({"comparison": [compared("chat", 3, "live"), compared("files", 0, "live")]})
    value = told(board.take("records", live, NOW))["comparison"].value
    # Nothing of files was recorded lately: its stored verdict says more.
    assert {row["feature"]: row["source"] for row in value["features"]} == {"chat": "live", "files": "stored"}


def test_everything_is_json_whatever_was_found() -> None:
    value = plain({"a": float("nan"), 1: [float("inf"), ("\ud800", {"x"})], "b": ...})
    assert value == {"a": None, "1": [None, ["?", ["x"]]], "b": "Ellipsis"}
    json.dumps(value, allow_nan=False).encode()
