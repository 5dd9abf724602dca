"""Ensure-steps of roles and Lambda functions. until phase 3"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from legacy_ws.aws import error_code
from legacy_ws.deploy.policies import TRUST
from legacy_ws.deploy.shapes import ARCHITECTURE, POLICY_NAME
from legacy_ws.deploy.spec import TAG, FunctionSpec, StackNames
from legacy_ws.deploy.steps import Action, wait_until
from legacy_ws.deploy.variables import TEE_PREFIX
from legacy_ws.errors import RefusedError, StepFailedError

__all__ = [
    "FunctionConfig",
    "configuration",
    "create_function",
    "ensure_function",
    "ensure_permission",
    "ensure_role",
    "ensure_role_policy",
    "is_ours",
    "own_configuration",
    "wait_active",
]

_ACTIVE_S = 120.0
# IAM is eventually consistent: Lambda may not be able to assume a role for some seconds after it was made.
_ROLE_PROPAGATION_S = 60.0


@dataclass(frozen=True)
class FunctionConfig:
    """What a function is made of, besides its spec."""

    role_arn: str
    runtime: str
    code: bytes
    environment: Mapping[str, str]


def ensure_role(client: Any, names: StackNames, function: FunctionSpec, found: Callable[[str], None]) -> Action:
    """The function's role exists and Lambda may assume it; its ARN goes to `found`.

    Raises: RefusedError: there is such a role, but it is not this stack's.
    """
    name = names.role(function)
    try:
        role = client.get_role(RoleName=name)["Role"]
    except client.exceptions.NoSuchEntityException:
        role = client.create_role(
            RoleName=name,
            Path=names.role_path,
            Description=f"{names.function(function)} of {names.stack}",
            AssumeRolePolicyDocument=json.dumps(TRUST),
            Tags=[{"Key": key, "Value": value} for key, value in names.tags.items()],
        )["Role"]
        found(role["Arn"])
        return "created"
    tags = {tag["Key"]: tag["Value"] for tag in client.list_role_tags(RoleName=name)["Tags"]}
    if tags.get(TAG) != names.stack:
        raise RefusedError(f"role {name} exists and is not part of stack {names.stack}", "choose another stack name")
    found(role["Arn"])
    if role["AssumeRolePolicyDocument"] != TRUST:
        client.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(TRUST))
        return "updated"
    return "unchanged"


def ensure_role_policy(client: Any, role: str, policy: Mapping[str, object]) -> Action:
    """The role's inline policy is exactly `policy`."""
    action: Action = "updated"
    try:
        if client.get_role_policy(RoleName=role, PolicyName=POLICY_NAME)["PolicyDocument"] == policy:
            return "unchanged"
    except client.exceptions.NoSuchEntityException:
        action = "created"
    client.put_role_policy(RoleName=role, PolicyName=POLICY_NAME, PolicyDocument=json.dumps(policy))
    return action


