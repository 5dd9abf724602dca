"""Image and templates: valid, and in agreement with the code they run."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sse_service.adapters.dynamodb import table_specs
from sse_service.profiles import JITTER, PROFILES
from sse_service.settings import Secret, Settings, unknown_variables

from .programs import program
from .task_policy import DEPLOY, load_template

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted(DEPLOY.glob("*.yaml"))
EXPRESS_STOP_TIMEOUT_S = 30
"""ECS's default, which Express Mode does not let one change. Source: ECS API reference, ContainerDefinition."""


template = load_template


def resources(name: str, kind: str) -> dict[str, dict[str, Any]]:
    found = template(name)["Resources"]
    return {key: one["Properties"] for key, one in found.items() if one["Type"] == kind}


def attributes(properties: dict[str, Any], key: str) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in properties[key]}


# Templates -------------------------------------------------------------------------------------------------


def test_sq9_cfn_lint_finds_nothing() -> None:
    assert [path.name for path in TEMPLATES] == ["data.yaml", "ecs-express.yaml", "ecs-fargate.yaml"]
    result = subprocess.run(
        [program("cfn-lint"), "--regions", "us-east-1", "ap-northeast-1", "--", *TEMPLATES],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "")


def test_sq9_the_tables_are_those_of_the_code() -> None:
    """Names, keys and TTL as `sse-service create-tables` makes them."""
    settings = Settings(log="dynamodb", broker="sqs", jwt_secret=Secret("k" * 32), table_prefix="${Prefix}")
    made = {}
    for table in resources("data.yaml", "AWS::DynamoDB::Table").values():
        kinds = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}
        keys = [(key["AttributeName"], kinds[key["AttributeName"]]) for key in table["KeySchema"]]
        ttl = table.get("TimeToLiveSpecification", {}).get("AttributeName", "")
        made[table["TableName"]["Sub"]] = (keys, ttl)
        assert table["BillingMode"] == "PAY_PER_REQUEST"
    wanted = {
        spec.name: ([spec.partition] + ([spec.sort] if spec.sort else []), spec.ttl) for spec in table_specs(settings)
    }
    assert made == wanted


def used_operations(*modules: str) -> set[str]:
    """Operations of the AWS API that adapters name, e.g. {"PutItem"}."""
    names: set[str] = set()
    for path in (ROOT / "sse_service" / "adapters").glob("*.py"):
        if path.name.startswith(modules):
            text = path.read_text()
            names |= set(re.findall(r'(?:call|_method|_call)\(\s*"([a-z_]+)"', text))
    return {"".join(part.title() for part in name.split("_")) for name in names}


def allowed(sid: str) -> set[str]:
    policy = resources("data.yaml", "AWS::IAM::ManagedPolicy")["TaskPolicy"]
    statements = [one for one in policy["PolicyDocument"]["Statement"] if "If" not in one]
    actions: set[str] = set()
    for statement in statements:
        if statement["Sid"] == sid:
            found = statement["Action"]
            actions |= {found} if isinstance(found, str) else set(found)
    return actions


def test_sq9_a_task_may_do_what_the_code_does_and_little_else() -> None:
    tables = allowed("Tables") | allowed("Leaving")
    # Made by `create-tables` only, which a task does not run; a transaction is permitted by its parts.
    makes = {"CreateTable", "DescribeTimeToLive", "UpdateTimeToLive", "TransactWriteItems"}
    used = {f"dynamodb:{name}" for name in used_operations("dynamodb", "sqs_registry") - makes}
    assert used <= tables and tables - used <= {"dynamodb:DeleteItem"}
    batches = {"DeleteMessageBatch": "DeleteMessage", "SendMessageBatch": "SendMessage"}
    queues = {f"sqs:{batches.get(name, name)}" for name in used_operations("sqs.py")}
    queues = {name.replace("Batch", "") for name in queues}
    assert queues and queues <= allowed("BrokerQueues")
    for path in TEMPLATES:
        text = path.read_text()
        assert not re.search(r"Action: *[\"']?[a-z0-9*]*\*", text) and 'Resource: "*"' not in text


