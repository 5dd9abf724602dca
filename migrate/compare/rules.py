"""What makes two frames the same: identity, fields that may differ, normal forms. Pure. until phase 3"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from migrate.config.model import Feature, Ignore, Normalise
from migrate.errors import UsageError

__all__ = ["ABSENT", "Rules", "differing_fields", "parts", "rules_of"]

ABSENT: Any = ...


@dataclass(frozen=True, slots=True)
class Rules:
    """How frames of one feature are compared.

    Args:
        feature: its name.
        id: path of the identity; "": by content and occurrence.
        ignore: rules that count today.
        expired: rules that count no more.
        normalise: path -> form.
    """

    feature: str
    id: str
    ignore: tuple[Ignore, ...]
    expired: tuple[Ignore, ...]
    normalise: tuple[Normalise, ...]

    @property
    def by_id(self) -> bool:
        return bool(self.id)


def rules_of(feature: Feature, today: date) -> Rules:
    """The rules of a feature that count on a day.

    Raises: UsageError: a day that is none, or a path through a list.
    """
    active: list[Ignore] = []
    expired: list[Ignore] = []
    for rule in feature.ignore:
        try:
            until = date.fromisoformat(rule.expires)
        except ValueError:
            raise UsageError(
                f"feature {feature.name}: ignore rule of {rule.path} expires on {rule.expires!r}", "write YYYY-MM-DD"
            ) from None
        (active if today < until else expired).append(rule)
        parts(rule.path)
    for form in feature.normalise:
        parts(form.path)
    return Rules(feature.name, feature.id, tuple(active), tuple(expired), tuple(feature.normalise))


def parts(path: str) -> list[str]:
    """The names in a path. Raises: UsageError: it is empty or leads through a list."""
    names = path.split(".")
    if not all(names) or any(name == "*" or name.isdecimal() for name in names):
        raise UsageError(f"the path {path!r} cannot be compared by", "name a field, or the whole list")
    return names


def differing_fields(rules: Rules, left: Any, right: Any) -> dict[str, tuple[Any, Any]]:
    """Fields that differ between two parsed frames under the rules, by dotted path; `...` is a field that is not
    there.
    """
    ignored = [rule.path for rule in rules.ignore]
    forms = {form.path: form.as_ for form in rules.normalise}
    found = {}
    for path, (a, b) in _walk("", left, right, forms):
        if any(path == skip or path.startswith(skip + ".") for skip in ignored):
            continue
        found[path] = (a, b)
    return found


def _walk(path: str, a: Any, b: Any, forms: Mapping[str, str]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    if path in forms and normal_form(a, forms[path]) == normal_form(b, forms[path]):
        return
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted({*a, *b}):
            yield from _walk(f"{path}.{key}" if path else key, a.get(key, ABSENT), b.get(key, ABSENT), forms)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from _walk(f"{path}.{index}", x, y, forms)
    elif a != b or isinstance(a, bool) is not isinstance(b, bool):
        yield path, (a, b)


def normal_form(value: Any, form: str) -> Any:
    """A value in its normal form; what has none stays as it is."""
    if value is None or value is ABSENT:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if form == "lower":
        return text.lower()
    if form == "trim":
        return text.strip(" ")
    if form == "sorted":
        return sorted(json.dumps(item, sort_keys=True) for item in value) if isinstance(value, list) else text
    number = _number(text)
    if form == "number":
        return text if number is None else number
    if number is not None:
        return number / 1000 if number > 1e11 else number
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def expired_in_words(rules: Sequence[Rules]) -> list[str]:
    """One sentence a rule that counts no more."""
    return [
        f"{one.feature}: the rule that ignored {rule.path} expired on {rule.expires} ({rule.reason}) and does not count"
        for one in rules
        for rule in one.expired
    ]
