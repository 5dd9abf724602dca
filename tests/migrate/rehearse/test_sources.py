"""Queues, streams and schedules of somebody's own stack in a rehearsal (MG16). until phase 3"""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from migrate.config.model import EventSource, Function, Settings
from migrate.errors import UsageError
from migrate.rehearse.deploy import deploy
from migrate.rehearse.own import OwnPlan, plan_own
from migrate.rehearse.schedules import Schedules, scheduled_event
from migrate.rehearse.sources import queues_of

from .test_own import NODE, PYTHON, described

JOBS = EventSource(type="sqs", name="jobs", batch_size=5, filters=('{"body": {"kind": ["ask"]}}',))


def code() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("hall.py", "def handler(event, context): ...")
    return buffer.getvalue()


def fed(
    *sources: EventSource, env: dict[str, str] | None = None, role: str = "answer", timeout_s: int = 29
) -> Settings:
    """The description of test_own, whose function `digest` has these sources and whose `hall` has this environment."""
    settings = described()

    def one(function: Function) -> Function:
        if function.name == "digest":
            return replace(function, event_sources=sources, timeout_s=timeout_s)
        return replace(function, env={**function.env, **(env or {})}) if function.name == "hall" else function

    return replace(settings, functions=tuple(map(one, settings.functions)))


def planned(settings: Settings) -> OwnPlan:
    packages = {name: replace(one, code=code()) for name, one in (("door", NODE), ("hall", PYTHON), ("digest", PYTHON))}
    return plan_own(settings, packages, "migrate.toml")


def limits(plan: OwnPlan) -> list[str]:
    return [one.what for one in plan.limits if "quiz" not in one.what]


def digest(plan: OwnPlan) -> Function:
    return next(one for one in plan.settings.functions if one.name == "digest")


def test_a_function_that_a_queue_feeds_is_rehearsed_without_a_limit() -> None:
    plan = planned(fed(JOBS, env={"JOBS": "{$queue_url.jobs}"}))
    assert limits(plan) == []
    assert digest(plan).event_sources == (JOBS,)


@pytest.mark.parametrize(
    ("source", "made", "said"),
    [
        (EventSource(type="kinesis", name="clicks"), 0, "the stream clicks (kinesis) is not made"),
        (EventSource(type="sns", name="news"), 0, "the topic news (sns) is not made"),
        (EventSource(type="eventbridge", name="orders"), 0, "the rule orders (eventbridge) is not made"),
        (EventSource(type="dynamodb", name="gone"), 0, "there is no such table"),
        (EventSource(type="dynamodb", name="sockets"), 1, ""),
        (EventSource(type="schedule", name="rate(1 day)"), 1, "every 20 s in the place of its schedule rate(1 day)"),
        (replace(JOBS, batch_window_s=30), 1, "does not wait 30 s for a batch"),
    ],
)
def test_what_is_not_as_on_aws_is_named(source: EventSource, made: int, said: str) -> None:
    plan = planned(fed(source, env={"JOBS": "{$queue_url.jobs}"} if source.type == "sqs" else {}))
    assert len(digest(plan).event_sources) == made
    found = limits(plan)
    assert len(found) == (1 if said else 0), found
    assert all(said in one for one in found)
    assert all(one.do for one in plan.limits)


@pytest.mark.parametrize(
    ("pattern", "unknown"),
    [
        ({"body": {"kind": ["ask", {"prefix": "q"}], "n": [{"numeric": [">", 1]}]}}, ""),
        ({"body": {"kind": [{"equals-ignore-case": "ask"}]}}, "equals-ignore-case"),
        ({"body": {"kind": [{"anything-but": {"prefix": "x"}}]}}, "anything-but prefix"),
        ({"$or": [{"body": {"a": [1]}}, {"body": {"b": [2]}}]}, "$or"),
    ],
)
def test_filters_that_the_local_aws_reads_otherwise_are_left_out_and_named(pattern: Any, unknown: str) -> None:
    source = replace(JOBS, filters=(json.dumps(pattern),))
    plan = planned(fed(source, env={"JOBS": "{$queue_url.jobs}"}))
    assert digest(plan).event_sources == (replace(source, filters=()) if unknown else source,)
    assert [f"has no filters with {unknown}" in one for one in limits(plan)] == ([True] if unknown else [])


def test_a_queue_that_nobody_fills_or_reads_is_named() -> None:
    [unfilled] = limits(planned(fed(JOBS)))
    assert "no function of the rehearsal is told of the queue jobs" in unfilled
    unread = limits(planned(fed(JOBS, env={"JOBS": "{$queue_url.jobs}", "DEAD": "{$queue_arn.dead}"})))
    [unread_too] = unread
    assert "no function of the rehearsal reads the queue dead" in unread_too


