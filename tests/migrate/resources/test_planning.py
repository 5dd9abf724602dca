"""From what was seen to a plan: order, what is in the way, what stays. Pure. until phase 3 (MG12)"""

from __future__ import annotations

from typing import Any

from migrate.config.model import Api, Feature, Function, Project, Settings, Sse, Table
from migrate.resources.model import Plan, Seen
from migrate.resources.planning import make_plan

SETTINGS = Settings(
    project=Project(name="chat"),
    api=Api(id="abc", stage="prod"),
    sse=Sse(url="https://sse"),
    tables=(
        Table(name="connections", role="connections", key="connectionId"),
        Table(name="messages", role="messages", key="id"),
    ),
    functions=(Function(name="handler"), Function(name="worker")),
    features=(Feature(name="chat"), Feature(name="files")),
)
ROLE = "arn:aws:iam::123456789012:role/service-role/shared"
MOVED = {"chat": 100.0, "files": 100.0}


def seen(**changes: Any) -> Seen:
    queue = "arn:aws:sqs:eu-west-1:123456789012:jobs"
    found: dict[str, Any] = {
        "account": "123456789012",
        "api": {"ApiId": "abc", "Name": "chat"},
        "mappings": [{"DomainName": "ws.example.com", "ApiMappingKey": "v1", "ApiMappingId": "m"}],
        "functions": {name: {"FunctionName": name, "Role": ROLE, "tee": False} for name in ("handler", "worker")},
        "sources": [{"UUID": "u-1", "FunctionName": "worker", "EventSourceArn": queue}],
        "roles": {"shared": {"Path": "/service-role/"}},
        "queues": {"dead": {"dead_letters_of": "jobs"}, "jobs": {"QueueArn": queue}},
        "tables": {"connections": {"role": "connections"}, "messages": {"role": "messages"}},
        "logs": {"/aws/lambda/handler": {"retentionInDays": None}, "/aws/lambda/worker": {"retentionInDays": 30}},
        "alarms": {"errors": {"AlarmName": "errors"}},
    }
    return Seen(**{**found, **changes})


def plan(there: Seen, rows: dict[str, int] | None = None, moved: dict[str, float] | None = None) -> Plan:
    return make_plan(
        SETTINGS, there, region="eu-west-1", config="c", rows=rows or {},
        moved=MOVED if moved is None else moved, now=1.0,
    )  # fmt: skip


def ids(made: Plan) -> list[str]:
    return [step.id for step in made.steps]


def blocked(made: Plan) -> dict[str, str]:
    return {step.id: "; ".join(step.blocked) for step in made.blocked}


def test_everything_goes_in_an_order_in_which_nothing_is_used_any_more() -> None:
    made = plan(seen())
    assert ids(made) == [
        "log-group:/aws/lambda/handler", "alarm:errors", "api-mapping:ws.example.com/v1", "api:abc", "event-source:u-1",
        "function:handler", "function:worker", "role:shared", "queue:jobs", "queue:dead", "table:connections",
    ]  # fmt: skip
    places = {name: number for number, name in enumerate(ids(made))}
    for step in made.steps:
        for before in step.after:
            assert places[before] < places[step.id], (before, step.id)
    after = {step.id: set(step.after) for step in made.steps}
    assert after["role:shared"] == {"function:handler", "function:worker"}
    assert after["queue:dead"] == {"queue:jobs"}
    assert {"api:abc", "event-source:u-1"} <= after["function:worker"]
    assert made.blocked == []


def test_data_of_users_stays_and_so_do_log_groups_that_end_by_themselves() -> None:
    made = plan(seen())
    assert [(one.kind, one.name) for one in made.kept] == [("table", "messages")]
    assert not any("messages" in name or "worker" in name for name in ids(made) if not name.startswith("function"))
    [logs] = [step for step in made.steps if step.kind == "log-group"]
    assert logs.facts["days"] == SETTINGS.cleanup.log_retention_days


def test_an_api_that_carries_traffic_is_in_the_way() -> None:
    found = blocked(plan(seen(traffic={"ConnectCount": 0.0, "MessageCount": 7.0})))
    assert "0 connections and 7 messages within" in found["api:abc"]
    assert blocked(plan(seen(traffic={"ConnectCount": 0.0, "MessageCount": 0.0}))) == {}


def test_a_feature_that_has_not_moved_is_in_the_way_also_when_nothing_is_known_of_it() -> None:
    assert "feature files has moved for 0 %" in blocked(plan(seen(), moved={"chat": 100.0}))["api:abc"]
    assert "feature chat has moved for 99.5 %" in blocked(plan(seen(), moved={**MOVED, "chat": 99.5}))["api:abc"]


def test_rows_that_are_left_are_in_the_way() -> None:
    [step] = plan(seen(), rows={"connections": 3}).blocked
    assert (step.id, step.blocked) == ("table:connections", ("3 connections are in it",))
    assert "cleanup connections" in step.hint


def test_who_else_uses_something_keeps_it() -> None:
    made = plan(
        seen(
            users={
                "role:shared": ["function billing has it as well"], "queue:jobs": ["function billing reads it"],
                "function:worker": ["API xyz (billing) calls it"], "table:connections": ["function b reads its stream"],
            }
        )
    )  # fmt: skip
    assert {(one.kind, one.name) for one in made.kept} == {("role", "shared"), ("queue", "jobs"), ("table", "messages")}
    assert not {"role:shared", "queue:jobs"} & set(ids(made))
    assert set(blocked(made)) == {"function:worker", "table:connections"}


def test_a_function_with_the_tee_is_in_the_way() -> None:
    there = seen()
    there.functions["handler"]["tee"] = True
    [step] = plan(there).blocked
    assert (step.id, step.blocked) == ("function:handler", ("the tee is on it",))
    assert "shadow stop" in step.hint


def test_what_is_gone_is_not_in_the_plan() -> None:
    assert plan(Seen(account="1")).steps == ()
    made = plan(seen(api=None, mappings=[]))
    assert "api:abc" not in ids(made)
    # Without an API nobody waits for it, and no feature can be in its way.
    assert blocked(plan(seen(api=None, mappings=[]), moved={})) == {}
