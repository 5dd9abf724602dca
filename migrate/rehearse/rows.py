"""Tables and functions of a rehearsal, looked at and haunted. until phase 3"""

from __future__ import annotations

import base64
import os
from typing import Any

from migrate.config import Config
from migrate.errors import MigrateError

__all__ = ["GHOSTS", "Haunted", "described"]

GHOSTS = 150
BATCH = 25


class Haunted:
    """The stack's table of connections, and rows of connections that never were."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._table = next(one for one in config.tables if one.role == "connections")
        self._like: dict[str, Any] = {}

    @property
    def name(self) -> str:
        return self._table.name

    def haunt(self) -> dict[str, dict[str, Any]]:
        """Put ghosts in, each like a row that was there, under another id; how they were written, by id.

        Raises: MigrateError: nobody's row has ever been seen.
        """
        client = self._config.client("dynamodb")
        if not self._like:
            rows = self.rows()
            if not rows:
                raise MigrateError(
                    f"{self.name} has no row though people are connected", "its $connect function has to write one"
                )
            self._like = next(iter(rows.values()))
        ghosts = {}
        for _ in range(GHOSTS):
            name = base64.urlsafe_b64encode(os.urandom(11)).decode()
            ghosts[name] = {**self._like, **self._nobody(name), self._table.key: {"S": name}}
        items = list(ghosts.values())
        for first in range(0, len(items), BATCH):
            left = {self.name: [{"PutRequest": {"Item": one}} for one in items[first : first + BATCH]]}
            while left:
                left = client.batch_write_item(RequestItems=left).get("UnprocessedItems") or {}
        return ghosts

    def _nobody(self, name: str) -> dict[str, dict[str, str]]:
        """User and tenant of a ghost: somebody to whom nothing is ever said, so that the sweep finds the row, and not
        the application, which removes whom it gets 410 for."""
        names = {self._table.user, self._table.tenant} - {"", self._table.key}
        mine = {one for one in names if "S" in self._like.get(one, {})}
        return {one: {"S": f"ghost-{name}"} for one in mine}

    def rows(self) -> dict[str, dict[str, Any]]:
        """What is in it, by connection id."""
        pages = self._config.client("dynamodb").get_paginator("scan").paginate(TableName=self.name, ConsistentRead=True)
        return {item[self._table.key]["S"]: item for page in pages for item in page["Items"]}


def described(config: Config, table: str, function: str) -> dict[str, Any]:
    """What of a table and a function has to be the same after they were restored."""
    found = config.client("dynamodb").describe_table(TableName=table)["Table"]
    indexes = [
        {key: one.get(key) for key in ("IndexName", "KeySchema", "Projection")}
        for one in found.get("GlobalSecondaryIndexes", [])
    ]
    settings = config.client("lambda").get_function_configuration(FunctionName=function)
    keys = ("CodeSha256", "Runtime", "Role", "Timeout", "MemorySize")
    return {
        "KeySchema": found["KeySchema"],
        "AttributeDefinitions": sorted(found["AttributeDefinitions"], key=lambda one: str(one["AttributeName"])),
        "GlobalSecondaryIndexes": sorted(indexes, key=lambda one: str(one["IndexName"])),
        **{key: settings.get(key) for key in keys},
    }
