"""The old stack goes by a plan, and comes back by its export (MG12). until phase 3"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_support import MIGRATE, run
from local_stack import LocalStack, local_stack

from migrate.config.model import Api, Cleanup, Function, Project, Settings, Table
from migrate.config.write import to_toml

pytestmark = pytest.mark.integration


class Old:
    """A deployed layers stack, and the directory of its migration."""

    def __init__(self, aws: LocalStack, name: str, folder: Path) -> None:
        self.aws, self.folder = aws, folder
        self.deployed = aws.deploy(name, "--app", "layers")
        self.config = folder / "migrate.toml"
        functions = self.deployed["functions"]
        self.table = self.deployed["tables"]["connections"]
        settings = Settings(
            project=Project(name=name, state_table=f"{name}-state"),
            api=Api(
                id=self.deployed["api_id"], stage="prod", region=aws.ready["region"],
                endpoint_url=aws.ready["aws_endpoint_url"], management_url=self.deployed["management_url"],
            ),
            tables=(
                Table(name=self.table, role="connections", key="connection_id"),
                Table(name=f"{name}-precious", role="messages", key="id"),
            ),
            functions=tuple(Function(name=one) for one in functions.values()),
            cleanup=Cleanup(quiet_hours=0),
        )  # fmt: skip
        self.config.write_text(to_toml(settings), encoding="utf-8")
        dynamodb = aws.client("dynamodb")
        dynamodb.create_table(
            TableName=f"{name}-precious", BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )  # fmt: skip
        aws.client("cloudwatch").put_metric_alarm(
            AlarmName=f"{name}-errors", Namespace="AWS/ApiGateway", MetricName="IntegrationError", Statistic="Sum",
            Period=60, EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold",
            Dimensions=[{"Name": "ApiId", "Value": self.deployed["api_id"]}],
        )  # fmt: skip

    def resources(self, *arguments: str, code: int = 0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        config = cwd / "migrate.toml" if cwd else self.config
        done = run(MIGRATE, "cleanup", "resources", *arguments, "--config", str(config), env=self.aws.env)
        assert done.returncode == code, done.stderr + done.stdout
        return done

    def left(self) -> set[str]:
        """What of the stack is still there."""
        name = self.config.parent.name
        found = {f"function {one['FunctionName']}" for one in self.aws.client("lambda").list_functions()["Functions"]}
        found |= {f"table {one}" for one in self.aws.client("dynamodb").list_tables()["TableNames"]}
        found |= {f"role {one['RoleName']}" for one in self.aws.client("iam").list_roles()["Roles"]}
        found |= {
            f"queue {url.rsplit('/', 1)[-1]}" for url in self.aws.client("sqs").list_queues().get("QueueUrls", [])
        }
        found |= {f"api {one['ApiId']}" for one in self.aws.client("apigatewayv2").get_apis()["Items"]}
        found |= {
            f"alarm {one['AlarmName']}" for one in self.aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
        }
        return {one for one in found if f" {name}-" in one or one == f"api {self.deployed['api_id']}"}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with local_stack(tmp_path_factory.mktemp("aws")) as running:
        yield running


@pytest.fixture
def old(aws: LocalStack, tmp_path: Path, request: pytest.FixtureRequest) -> Old:
    folder = tmp_path / f"r{abs(hash(request.node.name)) % 10**6}"
    folder.mkdir()
    return Old(aws, folder.name, folder)


def test_what_is_used_stays_and_a_plan_that_is_not_true_any_more_is_refused(old: Old) -> None:
    """MG12: rows in the table, another API, a change after the plan, a plan changed by hand."""
    dynamodb = old.aws.client("dynamodb")
    dynamodb.put_item(TableName=old.table, Item={"connection_id": {"S": "c1"}})
    before = old.left()
    old.resources("plan")
    plan = json.loads((old.folder / "migrate-plan.json").read_text())
    [table] = [step for step in plan["steps"] if step["kind"] == "table"]
    assert table["blocked"] == ["1 connections are in it"]
    assert [one["name"] for one in plan["kept"] if one["kind"] == "table"] == [f"{old.folder.name}-precious"]
    assert "still used" in old.resources("apply", "--execute", code=5).stderr

    dynamodb.delete_item(TableName=old.table, Key={"connection_id": {"S": "c1"}})
    old.resources("plan")
    assert "would delete" not in old.resources("apply").stderr
    function = next(iter(old.deployed["functions"].values()))
    old.aws.client("lambda").update_function_configuration(FunctionName=function, Description="changed")
    assert "has changed since the plan was made" in old.resources("apply", "--execute", code=5).stderr

    old.resources("plan")
    path = old.folder / "migrate-plan.json"
    value = json.loads(path.read_text())
    value["steps"] = value["steps"][:3]
    path.write_text(json.dumps(value))
    assert "its digest differs" in old.resources("apply", "--execute", code=2).stderr
    assert old.left() == before | {f"table {old.folder.name}-state"}


def test_the_plan_is_done_and_what_can_come_back_comes_back(old: Old) -> None:
    """MG12: up to the point of no return, beyond it by name only; then everything but the API again."""
    dynamodb = old.aws.client("dynamodb")
    functions = old.aws.client("lambda")
    name = old.deployed["functions"]["chat"]
    before = functions.get_function_configuration(FunctionName=name)
    everything = old.left()
    old.resources("plan")
    old.resources("apply", "--execute", "--point-of-no-return", "other", code=2)
    stopped = old.resources("apply", "--execute")
    assert "can never be taken back" in stopped.stderr
    assert f"api {old.deployed['api_id']}" in old.left()
    old.resources("apply", "--execute", "--point-of-no-return", old.deployed["api_id"])
    assert old.left() == {f"table {old.folder.name}-precious", f"table {old.folder.name}-state"}
    # Once more changes nothing, and says so.
    assert "done before" in old.resources("apply", "--execute", "--point-of-no-return", old.deployed["api_id"]).stdout

    restored = old.resources("restore", "--execute").stdout
    assert f"cannot         api:{old.deployed['api_id']}" in restored
    assert old.left() == (everything | {f"table {old.folder.name}-state"}) - {f"api {old.deployed['api_id']}"}
    after = functions.get_function_configuration(FunctionName=name)
    for key in ("CodeSha256", "Handler", "Runtime", "Role", "Environment", "Timeout", "MemorySize"):
        assert after.get(key) == before.get(key), key
    assert dynamodb.describe_table(TableName=old.table)["Table"]["GlobalSecondaryIndexes"]
    # What was made again can be removed again by the same plan.
    old.resources("apply", "--execute", "--point-of-no-return", old.deployed["api_id"])
    assert old.left() == {f"table {old.folder.name}-precious", f"table {old.folder.name}-state"}


def test_killed_again_and_again_it_ends_the_same(old: Old, tmp_path: Path) -> None:
    """MG12: kill -9 at many points, each time continued from another directory: nothing is forgotten."""
    old.resources("plan")
    argv = [MIGRATE, "cleanup", "resources", "apply", "--execute", "--point-of-no-return", old.deployed["api_id"]]
    places = [old.folder, tmp_path / "another"]
    places[1].mkdir()
    for name in ("migrate.toml", "migrate-plan.json"):
        (places[1] / name).write_bytes((old.folder / name).read_bytes())
    begun = time.monotonic()
    for number in range(8):
        env = {**os.environ, **old.aws.env}
        config = str(places[number % 2] / "migrate.toml")
        with subprocess.Popen(
            [*argv, "--config", config], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as one:
            # Later each time, so that the kill falls into another step.
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.wait(1.2 + number * 0.45)
            if one.poll() is None:
                os.kill(one.pid, signal.SIGKILL)
    assert time.monotonic() - begun > 1
    old.resources("apply", "--execute", "--point-of-no-return", old.deployed["api_id"])
    assert old.left() == {f"table {old.folder.name}-precious", f"table {old.folder.name}-state"}
