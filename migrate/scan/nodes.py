"""Small helpers over ast-grep's nodes, for every language. Pure. until phase 3

Offsets of ast-grep's Python binding count characters, as Python's strings do (measured, also outside the BMP).
"""

from __future__ import annotations

from collections.abc import Iterator

from ast_grep_py import SgNode

__all__ = ["code_of", "contains", "find_kinds", "has_errors", "leaves", "span", "up"]

_CLOSERS = frozenset(")]}")


def span(node: SgNode) -> tuple[int, int]:
    """Start and end offset."""
    where = node.range()
    return where.start.index, where.end.index


def contains(outer: tuple[int, int], offset: int) -> bool:
    """Whether an offset lies in a span."""
    return outer[0] <= offset < outer[1]


def up(node: SgNode) -> Iterator[SgNode]:
    """The ancestors, nearest first."""
    parent = node.parent()
    while parent is not None:
        yield parent
        parent = parent.parent()


def find_kinds(root: SgNode, *kinds: str) -> list[SgNode]:
    """All descendants of these kinds, in the order of the text."""
    return root.find_all({"rule": {"any": [{"kind": kind} for kind in kinds]}})


def has_errors(root: SgNode) -> bool:
    """Whether a part of the text could not be parsed.

    What the parser made up, because it was missing, is a node without text.
    """
    return root.kind() == "ERROR" or root.find({"rule": {"any": [{"kind": "ERROR"}, {"regex": "^$"}]}}) is not None


def leaves(node: SgNode) -> Iterator[SgNode]:
    """Tokens; a string is one token."""
    if node.kind() in {"string", "template_string", "string_lit", "comment", "regex"}:
        yield node
        return
    children = node.children()
    if not children:
        yield node
        return
    for child in children:
        yield from leaves(child)


def code_of(node: SgNode) -> str:
    """The code in a form that formatters do not change: white space, quotes, trailing commas, comments."""
    tokens: list[str] = []
    for leaf in leaves(node):
        kind, text = leaf.kind(), leaf.text().strip()
        if kind == "comment" or not text or text == ";":
            continue
        if kind == "string" and text[:1] == "'" and '"' not in text:
            text = f'"{text[1:-1]}"'
        if text in _CLOSERS and tokens and tokens[-1] == ",":
            tokens.pop()
        tokens.append(text)
    return " ".join(tokens)
