"""legacy_ws.deploy.template and `legacy-ws template`, `package`: what CloudFormation is given. until phase 3 (CL1)"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from cfnlint.api import ManualArgs, lint
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from legacy_ws.cli import app as command_line
from legacy_ws.deploy.apps import APPS, LAYERS, ROOMS
from legacy_ws.deploy.options import DeployOptions
from legacy_ws.deploy.package import build_zip
from legacy_ws.deploy.spec import AppSpec
from legacy_ws.deploy.template import build_template, to_yaml

CLOUDFORMATION_BODY = 51_200
"""Bytes of a template that CreateStack takes without a bucket (user guide, "CloudFormation quotas")."""


def built(app: AppSpec, stack: str = "chat", **options: Any) -> dict[str, Any]:
    """A template as CloudFormation reads it."""
    template: dict[str, Any] = json.loads(json.dumps(build_template(app, stack, DeployOptions(**options))))
    return template


def of_type(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Logical id -> properties."""
    return {name: one["Properties"] for name, one in template["Resources"].items() if one["Type"] == kind}


def deployment(template: dict[str, Any]) -> str:
    """Logical id of the deployment."""
    (name,) = of_type(template, "AWS::ApiGatewayV2::Deployment")
    return name


def lint_of(text: str) -> list[str]:
    """What cfn-lint says, hints included."""
    found = lint(text, config=ManualArgs(regions=["ap-northeast-1"], include_checks=["I"]))
    return [f"{one.rule.id} {one.message} {one.path}" for one in found]


@pytest.mark.parametrize("app", sorted(APPS))
def test_cfn_lint_finds_nothing(app: str) -> None:
    text = to_yaml(built(APPS[app]))
    assert lint_of(text) == []
    assert len(text.encode()) < CLOUDFORMATION_BODY


def test_cfn_lint_finds_nothing_without_the_access_log_and_with_settings() -> None:
    text = to_yaml(built(LAYERS, access_log=False, stage="dev", environment={"LEGACY_WS_SEND_ATTEMPTS": "3"}))
    assert lint_of(text) == []
    assert "AccessLog" not in text


@pytest.mark.parametrize("app", sorted(APPS))
def test_there_is_one_of_everything_that_the_application_describes(app: str) -> None:
    spec, template = APPS[app], built(APPS[app])
    assert len(of_type(template, "AWS::Lambda::Function")) == len(spec.functions)
    assert len(of_type(template, "AWS::IAM::Role")) == len(spec.functions)
    assert len(of_type(template, "AWS::Logs::LogGroup")) == len(spec.functions) + 1
    assert len(of_type(template, "AWS::DynamoDB::Table")) == len(spec.tables)
    assert len(of_type(template, "AWS::SQS::Queue")) == 2 * len(spec.queues)
    routes = [route for function in spec.functions for route in function.routes]
    assert sorted(one["RouteKey"] for one in of_type(template, "AWS::ApiGatewayV2::Route").values()) == sorted(routes)
    # One for each route, one for the authorizer.
    assert len(of_type(template, "AWS::Lambda::Permission")) == len(routes) + 1


def test_a_route_called_connect_is_not_the_one_for_connects() -> None:
    functions = tuple(
        dataclasses.replace(one, routes=("$default", "connect", "disconnect")) if "$default" in one.routes else one
        for one in ROOMS.functions
    )
    template = built(dataclasses.replace(ROOMS, functions=functions))
    assert {"$connect", "connect"} <= {
        one["RouteKey"] for one in of_type(template, "AWS::ApiGatewayV2::Route").values()
    }


def test_a_deployment_is_new_exactly_when_what_it_is_a_snapshot_of_is() -> None:
    before = deployment(built(ROOMS))
    assert deployment(built(ROOMS, throttle_burst=1, stage="dev", runtime="python3.11")) == before
    assert deployment(built(ROOMS)) == before
    more = dataclasses.replace(ROOMS.functions[-1], routes=("getHistory", "history"))
    assert deployment(built(dataclasses.replace(ROOMS, functions=(*ROOMS.functions[:-1], more)))) != before
    assert deployment(built(dataclasses.replace(ROOMS, route_selection="$request.body.type"))) != before


def test_the_stage_comes_after_everything_that_serves_it() -> None:
    template = built(LAYERS)
    resources = template["Resources"]
    routes = set(of_type(template, "AWS::ApiGatewayV2::Route"))
    assert set(resources[deployment(template)]["DependsOn"]) == routes
    assert set(resources["Stage"]["DependsOn"]) == {*of_type(template, "AWS::Lambda::Permission"), "AccessLog"}
    assert resources["AnswersQueue"]["DependsOn"] == "AnswersDeadLetters"


