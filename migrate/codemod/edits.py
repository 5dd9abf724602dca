"""Edits of ranges of a text, and comments above statements. Pure. until phase 3

ast-grep's own `fix` re-indents what it replaces; a range replaced by hand leaves every other byte as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ast_grep_py import SgNode

from migrate.codemod.names import MARKER
from migrate.scan.nodes import span, up

__all__ = ["Edit", "apply", "comment_above", "line_end_of"]

_LINE_DIRECTIVE = re.compile(
    r"(?://|#|/\*|\{/\*)\s*(?:eslint-disable-next-line|prettier-ignore|@ts-(?:ignore|expect-error)|biome-ignore|noqa|type:|"
    r"pylint:|istanbul ignore|c8 ignore|v8 ignore)"
)
_JS_STATEMENTS = frozenset(
    {
        "lexical_declaration", "variable_declaration", "class_declaration", "abstract_class_declaration",
        "function_declaration", "generator_function_declaration", "method_definition", "public_field_definition",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace text[start:end]."""

    start: int
    end: int
    text: str


def apply(text: str, edits: Iterable[Edit]) -> str:
    """The text with all edits. Equal ones count once; insertions at one place keep their order.

    Raises: ValueError: two edits overlap.
    """
    out, at = [], 0
    for edit in sorted(dict.fromkeys(edits), key=lambda edit: (edit.start, edit.end)):
        if edit.start < at:
            raise ValueError(f"edits overlap at {edit.start}")
        out += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*out, text[at:]])


def line_end_of(text: str) -> str:
    """The line end that a text uses most."""
    return "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"


def comment_above(text: str, node: SgNode, message: str, opener: str) -> Edit | None:
    """A comment on a line of its own above the statement that a node is in; None when one of ours is there already.

    Args:
        opener: `//` or `#`.
    """
    place = _statement_start(text, node)
    if place is None:
        return None
    start = text.rfind("\n", 0, place) + 1
    indent = text[start:place]
    above = text[:start].splitlines()
    while above and above[-1].strip().startswith(opener):
        if MARKER in above[-1]:
            return None
        if not _LINE_DIRECTIVE.match(above[-1].strip()):
            break
        # Such a comment is about the line right below it.
        start -= len(above.pop()) + 1 + (text[start - 2 : start - 1] == "\r")
    # One of ours may stand above other people's comments.
    for line in reversed(above[-6:]):
        if not line.strip().startswith(opener):
            break
        if MARKER in line:
            return None
    return Edit(start, start, f"{indent}{opener} {MARKER} {message}{line_end_of(text)}")


def _statement_start(text: str, node: SgNode) -> int | None:
    """Where the nearest statement begins that has its line to itself from the left."""
    best: int | None = None
    for ancestor in (node, *up(node)):
        kind = ancestor.kind()
        if not (kind in _JS_STATEMENTS or kind.endswith(("_statement", "_definition"))):
            continue
        start = span(ancestor)[0]
        parent = ancestor.parent()
        if parent is not None and parent.kind() in {"decorated_definition", "export_statement", "else_clause"}:
            continue
        if parent is not None and parent.kind() == "class_body" and _decorated(ancestor):
            continue
        begin = text.rfind("\n", 0, start) + 1
        if not text[begin:start].strip():
            best = start
            break
    return best


def _decorated(node: SgNode) -> bool:
    before = node.prev()
    return before is not None and before.kind() == "decorator"
