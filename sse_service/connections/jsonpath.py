"""The part of JSONPath that selection expressions and templates use, and strict JSON reading.

Source: "WebSocket selection expressions": `$request.body.{path_to_body_element}`, "you can use any JSON path
expression after request.body, but keep in mind that the result will be stringified". Supported here: names
(`.a`, `['a']`) and indexes (`[0]`), which always give one value; filters and wildcards are not.
"""

import json
import re
from typing import Any, Final, NoReturn

MISSING: Final = object()
"""The path does not exist (None would be JSON null)."""

_STEP = re.compile(r"\.?([^.\[\]'\"]+)|\[\s*'([^']*)'\s*\]|\[\s*\"([^\"]*)\"\s*\]|\[\s*(-?\d+)\s*\]")


def parse_json(text: str) -> Any:
    """Read JSON as the standard has it (no NaN, no Infinity). Raises ValueError for anything else."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def parse_path(path: str) -> tuple[str | int, ...] | None:
    """Split a path behind `$` or `$request.body` into steps; None when it uses what is not supported."""
    steps: list[str | int] = []
    position = 0
    while position < len(path):
        found = _STEP.match(path, position)
        if not found or (position > 0 and found[1] is not None and path[position] != "."):
            return None
        if found[4] is not None:
            steps.append(int(found[4]))
        else:
            steps.append(next(part for part in found.groups()[:3] if part is not None))
        position = found.end()
    return tuple(steps)


def resolve(value: Any, steps: tuple[str | int, ...]) -> Any:
    """Follow the steps; MISSING when one of them leads nowhere."""
    for step in steps:
        if isinstance(step, int):
            if not isinstance(value, list) or not -len(value) <= step < len(value):
                return MISSING
            value = value[step]
        else:
            if not isinstance(value, dict) or step not in value:
                return MISSING
            value = value[step]
    return value


def stringify(value: Any) -> str:
    """A JSON value as text inside a key: "an array of two elements ... will be presented as "[item1,
    item2]"."""
    if isinstance(value, str):
        return value
    if value is MISSING or value is None:
        return ""
    if isinstance(value, list):
        return "[" + ", ".join(stringify(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)
