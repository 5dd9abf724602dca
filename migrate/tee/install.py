"""Put the tee onto deployed Lambdas, and take it off again: configuration only, no code is touched. until phase 3

Both directions can run twice and be stopped at any point: the original handler is kept in the function's own
environment (WS2SSE_TEE_HANDLER), written by the same call that redirects it; and what is there is looked for piece by
piece (handler, layer, variables, policy), not taken from a single sign. Where a state table is given, the function's
whole configuration is kept there before the first change, and compared after the last one: what is not as it was then
(somebody's own change in between) is told, not undone.

The functions are somebody's own. All of them are looked at before the first is changed, and a change is made only to
the very revision that was looked at (RevisionId), so nobody's change is lost.

Sources: UpdateFunctionConfiguration, GetFunctionConfiguration and EnvironmentResponse (AWS Lambda API reference).
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from migrate.tee.errors import FunctionBusyError, UnsuitableFunctionError

__all__ = [
    "InstalledTee",
    "RemovedTee",
    "Snapshots",
    "TeeSettings",
    "functions_of_api",
    "install_tee",
    "is_installed",
    "name_of",
    "remove_tee",
]

LAYER_NAME = "ws2sse-tee"
# An API's own; the name of a queue may have 80 characters.
QUEUE_NAME = "ws2sse-tee-{api_id}.fifo"
# An API's own as well: functions of two APIs may share a role.
POLICY_NAME = "ws2sse-tee-{api_id}"
HANDLER = "ws2sse_tee.handler"
_OURS = "WS2SSE_TEE_"
_HANDLER, _QUEUE_URL, _API_ID = _OURS + "HANDLER", _OURS + "QUEUE_URL", _OURS + "API_ID"
_ROLE, _USER, _TENANT = _OURS + "ROLE", _OURS + "USER", _OURS + "TENANT"
# Set by hand, by whoever wants other limits; they go with the tee.
_TUNING = (_OURS + "TIMEOUT_S", _OURS + "PAUSE_S")
# The layer's source is Python 3.9, and today's Node.js.
_OLDEST_PYTHON = 9
_OLDEST_NODE = 16
# A layer names at most 15 runtimes (PublishLayerVersion, CompatibleRuntimes).
_RUNTIMES = [
    *(f"python3.{minor}" for minor in range(_OLDEST_PYTHON, 15)),
    *(f"nodejs{major}.x" for major in range(_OLDEST_NODE, 25, 2)),
]
# What changes with every change, whoever makes it, and what the function's own state is.
_PASSING = ("RevisionId", "LastModified", "ResponseMetadata")
_STATE = ("State", "LastUpdateStatus")
_MAX_LAYERS = 5
# How long records a dead bridge had received stay hidden from the next one, seconds. A batch that takes longer is seen
# twice, which is harmless: publishing is idempotent by key.
VISIBILITY_S = 10
RETENTION_S = 14 * 24 * 3600
# The waiter's own second between two looks would be most of the time this takes.
_OFTEN = {"Delay": 0.1, "MaxAttempts": 600}
# How often a change is worked out anew after somebody else's came first.
_ATTEMPTS = 3
_FUNCTION_IN_URI = re.compile(r"functions/(arn:[^/]+)/invocations")


@dataclass(frozen=True)
class InstalledTee:
    """Where the records go, which functions send them, and which of them were changed for it now."""

    queue_url: str
    functions: tuple[str, ...]
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class RemovedTee:
    """What taking it off came to.

    Args:
        changed: functions that were changed.
        different: function -> what is not as it was before the tee came; only of functions with a snapshot.
    """

    changed: tuple[str, ...]
    different: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class TeeSettings:
    """How an API's functions are copied.

    Args:
        answering: those of them that post without standing behind a route (role "answer").
        user, tenant: names of the user's and the tenant's id in the authorizer's context.
    """

    answering: frozenset[str] = frozenset()
    user: str = "userId"
    tenant: str = "tenantId"

    def variables(self, function: str) -> dict[str, str]:
        """Those of the tee that differ from its defaults."""
        found = {_ROLE: "answer"} if name_of(function) in map(name_of, self.answering) else {}
        if self.user != "userId":
            found[_USER] = self.user
        if self.tenant != "tenantId":
            found[_TENANT] = self.tenant
        return found


class Snapshots(Protocol):
    """Where configurations are kept (`migrate.tee.consumers`)."""

    def save(self, function: str, configuration: Mapping[str, Any]) -> None:
        """Keep one unless there is one already."""

    def read(self, function: str) -> dict[str, Any] | None:
        """The one that was kept."""

    def forget(self, function: str) -> None:
        """Delete it."""


def functions_of_api(apigatewayv2: Any, api_id: str) -> list[str]:
    """ARNs of the Lambdas behind an API's routes (not its authorizers), sorted."""
    arns: set[str] = set()
    for page in apigatewayv2.get_paginator("get_integrations").paginate(ApiId=api_id):
        for integration in page["Items"]:
            match = _FUNCTION_IN_URI.search(integration.get("IntegrationUri", ""))
            if match:
                arns.add(match.group(1))
    return sorted(arns)


