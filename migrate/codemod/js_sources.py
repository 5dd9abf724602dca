"""Where the class of a `new` expression comes from, and who else names it. Pure. until phase 3"""

from __future__ import annotations

from dataclasses import dataclass

from ast_grep_py import SgNode

from migrate.scan.js_file import Binding, JsFile, string_value, unwrap
from migrate.scan.js_names import GLOBAL_OBJECTS
from migrate.scan.nodes import span

__all__ = ["ClassSource", "references", "source_of"]

MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class ClassSource:
    """Where a class comes from.

    Attributes:
        kind: global (the name WebSocket), member (`window.WebSocket`), import, require, module (a file of this tree)
            or complex (a choice, a call).
        node: the expression that names it at its origin.
        binding: of an import or require.
        derived: it goes through a class that extends it.
    """

    kind: str
    node: SgNode
    binding: Binding | None = None
    derived: bool = False


def source_of(file: JsFile, node: SgNode, depth: int = 0, *, derived: bool = False) -> ClassSource:
    """Follow aliases and base classes to the origin."""
    node = unwrap(node)
    if depth > MAX_DEPTH:
        return ClassSource("complex", node, derived=derived)
    if node.kind() == "member_expression":
        target, key = node.field("object"), node.field("property")
        if (
            target is not None
            and key is not None
            and key.text() == "WebSocket"
            and target.text() in GLOBAL_OBJECTS
            and file.lookup(target.text(), span(node)[0]) is None
        ):
            return ClassSource("member", node, derived=derived)
        return ClassSource("complex", node, derived=derived)
    if node.kind() != "identifier":
        return ClassSource("complex", node, derived=derived)
    binding = file.lookup(node.text(), span(node)[0])
    if binding is None:
        kind = "global" if node.text() == "WebSocket" and "WebSocket" not in file.assignments else "complex"
        return ClassSource(kind, node, derived=derived)
    if binding.kind == "import":
        kind = "module" if binding.module.startswith((".", "/", "@/", "~", "$lib/", "src/", "#")) else "import"
        return ClassSource(kind, node, binding, derived)
    if binding.value is None or file.assignments.get(binding.name):
        return ClassSource("complex", node, derived=derived)
    return _of_value(file, binding, binding.value, depth, derived)


def _of_value(file: JsFile, binding: Binding, value: SgNode, depth: int, derived: bool) -> ClassSource:
    if binding.kind == "class":
        base = _base(value)
        if base is None:
            return ClassSource("complex", value, derived=derived)
        return source_of(file, base, depth + 1, derived=True)
    inner = unwrap(value)
    if _required(inner) is not None:
        return ClassSource("require", inner, binding, derived)
    if inner.kind() == "member_expression":
        target = inner.field("object")
        if target is not None and _required(unwrap(target)) is not None:
            return ClassSource("require", inner, binding, derived)
    if binding.keys:
        return ClassSource("complex", inner, derived=derived)
    return source_of(file, inner, depth + 1, derived=derived)


def _required(node: SgNode) -> str | None:
    """The module of `require("module")`."""
    function, arguments = node.field("function"), node.field("arguments")
    if node.kind() != "call_expression" or function is None or arguments is None or function.text() != "require":
        return None
    values = [child for child in arguments.children() if child.is_named()]
    return string_value(values[0]) if values else None


def _base(node: SgNode) -> SgNode | None:
    for child in node.children():
        if child.kind() == "class_heritage":
            for clause in child.children():
                if clause.kind() == "extends_clause":
                    return clause.field("value")
    return None


def references(file: JsFile, binding: Binding) -> list[SgNode]:
    """Everything that names a binding, its declaration excepted."""
    declared = span(binding.node)
    return [
        node
        for node in file.root.find_all({"rule": {"any": [{"kind": "identifier"}, {"kind": "type_identifier"}]}})
        if node.text() == binding.name
        and file.lookup(binding.name, span(node)[0]) == binding
        and not (declared[0] <= span(node)[0] < declared[1] and binding.kind == "import")
    ]
