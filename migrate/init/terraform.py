"""Reads Terraform: one directory is one module. Pure. until phase 3 (MG1)

https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/apigatewayv2_route (and
lambda_event_source_mapping, cloudwatch_event_rule, cloudwatch_event_target, scheduler_schedule, sns_topic_subscription)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from migrate.config.model import EventSource
from migrate.init.facts import FunctionFact, RouteFact, StackFacts, TableFact
from migrate.init.sources import SourceFact, of_arn, of_mapping
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
    every = [_function_fact(module, one, sockets[0]) for one in module.all("aws_lambda_function")]
    functions = [one for one in every if one.name in names or (one.sources and one.names_api)]
    problems = [
        f"{origin}: policies of functions are not read; of those behind no route only those are told that something "
        "feeds and that have the API in their environment"
    ]
    fed = [one.name for one in every if one.sources and one not in functions]
    if fed:
        problems.append(f"{origin}: {', '.join(fed)} are fed by queues, streams or schedules: add those that post")
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


_SOURCES = {
    "aws_sqs_queue": "sqs",
    "aws_dynamodb_table": "dynamodb",
    "aws_kinesis_stream": "kinesis",
    "aws_sns_topic": "sns",
}
_QUEUE = re.compile(r"([A-Za-z_]\w*)\s*=\s*\"?(?:\$\{)?aws_sqs_queue\.([\w-]+)\.(url|id|arn|name)\b")


def _function_fact(module: _Module, block: Block, api: str) -> FunctionFact:
    variables = " ".join(one.attributes.get("variables", "") for one in block.blocks("environment"))
    shapes = {"url": "{$queue_url.%s}", "id": "{$queue_url.%s}", "arn": "{$queue_arn.%s}", "name": "%s"}
    stand_ins = {}
    for variable, logical, attribute in _QUEUE.findall(variables):
        queue = module.one("aws_sqs_queue", logical)
        stand_ins[variable] = shapes[attribute] % (module.name(queue, "name") if queue else logical)
    return FunctionFact(
        module.name(block, "function_name"),
        sources=tuple(_sources(module, block)),
        stand_ins=stand_ins,
        names_api=bool(re.search(rf"aws_apigatewayv2_(api|stage)\.{re.escape(api)}\b|execute-api", variables)),
    )


def _sources(module: _Module, function: Block) -> Iterator[SourceFact]:
    name = module.name(function, "function_name")

    def points(value: str) -> bool:
        return _points(value, "aws_lambda_function") == function.name or value.rpartition(":")[2] == name

    for block in module.all("aws_lambda_event_source_mapping"):
        if points(block.attributes.get("function_name", "")):
            yield _mapped(module, block)
    for block in module.all("aws_cloudwatch_event_target"):
        rule = module.of(block, "rule", "aws_cloudwatch_event_rule")
        if rule is not None and points(block.attributes.get("arn", "")):
            yield _rule(module, rule)
    for block in module.all("aws_scheduler_schedule"):
        if any(points(target.attributes.get("arn", "")) for target in block.blocks("target")):
            yield _rule(module, block)
    for block in module.all("aws_sns_topic_subscription"):
        if points(block.attributes.get("endpoint", "")):
            kind, topic, certain = _known(module, block.attributes.get("topic_arn", ""))
            yield SourceFact(EventSource(type=kind, name=topic), certain)


def _mapped(module: _Module, block: Block) -> SourceFact:
    given = block.attributes
    filters = [pattern for one in block.blocks("filter_criteria") for pattern in one.blocks("filter")]
    mapping = {
        "BatchSize": given.get("batch_size"),
        "MaximumBatchingWindowInSeconds": given.get("maximum_batching_window_in_seconds"),
        "Enabled": given.get("enabled", "true"),
        "FunctionResponseTypes": given.get("function_response_types", ""),
        # jsonencode(...) is an expression, which nobody evaluates here.
        "FilterCriteria": {
            "Filters": [
                {"Pattern": text.replace('\\"', '"')}
                for one in filters
                if (text := one.attributes.get("pattern", "")).startswith("{")
            ]
        },
    }
    return of_mapping(mapping, _known(module, given.get("event_source_arn", "")))


def _rule(module: _Module, block: Block) -> SourceFact:
    expression = module.text(block, "schedule_expression")
    given = block.attributes
    enabled = given.get("state", "ENABLED") != "DISABLED" and given.get("is_enabled", "true") != "false"
    if expression:
        return SourceFact(EventSource(type="schedule", name=expression), "<" not in expression, enabled)
    return SourceFact(EventSource(type="eventbridge", name=module.name(block, "name")), "name" in given, enabled)


def _known(module: _Module, reference: str) -> tuple[str, str, bool]:
    """(type, name, whether it is the deployed one) of what an ARN's expression refers to."""
    for type_, kind in _SOURCES.items():
        block = module.one(type_, _points(reference, type_))
        if block is not None:
            name = module.text(block, "name")
            certain = bool(name) and "<" not in name and "${" not in name
            return kind, name if certain else block.name, certain
    return (*of_arn(reference), True)


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
