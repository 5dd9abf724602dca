"""One DynamoDB table behind plain Python values: conditional writes, and reading that never stops at 1 MB.
until phase 3

Source: Amazon DynamoDB API reference, `Scan` and `Query` ("If the total size of scanned items exceeds the
maximum dataset size limit of 1 MB, the scan completes and results are returned ... LastEvaluatedKey").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from legacy_ws.errors import ItemExistsError
from legacy_ws.schema import Item

__all__ = ["Table", "from_attributes", "to_attribute"]


class Table:
    """Rows of one table.

    Args:
        client: a boto3 DynamoDB client.
        name: the table.
        page_rows: most rows DynamoDB reads for one page; None leaves it to DynamoDB (1 MB).
    """

    def __init__(self, client: Any, name: str, *, page_rows: int | None = None) -> None:
        self._client = client
        self._name = name
        self._page_rows = page_rows

    def put(self, item: Mapping[str, object], *, if_absent: str | None = None) -> None:
        """Write a row; with `if_absent` (an attribute of the key) only when its key is free.

        Raises: ItemExistsError: the key is taken; `.existing` is what holds it.
        """
        arguments: dict[str, Any] = {"TableName": self._name, "Item": _to_item(item)}
        if if_absent is not None:
            arguments |= {
                "ConditionExpression": "attribute_not_exists(#key)",
                "ExpressionAttributeNames": {"#key": if_absent},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        try:
            self._client.put_item(**arguments)
        except self._client.exceptions.ConditionalCheckFailedException as error:
            existing = error.response.get("Item")
            raise ItemExistsError(from_attributes(existing) if existing else None) from None

    def get(self, key: Mapping[str, object]) -> Item | None:
        """The row, read consistently; None when there is none."""
        answer = self._client.get_item(TableName=self._name, Key=_to_item(key), ConsistentRead=True)
        return from_attributes(answer["Item"]) if "Item" in answer else None

    def delete(self, key: Mapping[str, object]) -> None:
        """Remove the row; nothing happens when there is none."""
        self._client.delete_item(TableName=self._name, Key=_to_item(key))

    def update_existing(
        self,
        key: Mapping[str, object],
        values: Mapping[str, object],
        *,
        only_if_absent: Sequence[str] = (),
        only_if: Mapping[str, object] | None = None,
    ) -> bool:
        """Set attributes of a row that exists (lacks `only_if_absent`, and has the values of `only_if`); False, and
        nothing written, when it does not.

        Without the condition DynamoDB would make the row again that `$disconnect` has just deleted (a ghost).
        """
        names: dict[str, str] = {}
        conditions = []
        for number, name in enumerate(key):
            names[f"#k{number}"] = name
            conditions.append(f"attribute_exists(#k{number})")
        for number, name in enumerate(only_if_absent):
            names[f"#a{number}"] = name
            conditions.append(f"attribute_not_exists(#a{number})")
        wanted = only_if or {}
        for number, name in enumerate(wanted):
            names[f"#w{number}"] = name
            conditions.append(f"#w{number} = :w{number}")
        names |= {f"#v{number}": name for number, name in enumerate(values)}
        try:
            self._client.update_item(
                TableName=self._name,
                Key=_to_item(key),
                UpdateExpression="SET " + ", ".join(f"#v{n} = :v{n}" for n in range(len(values))),
                ConditionExpression=" AND ".join(conditions),
                ExpressionAttributeNames=names,
                ExpressionAttributeValues={
                    **{f":v{n}": to_attribute(value) for n, value in enumerate(values.values())},
                    **{f":w{n}": to_attribute(value) for n, value in enumerate(wanted.values())},
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def pages(self, *, attributes: Sequence[str] | None = None) -> Iterator[list[Item]]:
        """Every row, page by page, read consistently: a client that has just connected is in it."""
        arguments: dict[str, Any] = {"TableName": self._name, "ConsistentRead": True}
        if attributes:
            names = {f"#p{number}": name for number, name in enumerate(attributes)}
            arguments |= {"ProjectionExpression": ", ".join(names), "ExpressionAttributeNames": names}
        return self._paged(self._client.scan, arguments)

    def index_pages(self, index: str, equals: Mapping[str, object]) -> Iterator[list[Item]]:
        """Every row of `index` whose key attributes equal `equals` (indexes are eventually consistent)."""
        return self._paged(self._client.query, {"IndexName": index} | self._equals(equals))

    def range_pages(
        self,
        equals: Mapping[str, object],
        sort_key: str,
        low: Decimal | str,
        high: Decimal | str,
        *,
        newest_first: bool,
        page_rows: int | None,
        where: Mapping[str, object] | None = None,
    ) -> Iterator[list[Item]]:
        """Rows of one partition with `low` <= `sort_key` <= `high`, read consistently, at most `page_rows`
        a page.

        Args:
            where: only rows with these values. DynamoDB reads the others all the same, and counts them into
                `page_rows`: pages may be empty.
        """
        arguments = self._equals(equals)
        arguments["KeyConditionExpression"] += " AND #s BETWEEN :low AND :high"
        arguments["ExpressionAttributeNames"]["#s"] = sort_key
        arguments["ExpressionAttributeValues"] |= {":low": to_attribute(low), ":high": to_attribute(high)}
        arguments |= {"ScanIndexForward": not newest_first, "ConsistentRead": True}
        if page_rows is not None:
            arguments["Limit"] = page_rows
        if where:
            arguments["FilterExpression"] = " AND ".join(f"#w{n} = :w{n}" for n in range(len(where)))
            arguments["ExpressionAttributeNames"] |= {f"#w{n}": name for n, name in enumerate(where)}
            arguments["ExpressionAttributeValues"] |= {
                f":w{n}": to_attribute(value) for n, value in enumerate(where.values())
            }
        return self._paged(self._client.query, arguments)

    def _equals(self, equals: Mapping[str, object]) -> dict[str, Any]:
        return {
            "TableName": self._name,
            "KeyConditionExpression": " AND ".join(f"#e{n} = :e{n}" for n in range(len(equals))),
            "ExpressionAttributeNames": {f"#e{n}": name for n, name in enumerate(equals)},
            "ExpressionAttributeValues": {f":e{n}": to_attribute(value) for n, value in enumerate(equals.values())},
        }

    def _paged(self, operation: Any, arguments: dict[str, Any]) -> Iterator[list[Item]]:
        if self._page_rows is not None:
            arguments.setdefault("Limit", self._page_rows)
        while True:
            answer = operation(**arguments)
            yield [from_attributes(item) for item in answer.get("Items", [])]
            last = answer.get("LastEvaluatedKey")
            if not last:
                return
            arguments["ExclusiveStartKey"] = last


def to_attribute(value: object) -> dict[str, object]:
    """One value in DynamoDB's form. Raises: TypeError: no such form (floats are refused: pass a Decimal)."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int() | Decimal():
            return {"N": _number_text(value)}
        case bytes():
            return {"B": value}
        case Mapping():
            return {"M": _to_item(value)}
        case list() | tuple():
            return {"L": [to_attribute(item) for item in value]}
        case _:
            raise TypeError(f"DynamoDB has no form for {type(value).__name__}")


def from_attributes(item: Mapping[str, Mapping[str, Any]]) -> Item:
    """One item in plain values; numbers become int, or Decimal when they have a fraction."""
    return {name: _from_attribute(value) for name, value in item.items()}


def _to_item(item: Mapping[str, object]) -> dict[str, dict[str, object]]:
    return {name: to_attribute(value) for name, value in item.items()}


def _from_attribute(attribute: Mapping[str, Any]) -> object:
    ((kind, value),) = attribute.items()
    match kind:
        case "NULL":
            return None
        case "N":
            return _number(value)
        case "M":
            return from_attributes(value)
        case "L":
            return [_from_attribute(item) for item in value]
        case "NS":
            return [_number(item) for item in value]
        case _:
            return value


def _number_text(value: int | Decimal) -> str:
    """DynamoDB's own form, without trailing zeros: stand-ins for it may compare keys as text."""
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _number(text: str) -> int | Decimal:
    number = Decimal(text)
    return int(number) if number == number.to_integral_value() else number
