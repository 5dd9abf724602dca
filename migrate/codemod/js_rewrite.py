"""JavaScript and TypeScript clients to the drop-in client. until phase 3 (MG4)

Three ways, the least change first: the name is imported anew (`import { SseWebSocket as WebSocket }`, nothing else
changes); the import of the package is replaced; the class is replaced where a socket is opened.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ast_grep_py import SgNode

from migrate.codemod.edits import Edit, comment_above
from migrate.codemod.js_events import convert_events
from migrate.codemod.js_imports import ModuleKind, import_line, insert_import, local_name, style_of
from migrate.codemod.js_sources import ClassSource, references, source_of
from migrate.codemod.model import Options, Rewrite
from migrate.codemod.names import JS_CLASS
from migrate.scan.identity import StackIdentity
from migrate.scan.js_file import Binding, JsFile, unwrap
from migrate.scan.js_reconnect import kept_in
from migrate.scan.js_rules import js_uses
from migrate.scan.js_use import JsUse, arguments_of
from migrate.scan.js_values import JsValues
from migrate.scan.model import Kind, Target
from migrate.scan.nodes import span
from migrate.scan.rules import RULES

__all__ = ["JsDocument", "reason_to_leave", "rewrite_to_dropin"]

_W3C = frozenset({"global#WebSocket", "undici#WebSocket", "websocket#w3cwebsocket"})
_WS = frozenset({"ws#default", "ws#WebSocket", "isomorphic-ws#default", "isomorphic-ws#WebSocket"})
_CONSTANTS = frozenset({"CONNECTING", "OPEN", "CLOSING", "CLOSED"})
_MARK = f"can go, but for 1006: {JS_CLASS} resumes by itself; 1006 says that it could not, and messages may be lost"


@dataclass(frozen=True, slots=True)
class JsDocument:
    """One script to rewrite.

    Attributes:
        text: of the whole file; the file's tree may have everything but the script blanked.
        start: where the script begins.
    """

    text: str
    file: JsFile
    values: JsValues
    kind: ModuleKind
    start: int = 0


@dataclass(slots=True)
class _Plan:
    """One socket that is rewritten."""

    use: JsUse
    made: SgNode
    source: ClassSource
    edits: list[Edit] = field(default_factory=list)


def rewrite_to_dropin(document: JsDocument, identity: StackIdentity, options: Options) -> Rewrite:
    """All edits of one script."""
    uses = js_uses(document.values, identity)
    clients = [use for use in uses if RULES[use.hit.rule].kind is Kind.CLIENT and use.hit.rule != "js-subclass"]
    done, plans, left = Rewrite(), [], []
    events: dict[str, list[Edit]] = {}
    for use in clients:
        if use.hit.target is Target.OTHER:
            left.append(use)
            continue
        plan, reason = _plan(document, use, options, events)
        if plan is None:
            left.append(use)
            _hint(done, document, use.node, reason)
        else:
            plans.append(plan)
    if plans:
        _apply(done, document, plans, left)
    for edits in events.values():
        done.edits += edits
    rewritten = [use for use in clients if use not in left]
    if rewritten:
        _mark_reconnects(done, document, uses, rewritten, everything=not left)
    return done


def _hint(done: Rewrite, document: JsDocument, node: SgNode, reason: str) -> None:
    edit = comment_above(document.text, node, f"not rewritten: {reason}", "//")
    done.did("hint", span(node)[0], reason, [edit])


def reason_to_leave(use: JsUse, options: Options) -> str | None:
    """Why a connection is left to a person, before its class is looked at."""
    if use.hit.rule == "js-socket-library":
        return f"a library of its own; replace it by {JS_CLASS} by hand"
    if use.hit.rule == "js-injected":
        return f"the class is handed in; hand in {JS_CLASS}"
    return options.doubt(use.hit.target)


def _plan(
    document: JsDocument, use: JsUse, options: Options, events: dict[str, list[Edit]]
) -> tuple[_Plan | None, str]:
    reason = reason_to_leave(use, options)
    made = use.node.field("constructor")
    if reason is None and made is None:
        reason = "it is not opened with `new`"
    if reason is not None or made is None:
        return None, reason or ""
    if document.kind == "script":
        return None, "a classic script cannot import; make it a module (see also --module)"
    source = source_of(document.file, made)
    if source.kind == "module" and source.binding is not None:
        return None, f"the class comes from {source.binding.module}; change it there"
    if source.kind == "complex":
        return None, f"the class is chosen at run time; choose {JS_CLASS}"
    if not use.names & (_W3C | _WS):
        return None, "this client has no WebSocket interface"
    arguments = _arguments(use.node)
    if isinstance(arguments, str):
        return None, arguments
    if use.names & _WS and not use.names & _W3C:
        holders = set(kept_in(use.node))
        if not holders:
            return None, "its handlers cannot be seen; `on(...)` becomes addEventListener(...)"
        converted = convert_events(document.file, holders)
        if converted.blockers:
            node, what = converted.blockers[0]
            line = document.text.count("\n", 0, span(node)[0]) + 1
            return None, f"line {line}: {what}"
        for holder in holders:
            events[holder] = converted.edits
    return _Plan(use, made, source, arguments), ""


def _arguments(node: SgNode) -> list[Edit] | str:
    """Edits of the arguments, or why they cannot be given to the new class."""
    arguments = arguments_of(node)
    if not arguments:
        return "it has no address"
    if any(argument.kind() == "spread_element" for argument in arguments):
        return "its arguments cannot be seen"
    options = arguments[-1] if len(arguments) > 1 and unwrap(arguments[-1]).kind() == "object" else None
    if options is None:
        return [] if len(arguments) <= 2 else "its third argument cannot be seen"
    keys = {
        key.text().strip("'\"")
        for item in options.children()
        if item.is_named() and (key := item.field("key") or item).kind() != "comment"
    }
    if not keys <= {"headers"}:
        return f"the option {', '.join(sorted(keys - {'headers'}))} has no equivalent"
    if len(arguments) == 2:
        start = span(options)[0]
        return [Edit(start, start, "[], ")]
    return []


# the class


def _apply(done: Rewrite, document: JsDocument, plans: list[_Plan], left: list[JsUse]) -> None:
    file = document.file
    style = style_of(file)
    left_sources = [source_of(file, made) for use in left if (made := use.node.field("constructor")) is not None]
    known = local_name(file)
    shadow = known is None and any(plan.source.kind == "global" for plan in plans) and _global_is_free(left_sources)
    needed: set[str] = set()
    for plan in plans:
        source, edits = plan.source, list(plan.edits)
        name = known or ("WebSocket" if shadow else JS_CLASS)
        if source.kind == "global" and shadow:
            needed.add(name)
        elif source.kind == "member" and _alone(source, left_sources):
            edits.append(Edit(*span(source.node), name))
            needed.add(name)
        elif source.binding is not None and _replaceable(file, source.binding, left_sources):
            edits.append(_replaced_import(file, source.binding))
        elif source.derived:
            _hint(done, document, plan.use.node, f"derive its class from {JS_CLASS}")
            continue
        else:
            edits.append(Edit(*span(plan.made), name))
            needed.add(name)
        done.did("rewritten", plan.use.hit.start, "opens the drop-in client", edits)
    if known is None:
        for name in sorted(needed):
            done.edits.append(insert_import(file, name, document.kind, style, document.start))


def _global_is_free(left: list[ClassSource]) -> bool:
    return not any(source.kind in {"global", "complex"} for source in left)


def _alone(source: ClassSource, left: list[ClassSource]) -> bool:
    return all(span(other.node) != span(source.node) for other in left)


def _replaceable(file: JsFile, binding: Binding, left: list[ClassSource]) -> bool:
    """Whether an import brings nothing but the class, and the class is used for nothing but our sockets."""
    if any(other.binding == binding for other in left) or not _only_name(binding):
        return False
    for node in references(file, binding):
        parent = node.parent()
        if parent is None:
            return False
        if parent.kind() == "member_expression":
            key = parent.field("property")
            if key is not None and key.text() not in _CONSTANTS and parent.field("object") == node:
                return False
        if parent.kind() in {"nested_type_identifier", "export_specifier", "nested_identifier"}:
            return False
    return True


def _only_name(binding: Binding) -> bool:
    if binding.kind == "import":
        clause = next(
            (c for c in binding.node.children() if c.kind() in {"import_clause", "import_require_clause"}), None
        )
        if clause is None or clause.kind() == "import_require_clause":
            return clause is not None
        parts = [child for child in clause.children() if child.is_named()]
        if len(parts) != 1 or parts[0].kind() == "namespace_import":
            return False
        return parts[0].kind() == "identifier" or len([c for c in parts[0].children() if c.is_named()]) == 1
    statement = binding.node.parent()
    if statement is None or len(statement.find_all(kind="variable_declarator")) != 1:
        return False
    name = binding.node.field("name")
    return name is not None and (name.kind() == "identifier" or len([c for c in name.children() if c.is_named()]) == 1)


def _replaced_import(file: JsFile, binding: Binding) -> Edit:
    style = style_of(file)
    if binding.kind == "import":
        start, end = span(binding.node)
        line = import_line(binding.name, "esm", style)
        source = binding.node.field("source")
        if source is not None:
            line = line.replace(line.split(" from ")[1], _quoted_like(source, line.split(" from ")[1]))
    else:
        statement = binding.node.parent() or binding.node
        start, end = span(statement)
        keyword = statement.children()[0].text() if statement.children() else "const"
        line = keyword + import_line(binding.name, "cjs", style).removeprefix("const")
    line = line.removesuffix(";")
    return Edit(start, end, line + (";" if file.text[start:end].endswith(";") else ""))


def _quoted_like(old: SgNode, new: str) -> str:
    quote, semicolon = old.text()[:1], ";" if new.endswith(";") else ""
    return quote + new.removesuffix(";")[1:-1] + quote + semicolon


# reconnect logic


def _mark_reconnects(
    done: Rewrite, document: JsDocument, uses: list[JsUse], rewritten: list[JsUse], *, everything: bool
) -> None:
    """A comment above reconnect logic of what was rewritten; it is not deleted, because it may do more."""
    holders = {name for use in rewritten for name in kept_in(use.node)}
    for use in uses:
        if RULES[use.hit.rule].kind is not Kind.RECONNECT:
            continue
        if not everything and not any(document.text.startswith(f"{holder}.", use.hit.start) for holder in holders):
            continue
        edit = comment_above(document.text, use.node, _MARK, "//")
        if edit is not None:
            done.did("marked", use.hit.start, "reconnect logic", [edit])
