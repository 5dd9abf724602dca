"""The scripts inside Vue, Svelte, Astro and HTML files. Pure. until phase 3

A script keeps its place: everything else is blanked, so that offsets in it are offsets in the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Script", "scripts"]

_SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script\s*>", re.IGNORECASE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_ATTRIBUTE = re.compile(r"([\w:-]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+)))?")
_FRONT = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_NOT_BREAK = re.compile(r"[^\r\n]")
_SCRIPT_TYPES = frozenset({"", "module", "text/javascript", "application/javascript", "text/babel", "text/typescript"})


@dataclass(frozen=True, slots=True)
class Script:
    """One script: the file's text with everything else blanked, and where the script is.

    Attributes:
        module: it can import; a classic script of a page cannot.
    """

    text: str
    start: int
    end: int
    typescript: bool
    module: bool


def scripts(name: str, text: str) -> list[Script]:
    """The scripts of a component file or a page."""
    lowered = name.lower()
    component = not lowered.endswith((".html", ".htm"))
    found = []
    if lowered.endswith(".astro"):
        front = _FRONT.match(text)
        if front:
            found.append(_cut(text, front.start(1), front.end(1), typescript=True, module=True))
    comments = [match.span() for match in _COMMENT.finditer(text)]
    for match in _SCRIPT.finditer(text):
        if any(start <= match.start() < end for start, end in comments):
            continue
        attributes = {
            key.lower(): a or b or c for key, a, b, c in _ATTRIBUTE.findall(match.group(1)) if not key.startswith("/")
        }
        if attributes.get("type", "").lower() not in _SCRIPT_TYPES or "src" in attributes:
            continue
        module = component or attributes.get("type", "").lower() == "module"
        typescript = attributes.get("lang", "").lower() in {"ts", "typescript"} or "typescript" in attributes.get(
            "type", ""
        )
        found.append(_cut(text, match.start(2), match.end(2), typescript=typescript, module=module))
    return found


def _cut(text: str, start: int, end: int, *, typescript: bool, module: bool) -> Script:
    blanked = _NOT_BREAK.sub(" ", text[:start]) + text[start:end] + _NOT_BREAK.sub(" ", text[end:])
    return Script(blanked, start, end, typescript, module)
