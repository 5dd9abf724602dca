"""What an expression of Python denotes: which module's name, which address. until phase 3

Reads other modules only through the loader it is given.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from ast_grep_py import SgNode

from migrate.scan.identity import hole
from migrate.scan.nodes import span
from migrate.scan.py_file import PyBinding, PyFile, py_string

__all__ = ["PyLoader", "PyValues", "arguments", "keyword"]

MAX_DEPTH = 10
SHALLOW = 4
MAX_ALTERNATIVES = 8
_STRING_METHODS = frozenset({"format", "replace", "rstrip", "strip", "lstrip", "lower", "removesuffix", "removeprefix"})
_DULL = sys.stdlib_module_names - {"functools", "importlib", "urllib", "os"}
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\Z", re.ASCII)
_JOINS = frozenset({"urllib.parse.urljoin", "yarl.URL", "str"})


class PyLoader(Protocol):
    """How the values of other modules and of settings files are reached."""

    def py_module(self, importer: Path, module: str) -> tuple[Path, PyFile] | None:
        """The module a (relative or absolute) name means in a file, if it is one of this tree."""

    def setting(self, importer: Path, name: str) -> tuple[str, ...]:
        """Values of an environment variable in settings files (.env) next to or above a file."""


def arguments(call: SgNode) -> list[SgNode]:
    """Positional arguments of a call."""
    held = call.field("arguments")
    return (
        [c for c in held.children() if c.is_named() and c.kind() not in {"keyword_argument", "comment"}] if held else []
    )


def keyword(call: SgNode, *names: str) -> SgNode | None:
    """Value of the first keyword argument of one of these names."""
    held = call.field("arguments")
    for child in held.children() if held else ():
        name = child.field("name") if child.kind() == "keyword_argument" else None
        if name is not None and name.text() in names:
            return child.field("value")
    return None


class PyValues:
    """Resolves names and addresses within one module and those it imports."""

    def __init__(self, file: PyFile, path: Path, loader: PyLoader) -> None:
        self.file = file
        self.path = path
        self._loader = loader
        self._modules: dict[str, PyValues | None] = {}
        self._dull: dict[str, bool] = {}

    def names(self, node: SgNode | None, depth: int = 0) -> frozenset[str]:
        """What an expression can denote, as dotted names from the module on."""
        if node is None or depth > MAX_DEPTH:
            return frozenset()
        kind, deeper = node.kind(), depth + 1
        if kind == "identifier":
            return self._identifier(node.text(), span(node)[0], deeper)
        if kind == "attribute":
            target, key = node.field("object"), node.field("attribute")
            if target is None or key is None:
                return frozenset()
            found: set[str] = set()
            for name in self.names(target, deeper):
                found |= self._member(name, key.text(), deeper)
            return frozenset(found)
        if kind in {"boolean_operator", "conditional_expression", "parenthesized_expression", "await"}:
            return frozenset(n for child in node.children() if child.is_named() for n in self.names(child, deeper))
        if kind == "class_definition":
            return self._bases(node, deeper)
        if kind == "call":
            # functools.partial(websockets.connect, ...), importlib.import_module("websocket")
            made = self.names(node.field("function"), deeper)
            first = arguments(node)[:1]
            if "functools.partial" in made and first:
                return self.names(first[0], deeper)
            if "importlib.import_module" in made and first:
                module = py_string(first[0])
                return frozenset({module}) if module else frozenset()
            if "builtins.getattr" in made and len(arguments(node)) > 1:
                attribute = py_string(arguments(node)[1])
                return (
                    frozenset(f"{name}.{attribute}" for name in self.names(first[0], deeper))
                    if attribute
                    else frozenset()
                )
            return frozenset(f"{name}()" for name in made if not name.endswith(")"))
        return frozenset()

    def is_dull(self, name: str) -> bool:
        """Whether nothing that a rule asks for can hang on a name, wherever it stands in the file.

        So it is for parameters, loop variables and functions of the file, for builtins, and for most of the standard
        library; without a look at the tree, so that most calls cost next to nothing.
        """
        known = self._dull.get(name)
        if known is None:
            bindings = self.file.bindings.get(name, ())
            known = self._dull[name] = not (self.file.stars and not bindings) and all(map(self._is_dull, bindings))
        return known

    def _is_dull(self, binding: PyBinding) -> bool:
        if binding.kind == "import":
            top = binding.module.partition(".")[0]
            return top in _DULL and self._module(top) is None
        return binding.value is None or binding.kind == "function"

    def names_of_text(self, text: str) -> frozenset[str] | None:
        """The same for `a.b.c` as it is written, where it means the same wherever it stands in the file; else None.

        Most calls of a file are of a few functions, so that looking at each of them once is a good part of the work.
        """
        known = self.file.denoted_texts.get(text)
        if known is None and _DOTTED.match(text):
            first, *rest = text.split(".")
            if first not in self.file.inner_names:
                names = self._identifier(first, 0, 1 + len(rest))
                for key in rest:
                    names = frozenset(found for name in names for found in self._member(name, key, 1))
                known = self.file.denoted_texts[text] = names
        return known

    def _identifier(self, name: str, offset: int, depth: int) -> frozenset[str]:
        bindings = self.file.lookup_all(name, offset)
        if bindings:
            return frozenset(found for binding in bindings for found in self._binding(binding, depth))
        for star in self.file.stars:
            found = self._imported(star, name, depth)
            if found:
                return found
        return frozenset({f"builtins.{name}"})

    def _binding(self, binding: PyBinding, depth: int) -> frozenset[str]:
        if depth > MAX_DEPTH:
            return frozenset()
        if binding.kind == "import" and not binding.imported:
            return frozenset({binding.module})
        if binding.kind != "import" and (binding.value is None or binding.kind == "function"):
            return frozenset()
        denoted = self.file.denoted.get(id(binding))
        if denoted is None:
            if binding.kind == "import":
                denoted = self._imported(binding.module, binding.imported, depth)
            else:
                denoted = self.names(binding.value, depth)
            # Not what may have been cut short by the depth it was asked at.
            if depth <= SHALLOW:
                self.file.denoted[id(binding)] = denoted
        return denoted

    def _imported(self, module: str, name: str, depth: int) -> frozenset[str]:
        other = self._module(module)
        if other is None or depth > MAX_DEPTH:
            # `from . import sockets`: the name may be a module of this tree.
            return frozenset({f"{module}.{name}" if not module.endswith(".") else module + name})
        bindings = other.file.lookup_all(name, 0)
        if bindings:
            return frozenset(found for binding in bindings for found in other._binding(binding, depth + 1))
        for star in other.file.stars:
            found = other._imported(star, name, depth + 1)
            if found:
                return found
        return frozenset({f"{module}.{name}"})

    def _member(self, name: str, key: str, depth: int) -> frozenset[str]:
        """A member of a named value; of a module of this tree, what it is bound to there."""
        if not name.endswith(")") and depth <= MAX_DEPTH and not name.startswith("builtins."):
            other = self._module(name)
            if other is not None:
                bindings = other.file.lookup_all(key, 0)
                if bindings:
                    return frozenset(found for b in bindings for found in other._binding(b, depth + 1))
        return frozenset({f"{name}.{key}"})

    def _bases(self, node: SgNode, depth: int) -> frozenset[str]:
        held = node.field("superclasses")
        return frozenset(
            name
            for child in (held.children() if held else ())
            if child.kind() in {"identifier", "attribute"}
            for name in self.names(child, depth)
        )

    def _module(self, module: str) -> PyValues | None:
        if module not in self._modules:
            loaded = self._loader.py_module(self.path, module)
            self._modules[module] = PyValues(loaded[1], loaded[0], self._loader) if loaded is not None else None
        return self._modules[module]

    # addresses

    def urls(self, node: SgNode | None, depth: int = 0) -> tuple[str, ...]:
        """The addresses an expression can be, at most eight; `hole`s for what is not known."""
        if node is None or depth > MAX_DEPTH:
            return (hole("?"),)
        kind, deeper = node.kind(), depth + 1
        if kind == "string":
            parts: list[tuple[str, ...]] = []
            for child in node.children():
                if child.kind() == "string_content":
                    parts.append((child.text(),))
                elif child.kind() == "interpolation":
                    inner = [part for part in child.children() if part.is_named()]
                    parts.append(self.urls(inner[0] if inner else None, deeper))
            return _product(parts)
        if kind == "concatenated_string":
            return _product([self.urls(child, deeper) for child in node.children() if child.kind() == "string"])
        if kind == "parenthesized_expression":
            inner = [child for child in node.children() if child.is_named() and child.kind() != "comment"]
            return self.urls(inner[0] if inner else None, deeper)
        if kind == "binary_operator":
            left, right, operator = node.field("left"), node.field("right"), node.field("operator")
            if operator is not None and operator.text() == "+":
                return _product([self.urls(left, deeper), self.urls(right, deeper)])
            return self.urls(left, deeper)
        if kind == "boolean_operator":
            return _merge([self.urls(node.field("left"), deeper), self.urls(node.field("right"), deeper)])
        if kind == "conditional_expression":
            values = [child for child in node.children() if child.is_named()]
            return _merge([self.urls(values[0], deeper), self.urls(values[-1], deeper)])
        if kind == "identifier":
            return self._url_of_name(node, deeper)
        if kind == "attribute":
            return self._url_of_attribute(node, deeper)
        if kind == "subscript":
            return self._url_of_subscript(node)
        if kind == "call":
            return self._url_of_call(node, deeper)
        return (hole("?"),)

    def _url_of_name(self, node: SgNode, depth: int) -> tuple[str, ...]:
        bindings = self.file.lookup_all(node.text(), span(node)[0])
        found = [self._url_of_binding(binding, depth) for binding in bindings]
        return _merge(found) if found else (hole(node.text()),)

    def _url_of_binding(self, binding: PyBinding, depth: int) -> tuple[str, ...]:
        if binding.kind == "import" and binding.imported:
            other = self._module(binding.module)
            bindings = other.file.lookup_all(binding.imported, 0) if other is not None else []
            if other is not None and bindings and depth <= MAX_DEPTH:
                return _merge([other._url_of_binding(found, depth + 1) for found in bindings])
            return (hole(binding.name),)
        if binding.value is None or binding.kind in {"class", "function"}:
            return (hole(binding.name),)
        return self.urls(binding.value, depth)

    def _url_of_attribute(self, node: SgNode, depth: int) -> tuple[str, ...]:
        target, key = node.field("object"), node.field("attribute")
        if target is None or key is None:
            return (hole("?"),)
        for name in self.names(target, depth):
            other = self._module(name) if not name.endswith(")") else None
            bindings = other.file.lookup_all(key.text(), 0) if other is not None else []
            if other is not None and bindings:
                return _merge([other._url_of_binding(found, depth + 1) for found in bindings])
        values = [
            value
            for item in self.file.root.find_all(kind="assignment")
            if (left := item.field("left")) is not None
            and (left.text() == node.text() or (target.text() in {"self", "cls"} and _class_field(item, key)))
            and (value := item.field("right")) is not None
        ]
        if values:
            return _merge([self.urls(value, depth) for value in values])
        return (hole(node.text()[:40]),)

    def _url_of_subscript(self, node: SgNode) -> tuple[str, ...]:
        value, index = node.field("value"), node.field("subscript")
        if value is None:
            return (hole("?"),)
        name = py_string(index)
        if name and "os.environ" in self.names(value):
            return self._setting(name)
        return (hole(node.text()[:40]),)

    def _url_of_call(self, node: SgNode, depth: int) -> tuple[str, ...]:
        function, given = node.field("function"), arguments(node)
        if function is None:
            return (hole("?"),)
        names = self.names(function, depth)
        if names & {"os.getenv", "os.environ.get"} and given:
            name = py_string(given[0])
            default = given[1] if len(given) > 1 else keyword(node, "default")
            known = self._setting(name) if name else (hole("?"),)
            return _merge([known, self.urls(default, depth)]) if default is not None else known
        if function.kind() == "attribute":
            key, target = function.field("attribute"), function.field("object")
            if key is not None and target is not None and key.text() in _STRING_METHODS:
                return tuple(_braces(url) for url in self.urls(target, depth))
        if names & _JOINS and given:
            return self.urls(given[0], depth)
        if function.kind() == "identifier":
            for binding in self.file.lookup_all(function.text(), span(function)[0]):
                if binding.kind == "function" and binding.value is not None:
                    values = [
                        parts[0]
                        for statement in binding.value.find_all(kind="return_statement")
                        if (parts := [child for child in statement.children() if child.is_named()])
                    ]
                    if values:
                        return _merge([self.urls(value, depth) for value in values])
        return (hole(function.text()[:40] + "()"),)

    def _setting(self, name: str) -> tuple[str, ...]:
        return (hole(f"env:{name}"), *self._loader.setting(self.path, name))[:MAX_ALTERNATIVES]


def _class_field(item: SgNode, key: SgNode) -> bool:
    left = item.field("left")
    if left is None or left.kind() != "identifier" or left.text() != key.text():
        return False
    statement = item.parent()
    block = statement.parent() if statement is not None else None
    owner = block.parent() if block is not None else None
    return owner is not None and owner.kind() == "class_definition"


def _braces(url: str) -> str:
    """`"wss://{}/x".format(...)`: fields are not known."""
    out, rest = "", url
    while "{" in rest and "}" in rest[rest.index("{") :]:
        start = rest.index("{")
        end = rest.index("}", start)
        out += rest[:start] + hole(rest[start + 1 : end] or "?")
        rest = rest[end + 1 :]
    return out + rest


def _product(parts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    found = [""]
    for part in parts:
        found = [left + right for left in found for right in part][:MAX_ALTERNATIVES]
    return tuple(found)


def _merge(parts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(url for part in parts for url in part))[:MAX_ALTERNATIVES]
