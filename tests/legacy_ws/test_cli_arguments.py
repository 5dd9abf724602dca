"""The command line's words, held against the Japanese document of it. until phase 3 (CL1-CL5)"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from legacy_ws.aws import AwsSession
from legacy_ws.cli import app

DOCUMENT = {
    "deploy": ["name"],
    "destroy": ["name"],
    "status": ["[name]"],
    "ws-create": ["name"],
    "ws-delete": ["api"],
    "ws-list": [],
    "ws-add-route": ["api", "route", "lambda_arn"],
    "ws-deploy": ["api", "stage"],
    "ws-get-url": ["api", "stage"],
    "connections-list": ["table"],
    "connection-send": ["api", "stage", "connection", "message"],
    "connection-disconnect": ["api", "stage", "connection"],
    "lambda-create": ["name", "zip_file", "handler", "runtime"],
    "lambda-update": ["name", "zip_file"],
    "lambda-logs": ["name", "[minutes]"],
    "dynamodb-create": ["table", "pk"],
    "dynamodb-scan": ["table"],
}
READS = ("status", "ws-list", "ws-get-url", "connections-list", "lambda-logs", "dynamodb-scan")
DELETES = ("destroy", "ws-delete")


def command(name: str) -> Any:
    group: Any = typer.main.get_command(app)
    return group.commands[name]


@pytest.mark.parametrize("name", sorted(DOCUMENT))
def test_names_and_order_of_arguments_are_the_documents(name: str) -> None:
    arguments = [one for one in command(name).params if one.param_type_name == "argument"]
    assert [one.name if one.required else f"[{one.name}]" for one in arguments] == DOCUMENT[name]
    options = {option for one in command(name).params for option in one.opts}
    assert {"--region", "--profile", "--endpoint-url"} <= options
    assert ("--json" in options) >= (name in READS)
    assert ("--yes" in options) == (name in DELETES)


def test_region_and_profile_come_from_where_the_document_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert AwsSession(None, None, None).region == "ap-northeast-1"
    config = tmp_path / "config"
    config.write_text("[profile elsewhere]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "elsewhere")
    assert AwsSession(None, None, None).region == "eu-west-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert AwsSession(None, None, None).region == "us-west-2"
