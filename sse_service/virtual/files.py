"""An API defined in a file, TOML or JSON, for teams without API Gateway.

id = "chat"                                   # apiId in events; default "virtual"
route_selection = "$request.body.action"      # the default

[authorizers.token]
handler = "chat.auth:authorize"               # module:function in this process, or
# function = "arn:aws:lambda:…"               # a Lambda function, by ARN or name
identity_sources = ["route.request.querystring.token"]

[routes."$connect"]
handler = "chat.handlers:connect"
authorizer = "token"

[routes."$default"]
function = "chat-default"
answers = true                                # what it returns goes to the client (a route response)
timeout_s = 29

[stage_variables]
table = "connections"
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sse_service.connections.definition import (
    ApiDefinition,
    AuthorizationType,
    Authorizer,
    Integration,
    IntegrationType,
    Route,
    StageSettings,
)
from sse_service.connections.errors import DefinitionError
from sse_service.errors import StartupError
from sse_service.virtual.plan import LAMBDA, PYTHON

__all__ = ["read_file"]


def read_file(path: str, stage: str) -> tuple[ApiDefinition, StageSettings]:
    """Raises StartupError that says what is wrong where."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        raw = json.loads(text) if path.endswith(".json") else tomllib.loads(text)
    except OSError as error:
        raise StartupError(f"SSE_VIRTUAL_DEFINITION={path!r}: {error.strerror}", "name a TOML or JSON file") from None
    except ValueError as error:
        raise StartupError(
            f"SSE_VIRTUAL_DEFINITION={path!r}: {error}", "it must be TOML, or JSON in a .json file"
        ) from None
    try:
        return parse(raw, stage)
    except DefinitionError as error:
        raise StartupError(
            f"SSE_VIRTUAL_DEFINITION={path!r}: {error}", "docs/guides/virtual-connections.md has an example"
        ) from None


def parse(raw: Any, stage: str) -> tuple[ApiDefinition, StageSettings]:
    """Raises DefinitionError."""
    top = _table(raw, "file", {"id", "route_selection", "routes", "authorizers", "stage_variables"})
    authorizers = {
        name: _authorizer(name, value) for name, value in _mapping(top.get("authorizers", {}), "authorizers").items()
    }
    routes = {key: _route(key, value, authorizers) for key, value in _mapping(top.get("routes", {}), "routes").items()}
    if not routes:
        raise DefinitionError("routes", "there is none")
    variables = _mapping(top.get("stage_variables", {}), "stage_variables")
    definition = ApiDefinition(
        api_id=_text(top, "id", "file", "virtual"),
        route_selection=_text(top, "route_selection", "file", "$request.body.action"),
        routes=routes,
        authorizers=authorizers,
    )
    return definition, StageSettings(stage, variables={name: str(value) for name, value in variables.items()})


def _authorizer(name: str, raw: Any) -> Authorizer:
    where = f"authorizers.{name}"
    table = _table(raw, where, {"handler", "function", "identity_sources"})
    sources = table.get("identity_sources", [])
    if not isinstance(sources, list) or not all(isinstance(source, str) for source in sources):
        raise DefinitionError(f"{where}.identity_sources", "must be a list of text")
    return Authorizer(name, _uri(table, where), tuple(sources), name)


def _route(key: str, raw: Any, authorizers: Mapping[str, Authorizer]) -> Route:
    where = f'routes."{key}"'
    table = _table(raw, where, {"handler", "function", "authorizer", "answers", "timeout_s"})
    authorizer = _text(table, "authorizer", where, "")
    if authorizer and key != "$connect":
        raise DefinitionError(f"{where}.authorizer", "only $connect can have one")
    if authorizer and authorizer not in authorizers:
        raise DefinitionError(f"{where}.authorizer", f"there is no authorizer {authorizer!r}")
    timeout = table.get("timeout_s", 29.0)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout <= 0:
        raise DefinitionError(f"{where}.timeout_s", "must be a number of seconds")
    return Route(
        route_key=key,
        integration=Integration(key, IntegrationType.AWS_PROXY, _uri(table, where), timeout_s=float(timeout)),
        authorization=AuthorizationType.CUSTOM if authorizer else AuthorizationType.NONE,
        authorizer_id=authorizer,
        two_way=bool(table.get("answers", False)),
    )


def _uri(table: Mapping[str, Any], where: str) -> str:
    handler, function = _text(table, "handler", where, ""), _text(table, "function", where, "")
    if bool(handler) == bool(function):
        raise DefinitionError(where, "must have either handler or function")
    return f"{PYTHON}{handler}" if handler else f"{LAMBDA}{function}"


def _text(table: Mapping[str, Any], name: str, where: str, default: str) -> str:
    value = table.get(name, default)
    if not isinstance(value, str):
        raise DefinitionError(f"{where}.{name}", "must be text")
    return value


def _mapping(raw: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise DefinitionError(where, "must be a table")
    return raw


def _table(raw: Any, where: str, known: set[str]) -> Mapping[str, Any]:
    table = _mapping(raw, where)
    for name in table:
        if name not in known:
            raise DefinitionError(f"{where}.{name}", f"is not known; there are {', '.join(sorted(known))}")
    return table
