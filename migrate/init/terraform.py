"""Reads Terraform: one directory is one module. Pure. until phase 3 (MG1)

https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/apigatewayv2_route
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from migrate.init.facts import FunctionFact, RouteFact, StackFacts, TableFact
from migrate.scan.terraform import Block, api_protocols

__all__ = ["terraform_facts"]

_VARIABLE = re.compile(r"\$\{var\.([\w-]+)\}|^var\.([\w-]+)$")
_NAMED = re.compile(r"(aws_[a-z0-9_]+)\.([\w-]+)")


def terraform_facts(blocks: Iterable[Block], origin: str) -> StackFacts | None:
    """The stack of a module; None when it has no WebSocket API."""
    listed = list(blocks)
    module = _Module(listed)
    sockets = [name for name, protocol in api_protocols(listed).items() if protocol == "WEBSOCKET"]
    if not sockets:
        return None
    api = module.one("aws_apigatewayv2_api", sockets[0])
    stages = [
        module.text(one, "name")
        for one in module.all("aws_apigatewayv2_stage")
        if _points(one.attributes.get("api_id", ""), "aws_apigatewayv2_api") in {sockets[0], ""}
    ]
    routes = [
        _route(module, one)
        for one in module.all("aws_apigatewayv2_route")
        if _points(one.attributes.get("api_id", ""), "aws_apigatewayv2_api") in {sockets[0], ""}
    ]
    names = {name for route in routes for name in (route.function, route.authorizer) if name}
    functions = [
        FunctionFact(name) for name in (module.name(one, "function_name") for one in module.all("aws_lambda_function"))
        if name in names
    ]  # fmt: skip
    problems = [f"{origin}: policies and environments of functions are not read; functions behind no route are missing"]
    if len(sockets) > 1:
        problems.append(f"{origin} has {len(sockets)} WebSocket APIs; {sockets[0]} was taken")
    return StackFacts(
        origin=origin,
        name=module.text(api, "name") if api else sockets[0],
        stages=tuple(one for one in stages if one and "<" not in one),
        route_selection=module.text(api, "route_selection_expression") if api else "",
        routes=tuple(routes),
        functions=tuple(functions),
        tables=tuple(_table(module, one) for one in module.all("aws_dynamodb_table")),
        problems=tuple(problems),
    )


class _Module:
    def __init__(self, blocks: list[Block]) -> None:
        self._blocks = blocks
        self._defaults = {
            block.type: block.attributes.get("default", "") for block in blocks if block.kind == "variable"
        }  # fmt: skip

    def all(self, type_: str) -> list[Block]:
        return [block for block in self._blocks if block.kind == "resource" and block.type == type_]

    def one(self, type_: str, name: str) -> Block | None:
        return next((block for block in self.all(type_) if block.name == name), None)

    def of(self, block: Block, attribute: str, type_: str) -> Block | None:
        """The resource that an attribute refers to."""
        return self.one(type_, _points(block.attributes.get(attribute, ""), type_))

    def text(self, block: Block, attribute: str) -> str:
        """An attribute, variables replaced by their defaults; `<name>` for what only a deployment knows."""
        given = block.attributes.get(attribute, "")

        def value(found: re.Match[str]) -> str:
            name = found.group(1) or found.group(2)
            return self._defaults.get(name) or f"<{name}>"

        return _VARIABLE.sub(value, given)

    def name(self, block: Block, attribute: str) -> str:
        found = self.text(block, attribute)
        return found if found and "${" not in found and "<" not in found else block.name


def _points(text: str, type_: str) -> str:
    return next((name for kind, name in _NAMED.findall(text) if kind == type_), "")


def _route(module: _Module, route: Block) -> RouteFact:
    integration = module.of(route, "target", "aws_apigatewayv2_integration")
    authorizer = module.of(route, "authorizer_id", "aws_apigatewayv2_authorizer")
    attributes: Mapping[str, str] = integration.attributes if integration else {}
    uri = attributes.get("integration_uri", "")
    function = _function(module, uri)
    by = _function(module, authorizer.attributes.get("authorizer_uri", "")) if authorizer else ""
    return RouteFact(
        key=route.attributes.get("route_key", ""),
        kind=attributes.get("integration_type", ""),
        function=function,
        uri="" if function else uri.partition("?")[0],
        authorizer="AWS_IAM" if route.attributes.get("authorization_type") == "AWS_IAM" else by,
        two_way="route_response_selection_expression" in route.attributes,
        binary="content_handling_strategy" in attributes,
    )


def _function(module: _Module, uri: str) -> str:
    block = module.one("aws_lambda_function", _points(uri, "aws_lambda_function"))
    return module.name(block, "function_name") if block else ""


def _table(module: _Module, table: Block) -> TableFact:
    name = module.text(table, "name")
    types = {block.attributes.get("name", ""): block.attributes.get("type", "S") for block in table.blocks("attribute")}

    def keys(holder: Block) -> tuple[tuple[str, str], ...]:
        named = [holder.attributes.get(one, "") for one in ("hash_key", "range_key")]
        return tuple((one, types.get(one, "S")) for one in named if one)

    ttl = next((one.attributes.get("attribute_name", "") for one in table.blocks("ttl")
                if one.attributes.get("enabled", "true") != "false"), "")  # fmt: skip
    indexes = [*table.blocks("global_secondary_index"), *table.blocks("local_secondary_index")]
    certain = bool(name) and "<" not in name and "${" not in name and not _NAMED.search(name)
    return TableFact(
        name=name if certain else table.name,
        keys=keys(table),
        indexes={module.text(one, "name"): keys(one) for one in indexes},
        ttl=ttl,
        certain=certain,
    )
