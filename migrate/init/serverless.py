"""Reads serverless.yml. Pure. until phase 3 (MG1)

https://www.serverless.com/framework/docs/providers/aws/events/websocket
Function names are `{service}-{stage}-{key}`, the API's `{stage}-{service}-websockets` unless told otherwise.
"""

from __future__ import annotations

import re
from typing import Any

from migrate.init.aws_functions import statements
from migrate.init.facts import FunctionFact, RouteFact, StackFacts
from migrate.init.template_sources import Sources
from migrate.init.templates import Template, plain_value
from migrate.scan.tree import Tree

__all__ = ["is_serverless", "serverless_facts"]

_VARIABLE = re.compile(r"\$\{([^${}]+)\}")
_DEFAULT_STAGE = "dev"


def is_serverless(tree: Tree) -> bool:
    """Whether a document is a serverless.yml."""
    return tree.get("service") is not None and (tree.get("functions") is not None or tree.get("provider") is not None)


def serverless_facts(tree: Tree, origin: str) -> StackFacts | None:
    """The stack; None when no function has a websocket event."""
    resolver = _Resolver(tree)
    service = tree.value("service") or tree.value("service", "name")
    stage = resolver.text(tree.value("provider", "stage")) or _DEFAULT_STAGE
    region = resolver.text(tree.value("provider", "region"))
    values = resolver.deep(plain_value(tree, {}))
    provider: dict[str, Any] = values.get("provider") or {}
    shared = list(_provider_actions(provider))
    template = Template(_resources(tree), {})
    for resource in template.resources.values():
        resource["Properties"] = resolver.deep(resource["Properties"])
    sources = Sources(template.resources, template.named)
    routes, functions = [], []
    authorizers = set()
    for key, function in (values.get("functions") or {}).items():
        if not isinstance(function, dict):
            continue
        deployed = str(function.get("name") or f"{service}-{stage}-{key}")
        actions = [*shared, *_role_statements(function.get("iamRoleStatements"))]
        variables = {**(provider.get("environment") or {}), **(function.get("environment") or {})}
        events = [
            one["websocket"] for one in function.get("events") or () if isinstance(one, dict) and "websocket" in one
        ]
        for event in events:
            route = _route(event, deployed, service, stage)
            routes.append(route)
            authorizers.add(route.authorizer)
        env = {str(k): str(v) for k, v in variables.items()}
        fed = tuple(sources.of_serverless(function.get("events")))
        functions.append(FunctionFact(deployed, env, tuple(actions), sources=fed, stand_ins=sources.stand_ins(env)))
    if not routes:
        return None
    used = {route.function for route in routes} | authorizers
    return StackFacts(
        origin=origin,
        name=str(provider.get("websocketsApiName") or provider.get("websocketApiName") or service),
        stages=(stage,),
        region=region if "<" not in region else "",
        route_selection=str(
            provider.get("websocketsApiRouteSelectionExpression")
            or provider.get("websocketApiRouteSelectionExpression")
            or "$request.body.action"
        ),
        routes=tuple(routes),
        # With one role for all, every function may post: only those with a reason of their own are told.
        functions=tuple(one for one in functions if one.name in used or _own(one, shared)),
        tables=tuple(template.table_facts()),
    )


class _Resolver:
    """`${self:...}`, `${opt:stage, 'dev'}`, `${sls:stage}` as far as the file itself tells; else `<what>`."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def text(self, text: str, depth: int = 0) -> str:
        if depth > 8 or "${" not in text:
            return text
        replaced = _VARIABLE.sub(lambda found: self._one(found.group(1)), text)
        return replaced if replaced == text else self.text(replaced, depth + 1)

    def deep(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.deep(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.deep(one) for one in value]
        return self.text(value) if isinstance(value, str) else value

    def _one(self, expression: str) -> str:
        for part in expression.split(","):
            way = part.strip()
            if way.startswith(("'", '"')):
                return way.strip("'\"")
            if way in {"sls:stage", "opt:stage"} and not (way == "opt:stage" and "," in expression):
                return self.text(self._tree.value("provider", "stage"), 1) or _DEFAULT_STAGE
            if way.startswith("self:"):
                found = self._tree.value(*way.removeprefix("self:").split("."))
                if found:
                    return found
                if way == "self:service":
                    return self._tree.value("service", "name")
                if way == "self:provider.stage":
                    return _DEFAULT_STAGE
        return f"<{expression.split(',')[0].strip()}>"


def _resources(tree: Tree) -> Tree:
    """The resources of a serverless.yml: one mapping, or a list of them."""
    holder = tree.get("resources")
    inner = [item.get("Resources") for item in holder.items] if holder is not None and holder.items else []
    inner.append(tree.get("resources", "Resources"))
    return Tree(0, 0, pairs=[pair for one in inner if one is not None for pair in one.pairs or ()])


def _provider_actions(provider: dict[str, Any]) -> list[tuple[str, str]]:
    role = (provider.get("iam") or {}).get("role") if isinstance(provider.get("iam"), dict) else None
    given = role.get("statements") if isinstance(role, dict) else None
    return [*_role_statements(given), *_role_statements(provider.get("iamRoleStatements"))]


def _role_statements(given: Any) -> list[tuple[str, str]]:
    return list(statements({"Statement": [one for one in given or () if isinstance(one, dict)]}))


def _route(event: Any, function: str, service: str, stage: str) -> RouteFact:
    if not isinstance(event, dict):
        return RouteFact(key=str(event), kind="AWS_PROXY", function=function)
    authorizer = event.get("authorizer")
    named = str(authorizer.get("name") or "") if isinstance(authorizer, dict) else str(authorizer or "")
    if named.lower() == "aws_iam":
        named = "AWS_IAM"
    elif named and not (isinstance(authorizer, dict) and authorizer.get("arn")):
        named = f"{service}-{stage}-{named}"
    return RouteFact(
        key=str(event.get("route") or event.get("routeKey") or ""),
        kind="AWS_PROXY",
        function=function,
        authorizer=named,
        two_way=bool(event.get("routeResponseSelectionExpression")),
    )


def _own(function: FunctionFact, shared: list[tuple[str, str]]) -> bool:
    if function.sources and function.posts:
        return True
    return any("connections" in action.lower() for action, _ in function.actions if (action, _) not in shared)
