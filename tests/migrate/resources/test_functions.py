"""A function comes back as it was, or what of it does not is said. until phase 3 (MG12)"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from migrate.config import Config
from migrate.config.model import Api, Project, Settings
from migrate.errors import MigrateError
from migrate.resources import functions
from migrate.resources.functions import MARK, make_function, read_function
from migrate.resources.restore import restore
from migrate.tables.export import Page

REGION = "eu-west-1"
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"
CODE = base64.b64encode(b"zip").decode()
CONFIGURATION: dict[str, Any] = {
    "FunctionName": "f", "FunctionArn": ARN, "Runtime": "python3.12", "Role": "arn:aws:iam::123456789012:role/r",
    "Handler": "app.handler", "CodeSize": 3, "Timeout": 10, "MemorySize": 256, "LastModified": "2026-01-01",
    "CodeSha256": "latest", "Version": "$LATEST", "State": "Active", "PackageType": "Zip",
    "Architectures": ["arm64"], "EphemeralStorage": {"Size": 1024}, "Environment": {"Variables": {"A": "1"}},
    "VpcConfig": {"SubnetIds": ["s-1"], "SecurityGroupIds": ["g-1"], "VpcId": "v-1", "Ipv6AllowedForDualStack": False},
    "DeadLetterConfig": {"TargetArn": "arn:aws:sqs:eu-west-1:123456789012:dead"},
    "TracingConfig": {"Mode": "Active"}, "KMSKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/k",
    "FileSystemConfigs": [{"Arn": "arn:aws:elasticfilesystem:e:1:access-point/a", "LocalMountPath": "/mnt/a"}],
    "LoggingConfig": {"LogFormat": "JSON", "LogGroup": "/aws/lambda/f"},
    "SnapStart": {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"},
    "Layers": [{"Arn": "arn:aws:lambda:eu-west-1:123456789012:layer:l:7", "CodeSize": 1}],
}  # fmt: skip
AROUND: dict[str, dict[str, Any]] = {
    "get_function_event_invoke_config": {
        "FunctionArn": ARN, "MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60,
        "DestinationConfig": {"OnSuccess": {}, "OnFailure": {"Destination": "arn:aws:sqs:eu-west-1:1:failed"}},
    },
    "get_function_url_config": {
        "FunctionUrl": "https://old.lambda-url", "AuthType": "AWS_IAM", "InvokeMode": "BUFFERED", "CreationTime": "x",
    },
    "get_function_code_signing_config": {"CodeSigningConfigArn": "csc-1", "FunctionName": "f"},
    "get_runtime_management_config": {"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": "rt-1", "FunctionArn": ARN},
    "get_function_recursion_config": {"RecursiveLoop": "Allow"},
    "get_policy": {"Policy": json.dumps({"Statement": []})},
    "list_aliases": {
        "Aliases": [
            {"Name": "live", "FunctionVersion": "2", "Description": "d"}, {"Name": "old", "FunctionVersion": "1"},
            {"Name": "dev", "FunctionVersion": "$LATEST"},
        ]
    },
    "list_versions_by_function": {
        "Versions": [
            {"Version": "$LATEST", "CodeSha256": "latest"}, {"Version": "1", "CodeSha256": "before"},
            {"Version": "2", "CodeSha256": "latest"},
        ]
    },
    "list_provisioned_concurrency_configs": {
        "ProvisionedConcurrencyConfigs": [
            {"FunctionArn": f"{ARN}:live", "RequestedProvisionedConcurrentExecutions": 3},
            {"FunctionArn": f"{ARN}:old", "RequestedProvisionedConcurrentExecutions": 5},
        ]
    },
}  # fmt: skip


def _error(code: str, operation: str, message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


class Lambda:
    """A Lambda API with one function, or none. fails: code of the error that an operation ends with, by its name."""

    def __init__(self, function: dict[str, Any] | None = None, **fails: str) -> None:
        self.function = function
        self.fails = fails
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.refused: set[str] = set()

    def called(self, name: str) -> list[dict[str, Any]]:
        return [arguments for one, arguments in self.calls if one == name]

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            self.calls.append((name, arguments))
            operation = "".join(part.capitalize() for part in name.split("_"))
            if name in self.fails:
                raise _error(self.fails[name], operation)
            if self.refused & set(arguments):
                raise _error("InvalidParameterValueException", operation, "the subnet is not there")
            return self._answer(name, arguments)

        return call

    def _answer(self, name: str, arguments: dict[str, Any]) -> Any:
        if name == "get_function":
            if self.function is None:
                raise _error("ResourceNotFoundException", "GetFunction")
            return {**self.function, "ResponseMetadata": {}}
        if name == "create_function":
            given = {key: value for key, value in arguments.items() if key not in {"Code", "Tags"}}
            if "Layers" in given:
                given["Layers"] = [{"Arn": arn} for arn in given["Layers"]]
            self.function = {"Configuration": {"FunctionArn": ARN, **given}, "Tags": arguments.get("Tags", {})}
        if name == "untag_resource":
            assert self.function is not None
            for key in arguments["TagKeys"]:
                self.function["Tags"].pop(key)
        if name == "publish_version":
            return {"Version": "3"}
        return AROUND.get(name, {})

    def get_paginator(self, operation: str) -> Any:
        client = self

        class Paginator:
            def paginate(self, **arguments: Any) -> Iterator[Any]:
                yield getattr(client, operation)(**arguments)

        return Paginator()

    def get_waiter(self, name: str) -> Any:
        class Waiter:
            def wait(self, **_: Any) -> None: ...

        return Waiter()


def _old() -> Lambda:
    return Lambda(
        {
            "Configuration": CONFIGURATION, "Code": {"Location": "https://code"},
            "Tags": {"team": "a", "aws:stack": "x"}, "Concurrency": {"ReservedConcurrentExecutions": 0},
        }
    )  # fmt: skip


def _record(**changed: Any) -> dict[str, Any]:
    return {"kind": "function", "name": "f", "function": {**read_function(_old(), "f"), **changed}, "code_zip": CODE}


def test_all_that_can_be_set_is_as_it_was() -> None:
    client = Lambda()
    outcome, lost = make_function(client, _record())
    assert outcome == "made"
    [created] = client.called("create_function")
    told = {
        "Runtime", "Role", "Handler", "Timeout", "MemorySize", "PackageType", "Architectures", "EphemeralStorage",
        "Environment", "DeadLetterConfig", "TracingConfig", "KMSKeyArn", "FileSystemConfigs", "LoggingConfig",
    }  # fmt: skip
    assert {key: created[key] for key in told} == {key: CONFIGURATION[key] for key in told}
    assert created["VpcConfig"] == {
        "SubnetIds": ["s-1"], "SecurityGroupIds": ["g-1"], "Ipv6AllowedForDualStack": False,
    }  # fmt: skip
    assert created["SnapStart"] == {"ApplyOn": "PublishedVersions"}
    assert created["Layers"] == ["arn:aws:lambda:eu-west-1:123456789012:layer:l:7"]
    assert created["Code"] == {"ZipFile": b"zip"}
    assert client.called("put_function_concurrency") == [{"FunctionName": "f", "ReservedConcurrentExecutions": 0}]
    assert client.called("put_function_event_invoke_config") == [
        {
            "FunctionName": "f", "MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60,
            "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:eu-west-1:1:failed"}},
        }
    ]  # fmt: skip
    assert client.called("put_function_code_signing_config")[0]["CodeSigningConfigArn"] == "csc-1"
    assert client.called("put_runtime_management_config")[0]["RuntimeVersionArn"] == "rt-1"
    assert client.called("put_function_recursion_config")[0]["RecursiveLoop"] == "Allow"
    [url] = client.called("create_function_url_config")
    assert url == {"FunctionName": "f", "AuthType": "AWS_IAM", "InvokeMode": "BUFFERED"}
    aliases = {one["Name"]: one["FunctionVersion"] for one in client.called("create_alias")}
    assert aliases == {"live": "3", "dev": "$LATEST"}
    assert client.called("put_provisioned_concurrency_config") == [
        {"FunctionName": "f", "Qualifier": "live", "ProvisionedConcurrentExecutions": 3}
    ]
    assert client.called("update_function_configuration") == []
    assert client.function is not None
    assert client.function["Tags"] == {"team": "a"}  # neither our mark nor what AWS alone may set
    assert lost == [
        "the address of its function URL, https://old.lambda-url",
        "alias old, of version 1",
        "provisioned concurrency 5 of old",
        "versions 1, 2",
    ]


def test_what_is_gone_in_between_does_not_keep_the_function_away() -> None:
    client = Lambda()
    client.refused = {"VpcConfig"}
    outcome, lost = make_function(client, _record())
    assert outcome == "made"
    assert lost[0] == "VpcConfig (InvalidParameterValueException: the subnet is not there)"
    set_apart = {key for one in client.called("update_function_configuration") for key in one} - {"FunctionName"}
    assert {"VpcConfig", "Layers", "DeadLetterConfig", "KMSKeyArn", "TracingConfig"} <= set_apart


def test_a_restore_that_was_killed_goes_on_with_its_function_and_no_other() -> None:
    client = Lambda(put_function_concurrency="TooManyRequestsException")
    record = _record()
    _, lost = make_function(client, record)
    assert "reserved concurrency 0 (TooManyRequestsException: no)" in lost
    # It has no mark any more: it is somebody's.
    client.calls.clear()
    assert make_function(client, record) == ("there already", [])
    assert {name for name, _ in client.calls} == {"get_function"}
    # Killed right behind its making.
    assert client.function is not None
    client.function["Tags"][MARK] = "1"
    client.fails = {}
    outcome, lost = make_function(client, record)
    assert (outcome, client.called("create_function")) == ("made", [])
    assert client.called("put_function_concurrency")
    assert MARK not in client.function["Tags"]


def test_an_export_of_before_can_still_be_read() -> None:
    """It has GetFunction's answer only."""
    client = Lambda()
    record = _record()
    for key in ("around", "unasked"):
        del record["function"][key]
    assert make_function(client, record) == ("made", [])
    assert client.called("put_function_concurrency")


