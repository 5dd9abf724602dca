"""What uses WebSocket in Python, CDK included. Pure. until phase 3 (MG3)

boto3: https://boto3.amazonaws.com/v1/documentation/api/latest/reference/services/apigatewayv2/client/create_api.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ast_grep_py import SgNode

from migrate.redact import redact
from migrate.routes import CONNECT, DISCONNECT, LIFE_ROUTES
from migrate.scan.cloudformation import permission
from migrate.scan.identity import StackIdentity, shown
from migrate.scan.model import Confidence, Hit, Target
from migrate.scan.nodes import code_of, find_kinds, span, up
from migrate.scan.packages import PY_BASES, PY_CALLS
from migrate.scan.py_file import py_string
from migrate.scan.py_values import PyValues, arguments, keyword

__all__ = ["PyUse", "py_symbol_of", "py_uses"]

_CDK = re.compile(r"^aws_cdk\.(?:\w+\.)*(\w+)$")
_CDK_API = re.compile(r"^aws_cdk\.(?:\w+\.)*WebSocketApi\(\)$")
_RECONNECT_NAME = re.compile(r"re_?connect", re.IGNORECASE)
_CLIENT_METHODS = frozenset({"ws_connect", "websocket_connect"})
_MAKES_CLIENT = re.compile(r"client|resource|session", re.IGNORECASE)
_METHODS = _CLIENT_METHODS | {
    "post_to_connection", "delete_connection", "get_connection", "send", "close", "info", "create_api", "update_api",
    "create_route", "grant_manage_connections", "grant_management_api_access", "add_route", "add_websocket_route",
    "add_api_websocket_route", "Api",
}  # fmt: skip
_SERVER_SOCKETS = frozenset({"fastapi.WebSocket", "starlette.websockets.WebSocket", "fastapi.websockets.WebSocket"})
_FIRST = re.compile(r"[A-Za-z_]\w*(?=[.]|\Z)", re.ASCII)
_CHALICE = frozenset({"on_ws_connect", "on_ws_message", "on_ws_disconnect"})
_STRINGS = ("execute-api:", "post_to_connection", CONNECT, DISCONNECT)


@dataclass(frozen=True, slots=True)
class PyUse:
    """A hit with the node it was made from, for whoever rewrites it."""

    hit: Hit
    node: SgNode
    names: frozenset[str] = frozenset()


def py_symbol_of(node: SgNode) -> str:
    """Names of the classes and functions around a node."""
    names = [
        name.text()
        for ancestor in up(node)
        if ancestor.kind() in {"function_definition", "class_definition"} and (name := ancestor.field("name"))
    ]
    return ".".join(reversed(names))


def py_uses(values: PyValues, identity: StackIdentity) -> list[PyUse]:
    """Every use in a module, in the order of the text."""
    text = values.file.text
    lowered = text.lower()
    # A rule that looks for a word is asked where the word is.
    found = [
        *_calls(values, identity),
        *_classes(values),
        *(_decorators(values) if "websocket" in text or "on_ws_" in text else ()),
        *_parameters(values),
        *(_strings(values) if any(word in lowered for word in _STRINGS) else ()),
        *_lambda_events(values),
    ]
    clients = [use for use in found if use.hit.rule == "py-client"]
    if clients:
        found += _reconnects(values, clients)
    return _without_nested(found)


def _use(
    rule: str,
    node: SgNode,
    *,
    code: str | None = None,
    confidence: Confidence = Confidence.HIGH,
    names: frozenset[str] = frozenset(),
) -> PyUse:
    start, end = span(node)
    return PyUse(Hit(rule, start, end, code or code_of(node), py_symbol_of(node), confidence), node, names)


def _calls(values: PyValues, identity: StackIdentity) -> Iterator[PyUse]:
    makes_managers = "apigatewaymanagementapi" in values.file.text
    for node in values.file.root.find_all(kind="call"):
        function = node.field("function")
        if function is None:
            continue
        text = function.text()
        first = _FIRST.match(text)
        method = text.rpartition(".")[2]
        if first is not None and method not in _METHODS and not makes_managers and values.is_dull(first.group()):
            continue
        names = values.names_of_text(text)
        if names is None:
            names = values.names(function)
        rule = next((PY_CALLS[name] for name in sorted(names) if name in PY_CALLS), None)
        if rule is not None:
            use = _use(rule, node, names=names)
            yield _with_target(use, values, identity) if rule == "py-client" else use
            continue
        cdk = next((match.group(1) for name in names if (match := _CDK.match(name))), None)
        if cdk is not None:
            yield from _cdk(node, cdk, names, values)
            continue
        if method in _METHODS and function.kind() == "attribute":
            yield from _method(node, function, values, identity)
        if makes_managers and _MAKES_CLIENT.search(text) and _names_service(node, "apigatewaymanagementapi"):
            yield _use("py-management", node)


def _with_target(use: PyUse, values: PyValues, identity: StackIdentity) -> PyUse:
    given = arguments(use.node)
    urls = values.urls(given[0] if given else keyword(use.node, "uri", "url"))
    target = identity.judge(urls)
    return replace(use, hit=replace(use.hit, target=target, urls=tuple(redact(shown(url)) for url in urls)))


def _names_service(node: SgNode, service: str) -> bool:
    given = [*arguments(node), keyword(node, "service_name")]
    return any(py_string(argument) == service for argument in given if argument is not None)


def _cdk(node: SgNode, made: str, names: frozenset[str], values: PyValues) -> Iterator[PyUse]:
    if made in {"WebSocketApi", "WebSocketStage"} or (made == "CfnApi" and _says_websocket(node, values)):
        yield _use("cdk-api", node, names=names)
        held = node.field("arguments")
        for child in held.children() if held else ():
            name = child.field("name") if child.kind() == "keyword_argument" else None
            if name is not None and name.text() in {
                "connect_route_options", "disconnect_route_options", "default_route_options",
            }:  # fmt: skip
                yield _use("cdk-route", child, code=name.text())
    elif made == "WebSocketRoute" or (made == "CfnRoute" and _says_websocket(node, values)):
        yield _use("cdk-route", node, names=names)


def _says_websocket(node: SgNode, values: PyValues) -> bool:
    held = node.field("arguments")
    for child in find_kinds(held, "string", "identifier") if held else ():
        text = py_string(child)
        if text is None and child.kind() == "identifier":
            text = next(iter(values.urls(child)), None)
        if text == "WEBSOCKET" or text in LIFE_ROUTES:
            return True
    # create_api(**params)
    for splat in held.find_all(kind="dictionary_splat") if held else ():
        inner = [child for child in splat.children() if child.kind() == "identifier"]
        for binding in values.file.lookup_all(inner[0].text(), span(inner[0])[0]) if inner else ():
            if binding.value is not None and any(
                py_string(item) in {"WEBSOCKET", *LIFE_ROUTES} for item in binding.value.find_all(kind="string")
            ):
                return True
    return False


def _method(node: SgNode, function: SgNode, values: PyValues, identity: StackIdentity) -> Iterator[PyUse]:
    key, target = function.field("attribute"), function.field("object")
    if key is None or target is None:
        return
    name = key.text()
    if name in _CLIENT_METHODS:
        yield _with_target(_use("py-client", node), values, identity)
    elif name == "post_to_connection" or (
        name in {"delete_connection", "get_connection"} and keyword(node, "ConnectionId") is not None
    ):
        yield _use("py-management", node)
    elif name in {"send", "close", "info"} and target.text().endswith("websocket_api"):
        yield _use("py-management", node)  # Chalice
    elif name in {"create_api", "update_api"} and _says_websocket(node, values):
        yield _use("py-gateway", node)
    elif name == "create_route" and _says_websocket(node, values):
        yield _use("py-route", node)
    elif name in {"grant_manage_connections", "grant_management_api_access"}:
        yield _use("iam-connections", node)
    elif name == "add_route" and any(
        _CDK_API.match(found) for found in values.names(target) | _self_value(target, values)
    ):
        given = arguments(node)
        yield _use("cdk-route", node, code=f"add_route {code_of(given[0]) if given else ''}")
    elif name in {"add_websocket_route", "add_api_websocket_route"}:
        yield _use("py-server", node)
    elif name == "Api" and keyword(node, "protocol_type") is not None and _says_websocket(node, values):
        yield _use("py-gateway", node)  # Pulumi, troposphere


def _self_value(target: SgNode, values: PyValues) -> frozenset[str]:
    """What `self.api` was made from."""
    if target.kind() != "attribute":
        return frozenset()
    return frozenset(
        name
        for item in values.file.root.find_all(kind="assignment")
        if (left := item.field("left")) is not None and left.text() == target.text()
        for name in values.names(item.field("right"))
    )


def _classes(values: PyValues) -> Iterator[PyUse]:
    for node in values.file.root.find_all(kind="class_definition"):
        bases = values.names(node)
        name = node.field("name")
        if name is None:
            continue
        if bases & PY_BASES:
            yield _use("py-server", node, code=f"class {name.text()}", names=bases)


def _decorators(values: PyValues) -> Iterator[PyUse]:
    for node in values.file.root.find_all(kind="decorator"):
        call = next((child for child in node.children() if child.is_named()), None)
        function = call.field("function") if call is not None and call.kind() == "call" else call
        key = function.field("attribute") if function is not None and function.kind() == "attribute" else None
        if key is None:
            continue
        if key.text() in {"websocket", "websocket_route"}:
            yield _use("py-server", node)
        elif key.text() in _CHALICE:
            yield _use("py-route", node)


def _parameters(values: PyValues) -> Iterator[PyUse]:
    """A route handler that takes a WebSocket and was registered elsewhere."""
    for node in values.file.root.find_all(kind="typed_parameter"):
        kind = node.field("type")
        inner = kind.children()[0] if kind is not None and kind.children() else None
        if inner is None:
            continue
        names = values.names_of_text(inner.text())
        if (values.names(inner) if names is None else names) & _SERVER_SOCKETS:
            definition = next((a for a in up(node) if a.kind() == "function_definition"), None)
            outer = definition.parent() if definition is not None else None
            if outer is not None and outer.kind() == "decorated_definition" and ".websocket" in outer.text():
                continue
            yield _use("py-server", node, code=code_of(node), confidence=Confidence.MEDIUM)


def _strings(values: PyValues) -> Iterator[PyUse]:
    for node in values.file.root.find_all(kind="string"):
        written = node.text().lower()
        text = py_string(node) if any(word in written for word in _STRINGS) else None
        if text is None:
            continue
        sure = permission(text)
        if sure is not None:
            yield _use("iam-connections", node, code=text, confidence=sure)
        elif text == "post_to_connection":
            yield _use("py-management", node, code=text, confidence=Confidence.MEDIUM)
        elif text in LIFE_ROUTES:
            yield _use("py-route", node, code=text, confidence=Confidence.MEDIUM)


def _lambda_events(values: PyValues) -> Iterator[PyUse]:
    text = values.file.text
    if "connectionId" not in text:
        return
    for node in find_kinds(values.file.root, "subscript", "call"):
        if node.kind() == "subscript":
            target, key = node.field("value"), py_string(node.field("subscript"))
        else:
            function = node.field("function")
            named = function.field("attribute") if function is not None and function.kind() == "attribute" else None
            if function is None or named is None or named.text() != "get":
                continue
            given = arguments(node)
            target, key = function.field("object"), py_string(given[0]) if given else None
        if target is None or key != "connectionId":
            continue
        if "requestContext" in target.text() or any(
            binding.value is not None and "requestContext" in binding.value.text()
            for binding in values.file.lookup_all(target.text(), span(target)[0])
        ):
            yield _use("py-lambda-event", node)


def _reconnects(values: PyValues, clients: list[PyUse]) -> Iterator[PyUse]:
    """Loops around a connection that wait and try again, and functions called reconnect."""
    targets = {use.hit.target for use in clients}
    target = targets.pop() if len(targets) == 1 else Target.UNKNOWN
    found: list[PyUse] = []
    for client in clients:
        for ancestor in up(client.node):
            kind = ancestor.kind()
            if kind == "function_definition":
                break
            if kind == "while_statement" and _waits_and_retries(ancestor):
                found.append(_use("py-reconnect", ancestor, code="while loop"))
                break
            if kind == "for_statement" and _iterates(ancestor, client.node):
                # `async for ws in websockets.connect(...)` is websockets' own reconnect.
                found.append(_use("py-reconnect", ancestor, code="for loop"))
                break
    for node in values.file.root.find_all(kind="function_definition"):
        name = node.field("name")
        if name is not None and _RECONNECT_NAME.search(name.text()):
            found.append(_use("py-reconnect", node, code=f"function {name.text()}"))
    for use in found:
        yield replace(use, hit=replace(use.hit, target=target))


def _waits_and_retries(loop: SgNode) -> bool:
    sleeps = any(
        (function := call.field("function")) is not None and function.text().split(".")[-1] == "sleep"
        for call in loop.find_all(kind="call")
    )
    return sleeps and loop.find(kind="except_clause") is not None


def _iterates(loop: SgNode, node: SgNode) -> bool:
    right = loop.field("right")
    return right is not None and span(right) == span(node)


_FAMILY = {
    "py-reconnect": "reconnect", "py-route": "infrastructure", "py-gateway": "infrastructure",
    "cdk-route": "infrastructure", "py-management": "management",
}  # fmt: skip


def _without_nested(found: list[PyUse]) -> list[PyUse]:
    kept: list[PyUse] = []
    for use in sorted(found, key=lambda use: (use.hit.start, -use.hit.end, use.hit.rule)):
        family = _FAMILY.get(use.hit.rule)
        if any(
            other.hit.start <= use.hit.start
            and use.hit.end <= other.hit.end
            and (
                (other.hit.rule == use.hit.rule and span(other.node) == span(use.node))
                or (family is not None and _FAMILY.get(other.hit.rule) == family)
            )
            for other in kept
        ):
            continue
        kept.append(use)
    return kept
