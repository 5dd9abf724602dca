"""What both stacks cost: quantities times prices, from metrics (MG14). until phase 3"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import boto3
import pytest
from around_support import REGION, World
from botocore.exceptions import ClientError, EndpointConnectionError

from migrate.cost.measure import MONTH_DAYS, measure
from migrate.cost.model import Line, Usage, after_lines, as_json, before_lines, difference_usd, prices_from, total
from migrate.errors import MigrateError, UsageError

OWN = files("migrate.cost").joinpath("prices.json").read_text("utf-8")
NOW = datetime.now(UTC)


def changed(**prices: Any) -> str:
    value = json.loads(OWN)
    value["prices"].update(prices)
    return json.dumps(value)


def test_the_old_stack_by_hand() -> None:
    """2 million messages, 10 connections all month, a million requests of 0.5 GB for 100 ms."""
    usage = Usage(messages=2e6, connections=10, invocations=1e6, gb_s=50_000, writes=1e6, reads=4e6, queue_messages=1e6)
    lines = {line.what: line for line in before_lines(usage, prices_from(OWN, "p"))}
    assert {name: round(line.usd, 4) for name, line in lines.items()} == {
        "WebSocket messages": 2.0,
        "WebSocket connection minutes": round(10 * 730 * 60 * 0.25 / 1e6, 4),
        "Lambda requests": 0.2,
        "Lambda time": round(50_000 * 0.0000166667, 4),
        "DynamoDB writes": 0.625,
        "DynamoDB reads": 0.5,
        # Sent, received, deleted.
        "SQS requests": 1.2,
    }
    assert lines["SQS requests"].quantity == 3e6


def test_the_new_stack_by_hand() -> None:
    usage = Usage(messages=1e6, connections=9000, new_writes=3e6, new_reads=1e6)
    lines = {line.what: line for line in after_lines(usage, prices_from(OWN, "p"), tasks=2, vcpu=0.5, memory_gb=1)}
    assert round(lines["Fargate vCPU"].usd, 4) == round(730 * 0.04048, 4)
    assert round(lines["Load balancer capacity"].usd, 4) == round(3 * 730 * 0.008, 4)
    assert lines["DynamoDB writes"].basis == "worked out"
    measured = after_lines(replace(usage, is_measured_new=True), prices_from(OWN, "p"), tasks=1, vcpu=1, memory_gb=1)
    assert {line.basis for line in measured if "DynamoDB" in line.what} == {"measured"}
    # Never below one unit, however few are connected.
    few = after_lines(Usage(connections=1), prices_from(OWN, "p"), tasks=1, vcpu=1, memory_gb=1)
    assert next(line for line in few if line.what == "Load balancer capacity").quantity == 730


@pytest.mark.parametrize(
    ("old", "new", "less"), [(0.034, 58.326, -58.30), (58.326, 0.034, 58.30), (1.004, 1.0, 0.0), (0.0, 0.0, 0.0)]
)
def test_the_difference_is_that_of_the_totals_that_are_shown(old: float, new: float, less: float) -> None:
    """0.03 and 58.33 USD differ by 58.30, and not by the 58.29 of what was rounded away."""
    before, after = [Line("a", 1, "", old, "")], [Line("b", 1, "", new, "")]
    assert difference_usd(Usage(), before, after) == less
    assert difference_usd(Usage(unmeasured=("Lambda",)), before, after) is None


def test_programs_get_what_people_see() -> None:
    lines = before_lines(Usage(messages=1e6), prices_from(OWN, "p"))
    assert as_json(lines)[0] == {
        "what": "WebSocket messages", "quantity": 1e6, "unit": "messages of up to 32 KB", "usd": 1.0,
        "basis": "measured",
    }  # fmt: skip
    assert total(lines) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is no table of prices"),
        ("[]", "is no table of prices"),
        ('{"date": "d", "region": "r", "source": "s", "prices": []}', "is no table of prices"),
        ('{"date": "d", "region": "r", "source": "s", "prices": {}}', "has no price for alb_hours"),
        (changed(alb_hours={"usd": "much", "per": 1, "unit": "h"}), "is no table of prices"),
        (changed(alb_hours={"usd": 1, "per": 0, "unit": "h"}), "alb_hours is 1.0 USD per 0.0"),
        (changed(alb_hours={"usd": -1, "per": 1, "unit": "h"}), "alb_hours"),
        (changed(alb_hours={"usd": float("nan"), "per": 1, "unit": "h"}), "alb_hours"),
    ],
)
def test_what_is_no_table_of_prices(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        prices_from(text, "mine.json")


def metric(namespace: str, name: str, value: float, *, days_ago: float = 1, **dimensions: str) -> None:
    boto3.client("cloudwatch", REGION).put_metric_data(
        Namespace=namespace,
        MetricData=[
            {
                "MetricName": name, "Value": value, "Timestamp": NOW - timedelta(days=days_ago),
                "Dimensions": [{"Name": key, "Value": one} for key, one in dimensions.items()],
            }
        ],
    )  # fmt: skip


@pytest.fixture
def used(world: World) -> World:
    of_api: dict[str, Any] = {"ApiId": "abc", "Stage": "prod"}
    metric("AWS/ApiGateway", "MessageCount", 600, **of_api)
    metric("AWS/ApiGateway", "MessageCount", 400, days_ago=5, **of_api)
    metric("AWS/ApiGateway", "MessageCount", 1e9, days_ago=30, **of_api)
    metric("AWS/ApiGateway", "MessageCount", 1e9, ApiId="somebody else's", Stage="prod")
    metric("AWS/Lambda", "Invocations", 1000, FunctionName="chat-handler")
    metric("AWS/Lambda", "Duration", 50_000, FunctionName="chat-handler")
    metric("AWS/DynamoDB", "ConsumedWriteCapacityUnits", 70, TableName="connections")
    iam = boto3.client("iam", REGION)
    trust = {"Version": "2012-10-17", "Statement": []}
    role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", "")
    boto3.client("lambda", REGION).create_function(
        FunctionName="chat-handler", Role=role, Handler="app.handler", Runtime="python3.12", MemorySize=512,
        Code={"ZipFile": buffer.getvalue()},
    )  # fmt: skip
    dynamodb = boto3.client("dynamodb", REGION)
    dynamodb.create_table(
        TableName="connections", BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "connectionId", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "connectionId", "KeyType": "HASH"}],
    )  # fmt: skip
    for number in range(3):
        dynamodb.put_item(TableName="connections", Item={"connectionId": {"S": f"c{number}"}})
    return world


def test_a_month_is_worked_out_from_the_days_that_are_there(used: World) -> None:
    usage = measure(used.configure(), 10, NOW)
    month = MONTH_DAYS / 10
    assert usage.messages == pytest.approx(1000 * month)
    assert usage.invocations == pytest.approx(1000 * month)
    assert usage.gb_s == pytest.approx(50 * 0.5 * month)
    assert usage.writes == pytest.approx(70 * month)
    assert usage.connections == 3
    # Nothing of the new one runs yet.
    assert not usage.is_measured_new
    assert usage.new_writes == pytest.approx(3000 * month)
    metric("AWS/DynamoDB", "ConsumedWriteCapacityUnits", 30, TableName="sse-events")
    metric("AWS/DynamoDB", "ConsumedReadCapacityUnits", 9, TableName="sse-messages")
    usage = measure(used.configure(), 10, NOW)
    assert usage.is_measured_new
    assert usage.new_writes == pytest.approx(30 * month)
    assert usage.new_reads == pytest.approx(9 * month)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ClientError({"Error": {"Code": "AccessDenied"}}, "GetMetricStatistics"), "GetMetricStatistics failed with"),
        (EndpointConnectionError(endpoint_url="http://x"), "could not be asked: EndpointConnectionError"),
    ],
)
def test_what_aws_refuses_is_one_clear_error(
    used: World, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    class Refusing:
        def get_metric_statistics(self, **_: Any) -> None:
            raise error

    monkeypatch.setattr("migrate.config.load.Config.client", lambda *_: Refusing())
    with pytest.raises(MigrateError, match=says):
        measure(used.configure(), 10, NOW)


def test_the_command_keeps_its_evidence_for_this_project_only(used: World) -> None:
    """Two projects share the state table by default: what one of them costs proved phase 3 of the other."""
    value = used.json("cost", "--days", "10")
    assert value["difference_usd"] == pytest.approx(value["before"]["usd"] - value["after"]["usd"], abs=0.001)
    assert value["difference_usd"] < 0
    assert used.actions() == [("cost", "done")]
    shown = used.migrate("cost", "--days", "10").stdout.splitlines()[-1]
    assert shown == f"the new stack costs {-value['difference_usd']:,.2f} USD more a month"
    assert value["before"]["lines"][0]["what"] == "WebSocket messages"
    mine = {item["id"]: item for item in used.json("phase3")["items"]}
    used.configure("other")
    others = {item["id"]: item for item in used.json("phase3")["items"]}
    changed_ids = {name for name in mine if (mine[name]["evidence"] or {}).get("what") in {"cost-known", "cost-higher"}}
    assert len(changed_ids) == 1
    assert {(others[name]["evidence"] or {}).get("what") for name in changed_ids} == {"not-there"}


def test_a_table_of_prices_that_cannot_be_used(used: World) -> None:
    bad = used.folder / "prices.json"
    used.migrate("cost", "--prices", str(bad), code=2)
    bad.write_bytes(b"\xff\xfe")
    assert "is not UTF-8" in used.migrate("cost", "--prices", str(bad), code=2).stderr
    bad.write_text(changed(alb_hours={"usd": 1, "per": 0, "unit": "h"}), encoding="utf-8")
    assert "alb_hours" in used.migrate("cost", "--prices", str(bad), code=2).stderr


def test_what_nobody_measured_is_no_saving_and_no_loss(world: World) -> None:
    """The local AWS counts messages, but neither Lambda nor DynamoDB: their 0 was "measured", and the item failed."""
    metric("AWS/ApiGateway", "MessageCount", 5000, ApiId="abc", Stage="prod")
    metric("AWS/DynamoDB", "ConsumedWriteCapacityUnits", 30, TableName="sse-events")
    value = world.json("cost", "--days", "10")
    assert value["not_measured"] == ["Lambda", "DynamoDB"]
    basis = {line["what"]: line["basis"] for line in value["before"]["lines"]}
    assert basis["WebSocket messages"] == "measured"
    assert {basis[name] for name in basis if name.startswith(("Lambda", "DynamoDB"))} == {"not measured here"}
    assert value["difference_usd"] is None
    told = world.migrate("cost")
    assert "not measured here: Lambda, DynamoDB: CloudWatch has no datapoint" in told.stderr
    assert "the new stack costs" not in told.stdout
    [item] = [one for one in world.json("phase3")["items"] if one["id"] == "cost-checked"]
    assert (item["status"], item["evidence"]["what"]) == ("open", "cost-unmeasured")


def test_prices_of_another_region_are_said(used: World) -> None:
    told = used.migrate("cost").stderr
    assert f"the prices are of us-east-1, the stack is in {REGION}" in told
    mine = used.folder / "prices.json"
    mine.write_text(json.dumps({**json.loads(OWN), "region": REGION}), encoding="utf-8")
    assert used.json("cost", "--prices", str(mine))["warnings"] == []
