"""Settings as the text of a `migrate.toml` that explains itself. Pure. until phase 3"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from migrate.config.model import SCHEMA, Settings
from migrate.config.parse import key_of

__all__ = ["to_toml"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
WIDTH = 110


def to_toml(settings: Settings, *, heading: str = "", notes: Mapping[str, str] | None = None) -> str:
    """The file's text. Keys at their defaults are written as comments, so that all of them can be found.

    Args:
        heading: first lines, without `#`.
        notes: further comments by place (`api`, `tables[0]`, `features[1].replay`).
    """
    lines = [*_comment(heading), f"schema = {SCHEMA}"]
    for field in fields(settings):
        _part(lines, field, getattr(settings, field.name), (key_of(field),), notes or {}, key_of(field))
    return "\n".join(lines) + "\n"


def _part(
    lines: list[str], field: Field[Any], value: Any, way: tuple[str, ...], notes: Mapping[str, str], place: str
) -> None:
    """A table, or one after the other of a list of tables."""
    if isinstance(value, tuple):
        for number, one in enumerate(value):
            _table(lines, one, way, f"[[{'.'.join(way)}]]", notes, f"{place}[{number}]", "")
        if not value:
            lines += ["", *_comment(f"[[{'.'.join(way)}]]: {field.metadata['help']}")]
    elif value is not None:
        _table(lines, value, way, f"[{'.'.join(way)}]", notes, place, str(field.metadata["help"]))


def _table(
    lines: list[str], value: Any, way: tuple[str, ...], head: str, notes: Mapping[str, str], place: str, help_: str
) -> None:
    lines += ["", *_comment(help_), *_comment(notes.get(place, "")), head]
    inner = []
    for field in fields(value):
        one = getattr(value, field.name)
        if is_dataclass(one) or (isinstance(one, tuple) and one and is_dataclass(one[0])):
            inner.append((field, one))
            continue
        if one is None or (one == () and field.name in {"ignore", "normalise", "deliver", "collect"}):
            continue
        line = f"{key_of(field)} = {_literal(one)}"
        if _is_default(field, one):
            lines.append(f"# {line}  # {field.metadata['help']}")
        else:
            lines.append(f"{line}  # {field.metadata['help']}" if len(line) < 60 else line)
    for field, one in inner:
        _part(lines, field, one, (*way, key_of(field)), notes, f"{place}.{key_of(field)}")


def _is_default(field: Field[Any], value: Any) -> bool:
    if field.default_factory is not MISSING:
        return bool(value == field.default_factory())
    return field.default is not MISSING and bool(value == field.default)


def _comment(text: str) -> list[str]:
    return [f"# {line}".rstrip() for part in text.splitlines() for line in textwrap.wrap(part, WIDTH) or [""]]


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        # A JSON text is a basic string of TOML, but for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return (
            "{ " + ", ".join(f"{_name(key)} = {_literal(one)}" for key, one in value.items()) + " }" if value else "{}"
        )
    return "[" + ", ".join(_literal(one) for one in value) + "]"


def _name(key: str) -> str:
    return key if _BARE.fullmatch(key) else _literal(key)
