"""The tee of a stack as its configuration says, whoever puts it on and whoever takes it off. until phase 3 (MG6)"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest

import migrate.tee.setup
from migrate.config import Config
from migrate.config.model import Api, Function, Identity, Project, Settings
from migrate.control.table import ControlTable
from migrate.errors import UsageError
from migrate.shadow.run import begin, unhook
from migrate.tee.consumers import TeeState
from migrate.tee.layers import layer_zip
from migrate.tee.setup import functions_without_tee, install_for, install_for_bridge, remove_for

REGION = "ap-northeast-1"


@pytest.fixture
def config(aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A stack with one function behind the API's routes and one that answers."""
    role = boto3.client("iam", REGION).create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    lambda_ = boto3.client("lambda", REGION)
    arns = {
        name: lambda_.create_function(
            FunctionName=name, Role=role, Runtime="python3.12", Handler="app.handler", Code={"ZipFile": layer_zip()}
        )["FunctionArn"]
        for name in ("front", "answer")
    }
    monkeypatch.setattr(migrate.tee.setup, "functions_of_api", lambda *_: [arns["front"]])
    settings = Settings(
        project=Project(name="p", state_table="state"),
        api=Api(id="abc", stage="prod", region=REGION),
        functions=(Function(name="front", role="route"), Function(name="answer", role="answer")),
        identity=Identity(user=""),
    )
    found = Config(settings, tmp_path / "migrate.toml")
    ControlTable.of(found).ensure()
    return found


def _configuration(config: Config, name: str) -> dict[str, Any]:
    found = config.client("lambda").get_function_configuration(FunctionName=name)
    return {key: found.get(key) for key in ("Handler", "Environment", "Layers")}


def test_what_was_kept_under_a_name_is_found_by_the_arn(config: Config) -> None:
    """One that puts it on may know a function by its name, and one that takes it off by its ARN: what was kept by the
    first would be left behind, and be taken for the function's own the next time."""
    tee = TeeState(ControlTable.of(config), "abc")
    arn = f"arn:aws:lambda:{REGION}:123456789012:function:answer"
    tee.save("answer", {"Handler": "app.handler"})
    assert tee.read(arn) == {"Handler": "app.handler"}
    tee.save(f"{arn}:live", {"Handler": "ws2sse_tee.handler"})
    assert tee.read("answer") == {"Handler": "app.handler"}
    tee.forget(arn)
    assert tee.read("answer") is None


def test_it_is_put_on_once_and_leaves_nothing_behind(config: Config) -> None:
    """Also where the configuration does not name the user's id in the authorizer's context."""
    table = ControlTable.of(config)
    before = {name: _configuration(config, name) for name in ("front", "answer")}
    assert len(install_for(config, table).changed) == 2
    with_tee = _configuration(config, "answer")["Environment"]["Variables"]
    assert with_tee["WS2SSE_TEE_ROLE"] == "answer"
    assert "WS2SSE_TEE_USER" not in with_tee
    assert install_for(config, table).changed == ()
    removed = remove_for(config, table)
    assert len(removed.changed) == 2
    assert removed.different == {}
    assert {name: _configuration(config, name) for name in before} == before


def test_the_bridge_puts_it_on_and_the_shadow_takes_it_off(config: Config) -> None:
    """Both know the same functions by the same names: nothing is put on twice, nothing of the first is left behind."""
    table = ControlTable.of(config)
    before = _configuration(config, "answer")
    install_for_bridge(config, table)
    _, facts = begin(config)
    assert facts["changed"] == []
    removed = unhook(config, everybody=True)
    assert removed is not None
    assert (len(removed.changed), removed.different) == (2, {})
    assert _configuration(config, "answer") == before
    assert TeeState(table, "abc").read("answer") is None


def test_it_goes_off_where_a_function_that_answers_is_gone(config: Config) -> None:
    """After a removal, or a deployment without it: the others must get theirs back all the same."""
    table = ControlTable.of(config)
    begin(config)
    config.client("lambda").delete_function(FunctionName="answer")
    assert functions_without_tee(config) == ("answer",)
    removed = unhook(config)
    assert removed is not None
    assert len(removed.changed) == 1
    assert _configuration(config, "front")["Handler"] == "app.handler"
    with pytest.raises(UsageError, match="there is no function 'answer'"):
        install_for(config, table)
