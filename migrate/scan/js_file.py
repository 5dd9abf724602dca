"""One JavaScript or TypeScript module: what its names are bound to, and what it exports. Pure. until phase 3

Names of values are written `module#export`: `ws#WebSocketServer`, `ws#*` (the whole module), `global#WebSocket`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ast_grep_py import SgNode, SgRoot

from migrate.scan.nodes import contains, find_kinds, has_errors, span, up

__all__ = ["Binding", "Export", "JsFile", "string_value", "unwrap"]

_FUNCTIONS = frozenset(
    {
        "function_declaration",
        "function_expression",
        "arrow_function",
        "method_definition",
        "generator_function",
        "generator_function_declaration",
    }
)
_BLOCKS = frozenset({"program", "statement_block", "for_statement", "for_in_statement", "catch_clause", "switch_body"})
_WRAPPERS = frozenset(
    {"parenthesized_expression", "as_expression", "satisfies_expression", "non_null_expression", "await_expression"}
)


@dataclass(frozen=True, slots=True)
class Binding:
    """One declaration of a name.

    Attributes:
        kind: import, value, parameter, class, function or opaque (a loop variable, a caught error).
        scope: the span in which the name means this.
        node: what declares it.
        value: initialiser, default value, class or function.
        keys: way from the value to the name, of a destructuring.
        module, imported: of an import; imported is an export's name, `default` or `*`.
    """

    name: str
    kind: str
    scope: tuple[int, int]
    node: SgNode
    value: SgNode | None = None
    keys: tuple[str, ...] = ()
    module: str = ""
    imported: str = ""


@dataclass(frozen=True, slots=True)
class Export:
    """What a module exports under a name: a value of its own, or another module's."""

    value: SgNode | None = None
    local: str = ""
    module: str = ""
    imported: str = ""