def ensure_function(
    client: Any,
    names: StackNames,
    function: FunctionSpec,
    config: FunctionConfig,
    found: Callable[[str], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Action:
    """The function exists with this code and configuration; its ARN goes to `found`.

    Raises: RefusedError: there is such a function, but it is not this stack's.
    """
    name = names.function(function)
    wanted = {
        "Role": config.role_arn,
        "Handler": function.handler,
        "Runtime": config.runtime,
        "Timeout": function.timeout_s,
        "MemorySize": function.memory_mb,
        "Environment": {"Variables": dict(config.environment)},
    }
    current = own_configuration(client, names, name)
    if current is None:
        created = create_function(
            client,
            config.code,
            sleep=sleep,
            FunctionName=name,
            Tags=names.tags,
            Architectures=[ARCHITECTURE],
            **wanted,
        )
        found(created["FunctionArn"])
        return "created"
    found(current["FunctionArn"])
    wanted = _beside_a_tee(wanted, current)
    changed = False
    if current["CodeSha256"] != base64.b64encode(hashlib.sha256(config.code).digest()).decode():
        wait_active(client, name, sleep=sleep)
        client.update_function_code(FunctionName=name, ZipFile=config.code)
        changed = True
    if any(_comparable(key, current.get(key)) != _comparable(key, value) for key, value in wanted.items()):
        # Lambda refuses a change while the one before is in progress.
        wait_active(client, name, sleep=sleep)
        client.update_function_configuration(FunctionName=name, **wanted)
        changed = True
    return "updated" if changed else "unchanged"


def wait_active(client: Any, name: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait until the function can be called. Raises: StepFailedError: it failed, or takes too long."""

    def active() -> bool:
        now = configuration(client, name) or {}
        if now.get("State") == "Failed" or now.get("LastUpdateStatus") == "Failed":
            reason = now.get("StateReason") or now.get("LastUpdateStatusReason") or "no reason given"
            raise StepFailedError(f"function {name}", str(reason))
        return now.get("State", "Active") in ("Active", "Inactive") and (
            now.get("LastUpdateStatus", "Successful") == "Successful"
        )

    wait_until(active, f"function {name}", timeout_s=_ACTIVE_S, sleep=sleep)


def ensure_permission(client: Any, name: str, statement_id: str, source_arn: str) -> Action:
    """API Gateway may call the function from `source_arn`, and from nowhere else under this statement."""
    action: Action = "created"
    for statement in _policy(client, name):
        if statement.get("Sid") == statement_id:
            if source_arn in json.dumps(statement.get("Condition", {})):
                return "unchanged"
            client.remove_permission(FunctionName=name, StatementId=statement_id)
            action = "updated"
    client.add_permission(
        FunctionName=name,
        StatementId=statement_id,
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
        SourceArn=source_arn,
    )
    return action


def configuration(client: Any, name: str) -> dict[str, Any] | None:
    """The function's configuration; None when there is none."""
    try:
        found: dict[str, Any] = client.get_function_configuration(FunctionName=name)
    except client.exceptions.ResourceNotFoundException:
        return None
    return found


def is_ours(client: Any, names: StackNames, function: FunctionSpec) -> bool:
    """Is there such a function of this stack? Raises: RefusedError: there is one, and it is not this stack's."""
    return own_configuration(client, names, names.function(function)) is not None


def own_configuration(client: Any, names: StackNames, name: str) -> dict[str, Any] | None:
    """`configuration` of one of the stack's functions. Raises: RefusedError: it is not this stack's."""
    current = configuration(client, name)
    if current and client.list_tags(Resource=current["FunctionArn"]).get("Tags", {}).get(TAG) != names.stack:
        raise RefusedError(
            f"function {name} exists and is not part of stack {names.stack}", "choose another stack name"
        )
    return current


def create_function(
    client: Any, code: bytes, *, sleep: Callable[[float], None] = time.sleep, **arguments: object
) -> dict[str, Any]:
    """CreateFunction, tried again for as long as its role has not reached Lambda yet."""
    waited_s, pause_s = 0.0, 0.5
    while True:
        try:
            created: dict[str, Any] = client.create_function(Code={"ZipFile": code}, **arguments)
        except client.exceptions.InvalidParameterValueException as error:
            if "assumed" not in str(error) or waited_s >= _ROLE_PROPAGATION_S:
                raise
            sleep(pause_s)
            waited_s += pause_s
            pause_s = min(pause_s * 2, 8.0)
        else:
            return created


def _beside_a_tee(wanted: dict[str, Any], current: Mapping[str, Any]) -> dict[str, Any]:
    """`wanted` for a function whose handler a tee has been put in front of: a deploy leaves it there.

    `migrate` puts it there and takes it away (its variables begin with WS2SSE_TEE_): dropping it in passing would end
    the delivery between both stacks without a word.
    """
    variables = _comparable("Environment", current.get("Environment"))
    if TEE_PREFIX + "HANDLER" not in variables:
        return wanted
    kept = {name: value for name, value in variables.items() if name.startswith(TEE_PREFIX)}
    kept[TEE_PREFIX + "HANDLER"] = wanted["Handler"]
    environment = {"Variables": {**wanted["Environment"]["Variables"], **kept}}
    return {**wanted, "Handler": current["Handler"], "Environment": environment}


def _comparable(key: str, value: Any) -> Any:
    if key == "Environment":
        return (value or {}).get("Variables", {})
    return value


def _policy(client: Any, name: str) -> list[dict[str, Any]]:
    try:
        policy = json.loads(client.get_policy(FunctionName=name)["Policy"])
    except client.exceptions.ClientError as error:
        if error_code(error) == "ResourceNotFoundException":
            return []
        raise
    statements: list[dict[str, Any]] = policy["Statement"]
    return statements
