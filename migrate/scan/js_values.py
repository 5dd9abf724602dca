"""What an expression of JavaScript denotes: which module's export, which address. until phase 3

Reads other modules only through the loader it is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from ast_grep_py import SgNode

from migrate.scan.identity import hole
from migrate.scan.js_file import Binding, Export, JsFile, string_value, unwrap
from migrate.scan.nodes import span

__all__ = ["GLOBAL_OBJECTS", "JsValues", "ModuleLoader", "member"]

GLOBAL_OBJECTS = frozenset({"window", "globalThis", "self", "global"})
MAX_DEPTH = 12
MAX_ALTERNATIVES = 8
_STRING_METHODS = frozenset({"trim", "toString", "replace", "replaceAll", "toLowerCase", "concat"})


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


class JsValues:
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
            inner = _walk(value, binding.keys)
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
            value = _walk(literal, (key.text(),))
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

    def _module(self, specifier: str) -> JsValues | None:
        if not specifier.startswith((".", "/", "@/", "~", "$lib/", "src/", "#")):
            return None
        loaded = self._loader.js_module(self.path, specifier)
        return JsValues(loaded[1], loaded[0], self._loader) if loaded is not None else None

    def _find_export(self, module: str, name: str, depth: int) -> tuple[JsValues | None, Export | None]:
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

    # addresses

    def urls(self, node: SgNode | None, depth: int = 0) -> tuple[str, ...]:
        """The addresses an expression can be, at most eight; `hole`s for what is not known."""
        if node is None or depth > MAX_DEPTH:
            return (hole("?"),)
        node, deeper = unwrap(node), depth + 1
        kind = node.kind()
        text = string_value(node)
        if text is not None:
            return (text,)
        if kind == "template_string":
            parts: list[tuple[str, ...]] = []
            for child in node.children():
                if child.kind() == "template_substitution":
                    inner = [part for part in child.children() if part.is_named()]
                    parts.append(self.urls(inner[0] if inner else None, deeper))
                elif child.kind() != "`":
                    parts.append((child.text(),))
            return _product(parts)
        if kind == "binary_expression":
            left, right, operator = node.field("left"), node.field("right"), node.field("operator")
            if operator is not None and operator.text() == "+":
                return _product([self.urls(left, deeper), self.urls(right, deeper)])
            return _merge([self.urls(left, deeper), self.urls(right, deeper)])
        if kind == "ternary_expression":
            return _merge([self.urls(node.field("consequence"), deeper), self.urls(node.field("alternative"), deeper)])
        if kind in {"identifier", "shorthand_property_identifier"}:
            return self._url_of_name(node, deeper)
        if kind in {"member_expression", "subscript_expression"}:
            return self._url_of_member(node, deeper)
        if kind == "call_expression":
            return self._url_of_call(node, deeper)
        if kind == "new_expression":
            return self._url_of_new(node, deeper)
        return (hole("?"),)

    def _url_of_name(self, node: SgNode, depth: int) -> tuple[str, ...]:
        binding = self.file.lookup(node.text(), span(node)[0])
        if binding is None:
            return (hole(node.text()),)
        return self._url_of_binding(binding, depth)

    def _url_of_binding(self, binding: Binding, depth: int) -> tuple[str, ...]:
        if binding.kind == "import":
            other, export = self._find_export(binding.module, binding.imported, depth)
            return other._url_of_export(export, depth) if other and export else (hole(binding.name),)
        if binding.value is None or binding.kind in {"class", "function"}:
            assigned = self.file.assignments.get(binding.name, []) if binding.kind == "value" else []
            return _merge([self.urls(value, depth) for value in assigned]) if assigned else (hole(binding.name),)
        if binding.keys:
            inner = _walk(binding.value, binding.keys)
            if inner is not None:
                return self.urls(inner, depth)
            environment = _environment(unwrap(binding.value).text() + "." + binding.keys[0])
            return self._setting(environment) if environment else (hole(binding.name),)
        if unwrap(binding.value).kind() in {"arrow_function", "function_expression"}:
            return (hole(binding.name),)
        return self.urls(binding.value, depth)

    def _url_of_export(self, export: Export, depth: int) -> tuple[str, ...]:
        if export.value is not None:
            return self.urls(export.value, depth)
        if export.module:
            other, further = self._find_export(export.module, export.imported, depth + 1)
            return other._url_of_export(further, depth + 1) if other and further else (hole("?"),)
        bindings = self.file.bindings.get(export.local)
        return self._url_of_binding(bindings[0], depth) if bindings else (hole("?"),)

    def _url_of_member(self, node: SgNode, depth: int) -> tuple[str, ...]:
        text = node.text().replace("?.", ".")
        environment = _environment(text)
        if environment:
            return self._setting(environment)
        target = node.field("object")
        key = node.field("property")
        name = key.text() if key is not None else string_value(node.field("index"))
        if target is None or name is None:
            return (hole(text[:40]),)
        if text.endswith(("location.host", "location.hostname")):
            return (hole("location.host"),)
        value = self._member_value(target, name, depth)
        if value is not None:
            return value
        if target.kind() == "this":
            assigned = self.file.assignments.get(f"this.{name}") or self._fields(name)
            if assigned:
                return _merge([self.urls(found, depth) for found in assigned])
        if name in {"href", "origin"} and target.kind() in {"identifier", "new_expression"}:
            return self.urls(target, depth)
        return (hole(text[:40]),)

    def _member_value(self, target: SgNode, name: str, depth: int) -> tuple[str, ...] | None:
        """The value of `name` in an object literal of this module or of one that it imports."""
        namespace = self._namespace(target)
        if namespace is not None:
            other, export = self._find_export(namespace, name, depth)
            return other._url_of_export(export, depth) if other and export else None
        owner = self._object_of(target, depth)
        if owner is None:
            return None
        found = _walk(owner[1], (name,))
        return owner[0].urls(found, depth) if found is not None else None

    def _namespace(self, node: SgNode) -> str | None:
        """The module that a name stands for: `import * as name`."""
        binding = self.file.lookup(node.text(), span(node)[0]) if node.kind() == "identifier" else None
        return binding.module if binding is not None and binding.kind == "import" and binding.imported == "*" else None

    def _object_of(self, node: SgNode, depth: int) -> tuple[JsValues, SgNode] | None:
        """The object literal an expression denotes, with the module it stands in."""
        node, deeper = unwrap(node), depth + 1
        if depth > MAX_DEPTH:
            return None
        if node.kind() in {"object", "call_expression"}:
            return self, node
        if node.kind() == "member_expression":
            target, key = node.field("object"), node.field("property")
            if target is None or key is None:
                return None
            namespace = self._namespace(target)
            if namespace is not None:
                return self._exported_object(namespace, key.text(), deeper)
            owner = self._object_of(target, deeper)
            inner = _walk(owner[1], (key.text(),)) if owner is not None else None
            return owner[0]._object_of(inner, deeper) if owner is not None and inner is not None else None
        binding = self.file.lookup(node.text(), span(node)[0]) if node.kind() == "identifier" else None
        return self._object_of_binding(binding, deeper) if binding is not None else None

    def _object_of_binding(self, binding: Binding, depth: int) -> tuple[JsValues, SgNode] | None:
        if binding.kind == "import":
            return self._exported_object(binding.module, binding.imported, depth)
        return self._object_of(binding.value, depth) if binding.value is not None and not binding.keys else None

    def _exported_object(self, module: str, name: str, depth: int) -> tuple[JsValues, SgNode] | None:
        other, export = self._find_export(module, name, depth)
        if other is None or export is None:
            return None
        if export.module:
            return other._exported_object(export.module, export.imported, depth)
        if export.value is not None:
            return other._object_of(export.value, depth)
        bindings = other.file.bindings.get(export.local)
        return other._object_of_binding(bindings[0], depth) if bindings else None

    def _fields(self, name: str) -> list[SgNode]:
        return [
            value
            for field in self.file.root.find_all(kind="public_field_definition")
            if (key := field.field("name")) is not None
            and key.text() == name
            and (value := field.field("value")) is not None
        ]

    def _url_of_call(self, node: SgNode, depth: int) -> tuple[str, ...]:
        function = node.field("function")
        if function is None:
            return (hole("?"),)
        if function.kind() == "member_expression":
            key, target = function.field("property"), function.field("object")
            if key is not None and target is not None and key.text() in _STRING_METHODS:
                return self.urls(target, depth)
        if function.kind() == "identifier":
            binding = self.file.lookup(function.text(), span(function)[0])
            body = unwrap(binding.value) if binding is not None and binding.value is not None else None
            if body is not None:
                returned = _returned(body)
                if returned:
                    return _merge([self.urls(value, depth) for value in returned])
            if function.text() in {"String", "encodeURI"}:
                arguments = _arguments(node)
                return self.urls(arguments[0], depth) if arguments else (hole("?"),)
        return (hole(function.text()[:40] + "()"),)

    def _url_of_new(self, node: SgNode, depth: int) -> tuple[str, ...]:
        made, arguments = node.field("constructor"), _arguments(node)
        if made is None or made.text() != "URL" or not arguments:
            return (hole("?"),)
        first = self.urls(arguments[0], depth)
        if len(arguments) == 1 or any("://" in url for url in first):
            return first
        return _product([self.urls(arguments[1], depth), first])

    def _setting(self, name: str) -> tuple[str, ...]:
        return (hole(f"env:{name}"), *self._loader.setting(self.path, name))[:MAX_ALTERNATIVES]


def _arguments(node: SgNode) -> list[SgNode]:
    arguments = node.field("arguments")
    return (
        [child for child in arguments.children() if child.is_named() and child.kind() != "comment"] if arguments else []
    )


def _environment(text: str) -> str | None:
    """The variable's name in `process.env.X`, `import.meta.env.X`, `Deno.env...`."""
    for prefix in ("process.env.", "import.meta.env.", "window.env.", "window._env_.", "Bun.env."):
        if text.startswith(prefix):
            name = text.removeprefix(prefix)
            return name if name.isidentifier() else None
    return None


def _walk(node: SgNode | None, keys: tuple[str, ...]) -> SgNode | None:
    """A value inside an object literal."""
    for key in keys:
        if node is None:
            return None
        node = unwrap(node)
        if node.kind() == "call_expression":
            arguments = _arguments(node)  # Object.freeze({...}), defineConfig({...})
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


def _returned(function: SgNode) -> list[SgNode]:
    """What a function returns."""
    body = function.field("body")
    if body is None:
        return []
    if body.kind() != "statement_block":
        return [body]
    values = []
    for statement in body.find_all(kind="return_statement"):
        parts = [child for child in statement.children() if child.is_named()]
        values += parts[:1]
    return values


def _product(parts: list[tuple[str, ...]]) -> tuple[str, ...]:
    found = [""]
    for part in parts:
        found = [left + right for left in found for right in part][:MAX_ALTERNATIVES]
    return tuple(found)


def _merge(parts: list[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(url for part in parts for url in part))[:MAX_ALTERNATIVES]