def test_a_function_with_routes_and_sources_is_named() -> None:
    settings = fed(JOBS, env={"JOBS": "{$queue_url.jobs}"})
    hall = next(one for one in settings.functions if one.name == "hall")
    both = replace(hall, event_sources=(JOBS,))
    settings = replace(settings, functions=tuple(both if one is hall else one for one in settings.functions))
    [limit] = [one for one in limits(planned(settings)) if "stands behind a route" in one]
    assert "neither compared nor carried" in limit


def test_queues_hide_messages_at_least_as_long_as_their_functions_run() -> None:
    settings = fed(JOBS, env={"JOBS": "{$queue_url.jobs}"}, timeout_s=120)
    env = {"hall": {"MORE": "{$queue_url.more.fifo}"}, "": {"ALL": "{$queue_url.all}"}}
    assert queues_of(settings.functions, env) == {"jobs": 120, "more.fifo": 30, "all": 30}


def client(service: str) -> Any:
    made = boto3.client(service, region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    if service == "apigatewayv2":
        # moto has none.
        made.create_deployment = lambda **_: {}
    return made


@mock_aws
def test_queues_streams_and_their_mappings_are_made() -> None:
    table = EventSource(type="dynamodb", name="sockets", report_batch_item_failures=True)
    plan = planned(fed(JOBS, table, EventSource(type="schedule", name="rate(1 day)"), env={
        "JOBS": "{$queue_url.jobs}", "ARN": "{$queue_arn.jobs}", "DEAD": "{$queue_url.dead.fifo}",
    }))  # fmt: skip
    deploy(plan, client, region="eu-west-1", account="123456789012", secret="k", env={})
    variables = client("lambda").get_function_configuration(FunctionName="hall")["Environment"]["Variables"]
    # Under its own name, so that code which knows the name alone finds it too.
    assert variables["JOBS"] == client("sqs").get_queue_url(QueueName="jobs")["QueueUrl"]
    assert variables["ARN"] == "arn:aws:sqs:eu-west-1:123456789012:jobs"
    fifo = client("sqs").get_queue_attributes(QueueUrl=variables["DEAD"], AttributeNames=["All"])["Attributes"]
    assert fifo["FifoQueue"] == "true"
    found = {
        str(one["EventSourceArn"]).split(":")[2]: one
        for one in client("lambda").list_event_source_mappings(FunctionName="digest")["EventSourceMappings"]
    }
    assert (found["sqs"]["BatchSize"], found["dynamodb"]["BatchSize"]) == (5, 100)
    stream = client("dynamodb").describe_table(TableName="sockets")["Table"]
    assert stream["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert found["dynamodb"]["EventSourceArn"] == stream["LatestStreamArn"]
    assert set(found) == {"sqs", "dynamodb"}


def test_a_queue_that_no_stand_in_can_mean_is_refused() -> None:
    plan = planned(fed(env={"JOBS": "{$queue_address.jobs}"}))
    with mock_aws(), pytest.raises(UsageError, match=r"there is no \{\$queue_address\.jobs\}"):
        deploy(plan, client, region="eu-west-1", account="123456789012", secret="k", env={})


# Schedules --------------------------------------------------------------------------------------------------------


class FakeLambda:
    """Invoke alone: `wrong` fails, and `gone` goes after its first time."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def invoke(self, **given: Any) -> dict[str, Any]:
        function = given["FunctionName"]
        if [name for name, _ in self.calls].count(function):
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": ""}}, "Invoke")
        self.calls.append((function, json.loads(given["Payload"])))
        if function == "wrong":
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorMessage": "no table"}')}
        return {"Payload": io.BytesIO(b"null")}


def test_scheduled_functions_are_invoked_until_they_are_gone_and_failures_are_said() -> None:
    fake = FakeLambda()
    schedules = Schedules(fake, ["digest", "wrong"], account="123456789012", region="eu-west-1")
    asyncio.run(asyncio.wait_for(schedules.run(every_s=0), 10))
    assert [name for name, _ in fake.calls] == ["digest", "wrong"]
    assert all(event["detail-type"] == "Scheduled Event" for _, event in fake.calls)
    assert schedules.said == [
        "digest: invoked once in the place of its schedule",
        'wrong: invoked once in the place of its schedule, 1 failed: {"errorMessage": "no table"}',
    ]


def test_the_event_is_that_of_a_rule() -> None:
    event = scheduled_event("digest", "123456789012", "eu-west-1", datetime(2026, 11, 22, 3, 0, tzinfo=UTC))
    assert (event["source"], event["time"], event["detail"]) == ("aws.events", "2026-11-22T03:00:00Z", {})
