"""One environment variable of the settings: its name, type, limits and meaning. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

__all__ = ["Secret", "parse", "variable"]


class Secret(str):
    """Text that does not show itself in a repr, a log line or an error."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('***')" if self else "Secret('')"


def variable(name: str, default: Any, doc: str, *, low: float | None = None, high: float | None = None) -> Any:
    """A field of a dataclass that is read from the variable `name`; its type is that of `default`."""
    return dataclasses.field(default=default, metadata={"variable": name, "doc": doc, "low": low, "high": high})


def parse(item: dataclasses.Field[Any], raw: str) -> Any:
    """The value of a variable. Raises ValueError with what it must be."""
    default = item.default
    if isinstance(default, Secret):
        return Secret(raw)
    if isinstance(default, tuple):
        return tuple(part.strip() for part in raw.split(",") if part.strip())
    low, high = item.metadata["low"], item.metadata["high"]
    if isinstance(default, int) and (low, high) == (0, 1):
        if raw.strip() not in {"0", "1"}:
            raise ValueError("must be 0 or 1")
        return int(raw)
    convert: Callable[[str], Any]
    if isinstance(default, int):
        convert, kind = int, "a whole number"
    elif isinstance(default, float):
        convert, kind = float, "a number"
    else:
        return raw
    try:
        value = convert(raw)
    except ValueError:
        raise ValueError(f"must be {kind}") from None
    if value != value or (low is not None and value < low) or (high is not None and value > high):
        limits = f"{low:g} or more" if high is None else f"between {low:g} and {high:g}"
        raise ValueError(f"must be {limits}")
    return value