def test_streams_outlive_nothing_that_cuts_them() -> None:
    """Load balancer, deregistration, SIGKILL: each later than what the service does by itself."""
    profile = PROFILES["ecs"]
    (balancer,) = resources("ecs-fargate.yaml", "AWS::ElasticLoadBalancingV2::LoadBalancer").values()
    idle_s = int(attributes(balancer, "LoadBalancerAttributes")["idle_timeout.timeout_seconds"])
    assert idle_s >= 2 * profile.heartbeat_s and idle_s == profile.idle_s
    (targets,) = resources("ecs-fargate.yaml", "AWS::ElasticLoadBalancingV2::TargetGroup").values()
    delay_s = int(attributes(targets, "TargetGroupAttributes")["deregistration_delay.timeout_seconds"])
    assert delay_s == profile.longest_s and delay_s > profile.max_age_s * (1 + JITTER)
    assert targets["HealthCheckPath"] == "/readyz"
    for name, stop_s in (("ecs-fargate.yaml", 120), ("ecs-express.yaml", EXPRESS_STOP_TIMEOUT_S)):
        settings = Settings.from_env(environment(name))
        # Some seconds beyond the grace are for the rest of the process.
        assert settings.drain_delay_s + settings.grace_s + 5 < stop_s
    assert container("ecs-fargate.yaml")["StopTimeout"] == 120


def container(name: str) -> dict[str, Any]:
    if name == "ecs-express.yaml":
        (service,) = resources(name, "AWS::ECS::ExpressGatewayService").values()
        found: dict[str, Any] = service["PrimaryContainer"]
        return found
    (task,) = resources(name, "AWS::ECS::TaskDefinition").values()
    (found,) = task["ContainerDefinitions"]
    return found


def environment(name: str, **more: str) -> dict[str, str]:
    """What a task's environment comes to, with a value for each parameter."""
    known = {
        "VpcCidr": "10.0.0.0/16",
        "Broker": "sqs",
        "CognitoUserPoolId": "eu-west-1_AbC123",
        "AWS::Region": "eu-west-1",
        "CorsOrigins": "https://app.example",
        **more,
    }
    values = {}
    for one in container(name)["Environment"]:
        value = one["Value"]
        if isinstance(value, dict):
            value = known.get(value["Ref"], "") if "Ref" in value else "imported"
        values[one["Name"]] = value
    values["SSE_INGEST_QUEUE_URL"] = "https://sqs.eu-west-1.amazonaws.com/123456789012/x-ingest"
    return values


@pytest.mark.parametrize("name", ["ecs-fargate.yaml", "ecs-express.yaml"])
def test_a_tasks_settings_are_ones_the_service_takes(name: str) -> None:
    environ = environment(name)
    assert unknown_variables(environ) == []
    settings = Settings.from_env(environ)
    assert settings.is_durable and list(settings.warnings()) == []
    secrets = [one["If"][1]["Name"] for one in container(name)["Secrets"]]
    assert unknown_variables(dict.fromkeys(secrets, "")) == []
    assert "SSE_JWT_SECRET" in secrets and "SSE_JWT_SECRET" not in environ


@pytest.mark.parametrize("name", ["ecs-fargate.yaml", "ecs-express.yaml"])
def test_a_task_uses_the_tables_that_its_policy_permits(name: str) -> None:
    """The data stack's parameters, under the same names; who forgets the tenant is told before anything is made."""
    permitted = {"MessagesTable": "theirs", "TransportTable": "flags", "UploadsBucket": "files"}
    assert permitted.keys() <= template("data.yaml")["Parameters"].keys()
    environ = environment(name, **permitted, MessagesTenant="demo", MessagesPartitionKey="roomId")
    settings = Settings.from_env(environ)
    assert (settings.messages_table, settings.messages_partition_key) == ("theirs", "roomId")
    assert (settings.messages_tenant, settings.transport_table) == ("demo", "flags")
    assert settings.uploads_bucket == "files"
    rule = template(name)["Rules"]["MessagesOfOneTenant"]
    assert "MessagesTable" in str(rule["RuleCondition"]) and "MessagesTenant" in str(rule["Assertions"])


