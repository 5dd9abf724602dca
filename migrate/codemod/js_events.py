"""From the events of the package `ws` to those of the WebSocket interface. Pure. until phase 3

https://github.com/websockets/ws/blob/master/doc/ws.md: `message` has (data, isBinary), `close` has (code, reason); the
interface gives one event with `data`, or with `code` and `reason`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ast_grep_py import SgNode

from migrate.codemod.edits import Edit
from migrate.scan.js_file import JsFile, string_value
from migrate.scan.js_use import arguments_of
from migrate.scan.nodes import span

__all__ = ["Conversion", "convert_events"]

_FIELDS = {"message": ("data",), "close": ("code", "reason"), "open": (), "error": ()}
_NO_EQUIVALENT = frozenset(
    {
        "ping",
        "pong",
        "off",
        "removeListener",
        "removeAllListeners",
        "addListener",
        "emit",
        "pause",
        "resume",
        "listeners",
    }
)


@dataclass(slots=True)
class Conversion:
    """Edits, and the places that have no equivalent: then the socket stays what it is."""

    edits: list[Edit] = field(default_factory=list)
    blockers: list[tuple[SgNode, str]] = field(default_factory=list)


def convert_events(file: JsFile, holders: set[str]) -> Conversion:
    """Rewrite the calls on sockets that are kept in these variables (`ws`, `this.ws`)."""
    done = Conversion()
    for call in file.root.find_all(kind="call_expression"):
        function = call.field("function")
        if function is None or function.kind() != "member_expression":
            continue
        target, key = function.field("object"), function.field("property")
        if target is None or key is None:
            continue
        owner = target.text().replace("?.", ".").removesuffix("!").removesuffix("?")
        name, arguments = key.text(), arguments_of(call)
        if owner not in holders:
            if name in {"on", "once"} and target.kind() == "call_expression" and owner.split(".on")[0] in holders:
                done.blockers.append((call, "chained handlers"))
            continue
        if name in {"on", "once"} and len(arguments) == 2:
            _handler(done, call, key, arguments)
        elif name == "terminate":
            done.edits.append(Edit(*span(key), "close"))
        elif name == "send" and len(arguments) > 1:
            done.blockers.append((call, "send() has no callback and no options"))
        elif name in _NO_EQUIVALENT or name in {"on", "once"}:
            done.blockers.append((call, f"{name}() has no equivalent"))
    return done


def _handler(done: Conversion, call: SgNode, key: SgNode, arguments: list[SgNode]) -> None:
    event, handler = string_value(arguments[0]), arguments[1]
    if event is None or event not in _FIELDS:
        done.blockers.append((call, f"the event {event or arguments[0].text()} has no equivalent"))
        return
    edits = _parameters(handler, _FIELDS[event])
    if edits is None:
        done.blockers.append((call, f"the handler of {event} takes more than the event has"))
        return
    done.edits += [Edit(*span(key), "addEventListener"), *edits]
    if key.text() == "once":
        end = span(handler)[1]
        done.edits.append(Edit(end, end, ", { once: true }"))


def _parameters(handler: SgNode, fields: tuple[str, ...]) -> list[Edit] | None:
    """Edits that make a handler take the event; None when it cannot."""
    start, end = span(handler)
    if handler.kind() not in {"arrow_function", "function_expression"}:
        if not fields:
            return []
        given = ", ".join(fields)
        return [Edit(start, start, f"({{ {given} }}) => "), Edit(end, end, f"({given})")]
    single = handler.field("parameter")
    if single is not None:
        return [Edit(*span(single), f"({_pattern([single.text()], fields)})")] if fields else []
    held = handler.field("parameters")
    parameters = [child for child in held.children() if child.is_named() and child.kind() != "comment"] if held else []
    if not parameters or not fields:
        return []
    names = []
    for parameter in parameters:
        pattern = parameter.field("pattern")
        if pattern is None or pattern.kind() != "identifier" or parameter.field("value") is not None:
            return None
        names.append(pattern.text())
    if len(names) > len(fields):
        return None
    return [Edit(span(parameters[0])[0], span(parameters[-1])[1], _pattern(names, fields))]


def _pattern(names: list[str], fields: tuple[str, ...]) -> str:
    items = [field if name == field else f"{field}: {name}" for name, field in zip(names, fields, strict=False)]
    return "{ " + ", ".join(items) + " }"
