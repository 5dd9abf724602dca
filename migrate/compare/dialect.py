"""The few expressions in which DuckDB and Athena differ; all other SQL of a comparison is the same text. until phase 3

Sources: Trino's functions, https://trino.io/docs/current/functions.html (Athena engine version 3 is Trino,
https://docs.aws.amazon.com/athena/latest/ug/engine-versions-reference-0003.html); DuckDB's JSON functions,
https://duckdb.org/docs/stable/data/json/json_functions
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from migrate.compare.rules import Rules, parts

__all__ = ["Athena", "Dialect", "DuckDB", "literal"]

SEPARATOR = "chr(31)"


def literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''").replace("\0", "") + "'"


class Dialect(ABC):
    """Expressions over a column `payload` (JSON text)."""

    name: str

    @abstractmethod
    def hash(self, *columns: str) -> str:
        """A 64-bit hash of texts; null is as good as any other value."""

    @abstractmethod
    def text(self, path: str) -> str:
        """The scalar at a path as text, null when there is none."""

    @abstractmethod
    def without(self, paths: Sequence[str]) -> str:
        """The payload's text without these fields."""

    @abstractmethod
    def time(self, value: str) -> str:
        """A text as epoch seconds, null when it is no time."""

    @abstractmethod
    def ordered(self, path: str) -> str:
        """A list's items in order, as text."""

    def body(self, rules: Rules) -> str:
        """The part of a frame that has to be the same on both stacks: without ignored fields and those that have a
        normal form, which is appended.
        """
        paths = [rule.path for rule in rules.ignore] + [form.path for form in rules.normalise]
        text = self.without(paths) if paths else "payload"
        forms = [f"coalesce({self._form(form.path, form.as_)}, '')" for form in rules.normalise]
        return f" || {SEPARATOR} || ".join([text, *forms])

    def _form(self, path: str, form: str) -> str:
        if form == "sorted":
            return self.ordered(path)
        text = self.text(path)
        if form == "lower":
            return f"lower({text})"
        if form == "trim":
            return f"trim({text})"
        if form == "number":
            return f"coalesce(cast(try_cast({text} as double) as varchar), {text})"
        return f"coalesce(cast({self.time(text)} as varchar), {text})"


class DuckDB(Dialect):
    """The engine on this machine."""

    name = "duckdb"

    def hash(self, *columns: str) -> str:
        return f"hash({', '.join(columns)})"

    def text(self, path: str) -> str:
        quoted = "$" + "".join(f".{json.dumps(name, ensure_ascii=False)}" for name in parts(path))
        return f"json_extract_string(payload, {literal(quoted)})"

    def without(self, paths: Sequence[str]) -> str:
        # RFC 7396: null removes; a payload that is no object would become one.
        patch = literal(json.dumps(_tree(paths), ensure_ascii=False))
        return f"case when payload like '{{%' then cast(json_merge_patch(payload, {patch}) as varchar) else payload end"

    def time(self, value: str) -> str:
        number = f"try_cast({value} as double)"
        return (
            f"coalesce(case when {number} > 1e11 then {number} / 1000 else {number} end, "
            f"epoch(try_cast({value} as timestamptz)))"
        )

    def ordered(self, path: str) -> str:
        quoted = "$" + "".join(f".{json.dumps(name, ensure_ascii=False)}" for name in parts(path))
        return f"cast(list_sort(try_cast(json_extract(payload, {literal(quoted)}) as varchar[])) as varchar)"


class Athena(Dialect):
    """Amazon Athena, engine version 3 (Trino)."""

    name = "athena"

    def hash(self, *columns: str) -> str:
        joined = ", ".join(f"coalesce(cast({column} as varchar), chr(30))" for column in columns)
        inner = f"concat_ws({SEPARATOR}, {joined})" if len(columns) > 1 else joined
        return f"from_big_endian_64(xxhash64(to_utf8({inner})))"

    def text(self, path: str) -> str:
        return f"json_extract_scalar(payload, {literal(_bracketed(path))})"

    def without(self, paths: Sequence[str]) -> str:
        removed = self._removed("json_parse(payload)", _tree(paths))
        return f"case when payload like '{{%' then json_format(cast({removed} as json)) else payload end"

    def _removed(self, value: str, tree: dict[str, Any]) -> str:
        fields = f"cast({value} as map(varchar, json))"
        gone = [literal(name) for name, inner in tree.items() if inner is None]
        result = f"map_filter({fields}, (k, v) -> k not in ({', '.join(gone)}))" if gone else fields
        for name, inner in tree.items():
            if inner is not None:
                nested = self._removed(f"{fields}[{literal(name)}]", inner)
                changed = f"map(array[{literal(name)}], array[cast({nested} as json)])"
                # Where there is no such object, nothing is taken out of it.
                result = f"coalesce(try(map_concat({result}, {changed})), {result})"
        return result

    def time(self, value: str) -> str:
        number = f"try_cast({value} as double)"
        return (
            f"coalesce(case when {number} > 1e11 then {number} / 1000 else {number} end, "
            f"try(to_unixtime(from_iso8601_timestamp({value}))))"
        )

    def ordered(self, path: str) -> str:
        items = f"try_cast(json_extract(payload, {literal(_bracketed(path))}) as array(varchar))"
        return f"array_join(array_sort({items}), {SEPARATOR})"


def _bracketed(path: str) -> str:
    return "$" + "".join(f"[{json.dumps(name, ensure_ascii=False)}]" for name in parts(path))


def _tree(paths: Sequence[str]) -> dict[str, Any]:
    """{"a": None, "b": {"c": None}} of a and b.c."""
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        node = tree
        *outer, last = parts(path)
        for name in outer:
            inner = node.setdefault(name, {})
            if inner is None:
                break
            node = inner
        else:
            node[last] = None
    return tree
