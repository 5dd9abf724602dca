"""What uses WebSocket in JavaScript and TypeScript, CDK and `serverless.ts` included. Pure. until phase 3 (MG3)

CDK: https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.aws_apigatewayv2.WebSocketApi.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from ast_grep_py import SgNode

from migrate.redact import redact
from migrate.scan.identity import StackIdentity, shown
from migrate.scan.js_infrastructure import lambda_events, method_call, objects, sdk_and_cdk, strings
from migrate.scan.js_reconnect import reconnects
from migrate.scan.js_use import JsUse, arguments_of, make_use
from migrate.scan.js_values import JsValues
from migrate.scan.model import Confidence, Hit, Target
from migrate.scan.nodes import code_of, find_kinds
from migrate.scan.packages import JS_CALLS, JS_NEW

__all__ = ["js_uses"]

_CLIENT_RULES = frozenset({"js-websocket", "js-ws-client", "js-socket-library", "js-injected", "js-subclass"})
_INJECTED = re.compile(r"^parameter#_?(?:web_?socket|ws)(?:_?(?:impl|ctor|class|constructor|factory|like))?$", re.I)


def js_uses(values: JsValues, identity: StackIdentity) -> list[JsUse]:
    """Every use in a module, in the order of the text; none inside another of the same kind of place."""
    found = [
        *_constructions(values, identity),
        *_calls(values, identity),
        *_subclasses(values),
        *_decorators(values),
        *strings(values),
        *objects(values),
        *lambda_events(values),
    ]
    clients = [use for use in found if use.hit.rule in _CLIENT_RULES]
    if clients:
        found += reconnects(values, clients)
    return _without_nested(found)


def _with_target(use: JsUse, argument: SgNode | None, values: JsValues, identity: StackIdentity) -> JsUse:
    urls = values.urls(argument)
    target = identity.judge(urls)
    return replace(use, hit=replace(use.hit, target=target, urls=tuple(redact(shown(url)) for url in urls)))


# clients, servers, management, CDK by what is constructed or called


def _constructions(values: JsValues, identity: StackIdentity) -> Iterator[JsUse]:
    for node in values.file.root.find_all(kind="new_expression"):
        made = node.field("constructor")
        if made is None:
            continue
        names = _constructor_names(values.names(made))
        arguments = arguments_of(node)
        rule = next((JS_NEW[name] for name in sorted(names, key=_preference) if name in JS_NEW), None)
        if rule is not None:
            use = make_use(rule, node, names=names)
            if rule in _CLIENT_RULES:
                # A CDK construct of that name that could not be resolved has (this, "id", ...).
                if arguments and arguments[0].kind() == "this":
                    continue
                yield _with_target(use, _address(arguments), values, identity)
            else:
                yield use
        elif any(_INJECTED.match(name) for name in names) and arguments and arguments[0].kind() != "this":
            use = make_use("js-injected", node, confidence=Confidence.MEDIUM, names=names)
            yield _with_target(use, arguments[0], values, identity)
        else:
            yield from sdk_and_cdk(node, names, arguments, values)


def _address(arguments: list[SgNode]) -> SgNode | None:
    """The argument that is the address: the first, or `url` of an object."""
    argument = arguments[0] if arguments else None
    if argument is None or argument.kind() != "object":
        return argument
    for item in argument.children():
        key = item.field("key") if item.kind() == "pair" else None
        if key is not None and key.text() in {"url", "brokerURL", "webSocketUrl"}:
            return item.field("value")
    return None


def _constructor_names(names: frozenset[str]) -> frozenset[str]:
    """`new` of a whole module is `new` of its default export."""
    return frozenset(name.removesuffix("*") + "default" if name.endswith("#*") else name for name in names)


def _preference(name: str) -> tuple[bool, str]:
    return (not name.startswith("global#"), name)


def _calls(values: JsValues, identity: StackIdentity) -> Iterator[JsUse]:
    for node in values.file.root.find_all(kind="call_expression"):
        function = node.field("function")
        if function is None or function.kind() in {"import", "super"}:
            continue
        arguments = arguments_of(node)
        if function.kind() == "member_expression":
            use = method_call(node, function, arguments, values)
            if use is not None:
                yield use
                continue
        text = function.text()
        if text == "require":
            continue
        if text == "Reflect.construct" and arguments:
            names = values.names(arguments[0])
            if "global#WebSocket" in names:
                use = make_use("js-websocket", node, confidence=Confidence.MEDIUM, names=names)
                yield replace(use, hit=replace(use.hit, target=Target.UNKNOWN))
            continue
        names = frozenset(
            name.removesuffix("*") + "default" if name.endswith("#*") else name for name in values.names(function)
        )
        rule = next((JS_CALLS[name] for name in sorted(names) if name in JS_CALLS), None)
        if rule is None:
            continue
        use = make_use(rule, node, names=names)
        yield _with_target(use, _address(arguments), values, identity) if rule in _CLIENT_RULES else use


def _subclasses(values: JsValues) -> Iterator[JsUse]:
    for node in find_kinds(values.file.root, "class_declaration", "class", "abstract_class_declaration"):
        for heritage in node.children():
            if heritage.kind() != "class_heritage":
                continue
            for clause in heritage.children():
                base = clause.field("value") if clause.kind() == "extends_clause" else None
                if base is None:
                    continue
                names = _constructor_names(values.names(base))
                if any(JS_NEW.get(name) in _CLIENT_RULES for name in names):
                    name = node.field("name")
                    label = name.text() if name is not None else ""
                    use = make_use("js-subclass", heritage, code=f"{label} {code_of(heritage)}", names=names)
                    yield replace(use, hit=replace(use.hit, target=Target.UNKNOWN))


def _decorators(values: JsValues) -> Iterator[JsUse]:
    for node in values.file.root.find_all(kind="decorator"):
        call = next((child for child in node.children() if child.is_named()), None)
        function = call.field("function") if call is not None else None
        if function is not None and "@nestjs/websockets#WebSocketGateway" in values.names(function):
            yield make_use("js-server", node)


def _without_nested(found: list[JsUse]) -> list[JsUse]:
    """A hit inside another one of the same thing says nothing new; two kinds of reconnect logic are one."""
    ordered = sorted(found, key=lambda use: (use.hit.start, -use.hit.end, use.hit.rule))
    kept: list[JsUse] = []
    for use in ordered:
        around = [other for other in kept if other.hit.start <= use.hit.start and use.hit.end <= other.hit.end]
        if any(_covers(other.hit, use.hit) for other in around):
            continue
        kept.append(use)
    return kept


_FAMILY = {
    "js-reconnect": "reconnect",
    "js-heartbeat": "reconnect",
    "js-route": "infrastructure",
    "js-gateway": "infrastructure",
    "cdk-route": "infrastructure",
    "serverless-route": "infrastructure",
    "js-management": "management",
}


def _covers(outer: Hit, inner: Hit) -> bool:
    if outer.rule == inner.rule and (outer.start, outer.end) == (inner.start, inner.end):
        return True
    family = _FAMILY.get(inner.rule)
    return family is not None and _FAMILY.get(outer.rule) == family
