"""Queues, table streams and schedules of somebody's own stack on the local AWS: made, read again, and they invoke (MG1,
MG16). until phase 3
"""

from __future__ import annotations

import asyncio
import io
import json
import time
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from local_stack import LocalStack, local_stack

from migrate.config.model import Settings
from migrate.config.parse import settings_from
from migrate.init.aws import read_aws
from migrate.init.check import findings
from migrate.init.guess import guess
from migrate.rehearse.deploy import Deployed, deploy
from migrate.rehearse.own import OwnPlan, plan_own
from migrate.rehearse.packages import Package
from migrate.rehearse.schedules import Schedules

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

ACCOUNT = "000000000000"
# It writes down what it was given, by where that came from.
CODE = """
import json
import os
import boto3

seen = boto3.resource("dynamodb").Table("seen")


def handler(event, context):
    for record in event.get("Records", [event]):
        source = record.get("eventSource") or record.get("source") or "route"
        what = record["body"] if source == "aws:sqs" else json.dumps(record.get("dynamodb", {}).get("NewImage", ""))
        seen.put_item(Item={"source": source, "what": what, "records": len(event.get("Records", "."))})
    return {"statusCode": 200, "batchItemFailures": []}
"""
DESCRIPTION = """
schema = 1
project = { name = "fed" }
api = { id = "a1", stage = "live" }
identity = { user = "" }
tables = [
  { name = "sockets", role = "connections", key = "sock" },
  { name = "notes", role = "other", key = "note" },
  { name = "seen", role = "other", key = "source", sort_key = "what" },
]

[[functions]]
name = "hall"
routes = ["$connect", "$default"]
env = { JOBS = "{$queue_url.jobs.fifo}" }

[[functions]]
name = "oracle"
role = "answer"

[[functions.event_sources]]
type = "sqs"
name = "jobs.fifo"
batch_size = 2
filters = ['{"body": {"kind": ["ask"]}}']
report_batch_item_failures = true

[[functions.event_sources]]
type = "dynamodb"
name = "notes"

[[functions.event_sources]]
type = "schedule"
name = "rate(1 day)"

[[features]]
name = "chat"
types = ["say"]
frames = ["said"]
say = { action = "say", text = "{$text}" }
replay = { path = "/api/events", body = { text = "{text}" } }
deliver = [{ frame = "said", topic = "room:hall" }]
collect = [{ topic = "room:hall" }]
"""


def _plan() -> OwnPlan:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", CODE)
    package = Package("app.zip", buffer.getvalue(), {"app.py": CODE})
    settings = settings_from(tomllib.loads(DESCRIPTION), "migrate.toml")
    # Nobody talks here, so that nobody has to be known.
    settings = replace(settings, identity=replace(settings.identity, user="who"))
    return plan_own(settings, {"hall": package, "oracle": package}, "migrate.toml")


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalStack, OwnPlan, Deployed]]:
    with local_stack(tmp_path_factory.mktemp("fed")) as aws:
        plan = _plan()
        region = aws.ready["region"]
        yield aws, plan, deploy(plan, aws.client, region=region, account=ACCOUNT, secret="k", env={})


def _seen(aws: LocalStack) -> list[dict[str, Any]]:
    return list(aws.client("dynamodb").scan(TableName="seen", ConsistentRead=True)["Items"])


def test_a_queue_a_stream_and_a_schedule_invoke_the_function(fed: tuple[LocalStack, OwnPlan, Deployed]) -> None:
    aws, _, _ = fed
    url = aws.client("lambda").get_function_configuration(FunctionName="hall")["Environment"]["Variables"]["JOBS"]
    for number, kind in enumerate(("noise", "ask", "ask", "ask")):
        aws.client("sqs").send_message(
            QueueUrl=url, MessageBody=json.dumps({"kind": kind, "number": number}), MessageGroupId="g"
        )  # fmt: skip
    aws.client("dynamodb").put_item(TableName="notes", Item={"note": {"S": "n1"}})
    asked = [json.dumps({"kind": "ask", "number": number}) for number in (1, 2, 3)]

    def of(source: str) -> list[str]:
        return sorted(one["what"]["S"] for one in _seen(aws) if one["source"]["S"] == source)

    wanted = (asked, ['{"note": {"S": "n1"}}'])
    deadline = time.monotonic() + 30
    while (of("aws:sqs"), of("aws:dynamodb")) != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (of("aws:sqs"), of("aws:dynamodb")) == wanted
    assert all(int(one["records"]["N"]) <= 2 for one in _seen(aws) if one["source"]["S"] == "aws:sqs")

    async def once() -> list[str]:
        schedules = Schedules(aws.client("lambda"), ["oracle"], account=ACCOUNT, region=aws.ready["region"])
        task = asyncio.create_task(schedules.run())
        async with asyncio.timeout(30):
            while not schedules.said:
                await asyncio.sleep(0.05)
        task.cancel()
        return schedules.said

    assert asyncio.run(once()) == ["oracle: invoked once in the place of its schedule"]
    assert of("aws.events") == ['""']


def test_init_reads_the_sources_that_were_made_and_check_config_finds_them(
    fed: tuple[LocalStack, OwnPlan, Deployed],
) -> None:
    aws, plan, there = fed
    facts = read_aws(aws.client, there.api_id, aws.ready["region"], aws.ready["aws_endpoint_url"])
    draft = guess(facts)
    oracle = next(one for one in draft.settings().functions if one.name == "oracle")
    described = next(one for one in plan.settings.functions if one.name == "oracle")
    mapped = tuple(one for one in described.event_sources if one.type != "schedule")
    assert set(oracle.event_sources) == set(mapped)
    assert [one.env for one in draft.settings().functions if one.name == "hall"] == [{"JOBS": "{$queue_url.jobs.fifo}"}]

    def wrong(settings: Settings) -> list[str]:
        return [one.key for one in findings(settings, facts, {}) if "event_sources" in one.key and one.wrong]

    # The schedule is not made: the rehearsal leaves it out of its own description.
    assert wrong(plan.settings) == ["functions.1.event_sources.2"]
    without = tuple(
        replace(one, event_sources=mapped if one.name == "oracle" else ()) for one in plan.settings.functions
    )
    assert wrong(replace(plan.settings, functions=without)) == []
