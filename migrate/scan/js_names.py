"""What an expression of JavaScript denotes: which module's export. until phase 3

Reads other modules only through the loader it is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, Self

from ast_grep_py import SgNode

from migrate.scan.js_file import Binding, Export, JsFile, string_value, unwrap
from migrate.scan.nodes import span

__all__ = ["GLOBAL_OBJECTS", "MAX_DEPTH", "JsNames", "ModuleLoader", "member", "walk_keys"]

GLOBAL_OBJECTS = frozenset({"window", "globalThis", "self", "global"})
MAX_DEPTH = 12


class ModuleLoader(Protocol):
    """How the values of other modules and of settings files are reached."""

    def js_module(self, importer: Path, specifier: str) -> tuple[Path, JsFile] | None:
        """The module a specifier means in a file, if it is one of this tree."""

    def setting(self, importer: Path, name: str) -> tuple[str, ...]:
        """Values of an environment variable in settings files (.env) next to or above a file."""


def member(name: str, key: str) -> str:
    """The name of a member of a named value."""
    module, _, export = name.partition("#")
    if module == "global":
        return f"global#{key}" if export in GLOBAL_OBJECTS else f"global#{export}.{key}"
    if export in {"*", "default"}:
        return f"{module}#{key}"
    return f"{module}#{export}.{key}"


class JsNames:
    """Resolves names and addresses within one module and those it imports."""

    def __init__(self, file: JsFile, path: Path, loader: ModuleLoader) -> None:
        self.file = file
        self.path = path
        self._loader = loader

    # names

    def names(self, node: SgNode, depth: int = 0) -> frozenset[str]:
        """What an expression can denote, as `module#export`; empty when it is nothing that has a name."""
        if depth > MAX_DEPTH:
            return frozenset()
        node, deeper = unwrap(node), depth + 1
        kind = node.kind()
        if kind in {"identifier", "shorthand_property_identifier", "type_identifier"}:
            return self._identifier(node, deeper)
        if kind == "member_expression":
            return self._member(node, deeper)
        if kind == "subscript_expression":
            target, index = node.field("object"), string_value(node.field("index"))
            if target is None or index is None:
                return frozenset()
            return frozenset(member(name, index) for name in self.names(target, deeper))
        if kind == "call_expression":
            return self._call(node)
        if kind == "ternary_expression":
            return self._union((node.field("consequence"), node.field("alternative")), deeper)
        if kind == "binary_expression":
            operator = node.field("operator")
            if operator is not None and operator.text() in {"||", "??", "&&"}:
                return self._union((node.field("left"), node.field("right")), deeper)
        if kind == "assignment_expression":
            return self._union((node.field("right"),), deeper)
        if kind in {"class", "class_declaration", "abstract_class_declaration"}:
            return self._bases(node, deeper)
        return frozenset()

    def _union(self, nodes: Iterable[SgNode | None], depth: int) -> frozenset[str]:
        return frozenset(name for node in nodes if node is not None for name in self.names(node, depth))

    def _identifier(self, node: SgNode, depth: int) -> frozenset[str]:
        name = node.text()
        binding = self.file.lookup(name, span(node)[0])
        if binding is None:
            assigned = self.file.assignments.get(name)
            if assigned and name != "WebSocket":
                return self._union(assigned, depth)
            return frozenset({f"global#{name}"})
        return self._binding(binding, depth)

    def _binding(self, binding: Binding, depth: int) -> frozenset[str]:
        if binding.kind == "import":
            return self.exported(binding.module, binding.imported, depth)
        values = [binding.value] if binding.value is not None else []
        if binding.kind in {"value", "opaque"} and not binding.keys:
            values += self.file.assignments.get(binding.name, [])
        found: set[str] = set()
        for value in values:
            names = self.names(value, depth)
            inner = walk_keys(value, binding.keys)
            if binding.keys and inner is not None:
                names = self.names(inner, depth)
            else:
                for key in binding.keys:
                    names = frozenset(member(name, key) for name in names)
            found |= names
        if not found and binding.kind == "parameter":
            return frozenset({f"parameter#{binding.keys[-1] if binding.keys else binding.name}"})
        return frozenset(found)

    def _member(self, node: SgNode, depth: int) -> frozenset[str]:
        target, key = node.field("object"), node.field("property")
        if target is None or key is None:
            return frozenset()
        assigned = self.file.assignments.get(node.text())
        if assigned and target.kind() == "this":
            names = self._union(assigned, depth)
            if names:
                return names
        literal = self._literal(target, depth)
        if literal is not None:
            value = walk_keys(literal, (key.text(),))
            if value is not None:
                return self.names(value, depth)
        names = self.names(target, depth)
        if names:
            return frozenset(member(name, key.text()) for name in names)
        return frozenset({f"parameter#{key.text()}"})

    def _literal(self, node: SgNode, depth: int) -> SgNode | None:
        """The object literal that an identifier is bound to in this module."""
        if depth > MAX_DEPTH or node.kind() != "identifier":
            return None
        binding = self.file.lookup(node.text(), span(node)[0])
        if binding is None or binding.value is None or binding.keys:
            return None
        value = unwrap(binding.value)
        return value if value.kind() == "object" else None

    def _call(self, node: SgNode) -> frozenset[str]:
        function, arguments = node.field("function"), node.field("arguments")
        if function is None or arguments is None or function.text() not in {"require", "import"}:
            return frozenset()
        values = [child for child in arguments.children() if child.is_named()]
        module = string_value(values[0]) if values else None
        return self.exported(module, "*", 0) if module is not None else frozenset()

    def _bases(self, node: SgNode, depth: int) -> frozenset[str]:
        for child in node.children():
            if child.kind() == "class_heritage":
                for clause in child.children():
                    value = clause.field("value") if clause.kind() == "extends_clause" else None
                    if value is not None:
                        return self.names(value, depth)
        return frozenset()

    # other modules

    def exported(self, module: str, name: str, depth: int) -> frozenset[str]:
        """What another module's export denotes."""
        loaded = self._module(module)
        if loaded is None or depth > MAX_DEPTH:
            return frozenset({f"{module.removeprefix('node:')}#{name}"})
        if name == "*":
            return frozenset({f"{module}#*"})
        other, export = self._find_export(module, name, depth)
        if other is None or export is None:
            return frozenset({f"{module}#{name}"})
        if export.module:
            return other.exported(export.module, export.imported, depth + 1)
        if export.local:
            bindings = other.file.bindings.get(export.local)
            if not bindings:
                return frozenset({f"global#{export.local}"})
            return other._binding(bindings[0], depth + 1)
        return other.names(export.value, depth + 1) if export.value is not None else frozenset()

    def _module(self, specifier: str) -> Self | None:
        if not specifier.startswith((".", "/", "@/", "~", "$lib/", "src/", "#")):
            return None
        loaded = self._loader.js_module(self.path, specifier)
        return type(self)(loaded[1], loaded[0], self._loader) if loaded is not None else None

    def _find_export(self, module: str, name: str, depth: int) -> tuple[Self | None, Export | None]:
        other = self._module(module)
        if other is None or depth > MAX_DEPTH:
            return None, None
        export = other.file.exports.get(name)
        if export is not None:
            return other, export
        for star in other.file.star_exports:
            found = other._find_export(star, name, depth + 1)
            if found[1] is not None:
                return found
            if other._module(star) is None:
                return other, Export(module=star, imported=name)
        return other, None


def walk_keys(node: SgNode | None, keys: tuple[str, ...]) -> SgNode | None:
    """A value inside an object literal."""
    for key in keys:
        if node is None:
            return None
        node = unwrap(node)
        if node.kind() == "call_expression":
            held = node.field("arguments")
            arguments = (
                [child for child in held.children() if child.is_named()] if held else []
            )  # Object.freeze({...}), defineConfig({...})
            if not arguments:
                return None
            node = arguments[0]
        if node.kind() != "object":
            return None
        found = None
        for item in node.children():
            if item.kind() == "pair":
                name = item.field("key")
                if name is not None and name.text().strip("'\"") == key:
                    found = item.field("value")
            elif item.kind() == "shorthand_property_identifier" and item.text() == key:
                found = item
        node = found
    return node