def test_a_task_writes_nothing_and_is_nobody() -> None:
    found = container("ecs-fargate.yaml")
    assert found["ReadonlyRootFilesystem"] is True and found["User"] == "10001:10001"
    assert found["Ulimits"][0]["SoftLimit"] > Settings().max_streams
    (group,) = (
        one
        for one in resources("ecs-fargate.yaml", "AWS::EC2::SecurityGroup").values()
        if "tasks" in one["GroupDescription"]
    )
    assert all("SourceSecurityGroupId" in rule for rule in group["SecurityGroupIngress"])


def test_every_alarm_tells_somebody() -> None:
    alarms = resources("ecs-fargate.yaml", "AWS::CloudWatch::Alarm")
    assert len(alarms) >= 7
    for alarm in alarms.values():
        assert alarm["AlarmActions"]["If"][0] == "HasAlarmTopic" and alarm["AlarmDescription"]


# Image -----------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    text = (DEPLOY / "Dockerfile").read_text()
    joined = re.sub(r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    return [(line.split(None, 1)[0], line.split(None, 1)[1].strip()) for line in joined.splitlines() if line.strip()]


def last(name: str) -> str:
    return [value for key, value in instructions() if key == name][-1]


def test_the_image_runs_the_console_script_as_nobody_and_passes_signals_on() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (program,) = json.loads(last("ENTRYPOINT"))  # exec form: the service is PID 1 and gets SIGTERM itself
    assert program in project["scripts"]
    assert json.loads(last("CMD")) == ["serve"]
    assert last("STOPSIGNAL") == "SIGTERM"
    user, _, group = last("USER").partition(":")
    assert int(user) > 0 and int(group) > 0
    after_user = instructions()[[key for key, _ in instructions()].index("USER") :]
    assert not [key for key, _ in after_user if key in {"COPY", "ADD", "RUN"}]


def test_the_image_holds_what_the_project_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = {
        re.fullmatch(r"python:(\d+\.\d+)-slim(?: AS build)?", value) for key, value in instructions() if key == "FROM"
    }
    assert len(versions) == 2 and None not in versions
    (version,) = {match[1] for match in versions if match}
    low, high = re.fullmatch(r">=(3\.\d+),<(3\.\d+)", project["requires-python"]).groups()  # type: ignore[union-attr]  # matches or fails
    assert int(low[2:]) <= int(version[2:]) < int(high[2:])
    build = next(value for key, value in instructions() if key == "RUN" and "pip install" in value)
    (extra,) = re.findall(r"'\.\[(\w+)\]'", build)
    assert extra in project["optional-dependencies"]
    for key, value in instructions():
        if key == "COPY" and not value.startswith("--from"):
            *sources, _ = value.split()
            for source in sources:
                assert (ROOT / source).exists(), source
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert ignored[0] == "*" and "!sse_service" in ignored


def test_the_lock_without_its_hashes_is_a_list_of_constraints() -> None:
    """The sed of the Dockerfile leaves one `name==version [; marker]` a line."""
    text = (ROOT / "requirements.lock").read_text()
    script = next(value for key, value in instructions() if key == "RUN" and "sed -E" in value)
    expression = re.search(r"sed -E '([^']+)'", script)
    assert expression
    out = subprocess.run(["sed", "-E", expression[1]], input=text, capture_output=True, text=True, check=True).stdout
    lines = [line for line in out.splitlines() if line and not line.startswith("#")]
    assert len(lines) > 50
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._\[\]-]+==[^ ;]+( ; .+)?", line.strip()), line


def test_the_health_check_of_the_image_and_its_settings() -> None:
    environ = dict(part.split("=", 1) for part in last("ENV").split())
    assert unknown_variables(environ) == []
    assert environ["SSE_HOST"] == "0.0.0.0" and environ["SSE_PORT"] == last("EXPOSE")
    assert "/healthz" in last("HEALTHCHECK")
