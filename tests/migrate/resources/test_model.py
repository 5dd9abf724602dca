"""A plan is what it was when it was made, or it is none. Pure. until phase 3 (MG12)"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from migrate.errors import UsageError
from migrate.resources.model import KINDS, SCHEMA, Kept, Plan, Step, plan_from

PLAN = Plan(
    "chat", "abc", "eu-west-1", "123456789012", "c" * 64, 1_800_000_000.0,
    (
        Step("alarm", "old-errors", {"AlarmName": "old-errors", "Threshold": 1.0}),
        Step("api", "abc", {"ApiId": "abc"}, blocked=("feature chat has moved for 50 % of its users",), hint="wait"),
        Step("function", "handler", {"Role": "r"}, after=("api:abc",)),
    ),
    (Kept("table", "messages", "your users' data is yours"),),
)  # fmt: skip


def written(plan: Plan = PLAN, **changes: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(json.dumps({**plan.as_json(), "digest": plan.digest}))
    return {**value, **changes}


def test_a_plan_comes_back_from_its_file_as_it_was() -> None:
    again = plan_from(written(), "plan.json")
    assert again == PLAN
    assert [step.facts for step in again.steps] == [step.facts for step in PLAN.steps]
    assert again.digest == PLAN.digest


def test_the_digest_is_of_everything_but_the_time() -> None:
    assert replace(PLAN, made_at=1.0).digest == PLAN.digest
    for other in (
        replace(PLAN, account="999999999999"),
        replace(PLAN, region="us-east-1"),
        replace(PLAN, config="d" * 64),
        replace(PLAN, steps=PLAN.steps[:2]),
        replace(PLAN, steps=(replace(PLAN.steps[0], facts={"AlarmName": "old-errors", "Threshold": 2.0}),)),
        replace(PLAN, kept=()),
    ):
        assert other.digest != PLAN.digest


def test_only_the_api_is_final_and_only_what_is_used_is_blocked() -> None:
    assert [step.id for step in PLAN.steps if step.is_final] == ["api:abc"]
    assert [step.id for step in PLAN.blocked] == ["api:abc"]
    for kind, (done, again) in KINDS.items():
        assert done and again, kind


@pytest.mark.parametrize(
    "change",
    [
        {"steps": []},
        {"api_id": "another"},
        {"kept": []},
        {"config": ""},
        {"digest": ""},
        {"steps": [{**written()["steps"][1], "blocked": []}]},
    ],
)
def test_a_plan_that_was_changed_by_hand_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"plan\.json was changed after it was written"):
        plan_from(written(**change), "plan.json")


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"schema": "1"},
        {"schema": None},
        written(steps=None),
        written(steps=["alarm:x"]),
        written(steps=[{"kind": "alarm"}]),
        written(made_at="yesterday"),
        written(kept=[{}]),
    ],
)
def test_what_is_no_plan_is_one_clear_error(value: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"plan\.json is no plan"):
        plan_from(value, "plan.json")


def test_a_plan_of_a_newer_version_is_not_guessed_at() -> None:
    with pytest.raises(UsageError, match="has schema 2, this version reads up to 1"):
        plan_from(written(schema=SCHEMA + 1), "plan.json")
