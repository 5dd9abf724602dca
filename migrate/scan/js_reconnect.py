"""Reconnect logic and keep-alive timers in JavaScript. Pure. until phase 3 (MG3)"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from ast_grep_py import SgNode

from migrate.scan.js_file import string_value, unwrap
from migrate.scan.js_use import JsUse, arguments_of, make_use
from migrate.scan.js_values import JsValues
from migrate.scan.model import Confidence, Target
from migrate.scan.nodes import find_kinds, up

__all__ = ["kept_in", "reconnects"]

_RECONNECT_NAME = re.compile(r"re_?connect", re.IGNORECASE)
_CONNECT_NAME = re.compile(r"^(?:re_?)?(?:connect|open|start|init|setup|create)\w*$", re.IGNORECASE)
_PING = re.compile(r"ping|heart_?beat|keep_?-?alive", re.IGNORECASE)


def reconnects(values: JsValues, clients: list[JsUse]) -> Iterator[JsUse]:
    """Handlers of close and error that connect again, functions called reconnect, and timers that ping."""
    targets = {use.hit.target for use in clients}
    target = targets.pop() if len(targets) == 1 else Target.UNKNOWN
    sockets = {left for use in clients for left in kept_in(use.node)}
    for use in (*_close_handlers(values, sockets), *_reconnect_functions(values), *_pings(values)):
        yield replace(use, hit=replace(use.hit, target=target))


def kept_in(node: SgNode) -> Iterator[str]:
    """The names a new socket is assigned to: `ws`, `this.ws`."""
    for ancestor in up(node):
        kind = ancestor.kind()
        if kind == "variable_declarator" and (name := ancestor.field("name")) is not None:
            yield name.text()
        elif kind == "assignment_expression" and (left := ancestor.field("left")) is not None:
            yield left.text().replace("?.", ".")
        elif kind == "public_field_definition" and (field := ancestor.field("name")) is not None:
            yield f"this.{field.text()}"
        elif kind not in {"as_expression", "parenthesized_expression", "non_null_expression", "await_expression"}:
            return


def _close_handlers(values: JsValues, sockets: set[str]) -> Iterator[JsUse]:
    for node in values.file.root.find_all(kind="assignment_expression"):
        left, right = node.field("left"), node.field("right")
        if left is None or right is None or left.kind() != "member_expression":
            continue
        key = left.field("property")
        owner = left.field("object")
        if key is None or owner is None or key.text() not in {"onclose", "onerror"}:
            continue
        if _connects_again(right, known=owner.text() in sockets or not sockets):
            yield make_use("js-reconnect", node, code=f"{key.text()} handler", confidence=_sure(right))
    for node in values.file.root.find_all(kind="call_expression"):
        function, arguments = node.field("function"), arguments_of(node)
        key = function.field("property") if function is not None and function.kind() == "member_expression" else None
        if key is None or key.text() not in {"addEventListener", "on", "once"} or len(arguments) < 2:
            continue
        event = string_value(arguments[0])
        owner = function.field("object") if function is not None else None
        known = not sockets or (owner is not None and owner.text() in sockets)
        if event in {"close", "error", "disconnect"} and _connects_again(arguments[1], known=known):
            yield make_use("js-reconnect", node, code=f"{event} handler", confidence=_sure(arguments[1]))


def _connects_again(handler: SgNode, *, known: bool) -> bool:
    """Whether a handler connects again; of something that is no known socket, a timer alone says nothing."""
    if handler.kind() in {"identifier", "member_expression"}:
        return _RECONNECT_NAME.search(handler.text()) is not None
    for call in handler.find_all(kind="call_expression"):
        function = call.field("function")
        name = function.text().split(".")[-1] if function is not None else ""
        if known and name == "setTimeout" and arguments_of(call):
            return True
        if _CONNECT_NAME.match(name) or _RECONNECT_NAME.search(name):
            return True
    return False


def _sure(handler: SgNode) -> Confidence:
    return (
        Confidence.HIGH if _RECONNECT_NAME.search(handler.text()) or "onnect" in handler.text() else Confidence.MEDIUM
    )


def _reconnect_functions(values: JsValues) -> Iterator[JsUse]:
    kinds = ("function_declaration", "method_definition", "variable_declarator", "public_field_definition")
    for node in find_kinds(values.file.root, *kinds):
        name, value = node.field("name"), node.field("value")
        if node.kind() in {"variable_declarator", "public_field_definition"} and (
            value is None or unwrap(value).kind() not in {"arrow_function", "function_expression", "call_expression"}
        ):
            continue
        if value is not None and unwrap(value).kind() == "call_expression" and "useCallback" not in value.text()[:30]:
            continue
        if name is not None and _RECONNECT_NAME.search(name.text()):
            yield make_use("js-reconnect", node, code=f"function {name.text()}")


def _pings(values: JsValues) -> Iterator[JsUse]:
    for node in values.file.root.find_all(kind="call_expression"):
        function, arguments = node.field("function"), arguments_of(node)
        if function is None or function.text().split(".")[-1] != "setInterval" or not arguments:
            continue
        body = arguments[0].text()
        if _PING.search(body) and (".send" in body or ".ping(" in body or arguments[0].kind() == "identifier"):
            yield make_use("js-heartbeat", node, code="setInterval ping", confidence=Confidence.MEDIUM)
