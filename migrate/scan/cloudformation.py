"""WebSocket APIs in CloudFormation, SAM, Serverless Framework; permissions in any policy. Pure. until phase 3 (MG3)

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-apigatewayv2-api.html
https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-websocketapi.html
https://www.serverless.com/framework/docs/providers/aws/events/websocket
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-control-access-iam.html
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from migrate.routes import LIFE_ROUTES
from migrate.scan.model import Confidence, Hit
from migrate.scan.tree import Tree

__all__ = ["permission", "tree_hits"]

_PARTS = frozenset(
    {
        "Api",
        "Stage",
        "Deployment",
        "Integration",
        "IntegrationResponse",
        "Route",
        "RouteResponse",
        "Authorizer",
        "Model",
    }
)
# Only WebSocket APIs have these.
_OWN_PARTS = frozenset({"IntegrationResponse", "RouteResponse"})
_SERVERLESS_KEYS = frozenset(
    {
        "websocketsApiName", "websocketApiName", "websocketsApiRouteSelectionExpression",
        "websocketApiRouteSelectionExpression", "websocketsDescription", "websocketApiId",
    }
)  # fmt: skip


def tree_hits(tree: Tree) -> list[Hit]:
    """Every use in one document."""
    nodes = list(tree.walk())
    return [*_resources(tree), *_serverless(nodes), *_permissions(nodes)]


# CloudFormation and SAM


def _resources(tree: Tree) -> Iterator[Hit]:
    # A template, or the `resources:` of a serverless.yml, or an included file of resources.
    for holder in (tree.get("Resources"), tree.get("resources", "Resources"), tree.get("resources", "extensions")):
        if holder is not None and holder.pairs is not None:
            yield from _resources_of(holder, tree)
    resources = tree.get("resources")
    for item in resources.items if resources is not None and resources.items else ():
        inner = item.get("Resources")
        if inner is not None:
            yield from _resources_of(inner, tree)


def _resources_of(holder: Tree, template: Tree) -> Iterator[Hit]:
    kinds = {name.text or "": resource.value("Type") for name, resource in holder.pairs or ()}
    sockets = {
        name.text or ""
        for name, resource in holder.pairs or ()
        if resource.value("Type") == "AWS::ApiGatewayV2::Api" and _is_websocket(resource, template)
    }
    for name, resource in holder.pairs or ():
        kind, symbol = resource.value("Type"), name.text or ""
        if kind == "AWS::Serverless::WebSocketApi":
            yield _hit("sam-api", name, f"{kind}", symbol)
            for route, _ in (resource.get("Properties", "Routes") or Tree(0, 0)).pairs or ():
                yield _hit("sam-route", route, f"route {route.text}", symbol)
            continue
        part = kind.removeprefix("AWS::ApiGatewayV2::")
        if part == kind or part not in _PARTS:
            continue
        sure = _part_of_websocket(part, resource, symbol, sockets, kinds)
        if sure is not None:
            rule = "cfn-route" if part == "Route" else "cfn-api"
            key = resource.value("Properties", "RouteKey")
            yield _hit(rule, name, f"{kind} {key}".strip(), symbol, sure)


def _is_websocket(resource: Tree, template: Tree) -> bool:
    protocol = resource.get("Properties", "ProtocolType")
    if protocol is None:
        return False
    text = protocol.text or ""
    if protocol.tag == "!Ref":
        text = template.value("Parameters", text, "Default")
    return text.upper() == "WEBSOCKET" or resource.get("Properties", "RouteSelectionExpression") is not None


def _part_of_websocket(
    part: str, resource: Tree, name: str, sockets: set[str], kinds: dict[str, str]
) -> Confidence | None:
    if part == "Api":
        return Confidence.HIGH if name in sockets else None
    if part in _OWN_PARTS:
        return Confidence.HIGH
    api = resource.get("Properties", "ApiId")
    if api is not None and api.tag == "!Ref" and api.text in kinds:
        return Confidence.HIGH if api.text in sockets or kinds[api.text].endswith("WebSocketApi") else None
    if part == "Route":
        # Routes of HTTP APIs are `GET /path` or `$default`.
        key = resource.value("Properties", "RouteKey")
        if key in LIFE_ROUTES:
            return Confidence.HIGH
        return Confidence.MEDIUM if key and " " not in key and key != "$default" else None
    return None


# Serverless Framework


def _serverless(nodes: list[Tree]) -> Iterator[Hit]:
    for node in nodes:
        if node.pairs is None:
            continue
        for key, value in node.pairs:
            name = key.text or ""
            if name in _SERVERLESS_KEYS and (not node.parents or node.parents[0] in {"provider", "apiGateway"}):
                yield _hit("serverless-api", key, name, "provider")
            elif name == "websocket" and node.parents[-2:] == ("events", "[]"):
                route = value.text if value.text is not None else value.value("route") or value.value("routeKey")
                function = node.parents[-3] if len(node.parents) > 2 else ""
                yield _hit("serverless-route", key, f"websocket {route}", function)
    for node in nodes:
        # `- websocket` alone is no route, but `websocket: true` in the provider's logs belongs to the API.
        if node.parents == ("provider", "logs", "websocket"):
            yield _hit("serverless-api", node, "logs websocket", "provider", Confidence.MEDIUM)


# permissions


def permission(text: str) -> Confidence | None:
    """How sure an IAM action is one on connections. Names of actions do not depend on case."""
    lowered = text.strip().lower()
    if not lowered.startswith("execute-api:") or not fnmatchcase("execute-api:manageconnections", lowered):
        return None
    # `execute-api:*` is mostly meant for calling REST APIs.
    return Confidence.LOW if lowered == "execute-api:*" else Confidence.HIGH


def _permissions(nodes: list[Tree]) -> Iterator[Hit]:
    for node in nodes:
        sure = permission(node.text) if node.text is not None else None
        if sure is not None and node.text is not None:
            symbol = next((name for name in reversed(node.parents) if name not in _POLICY_WORDS), "")
            yield _hit("iam-connections", node, node.text.strip(), symbol, sure)


_POLICY_WORDS = frozenset(
    {
        "[]", "Action", "action", "Actions", "actions", "Statement", "statement", "PolicyDocument", "Policies",
        "Properties", "policy", "NotAction", "AssumeRolePolicyDocument",
    }
)  # fmt: skip


def _hit(rule: str, node: Tree, code: str, symbol: str, confidence: Confidence = Confidence.HIGH) -> Hit:
    return Hit(rule, node.start, max(node.end, node.start + 1), code, symbol, confidence)
