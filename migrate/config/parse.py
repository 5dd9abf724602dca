"""From the values of a TOML document to settings, with every mistake named by its place. Pure. until phase 3"""

from __future__ import annotations

import difflib
import json
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeVar

from migrate.config.model import SCHEMA, EventSource, Settings
from migrate.errors import UsageError

__all__ = ["as_values", "key_of", "settings_from"]

T = TypeVar("T")
KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def settings_from(values: Mapping[str, Any], source: str) -> Settings:
    """Settings of a parsed TOML document.

    Args:
        source: how errors call the document.

    Raises: UsageError: naming the key, its value, and what it may be.
    """
    schema = values.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise UsageError(f"{source} does not begin with `schema = {SCHEMA}`", "`migrate init` writes such a file")
    if schema > SCHEMA:
        raise UsageError(
            f"{source} has schema {schema}, this version reads up to {SCHEMA}",
            "use the version that wrote it, or newer",
        )
    settings = _table(Settings, {key: value for key, value in values.items() if key != "schema"}, (), source)
    _unique([one.name for one in settings.features], "features", source)
    _unique([one.name for one in settings.functions], "functions", source)
    for number, function in enumerate(settings.functions):
        _event_sources(function.event_sources, f"functions[{number}].event_sources", source)
    return settings


def _event_sources(given: tuple[EventSource, ...], place: str, source: str) -> None:
    for number, one in enumerate(given):
        if any((one.type, one.name) == (other.type, other.name) for other in given[:number]):
            raise UsageError(
                f"{source}: {place} has {one.type} {one.name} twice", "one mapping reads it for a function"
            )
        for index, pattern in enumerate(one.filters):
            try:
                is_object = isinstance(json.loads(pattern), dict)
            except (ValueError, RecursionError):
                is_object = False
            if not is_object:
                raise UsageError(
                    f"{source}: {place}[{number}].filters[{index}] is {_shown(pattern)}, and must be a JSON object",
                    "a Pattern of the mapping's FilterCriteria, as a text",
                )


def key_of(field: Field[Any]) -> str:
    """A field's key in the file: Python keeps some names for itself."""
    return field.name.rstrip("_")


def as_values(settings: Any) -> dict[str, Any]:
    """The opposite: what differs from the defaults, and what has none."""
    found: dict[str, Any] = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.default is not MISSING and value == field.default:
            continue
        if field.default_factory is not MISSING and value == field.default_factory():
            continue
        found[key_of(field)] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return as_values(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


def _table(cls: type[T], values: object, way: tuple[str, ...], source: str) -> T:
    if not isinstance(values, Mapping):
        raise UsageError(f"{source}: {_at(way)} is {_shown(values)}, and must be a table", None)
    hints = typing.get_type_hints(cls)
    known = {key_of(field): field for field in fields(cls)}  # type: ignore[arg-type]  # only our dataclasses come here
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            meant = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise UsageError(f"{source}: there is no key {_at((*way, str(key)))}", meant)
    given = {
        field.name: _value(hints[field.name], field, values[key], (*way, key), source)
        for key, field in known.items()
        if key in values
    }
    for key, field in known.items():
        if key not in values and field.default is MISSING and field.default_factory is MISSING:
            raise UsageError(f"{source}: {_at((*way, key))} is missing", str(field.metadata["help"]))
    return cls(**given)


def _value(kind: Any, field: Field[Any], value: Any, way: tuple[str, ...], source: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        kind = next(one for one in arguments if one is not type(None))
        return _value(kind, field, value, way, source)
    if origin is tuple:
        if not isinstance(value, list):
            raise UsageError(f"{source}: {_at(way)} is {_shown(value)}, and must be a list", field.metadata["help"])
        return tuple(
            _value(arguments[0], field, item, (*way[:-1], f"{way[-1]}[{number}]"), source)
            for number, item in enumerate(value)
        )
    if is_dataclass(kind):
        return _table(kind, value, way, source)  # type: ignore[arg-type]  # a class, not one of its objects
    if kind not in KINDS:
        if not isinstance(value, Mapping):
            raise UsageError(f"{source}: {_at(way)} is {_shown(value)}, and must be a table", field.metadata["help"])
        return dict(value)
    return _scalar(kind, field, value, way, source)


def _scalar(kind: type, field: Field[Any], value: Any, way: tuple[str, ...], source: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        # A day without quotes is a date in TOML.
        if kind is str and hasattr(value, "isoformat"):
            value = value.isoformat()
        else:
            raise UsageError(
                f"{source}: {_at(way)} is {_shown(value)}, and must be {KINDS[kind]}", field.metadata["help"]
            )
    rules = field.metadata
    wrong = ""
    if rules["choices"] and value not in rules["choices"]:
        wrong = f"and must be one of {', '.join(rules['choices'])}"
    elif rules["pattern"] and not re.fullmatch(rules["pattern"], value):
        wrong = f"which does not match {rules['pattern']}"
    elif rules["minimum"] is not None and not value >= rules["minimum"]:
        wrong = f"and must be at least {rules['minimum']:g}"
    elif rules["maximum"] is not None and not value <= rules["maximum"]:
        wrong = f"and must be at most {rules['maximum']:g}"
    if wrong:
        raise UsageError(f"{source}: {_at(way)} is {_shown(value)}, {wrong}", rules["help"])
    return value


def _unique(names: list[str], what: str, source: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{source}: {what} has {name!r} twice", "give each one name of its own")


def _at(way: tuple[str, ...]) -> str:
    return ".".join(way)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
