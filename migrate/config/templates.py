"""Templates of `migrate.toml`: `{field.path}` of a frame, `{$user}`, `{$in.path}` of its context. Pure. until phase 3

`{{` and `}}` are braces. A template that is exactly one placeholder keeps the value's JSON type; within a text a value
becomes text (objects and lists as JSON). In a path of a URL values are percent-encoded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from migrate.errors import UsageError

__all__ = ["MissingFieldError", "field_of", "render", "render_path"]

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
MISSING = object()


class MissingFieldError(LookupError):
    """A frame has no such field."""


def field_of(frame: object, path: str, default: Any = None) -> Any:
    """The value at a path such as `meta.tags.0`, or the default."""
    value: Any = frame
    for name in path.split(".") if path else []:
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return default
    return value


def render(template: Any, frame: object, context: Mapping[str, Any]) -> Any:
    """A value with its placeholders filled in.

    Args:
        template: a text, or a table or list of templates; anything else stands for itself.
        frame: the parsed frame.
        context: values of `{$name}`, by name without the dollar.

    Raises: MissingFieldError: the frame has no such field; `{field?}` gives null instead,
                `{field|text}` the text, `{field|$user}` that of the context
                (also for null and empty fields).
            UsageError: an unknown `{$name}`.
    """
    if isinstance(template, Mapping):
        return {key: render(value, frame, context) for key, value in template.items()}
    if isinstance(template, list):
        return [render(value, frame, context) for value in template]
    if not isinstance(template, str):
        return template
    whole = _PART.fullmatch(template)
    if whole and whole.group(1) is not None:
        return _lookup(whole.group(1), frame, context)
    return _PART.sub(lambda found: _piece(found, frame, context), template)


def render_path(template: str, frame: object, context: Mapping[str, Any]) -> str:
    """A path of a URL. Raises as `render`."""
    return _PART.sub(lambda found: quote(_piece(found, frame, context), safe=""), template)


def _piece(found: re.Match[str], frame: object, context: Mapping[str, Any]) -> str:
    if found.group(1) is None:
        return found.group()[0]
    value = _lookup(found.group(1), frame, context)
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _lookup(name: str, frame: object, context: Mapping[str, Any]) -> Any:
    if name.startswith("$"):
        first, _, rest = name[1:].partition(".")
        if first.removesuffix("?") not in context:
            known = ", ".join(f"{{${key}}}" for key in context)
            raise UsageError(f"there is no {{{name}}}", f"known here are {known}")
        return _lookup(rest, context[first], context) if rest else context[first.removesuffix("?")]
    path, has_default, default = name.partition("|")
    value = field_of(frame, path.removesuffix("?"), MISSING)
    if value is MISSING or (has_default and value in (None, "")):
        if has_default or path.endswith("?"):
            if default.startswith("$"):
                return _lookup(default, frame, context)
            return default if has_default else None
        raise MissingFieldError(name)
    return value