def test_a_role_that_has_no_permissions_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions.time, "sleep", lambda _: None)
    client = Lambda()
    real, tried = client._answer, 0

    def answer(name: str, arguments: dict[str, Any]) -> Any:
        nonlocal tried
        if name == "create_function":
            tried += 1
            if tried < 3:
                said = "The provided execution role does not have permissions to call CreateNetworkInterface on EC2"
                raise _error("InvalidParameterValueException", "CreateFunction", said)
        return real(name, arguments)

    monkeypatch.setattr(client, "_answer", answer)
    make_function(client, _record())
    assert tried == 3
    assert "VpcConfig" in client.called("create_function")[-1]


def test_what_may_not_be_read_keeps_the_function_from_being_deleted() -> None:
    client = _old()
    client.fails = {"get_function_url_config": "AccessDeniedException"}
    with pytest.raises(MigrateError) as refused:
        read_function(client, "f")
    assert "GetFunctionUrlConfig" in str(refused.value.hint)
    client.fails = {}
    assert client.function is not None
    broken = {"Environment": {"Error": {"ErrorCode": "AccessDeniedException"}}}
    client.function = {**client.function, "Configuration": {**CONFIGURATION, **broken}}
    with pytest.raises(MigrateError, match="environment"):
        read_function(client, "f")


