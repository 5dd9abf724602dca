"""JavaScript clients to EventSource and REST, where that is simple enough. until phase 3 (MG4)

Simple enough: one variable, messages are only read (`onmessage`, `message`), and only chat messages are sent, each as
an object written in place: `ws.send(JSON.stringify({ action: "sendMessage", message, roomId }))`. All else keeps its
socket and gets a hint: the drop-in client takes any.

EventSource sends no Authorization header and does only GET: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from ast_grep_py import SgNode

from migrate.codemod.edits import Edit, comment_above
from migrate.codemod.js_rewrite import JsDocument, reason_to_leave
from migrate.codemod.js_sources import references, source_of
from migrate.codemod.model import Options, Rewrite
from migrate.scan.identity import StackIdentity
from migrate.scan.js_file import Binding, string_value
from migrate.scan.js_rules import js_uses
from migrate.scan.js_use import JsUse, arguments_of
from migrate.scan.model import Kind, Target
from migrate.scan.nodes import span
from migrate.scan.rules import RULES

__all__ = ["rewrite_to_eventsource"]

_HANDLERS = frozenset({"onmessage", "onopen", "onerror"})
_EVENTS = frozenset({"message", "open", "error"})
# Fields of the frame -> fields of POST /api/chat/send.
_FIELDS = {"message": "message", "roomId": "conversationId", "userName": "userName"}
_COOKIE = "the cookie comes from POST /api/streams/tickets; other event types need addEventListener(type, ...)"


def rewrite_to_eventsource(document: JsDocument, identity: StackIdentity, options: Options) -> Rewrite:
    """All edits of one script."""
    done = Rewrite()
    for use in js_uses(document.values, identity):
        if (
            RULES[use.hit.rule].kind is not Kind.CLIENT
            or use.hit.rule == "js-subclass"
            or use.hit.target is Target.OTHER
        ):
            continue
        result = reason_to_leave(use, options) or _rewrite_one(document, use, options)
        if isinstance(result, str):
            edit = comment_above(document.text, use.node, f"not rewritten: {result}", "//")
            done.did("hint", span(use.node)[0], result, [edit])
        else:
            note = comment_above(document.text, use.node, _COOKIE, "//")
            done.did("rewritten", use.hit.start, "opens an EventSource", [*result, note])
    return done


def _rewrite_one(document: JsDocument, use: JsUse, options: Options) -> list[Edit] | str:
    """Edits, or why it is not simple enough."""
    too_much = "more than EventSource and REST can take over simply ({}); use --to dropin"
    made, parent = use.node.field("constructor"), use.node.parent()
    name = parent.field("name") if parent is not None and parent.kind() == "variable_declarator" else None
    if made is None or parent is None or name is None or name.kind() != "identifier":
        return too_much.format("the socket is not kept in a variable of its own")
    if source_of(document.file, made).kind not in {"global", "member"} or len(arguments_of(use.node)) != 1:
        return too_much.format("another class, or sub-protocols")
    binding = document.file.lookup(name.text(), span(name)[0])
    if binding is None:
        return too_much.format("its variable cannot be followed")
    quote = '"'
    arguments = use.node.field("arguments")
    edits = [Edit(*span(made), "EventSource")]
    if arguments is not None:
        edits.append(Edit(*span(arguments), f"({quote}{options.stream_url}{quote}, {{ withCredentials: true }})"))
    for node in references(document.file, binding):
        if span(node) == span(name):
            continue
        found = _reference(node, binding, options)
        if isinstance(found, str):
            return too_much.format(found)
        edits += found
    return edits


def _reference(node: SgNode, binding: Binding, options: Options) -> list[Edit] | str:
    member = node.parent()
    if member is None or member.kind() != "member_expression" or member.field("object") != node:
        return f"{binding.name} is passed on"
    key, outer = member.field("property"), member.parent()
    name = key.text() if key is not None else ""
    if outer is not None and outer.kind() == "assignment_expression" and outer.field("left") == member:
        return [] if name in _HANDLERS else name
    if outer is None or outer.kind() != "call_expression" or outer.field("function") != member:
        return name
    arguments = arguments_of(outer)
    if name == "close" and not arguments:
        return []
    if name == "addEventListener" and arguments and string_value(arguments[0]) in _EVENTS:
        return []
    if name == "send" and len(arguments) == 1:
        return _send(outer, member, arguments[0], options)
    return f"{name}()"


def _send(call: SgNode, member: SgNode, argument: SgNode, options: Options) -> list[Edit] | str:
    refused = "what is sent is no chat message written in place"
    function, inner = argument.field("function"), arguments_of(argument)
    if (
        argument.kind() != "call_expression"
        or function is None
        or function.text() != "JSON.stringify"
        or len(inner) != 1
    ):
        return refused
    body = inner[0]
    if body.kind() != "object":
        return refused
    edits: list[Edit] = []
    action = False
    for item in body.children():
        if not item.is_named():
            continue
        key, value = item.field("key") or item, item.field("value")
        name = key.text().strip("'\"")
        if name == "action" and string_value(value) == "sendMessage":
            action = True
            edits.append(_removed(item))
        elif name not in _FIELDS or item.kind() not in {"pair", "shorthand_property_identifier"}:
            return refused
        elif item.kind() == "shorthand_property_identifier" and _FIELDS[name] != name:
            edits.append(Edit(*span(item), f"{_FIELDS[name]}: {name}"))
        elif _FIELDS[name] != name:
            edits.append(Edit(*span(key), _FIELDS[name]))
    if not action:
        return refused
    head = (
        f'fetch("{options.send_url}", {{ method: "POST", credentials: "include", '
        'headers: { "Content-Type": "application/json" }, body: '
    )
    end = span(call)[1]
    return [Edit(span(member)[0], span(argument)[0], head), *edits, Edit(span(argument)[1], end, " })")]


def _removed(item: SgNode) -> Edit:
    """An item of an object with its comma and the space behind it."""
    start, end = span(item)
    after = item.next()
    if after is not None and after.text() == ",":
        following = after.next()
        end = span(following)[0] if following is not None and following.is_named() else span(after)[1]
    return Edit(start, end, "")
