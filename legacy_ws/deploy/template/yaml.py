"""Plain data as YAML. until phase 3

Pure. Only what a template consists of: mappings, lists, text, numbers and truth values. Every text that some parser
could take for something else (`yes`, `2012-10-17`, `10:30`, `a: b`) is quoted the way JSON quotes, which YAML reads
alike (YAML 1.2, 1.3 and 7.3.1) but for characters beyond the first 65,536.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

__all__ = ["to_yaml"]

# Begins with a letter or a slash, holds nothing with a meaning of its own.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*(?:(?::{1,2}| )[A-Za-z0-9_./-]+)*")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def to_yaml(data: Mapping[str, object]) -> str:
    """`data` in block style, keys in their order."""
    return "\n".join(_mapping(data, 0)) + "\n"


def _mapping(data: Mapping[str, object], depth: int) -> Iterator[str]:
    for key, value in data.items():
        yield from _entry("  " * depth + _text(key) + ":", value, depth)


def _entry(head: str, value: object, depth: int) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        yield head
        yield from _mapping(value, depth + 1)
    elif isinstance(value, list | tuple) and value:
        yield head
        for item in value:
            yield from _item(item, depth + 1)
    else:
        yield f"{head} {_scalar(value)}"


def _item(value: object, depth: int) -> Iterator[str]:
    dash = "  " * depth + "- "
    if isinstance(value, Mapping) and value:
        # The first key stands behind the dash, the others below it.
        lines = list(_mapping(value, depth + 1))
        yield dash + lines[0].lstrip()
        yield from lines[1:]
    elif isinstance(value, list | tuple) and value:
        yield dash.rstrip()
        for item in value:
            yield from _item(item, depth + 1)
    else:
        yield dash + _scalar(value)


def _scalar(value: object) -> str:
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    # JSON writes what is beyond \uFFFF as two halves, YAML as one character (YAML 1.2, 5.7).
    quoted = (f"\\U{ord(one):08x}" if one > "\uffff" else json.dumps(one)[1:-1] for one in value)
    return f'"{"".join(quoted)}"'
