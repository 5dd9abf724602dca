"""Where and how a JavaScript module gets the new class. Pure. until phase 3"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ast_grep_py import SgNode

from migrate.codemod.edits import Edit, line_end_of
from migrate.codemod.names import JS_CLASS, JS_PACKAGE
from migrate.scan.js_file import JsFile, string_value
from migrate.scan.nodes import span

__all__ = ["ModuleKind", "Style", "import_line", "insert_import", "local_name", "module_kind", "style_of"]

ModuleKind = str  # esm, cjs or script
_REQUIRE = re.compile(r"\brequire\s*\(|\bmodule\.exports\b|\bexports\.\w+\s*=")
_LICENSE = re.compile(r"licen[sc]e|copyright|spdx|@preserve|@file|@ts-|@flow|@jsx|eslint|@format|\(c\)|/\*!", re.I)


@dataclass(frozen=True, slots=True)
class Style:
    """How a module writes its imports."""

    quote: str
    semicolon: str
    end: str


def module_kind(file: JsFile, suffix: str, declared: str | None, component: bool | None) -> ModuleKind:
    """How a module imports: esm, cjs, or script when it cannot.

    Args:
        suffix: of the file's name.
        declared: `type` of the nearest package.json, or what the user said; None: nobody said.
        component: True for a script of a component or `<script type=module>`, False for a classic one of a page.
    """
    if component is not None:
        return "esm" if component else "script"
    if suffix in {".mjs", ".mts"} or file.has_imports:
        return "esm"
    if suffix in {".cjs", ".cts"} or _REQUIRE.search(file.text):
        return "cjs"
    if suffix in {".ts", ".tsx", ".jsx"}:
        return "esm"
    return {"module": "esm", "esm": "esm", "cjs": "cjs"}.get(declared or "", "script")


def style_of(file: JsFile) -> Style:
    """Taken from the imports there are, else from all strings."""
    strings = [node.text() for node in file.root.find_all(kind="string")][:200]
    single = sum(text[0] == "'" for text in strings)
    heads = [
        c.text()
        for c in file.root.children()
        if c.kind() in {"import_statement", "lexical_declaration", "expression_statement", "export_statement"}
    ]
    bare = sum(not text.rstrip().endswith(";") for text in heads)
    return Style(
        "'" if single * 2 > len(strings) else '"', "" if bare * 2 > len(heads) else ";", line_end_of(file.text)
    )


def local_name(file: JsFile) -> str | None:
    """The name under which the module already has the new class."""
    for bindings in file.bindings.values():
        for binding in bindings:
            if binding.module == JS_PACKAGE and binding.imported in {JS_CLASS, "default"}:
                return binding.name
    for node in file.root.find_all(kind="variable_declarator"):
        value, name = node.field("value"), node.field("name")
        if value is None or name is None or JS_PACKAGE not in value.text() or name.kind() != "object_pattern":
            continue
        for item in name.children():
            key = item.field("key") or item
            if key.text() == JS_CLASS:
                return (item.field("value") or item).text()
    return None


def import_line(name: str, kind: ModuleKind, style: Style) -> str:
    """The statement, without a line end."""
    quoted = f"{style.quote}{JS_PACKAGE}{style.quote}"
    if kind == "cjs":
        item = JS_CLASS if name == JS_CLASS else f"{JS_CLASS}: {name}"
        return f"const {{ {item} }} = require({quoted}){style.semicolon}"
    item = JS_CLASS if name == JS_CLASS else f"{JS_CLASS} as {name}"
    return f"import {{ {item} }} from {quoted}{style.semicolon}"


def insert_import(file: JsFile, name: str, kind: ModuleKind, style: Style, start: int) -> Edit:
    """Insert the statement: after the last import or require at the top, else after shebang, licence and directives.

    Args:
        start: where the script begins in the text; 0 for a whole file.
    """
    line = import_line(name, kind, style)
    children = file.root.children()
    imports = [child for child in children if _brings_in(child, kind)]
    if imports:
        last = imports[-1]
        at = file.text.find("\n", span(last)[1])
        rest = file.text[span(last)[1] : at if at >= 0 else None]
        indent = _indent(file.text, span(last)[0])
        if at < 0 or re.match(r"[ \t]*;?[ \t]*(?://.*|/\*.*\*/[ \t]*)?\r?$", rest) is None:
            # Something else follows in this line.
            at = span(last)[1]
            return Edit(at, at, f"{style.end}{indent}{line}")
        return Edit(at + 1, at + 1, f"{indent}{line}{style.end}")
    return _at_top(file, line, style, start)


def _brings_in(node: SgNode, kind: ModuleKind) -> bool:
    if kind == "cjs":
        return node.kind() in {"lexical_declaration", "variable_declaration"} and "require(" in node.text()
    return node.kind() == "import_statement"


def _indent(text: str, offset: int) -> str:
    begin = text.rfind("\n", 0, offset) + 1
    return text[begin:offset] if not text[begin:offset].strip() else ""


def _at_top(file: JsFile, line: str, style: Style, start: int) -> Edit:
    text = file.text
    header: list[SgNode] = []
    first: SgNode | None = None
    for child in file.root.children():
        directive = child.kind() == "expression_statement" and string_value(child.children()[0]) is not None
        if child.kind() in {"hash_bang_line", "comment"} or directive:
            header.append(child)
        else:
            first = child
            break
    at = span(first)[0] if first is not None else len(text.rstrip())
    while header and header[-1].kind() == "comment" and "\n\n" not in text[span(header[-1])[1] : at].replace("\r", ""):
        if len(header) == 1 and _LICENSE.search(header[-1].text()):
            break
        comment = span(header[-1])[0]
        if text[text.rfind("\n", 0, comment) + 1 : comment].strip():
            break  # at the end of a line of code
        at = comment
        header.pop()
    begin = text.rfind("\n", 0, at) + 1
    if text[begin:at].strip() or begin < start:
        return Edit(at, at, f"{line}{style.end}")
    indent = text[begin:at]
    return Edit(begin, begin, f"{indent}{line}{style.end}")
