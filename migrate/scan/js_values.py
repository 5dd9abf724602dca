"""Which address an expression of JavaScript is. until phase 3

Reads other modules and settings files only through the loader it is given.
"""

from __future__ import annotations

from ast_grep_py import SgNode

from migrate.scan.identity import hole
from migrate.scan.js_file import Binding, Export, string_value, unwrap
from migrate.scan.js_names import MAX_DEPTH, JsNames, walk_keys
from migrate.scan.nodes import find_kinds, span

__all__ = ["JsValues"]

MAX_ALTERNATIVES = 8
_STRING_METHODS = frozenset({"trim", "toString", "replace", "replaceAll", "toLowerCase", "concat"})


class JsValues(JsNames):
    """Resolves addresses, and names, within one module and those it imports."""

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
            inner = walk_keys(binding.value, binding.keys)
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
        found = walk_keys(owner[1], (name,))
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
            inner = walk_keys(owner[1], (key.text(),)) if owner is not None else None
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
        """Initial values of a class's field, also of one that is a parameter: `constructor(private url = "wss://...")`."""
        return [
            value
            for parameter in find_kinds(self.file.root, "required_parameter", "optional_parameter")
            if any(child.kind() in {"accessibility_modifier", "readonly"} for child in parameter.children())
            and (pattern := parameter.field("pattern")) is not None
            and pattern.text() == name
            and (value := parameter.field("value")) is not None
        ] + [
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
