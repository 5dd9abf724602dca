"""Gateways, routes, permissions, management calls and Lambda events in JavaScript, CDK included. Pure.

until phase 3 (MG3). https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.aws_apigatewayv2.WebSocketApi.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ast_grep_py import SgNode

from migrate.routes import LIFE_ROUTES
from migrate.scan.cloudformation import permission
from migrate.scan.js_file import string_value, unwrap
from migrate.scan.js_use import JsUse, make_use
from migrate.scan.js_values import JsValues
from migrate.scan.model import Confidence
from migrate.scan.nodes import code_of, find_kinds, span, up

__all__ = ["lambda_events", "method_call", "objects", "sdk_and_cdk", "strings"]

_MANAGEMENT_SDK = "@aws-sdk/client-apigatewaymanagementapi#"
_GATEWAY_SDK = "@aws-sdk/client-apigatewayv2#"
_SERVERLESS_KEYS = re.compile(r"^websockets?Api(?:Name|RouteSelectionExpression|Id)$|^websocketsDescription$")
_CDK = re.compile(r"^(?:aws-cdk-lib|@aws-cdk)(?:/[\w/.-]+)?#(?:\w+\.)*(\w+)$")
_CDK_APIS = frozenset({"WebSocketApi", "WebSocketStage"})
_CDK_ROUTES = frozenset({"WebSocketRoute"})


def sdk_and_cdk(node: SgNode, names: frozenset[str], arguments: list[SgNode], values: JsValues) -> Iterator[JsUse]:
    for name in names:
        if name.startswith(_MANAGEMENT_SDK):
            yield make_use("js-management", node, names=names)
            return
        if name.startswith(_GATEWAY_SDK):
            wanted = {"CreateApiCommand": "js-gateway", "CreateRouteCommand": "js-route"}
            rule = wanted.get(name.removeprefix(_GATEWAY_SDK))
            if rule and _is_websocket_request(arguments, values):
                yield make_use(rule, node, names=names)
            return
        match = _CDK.match(name)
        if match:
            made = match.group(1)
            if made in _CDK_APIS or (made == "CfnApi" and _is_websocket_request(arguments, values)):
                yield make_use("cdk-api", node, names=names)
                if made == "WebSocketApi" and len(arguments) > 2:
                    yield from _cdk_option_routes(arguments[2])
            elif made in _CDK_ROUTES or (made == "CfnRoute" and _is_websocket_request(arguments, values)):
                yield make_use("cdk-route", node, names=names)
            return


def _cdk_option_routes(options: SgNode) -> Iterator[JsUse]:
    if options.kind() != "object":
        return
    for item in options.children():
        key = item.field("key") if item.kind() == "pair" else None
        if key is not None and key.text() in {"connectRouteOptions", "disconnectRouteOptions", "defaultRouteOptions"}:
            yield make_use("cdk-route", item, code=key.text())


def _is_websocket_request(arguments: list[SgNode], values: JsValues) -> bool:
    """Whether the arguments of a request or construct say WEBSOCKET, or a route that only such APIs have."""
    for argument in arguments:
        node = unwrap(argument)
        if node.kind() == "identifier":
            binding = values.file.lookup(node.text(), span(node)[0])
            node = unwrap(binding.value) if binding is not None and binding.value is not None else node
        for item in find_kinds(node, "string", "template_string", "identifier"):
            text = string_value(item)
            if text is None and item.kind() == "identifier":
                text = next(iter(values.urls(item)), None)
            if text == "WEBSOCKET" or text in LIFE_ROUTES:
                return True
    return False


def method_call(node: SgNode, function: SgNode, arguments: list[SgNode], values: JsValues) -> JsUse | None:
    key, target = function.field("property"), function.field("object")
    if key is None or target is None:
        return None
    name = key.text()
    if name in {"postToConnection", "deleteConnection", "getConnection"}:
        if name == "postToConnection" or _has_key(arguments, "ConnectionId"):
            return make_use("js-management", node)
    elif name in {"createApi", "createRoute"} and _is_websocket_request(arguments, values):
        return make_use("js-gateway" if name == "createApi" else "js-route", node)
    elif name in {"grantManageConnections", "grantManagementApiAccess"}:
        return make_use("iam-connections", node)
    elif name == "addRoute" and _made_by(target, values, "WebSocketApi"):
        route = string_value(arguments[0]) if arguments else None
        if route is None and arguments:
            route = code_of(arguments[0])
        return make_use("cdk-route", node, code=f"addRoute {route}")
    elif name == "ws" and len(arguments) >= 2 and "express-ws" in values.file.text:
        return make_use("js-server", node)
    elif name == "register" and arguments:
        names = values.names(arguments[0])
        if any(found.startswith(("@fastify/websocket#", "fastify-websocket#")) for found in names):
            return make_use("js-server", node, names=names)
    elif name == "upgradeWebSocket":
        return make_use("js-server", node)
    return None


def _has_key(arguments: list[SgNode], wanted: str) -> bool:
    return any(
        (key := item.field("key")) is not None and key.text().strip("'\"") == wanted
        if item.kind() == "pair"
        else item.text() == wanted
        for argument in arguments
        for item in find_kinds(argument, "pair", "shorthand_property_identifier")
    )


def _made_by(target: SgNode, values: JsValues, name: str) -> bool:
    """Whether an expression holds an instance of a CDK class."""
    candidates: list[SgNode] = []
    if target.kind() == "identifier":
        binding = values.file.lookup(target.text(), span(target)[0])
        if binding is None:
            return False
        if binding.value is not None:
            candidates.append(binding.value)
        elif name in binding.node.text():  # typed parameter: (api: apigw.WebSocketApi)
            return True
    candidates += values.file.assignments.get(target.text(), [])
    for candidate in candidates:
        node = unwrap(candidate)
        made = node.field("constructor") if node.kind() == "new_expression" else None
        if made is not None and any(_CDK.match(n) and n.endswith(name) for n in values.names(made)):
            return True
        if node.kind() == "call_expression" and f"{name}.from" in node.text():
            return True
    return False


def strings(values: JsValues) -> Iterator[JsUse]:
    for node in find_kinds(values.file.root, "string", "template_string"):
        text = node.text().strip("'\"`")
        sure = permission(text)
        if sure is not None:
            yield make_use("iam-connections", node, code=text, confidence=sure)
        elif text in LIFE_ROUTES:
            yield make_use("js-route", node, code=text, confidence=Confidence.MEDIUM)


def objects(values: JsValues) -> Iterator[JsUse]:
    """Serverless Framework's configuration in TypeScript or JavaScript."""
    if "websocket" not in values.file.text:
        return
    for node in values.file.root.find_all(kind="pair"):
        key, value = node.field("key"), node.field("value")
        if key is None or value is None:
            continue
        name = key.text().strip("'\"")
        if _SERVERLESS_KEYS.match(name):
            yield make_use("serverless-api", node, code=name)
        elif name == "websocket" and _in_events(node):
            route = string_value(value)
            if route is None:
                routes = [
                    string_value(item.field("value"))
                    for item in value.children()
                    if item.kind() == "pair" and (inner := item.field("key")) is not None and inner.text() == "route"
                ]
                route = routes[0] if routes and routes[0] is not None else code_of(value)
            yield make_use("serverless-route", node, code=f"websocket {route}")


def _in_events(node: SgNode) -> bool:
    """Whether a pair is in an item of a list called `events`."""
    chain = [ancestor for _, ancestor in zip(range(4), up(node), strict=False)]
    if len(chain) < 3 or chain[0].kind() != "object" or chain[1].kind() != "array":
        return False
    holder = chain[2]
    key = holder.field("key") or holder.field("name") if holder.kind() in {"pair", "variable_declarator"} else None
    return key is not None and "events" in key.text().lower()


def lambda_events(values: JsValues) -> Iterator[JsUse]:
    text = values.file.text
    if "connectionId" not in text:
        return
    for node in values.file.root.find_all(kind="member_expression"):
        key, target = node.field("property"), node.field("object")
        if (
            key is not None
            and target is not None
            and key.text() == "connectionId"
            and "requestContext" in target.text()
        ):
            yield make_use("js-lambda-event", node)
    for node in values.file.root.find_all(kind="variable_declarator"):
        name, value = node.field("name"), node.field("value")
        if name is None or value is None or name.kind() != "object_pattern" or "connectionId" not in name.text():
            continue
        if "requestContext" in value.text() or "requestContext" in name.text():
            yield make_use("js-lambda-event", node, code="connectionId of requestContext")