def test_no_secret_is_in_a_template() -> None:
    """The key is a parameter that CloudFormation does not show; what `deploy` was given never gets in."""
    secret = "s3cret-" * 8
    text = to_yaml(built(ROOMS, jwt_secret=secret))
    assert secret not in text
    parameter = built(ROOMS)["Parameters"]["JwtSecret"]
    assert parameter["NoEcho"] is True
    assert re.fullmatch(parameter["AllowedPattern"], secret)
    assert re.fullmatch(parameter["AllowedPattern"], "")
    assert not re.fullmatch(parameter["AllowedPattern"], "short")
    holders = [
        name for name, one in of_type(built(ROOMS), "AWS::Lambda::Function").items() if "JwtSecret" in json.dumps(one)
    ]
    assert holders == ["AuthorizerFunction"]


def test_no_permission_is_wider_than_one_resource() -> None:
    for app in APPS.values():
        for role in of_type(built(app), "AWS::IAM::Role").values():
            for statement in role["Policies"][0]["PolicyDocument"]["Statement"]:
                resources = statement["Resource"]
                for one in resources if isinstance(resources, list) else [resources]:
                    assert re.match(r"arn:\$\{AWS::Partition\}:[a-z-]+:\$\{AWS::Region\}:", one["Fn::Sub"])
                assert "*" not in json.dumps(statement["Action"])


def test_the_users_own_values_are_taken_as_they_are() -> None:
    template = built(ROOMS, environment={"LEGACY_WS_RESPONDER": "my.module:${answer}"})
    environment = of_type(template, "AWS::Lambda::Function")["ConnectFunction"]["Environment"]["Variables"]
    assert environment["LEGACY_WS_RESPONDER"] == "my.module:${answer}"
    assert environment["LEGACY_WS_CONNECTIONS_TABLE"] == "chat-Connections"


leaf = (
    st.text() | st.integers() | st.booleans() | st.none() | st.sampled_from(["yes", "2012-10-17", "1:30", "a: b", "~"])
)
tree = st.recursive(leaf, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


@given(st.dictionaries(st.text(), tree))
def test_yaml_is_read_as_it_was_meant(data: dict[str, Any]) -> None:
    # PyYAML refuses what is not printable even where it is escaped; templates are ASCII.
    if json.dumps(data).isascii() and not re.search(r"\\u|\\[bf]|\x7f", json.dumps(data)):
        assert yaml.safe_load(to_yaml(data)) == data or data == {}


@given(st.text())
@example("\U0001f600 \U0010ffff\\U0001f600")
def test_text_of_any_script_is_read_as_it_was_meant(text: str) -> None:
    assert yaml.safe_load(to_yaml({"a": text, "b": [text]})) == {"a": text, "b": [text]}


def run(*arguments: str) -> Any:
    return CliRunner().invoke(command_line, list(arguments))


def test_the_command_prints_the_template_in_both_formats() -> None:
    as_yaml = run("template", "layers", "--stack", "my-chat", "--stage", "dev")
    as_json = run("template", "layers", "--stack", "my-chat", "--stage", "dev", "--format", "json")
    assert (as_yaml.exit_code, as_json.exit_code) == (0, 0)
    assert as_yaml.stderr == ""
    template = json.loads(as_json.stdout)
    assert yaml.safe_load(as_yaml.stdout) == template
    assert of_type(template, "AWS::DynamoDB::Table")["ConnectionsTable"]["TableName"] == (
        "my-chat-websocket-connections"
    )
    assert of_type(template, "AWS::ApiGatewayV2::Stage")["Stage"]["StageName"] == "dev"
    assert (
        of_type(json.loads(run("template", "rooms", "--format", "json").stdout), "AWS::ApiGatewayV2::Api")["Api"][
            "Name"
        ]
        == "rooms"
    )


@pytest.mark.parametrize(
    "arguments",
    [("nope",), ("rooms", "--stack", "1chat"), ("rooms", "--runtime", "nodejs22.x"), ("rooms", "--env", "X")],
)
def test_a_users_mistake_is_one_line_and_a_hint(arguments: tuple[str, ...]) -> None:
    done = run("template", *arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert re.fullmatch(r"error: .+\nhint: .+\n", done.stderr)


def test_the_package_is_written_with_its_size_and_digest(tmp_path: Path) -> None:
    file = tmp_path / "code.zip"
    printed = json.loads(run("package", str(file), "--json").stdout)
    assert file.read_bytes() == build_zip()
    assert printed == {
        "file": str(file),
        "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    text = run("package", str(file))
    assert text.stdout == f"{printed['sha256']}  {file}\n"  # as sha256sum prints it
    failed = run("package", str(tmp_path / "missing" / "code.zip"))
    assert failed.exit_code == 2
    assert "No such file" in failed.stderr
