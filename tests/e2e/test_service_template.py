"""The templates of sse_service/deploy through CloudFormation of the local AWS, and the service as a task of theirs.
until phase 3
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from local_stack import LocalStack, local_stack

from sse_service.testing import make_token

pytestmark = pytest.mark.integration

DEPLOY = Path(__file__).parents[2] / "sse_service" / "deploy"
SECRET = "s" * 40
NOT_MODELLED = (
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::ECS::ExpressGatewayService",
)
"""docs/local-aws.md, "CloudFormation of sse_service/deploy"."""


class _Loader(yaml.SafeLoader):
    """CloudFormation's short forms as the long ones."""


def _long(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _long)


def modelled(name: str) -> str:
    """A template without what MiniStack does not know."""
    template = yaml.load((DEPLOY / name).read_text(), _Loader)
    resources = template["Resources"]
    gone = {key for key, one in resources.items() if one["Type"] in NOT_MODELLED}
    template["Resources"] = {key: one for key, one in resources.items() if key not in gone}
    outputs = template.get("Outputs", {})
    template["Outputs"] = {
        key: one for key, one in outputs.items() if not any(f'"{part}"' in json.dumps(one) for part in gone)
    }
    for one in resources.values():
        if one["Type"] == "AWS::ECS::Service":
            one["Properties"]["DesiredCount"] = 1  # a parameter's value is text there, and it counts with it
    return json.dumps(template)


class Stacks:
    def __init__(self, aws: LocalStack) -> None:
        self.aws = aws
        self._cloudformation = aws.client("cloudformation")

    def create(self, name: str, body: str, **parameters: str) -> dict[str, str]:
        """Outputs of the finished stack."""
        self._cloudformation.create_stack(
            StackName=name,
            TemplateBody=body,
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        deadline = time.monotonic() + 60
        while True:
            stack = self._cloudformation.describe_stacks(StackName=name)["Stacks"][0]
            if not stack["StackStatus"].endswith("_IN_PROGRESS"):
                events = self._cloudformation.describe_stack_events(StackName=name)["StackEvents"]
                failed = [(one["LogicalResourceId"], one.get("ResourceStatusReason")) for one in events
                          if "FAILED" in one["ResourceStatus"]]  # fmt: skip
                assert stack["StackStatus"] == "CREATE_COMPLETE", failed
                return {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])}
            assert time.monotonic() < deadline, stack["StackStatus"]
            time.sleep(0.05)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    """data.yaml as it is, and the other two as far as they are modelled; another stack's tables beside them."""
    with local_stack(tmp_path_factory.mktemp("templates")) as aws:
        stacks = Stacks(aws)
        dynamodb, ec2 = aws.client("dynamodb"), aws.client("ec2")
        tables = {"theirs": (("conversationId", "S"), ("timestamp", "N")), "flags": (("pk", "S"), ("sk", "S"))}
        for name, keys in tables.items():
            dynamodb.create_table(
                TableName=name,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind in keys],
                KeySchema=[
                    {"AttributeName": key, "KeyType": role}
                    for (key, _), role in zip(keys, ("HASH", "RANGE"), strict=True)
                ],
            )
        row = {"conversationId": "main", "messageId": "m0", "userName": "carl", "message": "from the other stack"}
        item = {name: {"S": text} for name, text in row.items()} | {"timestamp": {"N": "1700000000.000001"}}
        dynamodb.put_item(TableName="theirs", Item=item)
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnets = ",".join(
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24")["Subnet"]["SubnetId"] for n in (1, 2)
        )
        tables_of_others = {"MessagesTable": "theirs", "TransportTable": "flags"}
        stacks.create(
            "data", (DEPLOY / "data.yaml").read_text(), Prefix="svc", UploadsBucket="uploads", **tables_of_others
        )
        of_task = {
            "DataStack": "data", "Image": "svc:1", "VpcCidr": "10.0.0.0/16", "MessagesTenant": "demo",
            "JwtSecretArn": "arn:aws:secretsmanager:ap-northeast-1:000000000000:secret:k-AbCdEf", **tables_of_others,
        }  # fmt: skip
        stacks.create(
            "fargate",
            modelled("ecs-fargate.yaml"),
            VpcId=vpc,
            PublicSubnets=subnets,
            TaskSubnets=subnets,
            CertificateArn="arn:aws:acm:ap-northeast-1:000000000000:certificate/c",
            **of_task,
        )
        stacks.create("express", modelled("ecs-express.yaml"), **of_task)
        yield stacks


