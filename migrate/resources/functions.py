"""A Lambda function with all that belongs to it: read before it goes, made again from that. until phase 3 (MG12)

What cannot be had again: published versions other than the latest code (a version's number is never used twice, also
after the function was deleted), a function URL's address, statements of the policy that name the API that is gone.

A function whose restore was cut off has the tag `MARK`, so that the next run goes on with it and not with one that
somebody else made. Sources: AWS Lambda API reference (CreateFunction, GetFunction, GetFunctionEventInvokeConfig,
GetFunctionUrlConfig, GetFunctionRecursionConfig, GetRuntimeManagementConfig, PutFunctionConcurrency, ListAliases).
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from migrate.aws import is_missing
from migrate.errors import MigrateError

__all__ = ["MARK", "make_function", "read_function"]

MARK = "ws2sse:restoring"
WAIT_S = 90.0
_DENIED = {"AccessDeniedException", "AccessDenied", "UnauthorizedOperation"}
_LATEST = "$LATEST"

# What CreateFunction alone can set, and what an update can set as well.
_BASE = (
    "FunctionName", "Role", "Handler", "Runtime", "Description", "Timeout", "MemorySize", "Architectures",
    "EphemeralStorage", "PackageType", "TenancyConfig", "CapacityProviderConfig", "DurableConfig",
)  # fmt: skip
_APART = ("KMSKeyArn", "TracingConfig", "FileSystemConfigs", "LoggingConfig")
# What GetFunction does not tell.
_ASKED = {
    "event_invoke": "get_function_event_invoke_config",
    "url": "get_function_url_config",
    "code_signing": "get_function_code_signing_config",
    "runtime": "get_runtime_management_config",
    "recursion": "get_function_recursion_config",
    "policy": "get_policy",
}
_LISTED = {
    "aliases": ("list_aliases", "Aliases"),
    "versions": ("list_versions_by_function", "Versions"),
    "provisioned": ("list_provisioned_concurrency_configs", "ProvisionedConcurrencyConfigs"),
}


def read_function(client: Any, name: str) -> dict[str, Any]:
    """Everything about a function but its code: GetFunction's answer, and under `around` what else belongs to it.

    Raises: MigrateError: part of it may not be read, so that it could not be made again as it was.
    """
    found: dict[str, Any] = client.get_function(FunctionName=name)
    found.pop("ResponseMetadata", None)
    if "Error" in found["Configuration"].get("Environment", {}):
        raise MigrateError(
            f"function:{name}: its environment cannot be read",
            "it needs kms:Decrypt on the function's key; nothing was deleted",
        )
    around: dict[str, Any] = {}
    unasked: list[str] = []
    for key, operation in _ASKED.items():
        with _reading(name, key, unasked):
            answer = getattr(client, operation)(FunctionName=name)
            around[key] = {one: value for one, value in answer.items() if one != "ResponseMetadata"}
    for key, (operation, items) in _LISTED.items():
        with _reading(name, key, unasked):
            pages = client.get_paginator(operation).paginate(FunctionName=name)
            around[key] = [item for page in pages for item in page[items]]
    plain: dict[str, Any] = json.loads(json.dumps({**found, "around": around, "unasked": unasked}, default=str))
    return plain


@contextmanager
def _reading(name: str, key: str, unasked: list[str]) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] in _DENIED:
            raise MigrateError(
                f"function:{name}: {error.operation_name} is not allowed, and without it the function could not be "
                "made again as it was",
                f"it needs lambda:{error.operation_name}; nothing was deleted",
            ) from error
        if not is_missing(error):
            unasked.append(key)  # a region, or a stand-in for AWS, that does not have it


def make_function(client: Any, record: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Make it, or go on with one that a restore which was cut off has left.

    Returns: `made` or `there already`, and what is not as it was, in words.
    Raises: ClientError: AWS refused the function itself.
    """
    function, name = record["function"], record["name"]
    apart = _apart(function["Configuration"])
    there = _there(client, name)
    if there is not None and MARK not in (there.get("Tags") or {}):
        return "there already", []
    if there is None:
        _create(client, record, apart)
        there = client.get_function(FunctionName=name)
    lost: list[str] = []
    present = _apart(there["Configuration"])
    for key, value in apart.items():
        if present.get(key) != value:
            with _trying(key, lost):
                client.update_function_configuration(FunctionName=name, **{key: value})
                _wait(client, "function_updated_v2", name)
    _around(client, name, function, lost)
    client.untag_resource(Resource=there["Configuration"]["FunctionArn"], TagKeys=[MARK])
    return "made", lost


