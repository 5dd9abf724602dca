"""YAML and JSON as one tree with tags and positions. Pure. until phase 3

`safe_load` refuses the tags of CloudFormation (`!Ref`, `!Sub`...); composing keeps them as tags of nodes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

from ast_grep_py import SgNode, SgRoot
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from migrate.scan.nodes import span

__all__ = ["BrokenError", "Tree", "parse_json", "parse_yaml"]

MAX_DEPTH = 100


class BrokenError(ValueError):
    """The text is not the format that its name says."""


@dataclass(slots=True)
class Tree:
    """One node. `pairs` of a mapping in order (keys may repeat), `items` of a list, `text` of a scalar.

    start, end: offsets in the text; end of a collection may lie behind its last line.
    """

    start: int
    end: int
    tag: str = ""
    text: str | None = None
    pairs: list[tuple[Tree, Tree]] | None = None
    items: list[Tree] | None = None
    parents: tuple[str, ...] = field(default=())

    def get(self, *keys: str) -> Tree | None:
        """The value under a way of keys."""
        node: Tree | None = self
        for key in keys:
            if node is None or node.pairs is None:
                return None
            node = next((value for name, value in node.pairs if name.text == key), None)
        return node

    def value(self, *keys: str) -> str:
        """The text under a way of keys; empty when there is none."""
        node = self.get(*keys)
        return node.text or "" if node is not None else ""

    def walk(self, parents: tuple[str, ...] = (), depth: int = 0) -> Iterator[Tree]:
        """All nodes, each with the keys that lead to it; list items are `[]`."""
        self.parents = parents
        yield self
        if depth > MAX_DEPTH:
            return
        for key, inner in self.pairs or ():
            yield from inner.walk((*parents, key.text or ""), depth + 1)
        for inner in self.items or ():
            yield from inner.walk((*parents, "[]"), depth + 1)

    def texts(self) -> Iterator[Tree]:
        """All scalars below."""
        return (node for node in self.walk(self.parents) if node.text is not None)


def parse_yaml(text: str) -> list[Tree]:
    """The documents of a YAML text.

    Raises: BrokenError: it is none.
    """
    loader = YAML(typ="rt", pure=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [_from_yaml(node) for node in loader.compose_all(text) if node is not None]
    except (YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise BrokenError(f"no YAML{where}") from error


def _from_yaml(node: Node, depth: int = 0) -> Tree:
    start, end = node.start_mark.index, node.end_mark.index
    tag = str(node.tag) if node.tag is not None else ""
    tag = "" if tag.startswith("tag:yaml.org") else tag
    if depth > MAX_DEPTH:
        return Tree(start, end, tag, text="")
    if isinstance(node, MappingNode):
        pairs = [(_from_yaml(key, depth + 1), _from_yaml(value, depth + 1)) for key, value in node.value]
        merged = [p for key, value in pairs if key.text == "<<" for p in _merge_key(value)]
        return Tree(start, end, tag, pairs=[*(p for p in pairs if p[0].text != "<<"), *merged])
    if isinstance(node, SequenceNode):
        return Tree(start, end, tag, items=[_from_yaml(item, depth + 1) for item in node.value])
    if isinstance(node, ScalarNode):
        return Tree(start, end, tag, text=str(node.value))
    return Tree(start, end, tag, text="")


def _merge_key(value: Tree) -> list[tuple[Tree, Tree]]:
    if value.items is not None:
        return [pair for item in value.items for pair in item.pairs or ()]
    return list(value.pairs or ())


def parse_json(text: str) -> Tree:
    """A JSON text; comments and trailing commas pass, as many tools allow them.

    Raises: BrokenError: it is none.
    """
    sg = SgRoot(text, "json")
    for child in sg.root().children():
        if child.is_named() and child.kind() not in {"comment", "ERROR"}:
            return _from_json(child)
    raise BrokenError("no JSON")


def _from_json(node: SgNode, depth: int = 0) -> Tree:
    start, end = span(node)
    kind = node.kind()
    if depth > MAX_DEPTH:
        return Tree(start, end, text="")
    if kind == "object":
        pairs = [
            (_from_json(key, depth + 1), _from_json(value, depth + 1))
            for item in node.children()
            if item.kind() == "pair" and (key := item.field("key")) and (value := item.field("value"))
        ]
        return _intrinsic(Tree(start, end, pairs=pairs))
    if kind == "array":
        return Tree(start, end, items=[_from_json(child, depth + 1) for child in node.children() if child.is_named()])
    text = node.text()
    return Tree(start, end, text=text[1:-1] if kind == "string" else text)


def _intrinsic(tree: Tree) -> Tree:
    """`{"Ref": "X"}` is what `!Ref X` is."""
    if tree.pairs and len(tree.pairs) == 1:
        key, value = tree.pairs[0]
        name = (key.text or "").removeprefix("Fn::")
        if (key.text == "Ref" or name != key.text) and value.text is not None:
            return Tree(tree.start, tree.end, f"!{name}", text=value.text)
    return tree