def is_installed(lambda_: Any, name: str) -> bool:
    """Whether the function's handler is the tee's."""
    return bool(lambda_.get_function_configuration(FunctionName=name)["Handler"] == HANDLER)


def layer_zip() -> bytes:
    """The layer's archive; the same bytes every time, so that an unchanged tee publishes no new version."""
    folder = Path(__file__).parent / "layer"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        # Where Lambda looks for modules of a layer (AWS Lambda guide, "Packaging your layer content").
        for place, source in (
            ("python/ws2sse_tee.py", "ws2sse_tee.py"),
            ("nodejs/node_modules/ws2sse_tee/index.js", "ws2sse_tee/index.js"),
        ):
            info = zipfile.ZipInfo(place, date_time=(1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            archive.writestr(info, (folder / source).read_bytes())
    return buffer.getvalue()


def install_tee(
    client: Callable[[str], Any],
    functions: Iterable[str],
    api_id: str,
    settings: TeeSettings | None = None,
    snapshots: Snapshots | None = None,
) -> InstalledTee:
    """Create the queue and the layer where they are missing, and redirect the functions' handlers.

    Args:
        client: makes a boto3 client of a service.
        functions: ARNs or names of the API's functions.
        api_id: the API whose invocations are copied; it has a queue of its own.
        settings: see TeeSettings.
        snapshots: keeps what each function was like before.

    Raises:
        UnsuitableFunctionError: one of them cannot have the tee; none has been changed.
        FunctionBusyError: somebody else keeps changing one of them.
    """
    lambda_, sqs, iam = client("lambda"), client("sqs"), client("iam")
    names = tuple(functions)
    settings = settings or TeeSettings()
    found = {name: _read(lambda_, name) for name in names}
    for name, configuration in found.items():
        _check_suitable(name, configuration)
        _check_free(client("apigatewayv2"), name, configuration, api_id)
    queue_url = sqs.create_queue(
        QueueName=QUEUE_NAME.format(api_id=api_id),
        Attributes={
            "FifoQueue": "true",
            "DeduplicationScope": "messageGroup",
            "FifoThroughputLimit": "perMessageGroupId",
            "VisibilityTimeout": str(VISIBILITY_S),
            "MessageRetentionPeriod": str(RETENTION_S),
        },
    )["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    layer_arn = _ensure_layer(lambda_)
    for role in sorted({_role_name(configuration) for configuration in found.values()}):
        _allow(iam, role, api_id, queue_arn)

    def redirected(name: str, configuration: dict[str, Any]) -> dict[str, Any]:
        _check_suitable(name, configuration)
        wanted = {_QUEUE_URL: queue_url, _API_ID: api_id, **settings.variables(name)}
        changes = _redirected(configuration, layer_arn, wanted)
        if changes and snapshots is not None and configuration["Handler"] != HANDLER:
            snapshots.save(name, _lasting(configuration))
        return changes

    changed = [name for name in names if _change(lambda_, name, found[name], redirected)]
    # Lambda applies a change in the background: all of them at the same time.
    for name in names:
        _wait_updated(lambda_, name)
    return InstalledTee(queue_url=queue_url, functions=names, changed=tuple(changed))


def remove_tee(
    client: Callable[[str], Any], functions: Iterable[str], snapshots: Snapshots | None = None
) -> RemovedTee:
    """Take the tee off: handler, layer, variables and policy, each where it is the tee's.

    A function that is gone has nothing to take off. The queue stays, with what nobody has read yet.

    Raises:
        UnsuitableFunctionError: a function's own handler is not known; none has been changed.
        FunctionBusyError: somebody else keeps changing one of them.
    """
    lambda_, iam = client("lambda"), client("iam")
    found = {}
    for name in functions:
        try:
            found[name] = _read(lambda_, name)
        except UnsuitableFunctionError:
            continue
    before = {name: snapshots.read(name) if snapshots is not None else None for name in found}

    def restored(name: str, configuration: dict[str, Any]) -> dict[str, Any]:
        return _restored(name, configuration, before[name])

    for name, configuration in found.items():
        restored(name, configuration)
    changed = [name for name, configuration in found.items() if _change(lambda_, name, configuration, restored)]
    for name in changed:
        _wait_updated(lambda_, name)
    _disallow(lambda_, iam, {configuration["Role"] for configuration in found.values()})
    different: dict[str, tuple[str, ...]] = {}
    for name, kept in before.items():
        if kept is None or snapshots is None:
            continue
        # Lambda's answer to the change may be older than the change: what counts is what it says now.
        if differing := _differing(kept, _lasting(_read(lambda_, name))):
            different[name] = differing
        snapshots.forget(name)
    return RemovedTee(tuple(changed), different)


def name_of(function: str) -> str:
    """The name of a function given by its ARN (with or without a version) or its name."""
    return function.partition(":function:")[2].partition(":")[0] or function


def _lasting(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what differs from one answer to the next."""
    return {key: value for key, value in configuration.items() if key not in _PASSING and not key.startswith(_STATE)}


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """What is not as it was. No environment and an empty one are the same to a function, as are no layers and none."""
    empty: tuple[Any, ...] = (None, [], {}, {"Variables": {}})
    names = sorted({*before, *now})
    return tuple(
        name
        for name in names
        if json.dumps(before.get(name)) != json.dumps(now.get(name))
        and not (before.get(name) in empty and now.get(name) in empty)
    )


def _read(lambda_: Any, name: str) -> dict[str, Any]:
    """The function's configuration once no change to it is in progress: the next one would be refused."""
    try:
        configuration: dict[str, Any] = lambda_.get_function_configuration(FunctionName=name)
        if configuration.get("LastUpdateStatus") == "InProgress" or configuration.get("State") == "Pending":
            _wait_updated(lambda_, name)
            configuration = lambda_.get_function_configuration(FunctionName=name)
    except lambda_.exceptions.ResourceNotFoundException as error:
        raise UnsuitableFunctionError(
            name, "there is no such function", "an integration of the API calls it: correct or delete the integration"
        ) from error
    return configuration


def _check_suitable(name: str, configuration: dict[str, Any]) -> None:
    _check_unpublished(name, configuration)
    runtime = configuration.get("Runtime", "")
    python, node = re.fullmatch(r"python3\.(\d+)", runtime), re.fullmatch(r"nodejs(\d+)\.x", runtime)
    if configuration.get("PackageType") == "Image":
        raise UnsuitableFunctionError(
            name, "it is a container image, which takes no layer", "deploy it from a zip archive to have it copied"
        )
    is_python = python is not None and int(python.group(1)) >= _OLDEST_PYTHON
    if not is_python and (node is None or int(node.group(1)) < _OLDEST_NODE):
        raise UnsuitableFunctionError(
            name,
            f"its runtime is {runtime or 'unknown'}, and the tee is written in Python and JavaScript",
            f"functions with a runtime of python3.{_OLDEST_PYTHON} or nodejs{_OLDEST_NODE}.x, or newer, can have it",
        )
    variables = _variables(name, configuration)
    if configuration["Handler"] == HANDLER:
        _own_handler(name, variables)
    if len(_layers_without_tee(configuration)) >= _MAX_LAYERS:
        raise UnsuitableFunctionError(
            name,
            f"it has {_MAX_LAYERS} layers already",
            "put two of its layers together: the tee needs one of the five",
        )


def _check_unpublished(name: str, configuration: dict[str, Any]) -> None:
    if configuration.get("Version", "$LATEST") != "$LATEST":
        raise UnsuitableFunctionError(
            name,
            f"the API calls its published version {configuration['Version']}, which cannot be changed",
            "let the API's integration call the function itself ($LATEST) while the bridge is used",
        )


def _check_free(apigatewayv2: Any, name: str, configuration: dict[str, Any], api_id: str) -> None:
    """The function does not copy to another API's queue, or did so for an API that does not call it any more."""
    other = _variables(name, configuration).get(_API_ID, api_id)
    if other == api_id:
        return
    try:
        called = functions_of_api(apigatewayv2, other)
    except apigatewayv2.exceptions.NotFoundException:
        return
    if configuration["FunctionArn"] in called:
        raise UnsuitableFunctionError(
            name,
            f"it copies to the queue of API {other}, which calls it as well",
            f"take the tee of API {other} off first: a function can copy for one API only",
        )


def _variables(name: str, configuration: dict[str, Any]) -> dict[str, str]:
    """The function's environment. It is replaced as a whole, so one that cannot be read must not be written."""
    environment = configuration.get("Environment") or {}
    if environment.get("Error"):
        raise UnsuitableFunctionError(
            name,
            f"its environment cannot be read ({environment['Error'].get('ErrorCode', 'no reason given')})",
            "you need kms:Decrypt on the key that its environment is encrypted with",
        )
    return dict(environment.get("Variables", {}))


def _own_handler(name: str, variables: dict[str, str]) -> str:
    handler = variables.get(_HANDLER, HANDLER)
    if handler == HANDLER:
        raise UnsuitableFunctionError(
            name,
            f"its handler is the tee's, and {_HANDLER}, which names its own, is missing",
            f"give it its own back: aws lambda update-function-configuration --function-name {name} --handler ...",
        )
    return handler


def _redirected(configuration: dict[str, Any], layer_arn: str, settings: dict[str, str]) -> dict[str, Any]:
    """What to change so that the tee is in front of the function's own handler; empty when it is."""
    name, handler = configuration["FunctionName"], configuration["Handler"]
    variables = _variables(name, configuration)
    own = _own_handler(name, variables) if handler == HANDLER else handler
    others = {key: value for key, value in variables.items() if not key.startswith(_OURS) or key in _TUNING}
    wanted = {
        "Handler": HANDLER,
        "Layers": [*_layers_without_tee(configuration), layer_arn],
        "Environment": {"Variables": {**others, **settings, _HANDLER: own}},
    }
    now = {"Handler": handler, "Layers": _layers(configuration), "Environment": {"Variables": variables}}
    return {} if now == wanted else wanted


def _restored(name: str, configuration: dict[str, Any], before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What to change so that nothing of the tee is left on the function; empty when nothing is.

    Args:
        before: what it was like; variables that it had then keep their order.
    """
    environment = configuration.get("Environment") or {}
    if environment.get("Error") and configuration["Handler"] != HANDLER:
        # Not to be read, so not to be written either: the variables mean nothing without the handler.
        variables = {}
    else:
        variables = _variables(name, configuration)
    changes: dict[str, Any] = {}
    if configuration["Handler"] == HANDLER:
        changes["Handler"] = _own_handler(name, variables)
    if _layers_without_tee(configuration) != _layers(configuration):
        changes["Layers"] = _layers_without_tee(configuration)
    own = {key: value for key, value in variables.items() if not key.startswith(_OURS)}
    if own != variables:
        order = ((before or {}).get("Environment") or {}).get("Variables") or {}
        first = {key: own[key] for key in order if key in own}
        changes["Environment"] = {"Variables": {**first, **own}}
    if changes:
        _check_unpublished(name, configuration)
    return changes


def _change(
    lambda_: Any,
    name: str,
    configuration: dict[str, Any],
    changes_of: Callable[[str, dict[str, Any]], dict[str, Any]],
) -> bool:
    """Change the function unless nothing is to be changed; worked out anew when somebody else's change came first."""
    for _ in range(_ATTEMPTS):
        changes = changes_of(name, configuration)
        if not changes:
            return False
        if "RevisionId" in configuration:
            changes["RevisionId"] = configuration["RevisionId"]
        try:
            lambda_.update_function_configuration(FunctionName=name, **changes)
        except (lambda_.exceptions.PreconditionFailedException, lambda_.exceptions.ResourceConflictException):
            configuration = _read(lambda_, name)
        else:
            return True
    raise FunctionBusyError(name)


def _layers(configuration: dict[str, Any]) -> list[str]:
    return [layer["Arn"] for layer in configuration.get("Layers", [])]


def _layers_without_tee(configuration: dict[str, Any]) -> list[str]:
    return [arn for arn in _layers(configuration) if f":layer:{LAYER_NAME}:" not in arn]


def _role_name(configuration: dict[str, Any]) -> str:
    return str(configuration["Role"]).rsplit("/", 1)[-1]


def _ensure_layer(lambda_: Any) -> str:
    archive = layer_zip()
    description = f"sha256 {hashlib.sha256(archive).hexdigest()}"
    for page in lambda_.get_paginator("list_layer_versions").paginate(LayerName=LAYER_NAME):
        for version in page["LayerVersions"]:
            if version.get("Description") == description:
                return str(version["LayerVersionArn"])
    published = lambda_.publish_layer_version(
        LayerName=LAYER_NAME,
        Description=description,
        Content={"ZipFile": archive},
        CompatibleRuntimes=_RUNTIMES,
    )
    return str(published["LayerVersionArn"])


def _allow(iam: Any, role: str, api_id: str, queue_arn: str) -> None:
    iam.put_role_policy(
        RoleName=role,
        PolicyName=POLICY_NAME.format(api_id=api_id),
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Action": ["sqs:SendMessage", "sqs:GetQueueAttributes"],
                        "Resource": queue_arn,
                    }
                ],
            }
        ),
    )


def _disallow(lambda_: Any, iam: Any, roles: set[str]) -> None:
    """Delete the tee's policies of these roles that no function needs any more: functions may share a role."""
    prefix = POLICY_NAME.format(api_id="")
    policies: list[tuple[str, str, str]] = []
    for role in sorted(roles):
        role_name = role.rsplit("/", 1)[-1]
        try:
            for page in iam.get_paginator("list_role_policies").paginate(RoleName=role_name):
                policies += [(role, role_name, policy) for policy in page["PolicyNames"] if policy.startswith(prefix)]
        except iam.exceptions.NoSuchEntityException:
            continue  # the role is gone, and its policies with it
    if not policies:
        return
    needed = set()
    for page in lambda_.get_paginator("list_functions").paginate():
        for configuration in page["Functions"]:
            if configuration["Role"] in roles and configuration.get("Handler") == HANDLER:
                variables = (configuration.get("Environment") or {}).get("Variables", {})
                needed.add((configuration["Role"], variables.get(_API_ID)))
    for role, role_name, policy in policies:
        # Whose tee it is cannot be told when the variables cannot be read: then it is left to work.
        if (role, policy[len(prefix) :]) not in needed and (role, None) not in needed:
            iam.delete_role_policy(RoleName=role_name, PolicyName=policy)


def _wait_updated(lambda_: Any, name: str) -> None:
    lambda_.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=_OFTEN)
