"""The cut-over rule: sticky, only forward, tenants apart, and what a bad table means."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import pytest

from sse_service.flags import Decision, Flag, FlagSet, bucket, is_feature, transport

USERS = [f"user-{n}" for n in range(4000)]


def item(feature: str = "chat", tenant: str = "*", percent: str = "50", **more: Any) -> dict[str, dict[str, Any]]:
    made: dict[str, dict[str, Any]] = {
        "pk": {"S": "flags"},
        "sk": {"S": f"{feature}#{tenant}"},
        "feature": {"S": feature},
        "tenant": {"S": tenant},
        "percent": {"N": percent},
        "epoch": {"N": "3"},
        "salt": {"S": "s"},
    }
    made.update(more)
    return made


def over(percent: float, tenant: str = "t") -> set[str]:
    flag = Flag("chat", "*", percent, 1, "salt")
    return {user for user in USERS if transport(flag, tenant, user) == "sse"}


def test_a_bucket_is_what_the_guide_says_it_is() -> None:
    digest = hashlib.sha256("salt\nchat\ndemo\n葵".encode()).digest()
    assert bucket("chat", "demo", "葵", "salt") == int.from_bytes(digest[:4], "big") % 10000


def test_a_growing_percentage_moves_nobody_back_and_about_as_many_as_it_says() -> None:
    steps = [over(percent) for percent in (0, 1, 10, 50, 99.99, 100)]
    assert steps[0] == set()
    assert steps[-1] == set(USERS)
    for fewer, more in itertools.pairwise(steps):
        assert fewer <= more
    assert 0.45 < len(steps[3]) / len(USERS) < 0.55
    assert over(50, "other") != over(50)  # not the same people first in every tenant


def test_a_tenants_own_flag_decides_for_it_alone() -> None:
    flags, problems = FlagSet("websocket").read(
        [item(percent="0"), item(tenant="acme", percent="100", epoch={"N": "7"})]
    )
    assert problems == []
    assert flags.decide("chat", "acme", "ann") == Decision("chat", "sse", 7)
    assert flags.decide("chat", "demo", "ann") == Decision("chat", "websocket", 3)
    assert flags.decide("other", "acme", "ann") == Decision("other", "websocket", 0)


@pytest.mark.parametrize(
    "bad",
    [
        {"percent": {"N": "150"}},
        {"percent": {"S": "50"}},
        {"percent": {"N": "NaN"}},
        {"epoch": {"N": "0"}},
        {"epoch": {"N": "x"}},
        {"salt": {}},
        {"feature": {"S": "no#good"}},
    ],
)
def test_a_bad_item_leaves_that_flag_as_it_was_known(bad: dict[str, Any]) -> None:
    known, _ = FlagSet("websocket").read([item(percent="100"), item("files", percent="100")])
    newer, problems = known.read([{**item(), **bad}, item("files", percent="0")])
    assert len(problems) == 1
    assert "chat#*" in problems[0]
    assert newer.decide("chat", "t", "u").transport == "sse"
    assert newer.decide("files", "t", "u").transport == "websocket"
    never, _ = FlagSet("websocket").read([{**item(), **bad}])
    assert never.decide("chat", "t", "u").transport == "websocket"


def test_only_those_are_told_for_whom_it_is_decided_otherwise() -> None:
    before, _ = FlagSet("websocket").read([item(percent="10"), item("files")])
    newer, _ = before.read([item(percent="50", epoch={"N": "4"}), item("files")])
    assert before.changed(newer) == {"chat"}
    moved = {user for user in USERS if list(before.moved(newer, ["chat"], "t", user))}
    flag = lambda percent: Flag("chat", "*", percent, 1, "s")  # noqa: E731
    there = {user for user in USERS if transport(flag(10), "t", user) == "sse"}
    assert moved == {user for user in USERS if transport(flag(50), "t", user) == "sse"} - there
    assert next(before.moved(newer, ["chat"], "t", min(moved))) == Decision("chat", "sse", 4)


@pytest.mark.parametrize(
    ("name", "good"), [("chat", True), ("a.b-C_1", True), ("", False), ("a#b", False), ("x" * 65, False)]
)
def test_names_of_features(name: str, good: bool) -> None:
    assert is_feature(name) is good
