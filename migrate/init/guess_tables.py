"""Which table holds connections, and how: guesses with their reasons. Pure. until phase 3 (MG1)"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from migrate.init.draft import Draft
from migrate.init.facts import StackFacts, TableFact
from migrate.init.names import (
    first,
    is_connected_at,
    is_connection,
    is_connection_table,
    is_message_table,
    is_tenant,
    is_user,
)
from migrate.init.shapes import Shape, attributes_of, shape_of

__all__ = ["guess_tables"]

_WRITES = ("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:BatchWriteItem", "dynamodb:TransactWriteItems")


def guess_tables(draft: Draft, facts: StackFacts) -> None:
    """Add the tables, with notes and questions."""
    tables = draft.values.setdefault("tables", [])
    for table in facts.tables:
        place, path = f"tables[{len(tables)}]", f"tables.{len(tables)}"
        shape = shape_of(table.samples, [name for name, _ in table.keys])
        role, why = _role(facts, table, shape)
        one: dict[str, Any] = {"name": table.name, "role": role}
        draft.note(place, f"role {role}: {why}.")
        if not table.certain:
            draft.note(place, "name: made at deployment; this is what the file says.")
            draft.ask(f"{path}.name", f"Deployed name of the table {table.name}", table.name, "made at deployment")
        if role == "connections":
            _connections(draft, place, path, table, shape, one)
        else:
            one["key"] = table.keys[0][0] if table.keys else ""
            if len(table.keys) > 1:
                one["sort_key"] = table.keys[1][0]
        _keys(table, one)
        if table.ttl:
            one["ttl"] = table.ttl
            draft.note(place, "ttl: the table's own setting.")
        tables.append(one)
    if not any(one["role"] == "connections" for one in tables):
        draft.problems.append(
            "no table of connections was found: without one, drain and clean-up reach nobody; "
            "add it with --set tables.N.name=..., role=connections, key=..."
        )


def _keys(table: TableFact, one: dict[str, Any]) -> None:
    """What a rehearsal makes the table with, where the other keys do not say it."""
    if table.keys and table.keys[0][0] != one["key"]:
        one["partition_key"] = table.keys[0][0]
    types = {name: kind for keys in (table.keys, *table.indexes.values()) for name, kind in keys if kind != "S"}
    if types:
        one["key_types"] = types
    if table.indexes:
        one["indexes"] = {index: [name for name, _ in keys] for index, keys in table.indexes.items()}


def _role(facts: StackFacts, table: TableFact, shape: Shape | None) -> tuple[str, str]:
    connects = [route.function for route in facts.routes if route.key == "$connect" and route.function]
    key = next((name for name, _ in table.keys if is_connection(name)), "")
    if shape is not None and shape.items * 2 >= shape.of:
        return "connections", f"{shape.items} of {shape.of} sampled items hold a connection's id"
    if key:
        return "connections", f"its key is called {key}"
    if shape is not None and not is_message_table(table.name):
        return "connections", f"{shape.items} of {shape.of} sampled items hold a connection's id"
    for name in connects:
        if is_connection_table(table.name) and _may_write(facts, name, table.name):
            return "connections", f"{name}, which is behind $connect, may write to it"
    if is_message_table(table.name):
        return "messages", "its name"
    if is_connection_table(table.name):
        return "connections", "its name"
    return "other", "nothing speaks for connections or messages"


def _may_write(facts: StackFacts, function: str, table: str) -> bool:
    found = facts.function(function)
    return found is not None and any(
        any(fnmatchcase(write.lower(), action.lower()) for write in _WRITES)
        and fnmatchcase(f"table/{table}", "*" if resource == "*" else resource.rpartition(":")[2])
        for action, resource in found.actions
    )


def _connections(
    draft: Draft, place: str, path: str, table: TableFact, shape: Shape | None, one: dict[str, Any]
) -> None:
    keys = [name for name, _ in table.keys]
    types = dict(table.keys)
    if shape is not None:
        one["key"] = shape.key
        for name in ("id_prefix", "row_prefix", "map_attribute", "map_id"):
            if getattr(shape, name):
                one[name] = getattr(shape, name)
        draft.note(place, f"key and shape: seen in {shape.items} of {shape.of} sampled items; values are not kept.")
        if shape.items < shape.of and not shape.row_prefix:
            draft.note(place, "Some items hold no connection's id: they are left alone.")
    else:
        named = first(keys, is_connection)
        one["key"] = named or (keys[0] if keys else "")
        why = f"the key {named}" if named else "the table was empty and its key's name does not tell"
        draft.note(place, f"key: {why}.")
        if not named:
            draft.ask(f"{path}.key", f"Attribute of {table.name} with the connection's id", one["key"], why)
            draft.ask(f"{path}.id_prefix", f"What stands before the id there, e.g. CONN# (table {table.name})")
    if len(keys) > 1:
        one["sort_key"] = keys[1]
        kind = {"N": "a number", "B": "binary"}.get(types[keys[1]], "text")
        draft.note(place, f"sort_key: {keys[1]} ({kind}); the partition key is {keys[0]}.")
    _people(draft, place, path, table, one)


def _people(draft: Draft, place: str, path: str, table: TableFact, one: dict[str, Any]) -> None:
    by_hash = {keys[0][0]: index for index, keys in table.indexes.items() if keys}
    seen = [name for name in attributes_of(table.samples) if name != one["key"]]
    known = [*by_hash, *(name for name, _ in table.keys if name != one["key"]), *seen]
    for key, rule, index_key in (("user", is_user, "user_index"), ("tenant", is_tenant, "tenant_index")):
        found = first([name for name in known if name not in one.values()], rule)
        if found:
            one[key] = found
            where = f"the index {by_hash[found]}" if found in by_hash else "an attribute's name"
            draft.note(place, f"{key}: {where}.")
        else:
            draft.ask(f"{path}.{key}", f"Attribute of {table.name} with the {key}'s id (empty: none)")
        if found in by_hash:
            one[index_key] = by_hash[found]
    at = first(seen, is_connected_at)
    if at:
        one["connected_at"] = at
    left = [index for index in table.indexes if index not in one.values()]
    if left:
        draft.note(place, f"Further indexes: {', '.join(left)}.")
