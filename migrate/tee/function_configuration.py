"""A function's configuration with the tee and without it: what to change, and what cannot be. Pure. until phase 3

What is there is looked for piece by piece (handler, layer, variables), not taken from a single sign; the function's own
handler is kept in its own environment (WS2SSE_TEE_HANDLER).

Sources: GetFunctionConfiguration and EnvironmentResponse (AWS Lambda API reference).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from migrate.tee.errors import UnsuitableFunctionError

__all__ = [
    "API_ID",
    "HANDLER",
    "LAYER_NAME",
    "OLDEST_NODE",
    "OLDEST_PYTHON",
    "QUEUE_URL",
    "TeeSettings",
    "check_suitable",
    "differing",
    "lasting",
    "name_of",
    "redirected",
    "restored",
    "role_name",
    "variables_of",
]

LAYER_NAME = "ws2sse-tee"
HANDLER = "ws2sse_tee.handler"
_OURS = "WS2SSE_TEE_"
_HANDLER, QUEUE_URL, API_ID = _OURS + "HANDLER", _OURS + "QUEUE_URL", _OURS + "API_ID"
_ROLE, _USER, _TENANT = _OURS + "ROLE", _OURS + "USER", _OURS + "TENANT"
# Set by hand, by whoever wants other limits; they go with the tee.
_TUNING = (_OURS + "TIMEOUT_S", _OURS + "PAUSE_S")
# The layer's source is Python 3.9, and today's Node.js.
OLDEST_PYTHON = 9
OLDEST_NODE = 16
# What changes with every change, whoever makes it, and what the function's own state is.
_PASSING = ("RevisionId", "LastModified", "ResponseMetadata")
_STATE = ("State", "LastUpdateStatus")
_MAX_LAYERS = 5

_Configuration = Mapping[str, Any]


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


def name_of(function: str) -> str:
    """The name of a function given by its ARN (with or without a version) or its name."""
    return function.partition(":function:")[2].partition(":")[0] or function


def role_name(configuration: _Configuration) -> str:
    """Of the role that the function runs as."""
    return str(configuration["Role"]).rsplit("/", 1)[-1]


def lasting(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what differs from one answer to the next."""
    return {key: value for key, value in configuration.items() if key not in _PASSING and not key.startswith(_STATE)}


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """What is not as it was. No environment and an empty one are the same to a function, as are no layers and none."""
    empty: tuple[Any, ...] = (None, [], {}, {"Variables": {}})
    names = sorted({*before, *now})
    return tuple(
        name
        for name in names
        if json.dumps(before.get(name)) != json.dumps(now.get(name))
        and not (before.get(name) in empty and now.get(name) in empty)
    )


def check_suitable(name: str, configuration: _Configuration) -> None:
    """Raises: UnsuitableFunctionError: the function cannot have the tee."""
    _check_unpublished(name, configuration)
    runtime = configuration.get("Runtime", "")
    python, node = re.fullmatch(r"python3\.(\d+)", runtime), re.fullmatch(r"nodejs(\d+)\.x", runtime)
    if configuration.get("PackageType") == "Image":
        raise UnsuitableFunctionError(
            name, "it is a container image, which takes no layer", "deploy it from a zip archive to have it copied"
        )
    is_python = python is not None and int(python.group(1)) >= OLDEST_PYTHON
    if not is_python and (node is None or int(node.group(1)) < OLDEST_NODE):
        raise UnsuitableFunctionError(
            name,
            f"its runtime is {runtime or 'unknown'}, and the tee is written in Python and JavaScript",
            f"functions with a runtime of python3.{OLDEST_PYTHON} or nodejs{OLDEST_NODE}.x, or newer, can have it",
        )
    variables = variables_of(name, configuration)
    if configuration["Handler"] == HANDLER:
        _own_handler(name, variables)
    if len(_layers_without_tee(configuration)) >= _MAX_LAYERS:
        raise UnsuitableFunctionError(
            name,
            f"it has {_MAX_LAYERS} layers already",
            "put two of its layers together: the tee needs one of the five",
        )


def redirected(configuration: _Configuration, layer_arn: str, settings: dict[str, str]) -> dict[str, Any]:
    """What to change so that the tee is in front of the function's own handler; empty when it is."""
    name, handler = configuration["FunctionName"], configuration["Handler"]
    variables = variables_of(name, configuration)
    own = _own_handler(name, variables) if handler == HANDLER else handler
    others = {key: value for key, value in variables.items() if not key.startswith(_OURS) or key in _TUNING}
    wanted = {
        "Handler": HANDLER,
        "Layers": [*_layers_without_tee(configuration), layer_arn],
        "Environment": {"Variables": {**others, **settings, _HANDLER: own}},
    }
    now = {"Handler": handler, "Layers": _layers(configuration), "Environment": {"Variables": variables}}
    return {} if now == wanted else wanted


def restored(name: str, configuration: _Configuration, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What to change so that nothing of the tee is left on the function; empty when nothing is.

    Args:
        before: what it was like; variables that it had then keep their order.
    """
    environment = configuration.get("Environment") or {}
    if environment.get("Error") and configuration["Handler"] != HANDLER:
        # Not to be read, so not to be written either: the variables mean nothing without the handler.
        variables = {}
    else:
        variables = variables_of(name, configuration)
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


def variables_of(name: str, configuration: _Configuration) -> dict[str, str]:
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


def _check_unpublished(name: str, configuration: _Configuration) -> None:
    if configuration.get("Version", "$LATEST") != "$LATEST":
        raise UnsuitableFunctionError(
            name,
            f"the API calls its published version {configuration['Version']}, which cannot be changed",
            "let the API's integration call the function itself ($LATEST) while the bridge is used",
        )


def _layers(configuration: _Configuration) -> list[str]:
    return [layer["Arn"] for layer in configuration.get("Layers", [])]


def _layers_without_tee(configuration: _Configuration) -> list[str]:
    return [arn for arn in _layers(configuration) if f":layer:{LAYER_NAME}:" not in arn]