def _there(client: Any, name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = client.get_function(FunctionName=name)
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    return found


def _create(client: Any, record: Mapping[str, Any], apart: Mapping[str, Any]) -> None:
    function, configuration = record["function"], record["function"]["Configuration"]
    base = {key: configuration[key] for key in _BASE if configuration.get(key)}
    base["Environment"] = {"Variables": configuration.get("Environment", {}).get("Variables", {})}
    # Tags of AWS itself (CloudFormation's) are there to be read; nobody may set them (tagging guide, "aws:").
    own = {key: value for key, value in (function.get("Tags") or {}).items() if not key.startswith("aws:")}
    base["Tags"] = {**own, MARK: "1"}
    image = function.get("Code", {}).get("ImageUri")
    base["Code"] = {"ImageUri": image} if image else {"ZipFile": base64.b64decode(record["code_zip"])}
    try:
        _until_taken(lambda: client.create_function(**base, **apart))
    except ClientError:
        # A subnet, a layer, a queue of dead letters that is there no more: the function without it, which is then said.
        if not apart:
            raise
        _until_taken(lambda: client.create_function(**base))
    _wait(client, "function_active_v2", record["name"])


def _apart(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """What CreateFunction takes, from what GetFunction tells, without what is as it is by itself."""
    found = {key: configuration[key] for key in _APART if configuration.get(key)}
    if found.get("TracingConfig", {}).get("Mode") == "PassThrough":
        del found["TracingConfig"]
    vpc = configuration.get("VpcConfig") or {}
    if vpc.get("SubnetIds"):
        found["VpcConfig"] = {key: value for key, value in vpc.items() if key != "VpcId"}
    if (configuration.get("DeadLetterConfig") or {}).get("TargetArn"):
        found["DeadLetterConfig"] = {"TargetArn": configuration["DeadLetterConfig"]["TargetArn"]}
    if (configuration.get("SnapStart") or {}).get("ApplyOn", "None") != "None":
        found["SnapStart"] = {"ApplyOn": configuration["SnapStart"]["ApplyOn"]}
    if image := (configuration.get("ImageConfigResponse") or {}).get("ImageConfig"):
        found["ImageConfig"] = image
    if layers := [one["Arn"] for one in configuration.get("Layers") or ()]:
        found["Layers"] = layers
    return found


def _around(client: Any, name: str, function: Mapping[str, Any], lost: list[str]) -> None:
    around = function.get("around") or {}
    reserved = (function.get("Concurrency") or {}).get("ReservedConcurrentExecutions")
    if reserved is not None:  # 0 is one as well: nobody may call it
        with _trying(f"reserved concurrency {reserved}", lost):
            client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved)
    if (asked := around.get("event_invoke")) is not None:
        invoke = _some(asked, "MaximumRetryAttempts", "MaximumEventAgeInSeconds")
        if targets := {key: value for key, value in (asked.get("DestinationConfig") or {}).items() if value}:
            invoke["DestinationConfig"] = targets
        with _trying("event-invoke configuration", lost):
            client.put_function_event_invoke_config(FunctionName=name, **invoke)
    if signing := (around.get("code_signing") or {}).get("CodeSigningConfigArn"):
        with _trying("code signing", lost):
            client.put_function_code_signing_config(FunctionName=name, CodeSigningConfigArn=signing)
    runtime = _some(around.get("runtime"), "UpdateRuntimeOn", "RuntimeVersionArn")
    if runtime.get("UpdateRuntimeOn", "Auto") != "Auto":
        with _trying("runtime management", lost):
            client.put_runtime_management_config(FunctionName=name, **runtime)
    if (around.get("recursion") or {}).get("RecursiveLoop", "Terminate") != "Terminate":
        with _trying("recursion configuration", lost):
            client.put_function_recursion_config(FunctionName=name, RecursiveLoop=around["recursion"]["RecursiveLoop"])
    if url := _some(around.get("url"), "AuthType", "Cors", "InvokeMode"):
        with _trying("function URL", lost, there="ResourceConflictException"):
            client.create_function_url_config(FunctionName=name, **url)
            lost.append(f"the address of its function URL, {around['url'].get('FunctionUrl', '')}")
    _aliases(client, name, around, function["Configuration"].get("CodeSha256"), lost)
    lost += [f"{key} (could not be looked at before it was deleted)" for key in function.get("unasked") or ()]


def _aliases(client: Any, name: str, around: Mapping[str, Any], latest: object, lost: list[str]) -> None:
    """Those of the latest code; of other versions the code is not kept."""
    codes = {one["Version"]: one.get("CodeSha256") for one in around.get("versions") or ()}
    published = ""
    made = set()
    for alias in around.get("aliases") or ():
        version = alias["FunctionVersion"]
        if version != _LATEST and codes.get(version) != latest:
            lost.append(f"alias {alias['Name']}, of version {version}")
            continue
        if (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights"):
            lost.append(f"the weights of alias {alias['Name']}")
        with _trying(f"alias {alias['Name']}", lost, there="ResourceConflictException"):
            if version != _LATEST and not published:
                published = client.publish_version(FunctionName=name)["Version"]
            made.add(alias["Name"])
            client.create_alias(
                FunctionName=name, Name=alias["Name"], Description=alias.get("Description", ""),
                FunctionVersion=_LATEST if version == _LATEST else published,
            )  # fmt: skip
    for one in around.get("provisioned") or ():
        qualifier = str(one.get("FunctionArn", "")).rsplit(":", 1)[-1]
        count = one.get("RequestedProvisionedConcurrentExecutions")
        what = f"provisioned concurrency {count} of {qualifier}"
        if qualifier not in made:
            lost.append(what)
            continue
        with _trying(what, lost):
            client.put_provisioned_concurrency_config(
                FunctionName=name, Qualifier=qualifier, ProvisionedConcurrentExecutions=count
            )
    if numbers := [version for version in codes if version != _LATEST]:
        lost.append(f"versions {', '.join(numbers)}")


def _some(found: Mapping[str, Any] | None, *keys: str) -> dict[str, Any]:
    return {key: found[key] for key in keys if found.get(key) is not None} if found else {}


@contextmanager
def _trying(what: str, lost: list[str], there: str = "") -> Iterator[None]:
    """What AWS refuses of it is said; the function is made all the same. there: code of what is there already."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code != there:
            lost.append(f"{what} ({code}: {str(error.response['Error'].get('Message', ''))[:200]})")


def _wait(client: Any, waiter: str, name: str) -> None:
    # In a VPC the network interfaces take minutes.
    client.get_waiter(waiter).wait(FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 300})


def _until_taken(call: Callable[[], Any]) -> None:
    """A role that was made a moment ago cannot be assumed yet, nor has it its policies (IAM guide, "eventual
    consistency")."""
    end = time.monotonic() + WAIT_S
    while True:
        try:
            call()
        except ClientError as error:
            text = str(error.response["Error"].get("Message", ""))
            is_early = "cannot be assumed" in text or "role does not have permissions" in text
            if not is_early or time.monotonic() > end:
                raise
            time.sleep(2)
        else:
            return
