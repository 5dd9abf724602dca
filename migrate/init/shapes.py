"""How a table keeps connections, told by a few of its items. Pure; values are looked at, never kept. until phase 3

A connection id of API Gateway is 11 or 12 bytes in base64, as in `BFaT_fALIAMCKug=` (developer guide, "Use
@connections commands in your backend service").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Shape", "attributes_of", "shape_of"]

_ID = re.compile(r"[A-Za-z0-9_+/-]{10,22}={1,2}")
_PREFIXED = re.compile(r"(.{0,60}?[#:|/.~@])([A-Za-z0-9_+-]{10,22}={1,2})")
_ROW_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_-]*[#:|/~@]")


@dataclass(frozen=True)
class Shape:
    """Where connections' ids are.

    Args:
        key: attribute with the id (for items that hold several: the partition key).
        id_prefix: what stands before the id there.
        row_prefix: how the partition keys of such items begin, where other items begin otherwise.
        map_attribute, map_id: as in migrate.toml.
        items, of: how many of the items looked at have it.
    """

    key: str
    id_prefix: str = ""
    row_prefix: str = ""
    map_attribute: str = ""
    map_id: str = ""
    items: int = 0
    of: int = 0


def shape_of(items: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> Shape | None:
    """The commonest shape, or None when no item holds anything like a connection's id.

    Args:
        items: in DynamoDB's JSON.
        keys: of the table: partition key, then perhaps sort key.
    """
    found: Counter[tuple[str, str, str, str]] = Counter()
    for item in items:
        found.update(set(_places(item)))
    if not found:
        return None

    def preference(place: tuple[str, str, str, str]) -> tuple[int, int, int]:
        attribute, prefix, map_attribute, _ = place
        return found[place], 0 if map_attribute else 2 if attribute in keys else 1, -len(prefix)

    best = max(found, key=preference)
    attribute, prefix, map_attribute, map_id = best
    having = [item for item in items if best in set(_places(item))]
    others = [item for item in items if best not in set(_places(item))]
    key = keys[0] if map_attribute else attribute
    return Shape(
        key, prefix, _common_prefix(having, others, keys[0]), map_attribute, map_id, found[best], len(items)
    )  # fmt: skip


def attributes_of(items: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Type letter of every attribute seen, by name, commonest first."""
    counted: Counter[str] = Counter()
    kinds: dict[str, str] = {}
    for item in items:
        for name, value in item.items():
            counted[name] += 1
            kinds[name] = next(iter(value))
    return {name: kinds[name] for name, _ in counted.most_common()}


def _places(item: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """(attribute, id's prefix, map attribute, key inside its entries)."""
    for name, value in item.items():
        kind, inner = next(iter(value.items()))
        if kind == "S":
            prefix = _prefix_of(inner)
            if prefix is not None:
                yield name, prefix, "", ""
        elif kind in {"SS", "M"} and inner and all(_ID.fullmatch(one) for one in inner):
            yield "", "", name, ""
        elif kind in {"M", "L"} and inner:
            entries = list(inner.values()) if kind == "M" else inner
            # Members of a list are ids themselves; those of a map have keys, which are somebody else's names here.
            yield from (("", "", name, "." if key == "" and kind == "M" else key) for key in _inside(entries))


def _inside(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if all("S" in one and _ID.fullmatch(one["S"]) for one in entries):
        yield ""
        return
    maps = [one["M"] for one in entries if "M" in one]
    if len(maps) != len(entries):
        return
    for key in maps[0]:
        if all("S" in one.get(key, {}) and _ID.fullmatch(one[key]["S"]) for one in maps):
            yield key


def _prefix_of(text: str) -> str | None:
    if _ID.fullmatch(text):
        return ""
    found = _PREFIXED.fullmatch(text)
    # What stands before must be a word of the design, not somebody's name: only what ends the text's last id counts.
    if found and _ROW_PREFIX.fullmatch(found.group(1)):
        return found.group(1)
    return None


def _common_prefix(having: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]], key: str) -> str:
    """The prefix of the partition keys of `having`, when it is one and `others` have other ones."""
    mine = {_row_prefix(item, key) for item in having}
    if len(mine) != 1 or mine & {_row_prefix(item, key) for item in others}:
        return ""
    return mine.pop()


def _row_prefix(item: Mapping[str, Any], key: str) -> str:
    found = _ROW_PREFIX.match(item.get(key, {}).get("S", ""))
    return found.group() if found else ""
