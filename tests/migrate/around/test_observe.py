"""Dashboard and alarms from the configuration, and away again without anybody else's (MG14). until phase 3"""

from __future__ import annotations

import json
from typing import Any

import boto3
from around_support import REGION, World, settings

from migrate.control.journal import Journal
from migrate.observe.definitions import ALARMS, alarms, dashboard, left_out

TOPIC = "arn:aws:sns:eu-west-1:123456789012:on-call"


def there() -> tuple[set[str], set[str]]:
    """Dashboards and alarms."""
    client: Any = boto3.client("cloudwatch", REGION)
    return (
        {one["DashboardName"] for one in client.list_dashboards()["DashboardEntries"]},
        {one["AlarmName"] for one in client.describe_alarms()["MetricAlarms"]},
    )


def test_everything_that_is_named_is_watched() -> None:
    body = dashboard(settings(), REGION)
    names = {metric[1] for widget in body["widgets"] for metric in widget["properties"]["metrics"]}
    assert {"ConnectCount", "RequestCount", "CPUUtilization", "WriteThrottleEvents"} <= names
    places = [(widget["x"], widget["y"]) for widget in body["widgets"]]
    assert len(set(places)) == len(places), "two widgets in one place"
    assert {widget["properties"]["region"] for widget in body["widgets"]} == {REGION}
    assert tuple(one["AlarmName"] for one in alarms(settings(), "", "")) == ALARMS
    assert left_out(settings()) == []


def test_what_is_not_named_is_left_out_and_said() -> None:
    bare = settings(table_prefix="", load_balancer="", ecs_cluster="", ecs_service="")
    assert len(left_out(bare)) == 3
    assert alarms(bare, "p-", TOPIC) == []
    assert len(dashboard(bare, REGION)["widgets"]) == 3
    # A cluster without its service names no task.
    assert len(alarms(settings(ecs_service=""), "p-", "")) == 3


def test_without_any_name_the_dashboard_is_written_and_what_is_missing_is_said(world: World) -> None:
    """It said "0 alarms: written", and ended with 0."""
    world.configure(table_prefix="", load_balancer="", ecs_cluster="", ecs_service="")
    done = world.migrate("observe", "--execute", code=2)
    for key in ("sse.load_balancer", "sse.ecs_cluster and sse.ecs_service", "sse.table_prefix"):
        assert f"{key} {'are' if ' and ' in key else 'is'} empty" in done.stderr
    assert "no alarm can be made" in done.stderr
    assert there() == ({"ws2sse-chat"}, set())
    [entry] = Journal(world.table).entries()
    assert (entry.outcome, entry.facts["written_alarms"], len(entry.facts["left_out"])) == ("failed", 0, 3)
    assert "no alarm can be made" in entry.facts["error"]
    assert world.migrate("observe", code=2).stderr.count("left out") == 3
    world.migrate("observe", "--remove", "--execute")
    assert there() == (set(), set())


def test_those_that_can_be_made_are_made(world: World) -> None:
    world.configure(load_balancer="", ecs_service="")
    done = world.migrate("observe", "--execute")
    assert there()[1] == {"ws2sse-chat-log-throttled"}
    assert "1 of 5 alarms: written" in done.stderr
    assert "alarms errors, no-target" in done.stderr
    assert "sse.ecs_service is empty" in done.stderr


def test_alarms_tell_the_topic_also_that_it_is_over() -> None:
    for alarm in alarms(settings(), "p-", TOPIC):
        assert alarm["AlarmActions"] == alarm["OKActions"] == [TOPIC]
        assert alarm["AlarmName"].startswith("p-")
        assert alarm["DatapointsToAlarm"] <= alarm["EvaluationPeriods"]
    assert all("AlarmActions" not in alarm for alarm in alarms(settings(), "p-", ""))


def test_nothing_is_done_without_execute(world: World) -> None:
    done = world.migrate("observe", "--topic", TOPIC)
    assert "would write dashboard ws2sse-chat" in done.stdout
    assert done.stdout.count("would write alarm ws2sse-chat-") == 5
    assert there() == (set(), set())
    world.migrate("observe", "--execute")
    assert "would remove alarm ws2sse-chat-errors" in world.migrate("observe", "--remove").stdout
    assert len(there()[1]) == 5


def test_written_twice_and_removed_twice(world: World) -> None:
    for _ in range(2):
        world.migrate("observe", "--topic", TOPIC, "--execute")
    assert there() == ({"ws2sse-chat"}, {f"ws2sse-chat-{name}" for name in ALARMS})
    client: Any = boto3.client("cloudwatch", REGION)
    body = json.loads(client.get_dashboard(DashboardName="ws2sse-chat")["DashboardBody"])
    assert len(body["widgets"]) == 8
    # The configuration names less by now; what it named is removed as well.
    world.configure(load_balancer="", ecs_cluster="")
    for _ in range(2):
        world.migrate("observe", "--remove", "--execute")
    assert there() == (set(), set())
    assert world.actions() == [("observe", "done")] * 4


def test_another_projects_alarms_stay(world: World) -> None:
    """Removed was whatever began with the project's name: chat took the alarms of chat-eu along."""
    world.configure("chat-eu")
    world.migrate("observe", "--execute")
    world.configure("chat")
    world.migrate("observe", "--execute")
    world.migrate("observe", "--remove", "--execute")
    assert there() == ({"ws2sse-chat-eu"}, {f"ws2sse-chat-eu-{name}" for name in ALARMS})
    # Nor are they evidence that this project has some.
    items = {item["id"]: item for item in world.json("phase2")["items"]}
    assert items["alarms"]["status"] == "open"
