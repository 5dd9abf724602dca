"""One Python module: what its names are bound to. Pure. until phase 3

Parsed with ast-grep, not `ast`: a file of Python 2 or one with a mistake still gives what can be read of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ast_grep_py import SgNode, SgRoot

from migrate.scan.nodes import contains, find_kinds, has_errors, span, up

__all__ = ["PyBinding", "PyFile", "py_string"]

_DECLARING = (
    "import_statement", "import_from_statement", "assignment", "named_expression", "function_definition",
    "class_definition", "parameters", "lambda_parameters", "as_pattern", "for_statement", "lambda",
)  # fmt: skip
_SCOPES = frozenset({"function_definition", "lambda", "class_definition"})


@dataclass(frozen=True, slots=True)
class PyBinding:
    """One declaration of a name.

    Attributes:
        kind: import, value, parameter, class, function or opaque.
        module: dotted name of an import (`websockets.sync.client`, `.config`); of `from m import n` with `imported`.
    """

    name: str
    kind: str
    scope: tuple[int, int]
    node: SgNode
    value: SgNode | None = None
    module: str = ""
    imported: str = ""


class PyFile:
    """A parsed module."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._sg = SgRoot(text, "python")
        self.root = self._sg.root()
        self.denoted: dict[int, frozenset[str]] = {}
        """What declarations denote, by their identity: worked out once, whichever module asks."""
        self.denoted_texts: dict[str, frozenset[str]] = {}
        """The same for expressions as they are written, where that does not depend on the place."""

    @cached_property
    def _whole(self) -> tuple[int, int]:
        return 0, len(self.text)

    @cached_property
    def broken(self) -> bool:
        """Whether a part could not be parsed."""
        return has_errors(self.root)

    @cached_property
    def _declaring(self) -> list[tuple[str, SgNode]]:
        """The nodes that declare names or bound where they are seen, with their kinds, in the order of the text."""
        return [(node.kind(), node) for node in find_kinds(self.root, *_DECLARING)]

    @cached_property
    def bindings(self) -> dict[str, list[PyBinding]]:
        """Every declaration by name."""
        found: dict[str, list[PyBinding]] = {}
        for binding in self._declarations():
            found.setdefault(binding.name, []).append(binding)
        return found

    @cached_property
    def inner_names(self) -> frozenset[str]:
        """Names that are declared somewhere else than at the top."""
        whole = self._whole
        return frozenset(name for name, all_of_it in self.bindings.items() if any(b.scope != whole for b in all_of_it))

    @cached_property
    def stars(self) -> list[str]:
        """Modules of `from m import *`."""
        return [
            module.text()
            for kind, node in self._declaring
            if kind == "import_from_statement"
            and any(child.kind() == "wildcard_import" for child in node.children())
            and (module := node.field("module_name")) is not None
        ]

    def lookup_all(self, name: str, offset: int) -> list[PyBinding]:
        """The declarations of the innermost scope that has any: `try: import a except: import b` gives two.

        A class's own names are not seen from inside its methods.
        """
        if name in {"self", "cls"} or name not in self.bindings:
            return []
        around = [
            binding
            for binding in self.bindings.get(name, ())
            if binding.scope[0] <= offset < binding.scope[1] and not self._hidden(binding, offset)
        ]
        if not around:
            return []
        smallest = min(binding.scope[1] - binding.scope[0] for binding in around)
        return [binding for binding in around if binding.scope[1] - binding.scope[0] == smallest]

    def _hidden(self, binding: PyBinding, offset: int) -> bool:
        if binding.scope not in self._class_spans:
            return False
        return any(
            binding.scope[0] <= function[0] and function[1] <= binding.scope[1] and contains(function, offset)
            for function in self._function_spans
        )

    @cached_property
    def _class_spans(self) -> frozenset[tuple[int, int]]:
        return frozenset(span(node) for kind, node in self._declaring if kind == "class_definition")

    @cached_property
    def _function_spans(self) -> frozenset[tuple[int, int]]:
        return frozenset(span(node) for kind, node in self._declaring if kind in {"function_definition", "lambda"})

    def _declarations(self) -> Iterator[PyBinding]:
        for kind, node in self._declaring:
            if kind == "import_statement":
                yield from self._import(node)
            elif kind == "import_from_statement":
                yield from self._import_from(node)
            elif kind in {"assignment", "named_expression"}:
                left = node.field("left") or node.field("name")
                value = node.field("right") or node.field("value")
                if left is not None and left.kind() == "identifier" and value is not None:
                    yield PyBinding(left.text(), "value", self._scope(node), node, value)
                elif left is not None and left.kind() in {"pattern_list", "tuple_pattern"}:
                    for item in left.find_all(kind="identifier"):
                        yield PyBinding(item.text(), "opaque", self._scope(node), node)
            elif kind in {"function_definition", "class_definition"}:
                name = node.field("name")
                if name is not None:
                    yield PyBinding(name.text(), kind.split("_")[0], self._scope(node), node, node)
            elif kind in {"parameters", "lambda_parameters"}:
                yield from self._parameters(node)
            elif kind == "as_pattern":
                alias = node.field("alias")
                target = alias.children()[0] if alias is not None and alias.children() else None
                if target is not None and target.kind() == "identifier":
                    yield PyBinding(target.text(), "value", self._scope(node), node, node.children()[0])
            elif kind == "for_statement":
                left = node.field("left")
                if left is not None and left.kind() == "identifier":
                    yield PyBinding(left.text(), "opaque", self._scope(node), node)

    def _import(self, node: SgNode) -> Iterator[PyBinding]:
        scope = self._scope(node)
        for item in node.children():
            if item.kind() == "dotted_name":
                # `import a.b` binds `a`.
                first = item.text().split(".")[0]
                yield PyBinding(first, "import", scope, node, module=first)
            elif item.kind() == "aliased_import":
                name, alias = item.field("name"), item.field("alias")
                if name is not None and alias is not None:
                    yield PyBinding(alias.text(), "import", scope, node, module=name.text())

    def _import_from(self, node: SgNode) -> Iterator[PyBinding]:
        module = node.field("module_name")
        if module is None:
            return
        scope, text = self._scope(node), module.text()
        start = span(module)[0]
        for item in node.children():
            if item.kind() == "dotted_name" and span(item)[0] != start:
                yield PyBinding(item.text(), "import", scope, node, module=text, imported=item.text())
            elif item.kind() == "aliased_import":
                name, alias = item.field("name"), item.field("alias")
                if name is not None and alias is not None:
                    yield PyBinding(alias.text(), "import", scope, node, module=text, imported=name.text())

    def _parameters(self, node: SgNode) -> Iterator[PyBinding]:
        function = node.parent()
        scope = span(function) if function is not None else span(node)
        for item in node.children():
            kind = item.kind()
            if kind == "identifier":
                yield PyBinding(item.text(), "parameter", scope, item)
            elif kind in {"default_parameter", "typed_default_parameter"}:
                name = item.field("name")
                if name is not None:
                    yield PyBinding(name.text(), "parameter", scope, item, item.field("value"))
            elif kind in {"typed_parameter", "list_splat_pattern", "dictionary_splat_pattern"}:
                first = item.child(0)
                name = first if first is not None and first.kind() == "identifier" else item.find(kind="identifier")
                if name is not None:
                    yield PyBinding(name.text(), "parameter", scope, item)

    def _scope(self, node: SgNode) -> tuple[int, int]:
        return next((span(a) for a in up(node) if a.kind() in _SCOPES), self._whole)


def py_string(node: SgNode | None) -> str | None:
    """The text of a plain string literal; None for an f-string with fields, or something else."""
    if node is None or node.kind() != "string":
        return None
    children = node.children()
    if any(child.kind() == "interpolation" for child in children):
        return None
    return "".join(child.text() for child in children if child.kind() == "string_content")
