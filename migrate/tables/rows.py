"""What an item of a connections table holds, and how what is gone is taken out of it. Pure. until phase 3 (MG11)

Items and values are in DynamoDB's own JSON (`{"S": "text"}`), so that numbers and sets come back as they were.
Condition expressions: DynamoDB developer guide, "Condition expressions"; at most 4 KB and 300 operators ("Service,
account, and table quotas").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from migrate.config.model import Table
from migrate.errors import UsageError

__all__ = ["Entry", "Item", "Rows", "Value"]

Value = dict[str, Any]
Item = dict[str, Value]
Change = tuple[str, str, dict[str, Any], dict[str, str]]
"""Update expression, condition, values, further names."""

# More attributes than these are not compared: 300 operators, and a name and a value for each.
_COMPARED = 90
# Entries taken out by one update.
TOGETHER = 20


@dataclass(frozen=True)
class Entry:
    """A connection that an item holds.

    Args:
        connection_id: API Gateway's.
        key: its key in the map, or its place in the list; empty where the whole item is the connection.
        value: what stands there.
    """

    connection_id: str
    key: str = ""
    value: Value = field(default_factory=dict)


class Rows:
    """A table as `migrate.toml` describes it.

    Args:
        table: its settings.
        keys: its key attributes as DynamoDB has them: partition key, then perhaps the sort key.

    Raises: UsageError: the settings do not fit.
    """

    def __init__(self, table: Table, keys: Sequence[str]) -> None:
        if not table.key and not table.map_attribute:
            raise UsageError(
                f"table {table.name} names no `key`, the attribute with the connection's id",
                "see `migrate check-config`",
            )
        self.table = table
        self.keys = tuple(keys)
        self.whole = not table.map_attribute

    def key_of(self, item: Item) -> Item:
        """The item's primary key."""
        return {name: item[name] for name in self.keys}

    def entries(self, item: Item) -> list[Entry]:
        """The connections of an item; none for rows of other kinds."""
        prefix = self.table.row_prefix
        if prefix and not str(item[self.keys[0]].get("S", "")).startswith(prefix):
            return []
        if self.whole:
            found = self._id(item.get(self.table.key))
            return [Entry(found)] if found else []
        return [one for one in self._inside(item.get(self.table.map_attribute, {})) if one.connection_id]

    def _inside(self, holder: Mapping[str, Any]) -> Iterator[Entry]:
        by = self.table.map_id
        if "SS" in holder:
            for one in holder["SS"]:
                yield Entry(self._id({"S": one}), one, {"S": one})
        elif "M" in holder:
            for key, value in holder["M"].items():
                inner = {"S": key} if not by else value if by == "." else value.get("M", {}).get(by)
                yield Entry(self._id(inner), key, value)
        elif "L" in holder:
            for number, value in enumerate(holder["L"]):
                yield Entry(self._id(value.get("M", {}).get(by) if by and by != "." else value), str(number), value)

    def _id(self, value: Mapping[str, Any] | None) -> str:
        text = str((value or {}).get("S", ""))
        prefix = self.table.id_prefix
        if prefix:
            return text.removeprefix(prefix) if text.startswith(prefix) else ""
        return text

    # what takes them out: arguments of DeleteItem and UpdateItem

    def deletion(self, item: Item) -> dict[str, Any]:
        """Deletes the item as it was read, and no other: a row that was written again since then stays."""
        return {"TableName": self.table.name, "Key": self.key_of(item), **self._unchanged(item)}

    def _unchanged(self, item: Item) -> dict[str, Any]:
        names, values, parts = {}, {}, []
        ordered = sorted(item, key=lambda name: (name not in self.keys, name != self.table.key, name))
        for number, name in enumerate(ordered[:_COMPARED]):
            names[f"#a{number}"], values[f":a{number}"] = name, item[name]
            parts.append(f"#a{number} = :a{number}")
        return {
            "ConditionExpression": " AND ".join(parts),
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }

    def removals(self, item: Item, gone: Sequence[Entry]) -> Iterator[tuple[dict[str, Any], list[Entry]]]:
        """Updates that take entries out of the item's map, set or list, each with what it takes out.

        An entry that changed since it was read fails its update.
        """
        attribute = self.table.map_attribute
        holder = item[attribute]
        if "L" in holder:
            numbers = {int(one.key) for one in gone}
            rest = [value for number, value in enumerate(holder["L"]) if number not in numbers]
            yield self._update(item, "SET #m = :rest", "#m = :old", {"#m": attribute},
                               {":rest": {"L": rest}, ":old": holder}), list(gone)  # fmt: skip
            return
        for first in range(0, len(gone), TOGETHER):
            part = list(gone[first : first + TOGETHER])
            if "SS" in holder:
                values = {":ids": {"SS": [one.key for one in part]}, ":t": {"S": "SS"}}
                yield self._update(item, "DELETE #m :ids", "attribute_type(#m, :t)", {"#m": attribute}, values), part
                continue
            names = {"#m": attribute, **{f"#e{number}": one.key for number, one in enumerate(part)}}
            values = {f":e{number}": one.value for number, one in enumerate(part)}
            places = [f"#m.#e{number}" for number in range(len(part))]
            same = " AND ".join(f"{place} = :e{number}" for number, place in enumerate(places))
            yield self._update(item, f"REMOVE {', '.join(places)}", same, names, values), part

    def _update(
        self, item: Item, what: str, when: str, names: dict[str, str], values: dict[str, Any]
    ) -> dict[str, Any]:
        return {
            "TableName": self.table.name,
            "Key": self.key_of(item),
            "UpdateExpression": what,
            "ConditionExpression": when,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }

    # what puts them back

    def put(self, item: Item) -> dict[str, Any]:
        """Puts a whole item where nothing is."""
        return {
            "TableName": self.table.name,
            "Item": item,
            "ConditionExpression": "attribute_not_exists(#k)",
            "ExpressionAttributeNames": {"#k": self.keys[0]},
        }

    def addition(self, key: Item, kind: str, entry: Entry) -> list[dict[str, Any]]:
        """Updates of which the first that holds puts an entry back where none of its key is."""
        names = {"#k": self.keys[0], "#m": self.table.map_attribute}
        base = {"TableName": self.table.name, "Key": key}
        if kind == "SS":
            change: Change = ("ADD #m :v", "attribute_exists(#k)", {":v": {"SS": [entry.key]}}, {})
            return [{**base, **_expression(change, names)}]
        if kind == "L":
            change = (
                "SET #m = list_append(if_not_exists(#m, :none), :v)",
                "attribute_exists(#k) AND NOT contains(#m, :one)",
                {":none": {"L": []}, ":v": {"L": [entry.value]}, ":one": entry.value},
                {},
            )
            return [{**base, **_expression(change, names)}]
        inside: Change = ("SET #m.#e = :v", "attribute_exists(#m) AND attribute_not_exists(#m.#e)",
                  {":v": entry.value}, {"#e": entry.key})  # fmt: skip
        whole: Change = ("SET #m = :v", "attribute_exists(#k) AND attribute_not_exists(#m)",
                 {":v": {"M": {entry.key: entry.value}}}, {})  # fmt: skip
        return [{**base, **_expression(change, names)} for change in (inside, whole)]

    def holds(self, item: Item | None, kind: str, entry: Entry) -> str:
        """Whether an item has an entry as it was: `same`, `other` (its key has another value), `none`."""
        holder = (item or {}).get(self.table.map_attribute, {})
        if kind == "SS":
            return "same" if entry.key in holder.get("SS", ()) else "none"
        if kind == "L":
            return "same" if entry.value in holder.get("L", ()) else "none"
        found = holder.get("M", {}).get(entry.key)
        return "none" if found is None else "same" if found == entry.value else "other"


def _expression(change: Change, names: dict[str, str]) -> dict[str, Any]:
    what, when, values, more = change
    every = {**names, **more}
    used = {name: value for name, value in every.items() if name in f"{what} {when}"}
    return {
        "UpdateExpression": what,
        "ConditionExpression": when,
        "ExpressionAttributeNames": used,
        "ExpressionAttributeValues": values,
    }
