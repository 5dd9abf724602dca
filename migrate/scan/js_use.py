"""A hit in JavaScript with the nodes it was made from. Pure. until phase 3 (MG3)"""

from __future__ import annotations

from dataclasses import dataclass

from ast_grep_py import SgNode

from migrate.scan.model import Confidence, Hit
from migrate.scan.nodes import code_of, span, up

__all__ = ["JsUse", "arguments_of", "make_use", "symbol_of"]


@dataclass(frozen=True, slots=True)
class JsUse:
    """A hit with the nodes it was made from, for whoever rewrites it."""

    hit: Hit
    node: SgNode
    names: frozenset[str] = frozenset()


def symbol_of(node: SgNode) -> str:
    """Names of the classes and functions around a node."""
    names = []
    for ancestor in up(node):
        kind = ancestor.kind()
        name = None
        if kind in {
            "class_declaration", "abstract_class_declaration", "function_declaration", "method_definition",
            "generator_function_declaration",
        }:  # fmt: skip
            name = ancestor.field("name")
        elif kind in {"arrow_function", "function_expression", "class"}:
            name = ancestor.field("name") or _assigned_name(ancestor)
        if name is not None:
            names.append(name.text())
    return ".".join(reversed(names))


def _assigned_name(node: SgNode) -> SgNode | None:
    parent = node.parent()
    if parent is not None and parent.kind() in {"variable_declarator", "public_field_definition"}:
        return parent.field("name")
    return parent.field("key") if parent is not None and parent.kind() == "pair" else None


def make_use(
    rule: str,
    node: SgNode,
    *,
    code: str | None = None,
    confidence: Confidence = Confidence.HIGH,
    names: frozenset[str] = frozenset(),
) -> JsUse:
    """A use at a node."""
    start, end = span(node)
    return JsUse(Hit(rule, start, end, code or code_of(node), symbol_of(node), confidence), node, names)


def arguments_of(node: SgNode) -> list[SgNode]:
    """Arguments of a call or construction."""
    arguments = node.field("arguments")
    if arguments is None:
        return []
    return [child for child in arguments.children() if child.is_named() and child.kind() != "comment"]
