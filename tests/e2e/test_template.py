"""`legacy-ws template` through CloudFormation of the local AWS: the stack that `legacy-ws deploy` makes (CL1).
until phase 3
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets
from e2e_support import LEGACY_WS, frame, run
from local_stack import LocalStack, local_stack
from stack_picture import picture

from legacy_ws.deploy.apps import APPS, ROOMS
from legacy_ws.deploy.options import DeployOptions
from legacy_ws.deploy.template import build_template, to_yaml

pytestmark = pytest.mark.integration

SECRET = "s" * 40
BUCKET, KEY = "code", "legacy-ws.zip"

EXPLAINED = {
    " / tags / aws:cloudformation:": "CloudFormation tags what it makes",
    "SqsManagedSseEnabled": "AWS's default, which MiniStack shows for queues of templates only",
}
"""Where both may differ, and why."""


class Template:
    """CloudFormation of a local AWS, with the package in a bucket."""

    def __init__(self, aws: LocalStack, folder: Path) -> None:
        self.aws = aws
        self.cloudformation = aws.client("cloudformation")
        package = folder / "legacy-ws.zip"
        printed = json.loads(aws.legacy_ws("package", str(package), "--json"))
        assert printed["bytes"] == package.stat().st_size
        s3 = aws.client("s3")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": aws.ready["region"]})
        s3.put_object(Bucket=BUCKET, Key=KEY, Body=package.read_bytes())

    def create(self, name: str, body: str, **parameters: str) -> dict[str, str]:
        """Outputs of the finished stack."""
        self.cloudformation.create_stack(StackName=name, TemplateBody=body, **self._arguments(parameters))
        return self._outputs(name, "CREATE_COMPLETE")

    def update(self, name: str, body: str, **parameters: str) -> dict[str, str]:
        """The same of a stack that is brought up to date."""
        self.cloudformation.update_stack(StackName=name, TemplateBody=body, **self._arguments(parameters))
        return self._outputs(name, "UPDATE_COMPLETE")

    def delete(self, name: str) -> None:
        self.cloudformation.delete_stack(StackName=name)
        deadline = time.monotonic() + 30
        while any(one["StackName"] == name for one in self.cloudformation.describe_stacks()["Stacks"]):
            assert time.monotonic() < deadline, "the stack is still there"
            time.sleep(0.05)

    def _arguments(self, parameters: dict[str, str]) -> dict[str, Any]:
        given = {"CodeBucket": BUCKET, "CodeKey": KEY, **parameters}
        return {
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
        }

    def _outputs(self, name: str, wanted: str) -> dict[str, str]:
        deadline = time.monotonic() + 60
        while True:
            stack = self.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
            if not stack["StackStatus"].endswith("_IN_PROGRESS"):
                assert stack["StackStatus"] == wanted, stack
                return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
            assert time.monotonic() < deadline, stack["StackStatus"]
            time.sleep(0.05)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    folder = tmp_path_factory.mktemp("template")
    with local_stack(folder) as aws:
        yield Template(aws, folder)


def secret_of(app: str) -> dict[str, str]:
    return {"JwtSecret": SECRET} if APPS[app].auth == "jwt" else {}


@pytest.mark.parametrize("app", sorted(APPS))
async def test_the_template_makes_what_deploy_makes(template: Template, app: str) -> None:
    """CL1: resource by resource; and a client of the template's stack is served."""
    aws = template.aws
    made, deployed = f"cfn-{app}", f"cli-{app}"
    body = await asyncio.to_thread(aws.legacy_ws, "template", app, "--stack", made)
    outputs = await asyncio.to_thread(lambda: template.create(made, body, **secret_of(app)))
    options = ("--jwt-secret", SECRET) if APPS[app].auth == "jwt" else ()
    await asyncio.to_thread(aws.deploy, deployed, "--app", app, *options)

    of_template, of_deploy = picture(aws, made), picture(aws, deployed)
    assert len(of_deploy) > 100
    differences = {
        where: (of_template.get(where, "nothing"), of_deploy.get(where, "nothing"))
        for where in of_template.keys() | of_deploy.keys()
        if of_template.get(where, "nothing") != of_deploy.get(where, "nothing")
    }
    assert {where: both for where, both in differences.items() if not any(part in where for part in EXPLAINED)} == {}
    await served(aws, app, made, outputs["WebSocketUrl"])


async def served(aws: LocalStack, app: str, stack: str, url: str) -> None:
    """Somebody says something in the stack and is answered."""
    said, answer = {
        "rooms": ({"action": "sendMessage", "message": "hello"}, "message"),
        "direct": ({"action": "sendMessage", "receiverEmail": "bob@example.com", "message": "hello"}, "messageSent"),
        # The answer comes by way of another function and a queue.
        "layers": ({"type": "chat", "chat_id": "c1", "message": "hello"}, "chat_stream_end"),
    }[app]
    token = await asyncio.to_thread(aws.token, stack, "ann@example.com")
    async with websockets.connect(f"{url}?token={token}", proxy=None) as socket:
        await socket.send(json.dumps(said))
        assert (await frame(socket, answer)).get("status", "completed") == "completed"
    with pytest.raises(websockets.InvalidStatus, match="401"):
        async with websockets.connect(f"{url}?token=nonsense", proxy=None):
            pass


async def test_a_changed_route_is_served_after_an_update_and_deploy_and_destroy_keep_off(template: Template) -> None:
    """The deployment is replaced with its routes; what CloudFormation made is changed and deleted there only."""
    aws, name = template.aws, "cfn-update"
    outputs = template.create(name, to_yaml(build_template(ROOMS, name, DeployOptions())), JwtSecret=SECRET)
    api = outputs["ApiId"]
    gateway = aws.client("apigatewayv2")
    before = gateway.get_stage(ApiId=api, StageName="prod")["DeploymentId"]
    more = dataclasses.replace(
        ROOMS,
        functions=tuple(
            dataclasses.replace(one, routes=(*one.routes, "say")) if one.name == "sendMessage" else one
            for one in ROOMS.functions
        ),
    )
    changed = to_yaml(build_template(more, name, DeployOptions(throttle_burst=7)))
    assert template.update(name, changed, JwtSecret=SECRET)["ApiId"] == api
    stage = gateway.get_stage(ApiId=api, StageName="prod")
    assert stage["DeploymentId"] != before
    assert [one["DeploymentId"] for one in gateway.get_deployments(ApiId=api)["Items"]] == [stage["DeploymentId"]]
    assert stage["DefaultRouteSettings"]["ThrottlingBurstLimit"] == 7
    token = await asyncio.to_thread(aws.token, name, "ann")
    async with websockets.connect(f"{outputs['WebSocketUrl']}?token={token}", proxy=None) as socket:
        await socket.send(json.dumps({"action": "say", "message": "new"}))
        # The route reached the function, which knows its own action only.
        assert (await frame(socket, "error"))["code"] == "unknown_action"

    for command in (("deploy", name, "--app", "rooms"), ("destroy", name, "--yes")):
        done = await asyncio.to_thread(lambda command=command: run(LEGACY_WS, *command, env=aws.env))
        assert done.returncode == 5, done.stderr
        assert "CloudFormation" in done.stderr
        assert "hint: " in done.stderr
    assert json.loads(aws.legacy_ws("status", name, "--json"))["complete"] is True
    await asyncio.to_thread(template.delete, name)
    assert f"{name}-Connections" not in aws.client("dynamodb").list_tables()["TableNames"]
