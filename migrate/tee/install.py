"""Put the tee onto deployed Lambdas, and take it off again: configuration only, no code is touched. until phase 3

Both directions can run twice and be stopped at any point: the original handler is kept in the function's own
environment, written by the same call that redirects it (migrate.tee.function_configuration). Where a state table is
given, the function's whole configuration is kept there before the first change, and compared after the last one: what
is not as it was then (somebody's own change in between) is told, not undone.

The functions are somebody's own. All of them are looked at before the first is changed, and a change is made only to
the very revision that was looked at (RevisionId), so nobody's change is lost.

Sources: UpdateFunctionConfiguration, GetFunctionConfiguration and EnvironmentResponse (AWS Lambda API reference).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from migrate.tee.errors import FunctionBusyError, UnsuitableFunctionError
from migrate.tee.function_configuration import (
    API_ID,
    HANDLER,
    QUEUE_URL,
    TeeSettings,
    check_suitable,
    differing,
    lasting,
    redirected,
    restored,
    role_name,
    variables_of,
)
from migrate.tee.layers import ensure_layer
from migrate.tee.policies import allow, disallow

__all__ = [
    "InstalledTee",
    "RemovedTee",
    "Snapshots",
    "functions_of_api",
    "install_tee",
    "is_installed",
    "remove_tee",
]

# An API's own; the name of a queue may have 80 characters.
QUEUE_NAME = "ws2sse-tee-{api_id}.fifo"
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
        check_suitable(name, configuration)
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
    layer_arn = ensure_layer(lambda_)
    for role in sorted({role_name(configuration) for configuration in found.values()}):
        allow(iam, role, api_id, queue_arn)

    def with_tee(name: str, configuration: dict[str, Any]) -> dict[str, Any]:
        check_suitable(name, configuration)
        wanted = {QUEUE_URL: queue_url, API_ID: api_id, **settings.variables(name)}
        changes = redirected(configuration, layer_arn, wanted)
        if changes and snapshots is not None and configuration["Handler"] != HANDLER:
            snapshots.save(name, lasting(configuration))
        return changes

    changed = [name for name in names if _change(lambda_, name, found[name], with_tee)]
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

    def without_tee(name: str, configuration: dict[str, Any]) -> dict[str, Any]:
        return restored(name, configuration, before[name])

    for name, configuration in found.items():
        without_tee(name, configuration)
    changed = [name for name, configuration in found.items() if _change(lambda_, name, configuration, without_tee)]
    for name in changed:
        _wait_updated(lambda_, name)
    disallow(lambda_, iam, {configuration["Role"] for configuration in found.values()})
    different: dict[str, tuple[str, ...]] = {}
    for name, kept in before.items():
        if kept is None or snapshots is None:
            continue
        # Lambda's answer to the change may be older than the change: what counts is what it says now.
        if changes := differing(kept, lasting(_read(lambda_, name))):
            different[name] = changes
        snapshots.forget(name)
    return RemovedTee(tuple(changed), different)


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


def _check_free(apigatewayv2: Any, name: str, configuration: dict[str, Any], api_id: str) -> None:
    """The function does not copy to another API's queue, or did so for an API that does not call it any more."""
    other = variables_of(name, configuration).get(API_ID, api_id)
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


def _wait_updated(lambda_: Any, name: str) -> None:
    lambda_.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=_OFTEN)