def policy_of(stacks: Stacks, role_starts: str) -> list[dict[str, Any]]:
    """Statements of the managed policies of our own that a role has."""
    iam = stacks.aws.client("iam")
    (role,) = [one["RoleName"] for one in iam.list_roles()["Roles"] if one["RoleName"].startswith(role_starts)]
    statements: list[dict[str, Any]] = []
    for one in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        arn = one["PolicyArn"]
        if ":aws:policy/" not in arn:
            version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
            statements += document["Statement"]
    return statements


def test_the_data_stack_is_made_whole(made: Stacks) -> None:
    dynamodb, sqs = made.aws.client("dynamodb"), made.aws.client("sqs")
    keys, ttl = {}, {}
    for name in ("events", "claims", "conversations", "messages", "user-queues"):
        table = dynamodb.describe_table(TableName=f"svc-{name}")["Table"]
        keys[name] = [key["AttributeName"] for key in table["KeySchema"]]
        found = dynamodb.describe_time_to_live(TableName=f"svc-{name}")["TimeToLiveDescription"]
        ttl[name] = found.get("AttributeName")
    assert keys == {
        "events": ["tenant", "seq"], "claims": ["claim"], "conversations": ["pk", "sk"],
        "messages": ["conversationId", "timestamp"], "user-queues": ["tenant", "userId"],
    }  # fmt: skip
    assert [name for name, attribute in ttl.items() if attribute == "expires_at"] == [
        "events",
        "claims",
        "conversations",
    ]
    url = sqs.get_queue_url(QueueName="svc-ingest")["QueueUrl"]
    redrive = json.loads(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"].endswith(":svc-ingest-dead") and int(redrive["maxReceiveCount"]) == 10


@pytest.mark.parametrize("stack", ["fargate", "express"])
def test_the_task_role_has_the_data_stacks_policy_on_real_names(made: Stacks, stack: str) -> None:
    statements = {one["Sid"]: one for one in policy_of(made, f"{stack}-TaskRole")}
    found = {arn.rpartition("/")[2] for arn in statements["Tables"]["Resource"]}
    assert found == {f"svc-{name}" for name in ("events", "claims", "conversations", "messages", "user-queues")}
    assert statements["SharedMessages"]["Resource"].endswith(":table/theirs")
    assert statements["Transports"]["Resource"].endswith(":table/flags")
    assert statements["IngestQueue"]["Resource"].endswith(":svc-ingest")
    assert statements["Uploads"]["Resource"] == "arn:aws:s3:::uploads/uploads/*"
    assert "${" not in json.dumps(statements)


def test_the_load_balancer_does_not_cut_streams(made: Stacks) -> None:
    elb, alarms = made.aws.client("elbv2"), made.aws.client("cloudwatch")
    (balancer,) = elb.describe_load_balancers()["LoadBalancers"]
    arn = balancer["LoadBalancerArn"]
    attributes = elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    assert {"Key": "idle_timeout.timeout_seconds", "Value": "60"} in attributes
    (targets,) = elb.describe_target_groups()["TargetGroups"]
    assert (targets["HealthCheckPath"], targets["TargetType"], targets["Port"]) == ("/readyz", "ip", 8080)
    delay = elb.describe_target_group_attributes(TargetGroupArn=targets["TargetGroupArn"])["Attributes"]
    assert {"Key": "deregistration_delay.timeout_seconds", "Value": "300"} in delay
    listeners = {one["Port"]: one for one in elb.describe_listeners(LoadBalancerArn=arn)["Listeners"]}
    assert listeners[443]["DefaultActions"][0]["TargetGroupArn"] == targets["TargetGroupArn"]
    assert listeners[80]["DefaultActions"][0]["Type"] == "redirect"
    hidden = elb.describe_rules(ListenerArn=listeners[443]["ListenerArn"])["Rules"]
    assert any("/metrics" in json.dumps(rule["Conditions"]) for rule in hidden)
    (service,) = made.aws.client("ecs").describe_services(cluster="fargate-Cluster", services=["fargate-Service"])[
        "services"
    ]
    assert service["loadBalancers"][0]["targetGroupArn"] == targets["TargetGroupArn"]
    assert len(alarms.describe_alarms()["MetricAlarms"]) >= 7


def task_environment(stacks: Stacks) -> dict[str, str]:
    ecs = stacks.aws.client("ecs")
    task = ecs.describe_task_definition(taskDefinition="fargate")["taskDefinition"]
    (container,) = task["containerDefinitions"]
    assert len(container["secrets"]) == 1  # its name is not kept
    return {one["name"]: one["value"] for one in container["environment"]}


async def until(what: str, found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while not (value := found()):
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)
    return value


async def test_the_service_runs_with_the_tasks_own_environment(made: Stacks, tmp_path: Path) -> None:
    """Every variable as the task definition has it: tables, queues, the other stack's tables, the flags."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("SSE_", "AWS_"))}
    here = {"SSE_HOST": "127.0.0.1", "SSE_PORT": "0", "SSE_DRAIN_DELAY_S": "0", "SSE_JWT_SECRET": SECRET}
    environ = {**clean, **made.aws.env, **task_environment(made), **here}
    log = tmp_path / "service.log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "sse_service", "serve"], env=environ, stderr=output)

    def ready() -> str | None:
        assert process.poll() is None, log.read_text()
        lines = [
            json.loads(line) for line in log.read_text().splitlines() if line.startswith("{") and line.endswith("}")
        ]
        return next((line["url"] for line in lines if "url" in line), None)

    try:
        url = await until("ready", ready)
        token = make_token(SECRET, "ann", "demo", expires_at=time.time() + 600, scope="events:publish")
        async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=30) as client:
            room = {"conversationId": "main", "open": True}
            assert (await client.post("/api/conversations", json=room)).status_code == 201
            flag = (await client.get("/api/transport?feature=chat")).json()
            assert "websocket" in json.dumps(flag), flag  # without the table everybody would be told sse
            async with client.stream("GET", "/api/chat/stream") as stream:
                lines = stream.aiter_lines()
                body = {"conversationId": "main", "message": "from the service"}
                assert (await client.post("/api/chat/send", json=body)).status_code == 201
                event = {"topic": "user:ann", "type": "job", "data": {"progress": 40}}
                queue = task_environment(made)["SSE_INGEST_QUEUE_URL"]
                text = json.dumps({"tenant": "demo", "events": [event]})
                sqs = made.aws.client("sqs")
                await asyncio.to_thread(lambda: sqs.send_message(QueueUrl=queue, MessageBody=text))
                seen = set[str]()
                async with asyncio.timeout(30):
                    async for line in lines:
                        seen.add(line)
                        if {"event: message", "event: job"} <= seen:
                            break
            page = (await client.get("/api/chat/history?conversationId=main")).json()["messages"]
            assert [one["message"] for one in page] == ["from the other stack", "from the service"]
    finally:
        process.terminate()
        assert await asyncio.to_thread(process.wait, 30) == 0
    items = made.aws.client("dynamodb").scan(TableName="theirs")["Items"]
    assert sorted(one["message"]["S"] for one in items) == ["from the other stack", "from the service"]
    assert not [line for line in log.read_text().splitlines() if '"ERROR"' in line or "Traceback" in line]