def test_what_a_region_does_not_have_is_said() -> None:
    client = _old()
    client.fails = {
        "get_function_recursion_config": "UnknownOperationException",
        "get_function_event_invoke_config": "ResourceNotFoundException",
    }
    kept = read_function(client, "f")
    assert kept["unasked"] == ["recursion"]
    again = Lambda()
    _, lost = make_function(again, {"name": "f", "function": kept, "code_zip": CODE})
    assert lost[-1] == "recursion (could not be looked at before it was deleted)"
    assert again.called("put_function_event_invoke_config") == []


# What stands around it ----------------------------------------------------------------------------------------------


CONFIG = Config(Settings(project=Project(name="p"), api=Api(id="abc", stage="prod", region=REGION)), Path("m.toml"))


def test_a_role_keeps_its_boundary(aws: None) -> None:
    """Without it, the role that comes back may do more than the one that went."""
    iam = boto3.client("iam", REGION)
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    boundary = iam.create_policy(PolicyName="b", PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    trust = {"Version": "2012-10-17", "Statement": []}
    record = {
        "kind": "role", "name": "r",
        "facts": {"Path": "/", "AssumeRolePolicyDocument": trust, "attached": [], "inline": {}},
        "role": {
            "Description": "d", "MaxSessionDuration": 7200, "PermissionsBoundary": {"PermissionsBoundaryArn": boundary},
            "Tags": [{"Key": "team", "Value": "a"}, {"Key": "aws:cloudformation:stack-name", "Value": "s"}],
        },
    }  # fmt: skip
    restore(CONFIG, [Page("f", (record,))], set(), lambda _: None)
    role = iam.get_role(RoleName="r")["Role"]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    assert (role["Description"], role["MaxSessionDuration"]) == ("d", 7200)
    assert role["Tags"] == [{"Key": "team", "Value": "a"}]


def test_a_mapping_keeps_its_filter_and_finds_the_stream_of_the_table_that_was_made_again(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    dynamodb = boto3.client("dynamodb", REGION)
    dynamodb.create_table(
        TableName="t", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )  # fmt: skip
    stream = dynamodb.describe_table(TableName="t")["Table"]["LatestStreamArn"]
    old = f"{stream.rpartition('/')[0]}/2020-01-01T00:00:00.000"
    client = Lambda()
    monkeypatch.setattr(client, "list_event_source_mappings", lambda **_: {"EventSourceMappings": []}, raising=False)
    real = Config.client
    monkeypatch.setattr(Config, "client", lambda self, name: client if name == "lambda" else real(self, name))
    facts = {"UUID": "u", "FunctionName": "f", "EventSourceArn": old, "BatchSize": 10, "FunctionResponseTypes": []}
    record = {
        "kind": "event-source", "name": "u", "facts": facts,
        "mapping": {
            **facts, "StartingPosition": "TRIM_HORIZON", "FilterCriteria": {"Filters": [{"Pattern": "{}"}]},
            "DestinationConfig": {"OnFailure": {}}, "State": "Disabled", "MaximumRetryAttempts": 0, "LastModified": "x",
        },
    }  # fmt: skip
    [made] = restore(CONFIG, [Page("f", (record,))], set(), lambda _: None)
    assert made.note == "with another UUID; it is disabled, as it was"
    assert client.called("create_event_source_mapping") == [
        {
            "FunctionName": "f", "EventSourceArn": stream, "Enabled": False, "BatchSize": 10,
            "StartingPosition": "TRIM_HORIZON", "FilterCriteria": {"Filters": [{"Pattern": "{}"}]},
            "MaximumRetryAttempts": 0,
        }
    ]  # fmt: skip