class JsFile:
    """A parsed module.

    Args:
        text: the whole text, or for a component file the script with everything else blanked.
        typescript: parse with TypeScript's grammar, which knows `<T>x`, instead of TSX's, which knows JSX.
    """

    def __init__(self, text: str, *, typescript: bool = False) -> None:
        self.text = text
        self._sg = SgRoot(text, "typescript" if typescript else "tsx")
        self.root = self._sg.root()

    @cached_property
    def broken(self) -> bool:
        """Whether a part could not be parsed."""
        return has_errors(self.root)

    @cached_property
    def bindings(self) -> dict[str, list[Binding]]:
        """Every declaration by name."""
        found: dict[str, list[Binding]] = {}
        for binding in self._declarations():
            found.setdefault(binding.name, []).append(binding)
        return found

    @cached_property
    def assignments(self) -> dict[str, list[SgNode]]:
        """Right sides of plain assignments, by the text of the left side."""
        found: dict[str, list[SgNode]] = {}
        for node in find_kinds(self.root, "assignment_expression"):
            left, right = node.field("left"), node.field("right")
            if left is not None and right is not None:
                found.setdefault(left.text(), []).append(right)
        return found

    @cached_property
    def has_imports(self) -> bool:
        """Whether the text is a module by itself: it imports or exports."""
        return any(
            child.kind() in {"import_statement", "export_statement"}
            and not any(part.kind() == "import_require_clause" for part in child.children())
            for child in self.root.children()
        )

    def lookup(self, name: str, offset: int) -> Binding | None:
        """What a name means at an offset: its nearest declaration."""
        best: Binding | None = None
        for binding in self.bindings.get(name, ()):
            if contains(binding.scope, offset) and (
                best is None or binding.scope[1] - binding.scope[0] < best.scope[1] - best.scope[0]
            ):
                best = binding
        return best

    # declarations

    def _declarations(self) -> Iterator[Binding]:
        kinds = (
            "import_statement",
            "variable_declarator",
            "class_declaration",
            "abstract_class_declaration",
            "function_declaration",
            "generator_function_declaration",
            "required_parameter",
            "optional_parameter",
            "arrow_function",
            "catch_clause",
            "for_in_statement",
            "enum_declaration",
        )
        for node in find_kinds(self.root, *kinds):
            yield from self._declaration(node, node.kind())

    def _declaration(self, node: SgNode, kind: str) -> Iterator[Binding]:
        if kind == "import_statement":
            yield from self._imports(node)
        elif kind == "variable_declarator":
            parent = node.parent()
            if any(ancestor.kind() == "ambient_declaration" for ancestor in _two_up(node)):
                return
            function_wide = parent is not None and parent.kind() == "variable_declaration"
            name = node.field("name")
            if name is not None:
                yield from _pattern(name, node.field("value"), (), self._scope(node, function_wide), node, "value")
        elif kind in {"required_parameter", "optional_parameter"}:
            pattern = node.field("pattern")
            if pattern is not None:
                function = next((a for a in up(node) if a.kind() in _FUNCTIONS), None)
                scope = span(function) if function is not None else span(node)
                yield from _pattern(pattern, node.field("value"), (), scope, node, "parameter")
        elif kind == "arrow_function":
            single = node.field("parameter")
            if single is not None:
                yield Binding(single.text(), "parameter", span(node), node)
        elif kind == "catch_clause":
            caught = node.field("parameter")
            if caught is not None:
                yield from _pattern(caught, None, (), span(node), node, "opaque")
        elif kind == "for_in_statement":
            left = node.field("left")
            if left is not None and node.field("kind") is not None:
                yield from _pattern(left, None, (), span(node), node, "opaque")
        else:
            name = node.field("name")
            if name is not None and not any(a.kind() == "ambient_declaration" for a in _two_up(node)):
                what = "class" if "class" in kind else "function" if "function" in kind else "opaque"
                yield Binding(name.text(), what, self._scope(node, function_wide=False), node, node)

    def _imports(self, node: SgNode) -> Iterator[Binding]:
        children = node.children()
        if any(child.kind() == "type" for child in children):
            return
        scope = span(self.root)
        for child in children:
            if child.kind() == "import_require_clause":
                parts = child.children()
                module = string_value(next((part for part in parts if part.kind() == "string"), None))
                if module is not None:
                    yield Binding(parts[0].text(), "import", scope, node, module=module, imported="*")
            if child.kind() != "import_clause":
                continue
            module = string_value(node.field("source"))
            if module is None:
                continue
            for part in child.children():
                if part.kind() == "identifier":
                    yield Binding(part.text(), "import", scope, node, module=module, imported="default")
                elif part.kind() == "namespace_import":
                    yield Binding(part.children()[-1].text(), "import", scope, node, module=module, imported="*")
                elif part.kind() == "named_imports":
                    for item in part.children():
                        name = item.field("name") if item.kind() == "import_specifier" else None
                        if name is None or item.children()[0].kind() == "type":
                            continue
                        alias = item.field("alias") or name
                        yield Binding(alias.text(), "import", scope, node, module=module, imported=name.text())

    def _scope(self, node: SgNode, function_wide: bool) -> tuple[int, int]:
        for ancestor in up(node):
            kind = ancestor.kind()
            if kind in _FUNCTIONS or kind == "program" or (not function_wide and kind in _BLOCKS):
                return span(ancestor)
        return span(self.root)

    # exports

    @cached_property
    def exports(self) -> dict[str, Export]:
        """What the module exports, ES modules and CommonJS."""
        found: dict[str, Export] = {}
        for child in self.root.children():
            if child.kind() == "export_statement":
                found.update(self._es_exports(child))
        for left, values in self.assignments.items():
            name = left.removeprefix("module.").removeprefix("exports")
            if name == left:
                continue
            if name == "":
                found.update(_members(values[-1]))
                found["default"] = Export(value=values[-1])
            elif name.startswith(".") and name[1:].isidentifier():
                found[name[1:]] = Export(value=values[-1])
        return found

    @cached_property
    def star_exports(self) -> list[str]:
        """Modules whose exports this one passes on."""
        return [
            module
            for child in self.root.children()
            if child.kind() == "export_statement"
            and any(part.kind() == "*" for part in child.children())
            and (module := string_value(child.field("source"))) is not None
        ]

    def _es_exports(self, node: SgNode) -> Iterator[tuple[str, Export]]:
        module = string_value(node.field("source")) or ""
        value, declared = node.field("value"), node.field("declaration")
        default = any(child.kind() == "default" for child in node.children())
        if value is not None:
            yield "default", Export(value=value)
        if declared is not None:
            if default:
                yield "default", Export(value=declared)
            for item in (declared, *declared.children()):
                name = item.field("name")
                if name is not None and name.kind() in {"identifier", "type_identifier"}:
                    yield name.text(), Export(local=name.text())
        for child in node.children():
            if child.kind() == "namespace_export":
                yield child.children()[-1].text(), Export(module=module, imported="*")
            if child.kind() != "export_clause":
                continue
            for item in child.children():
                name = item.field("name") if item.kind() == "export_specifier" else None
                if name is None:
                    continue
                alias = (item.field("alias") or name).text()
                if module:
                    yield alias, Export(module=module, imported=name.text())
                else:
                    yield alias, Export(local=name.text())


