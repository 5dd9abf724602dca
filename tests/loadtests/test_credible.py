"""Figures per message that others had a part in are not passed off as the load's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loadtests.compare import around
from loadtests.compare.credible import INVOCATIONS, POSTS, SENDS, doubts, idle_of_others, repeats
from loadtests.compare.errors import CompareError
from loadtests.compare.page import caveats, cells_of, warnings


def result(side: str = "ws", scenario: str = "rooms", **figures: float) -> dict[str, Any]:
    named = {INVOCATIONS: figures.get("invocations"), POSTS: figures.get("posts"), "dynamodb Scan per message": 1.0}
    run = {"figures": {name: value for name, value in named.items() if value is not None}}
    return {
        "emulated": True,
        "plan": {"scenario": scenario, "users": 5},
        "rounds": {side: [run]},
        "provenance": {"load_before": 0.0, "cores": 2},
    }


def test_what_a_message_must_cost_is_credible() -> None:
    assert doubts(result(invocations=1.0, posts=5.0)) == {}
    assert doubts(result("sse")) == {}
    # Reconnects invoke and post more.
    assert doubts(result(scenario="storm", invocations=1.4, posts=7.0)) == {}


@pytest.mark.parametrize("side", ["ws", "dropin"])
@pytest.mark.parametrize("invocations", [0.94, None])
def test_less_than_a_message_must_cost_is_not(side: str, invocations: float | None) -> None:
    """None: so much was taken for idle that nothing is left of it."""
    made = result(side, **({} if invocations is None else {"invocations": invocations}))
    assert side in doubts(made)
    assert "NOT CREDIBLE" in warnings(made)[0]
    assert cells_of(made, "dynamodb Scan per message") == ["1 ?"]


def test_posts_to_somebody_else_are_not_credible() -> None:
    made = result(invocations=1.0, posts=7.98)
    assert "7.98 posts per message to 5 users" in warnings(made)[0]
    assert cells_of(made, POSTS) == ["7.98 ?"]
    assert doubts({**made, "emulated": False}) == {}


def test_others_are_seen_by_what_happens_without_load() -> None:
    steady = {"dynamodb Query": 2.0, "sqs ReceiveMessage": 0.3}
    assert idle_of_others(steady, {"dynamodb Query": 2.6}) == []
    assert idle_of_others(steady, {**steady, "dynamodb Query": 9.0}) == ["dynamodb Query"]
    # As much before as after: still somebody who speaks, and is heard by the load's users.
    chat = {"execute-api PostToConnection": 1.7}
    assert idle_of_others(chat, chat) == ["execute-api PostToConnection"]
    told = warnings({**result(invocations=1.0, posts=5.0), "restless": ["dynamodb Query"]})
    assert "dynamodb Query" in told[0]


def test_the_tee_is_claimed_only_where_it_is() -> None:
    made = result(invocations=1.0, posts=5.0)
    assert not any("tee" in line for line in caveats(made))
    assert "was installed" in caveats({**made, "tee": True})[-1]
    assert "was not installed" in caveats({**made, "tee": False})[-1]


def test_what_the_tee_has_sent_twice_is_explained() -> None:
    made = result("dropin", invocations=1.0)
    made["tee"] = True
    made["rounds"]["dropin"] = [{"figures": {INVOCATIONS: 1.0, SENDS: sends}} for sends in (1.0, 1.05)]
    assert repeats(made) == {"dropin": pytest.approx(0.05)}
    (told,) = warnings(made)
    assert "drop-in client: up to 0.05 of sqs SendMessage per message are the tee's own repeats" in told
    # Without a tee, with other functions that send, and while people connect, nobody can tell.
    assert repeats({**made, "tee": False}) == repeats({**made, "emulated": False}) == {}
    for scenario in ("storm", "answers"):
        assert repeats({**made, "plan": {**made["plan"], "scenario": scenario}}) == {}
    made["rounds"]["dropin"] = [{"figures": {INVOCATIONS: 1.0, SENDS: 1.0}}]
    assert repeats(made) == {} and warnings(made) == []


def test_people_who_go_on_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(around, "QUIET_TIMEOUT_S", 0.0)
    (tmp_path / "up.json").write_text(json.dumps({"people": "chatting"}), encoding="utf-8")
    with pytest.raises(CompareError, match="still chat"), around.Around(tmp_path, {}).held():
        pass
    # Nothing was held for it that nobody would put back.
    assert not (tmp_path / "load-compare.json").exists()