def _two_up(node: SgNode) -> list[SgNode]:
    return [ancestor for _, ancestor in zip(range(2), up(node), strict=False)]


def _members(node: SgNode) -> Iterator[tuple[str, Export]]:
    if node.kind() != "object":
        return
    for item in node.children():
        if item.kind() == "shorthand_property_identifier":
            yield item.text(), Export(value=item)
        elif item.kind() == "pair":
            key, value = item.field("key"), item.field("value")
            if key is not None and value is not None:
                yield key.text().strip("'\""), Export(value=value)


def _pattern(
    pattern: SgNode, value: SgNode | None, keys: tuple[str, ...], scope: tuple[int, int], node: SgNode, kind: str
) -> Iterator[Binding]:
    """The names that a pattern binds."""
    what = pattern.kind()
    if what in {"identifier", "shorthand_property_identifier_pattern"}:
        name = pattern.text()
        way = (*keys, name) if what != "identifier" else keys
        yield Binding(name, kind, scope, node, value, way)
    elif what == "object_pattern":
        for item in pattern.children():
            if item.kind() == "pair_pattern":
                key, inner = item.field("key"), item.field("value")
                if key is not None and inner is not None:
                    yield from _pattern(inner, value, (*keys, key.text().strip("'\"")), scope, node, kind)
            elif item.kind() == "object_assignment_pattern":
                left, right = item.field("left"), item.field("right")
                if left is not None:
                    # The default is what can be known, when the object cannot.
                    yield Binding(left.text(), kind, scope, node, value or right, (*keys, left.text()) if value else ())
            else:
                yield from _pattern(item, value, keys, scope, node, kind)
    elif what == "assignment_pattern":
        left, right = pattern.field("left"), pattern.field("right")
        if left is not None:
            for binding in _pattern(left, value, keys, scope, node, kind):
                yield binding if value else Binding(binding.name, kind, scope, node, right)
    elif what in {"array_pattern", "rest_pattern"}:
        for item in pattern.children():
            for binding in _pattern(item, None, (), scope, node, "opaque"):
                yield binding


def unwrap(node: SgNode) -> SgNode:
    """The expression inside parentheses, casts and `await`."""
    while node.kind() in _WRAPPERS:
        inner = [child for child in node.children() if child.is_named() and child.kind() != "comment"]
        if not inner:
            break
        node = inner[0]
    return node


def string_value(node: SgNode | None) -> str | None:
    """The text of a string literal, or of a template without substitutions."""
    if node is None:
        return None
    text = node.text()
    if node.kind() == "string" or (node.kind() == "template_string" and "${" not in text):
        return text[1:-1]
    return None
