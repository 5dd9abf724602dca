"""Who is connected, and who of them a change would move. until phase 3"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from migrate.config import Config
from migrate.config.model import Table
from migrate.control.flags import EVERY_TENANT, CutoverFlag
from sse_service.flags import SSE, Flag, transport

__all__ = ["Affected", "connected_users", "count_affected"]

MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Affected:
    """Users of the connection tables. problem: why they could not be counted, or ""."""

    connected: int = 0
    to_sse: int = 0
    to_websocket: int = 0
    on_sse: int = 0
    """After the change."""
    problem: str = ""


def count_affected(
    config: Config,
    flags: dict[str, CutoverFlag],
    feature: str,
    tenant: str,
    percent: float,
    progress: Callable[[int], None] = lambda _: None,
) -> Affected:
    """flags: of the feature, by tenant, as they are now."""
    salt = next((flag.salt for flag in flags.values()), "")
    if not salt:
        # The first change draws one; any gives the right share, though not the same people.
        salt = "not-drawn-yet"
    after = {name: flag.rule for name, flag in flags.items()}
    after[tenant] = Flag(feature, tenant, percent, 1, salt)
    before = {name: flag.rule for name, flag in flags.items()}
    connected = to_sse = to_websocket = on_sse = 0
    problem = ""
    try:
        seen: set[tuple[str, str]] = set()
        for who in connected_users(config):
            if who in seen:
                continue
            seen.add(who)
            progress(len(seen))
            was, will = _where(before, *who), _where(after, *who)
            connected += 1
            on_sse += will == SSE
            to_sse += will == SSE and was != SSE
            to_websocket += was == SSE and will != SSE
            if len(seen) >= MOST:
                problem = f"only the first {MOST} users are counted"
                break
    except (ClientError, BotoCoreError) as error:
        return Affected(problem=f"the connection table cannot be read: {type(error).__name__}")
    except LookupError as error:
        return Affected(problem=str(error.args[0]))
    return Affected(connected, to_sse, to_websocket, on_sse, problem)


def _where(flags: dict[str, Flag], tenant: str, user: str) -> str:
    flag = flags.get(tenant) or flags.get(EVERY_TENANT)
    return transport(flag, tenant, user) if flag else "websocket"


def connected_users(config: Config) -> Iterator[tuple[str, str]]:
    """(tenant, user) of each row, page by page. Raises LookupError: the tables name no user."""
    tables = [one for one in config.tables if one.role == "connections" and one.user and not one.map_attribute]
    if not tables:
        raise LookupError("no connection table of the configuration names a user's attribute")
    for table in tables:
        yield from _rows(config, table)


def _rows(config: Config, table: Table) -> Iterator[tuple[str, str]]:
    # Each once: of an attribute that is named twice DynamoDB says that "two document paths overlap".
    wanted = dict.fromkeys(filter(None, (table.user, table.key, table.tenant)))
    names = {f"#n{number}": name for number, name in enumerate(wanted)}
    arguments: dict[str, Any] = {
        "TableName": table.name,
        "ProjectionExpression": ", ".join(names),
        "ExpressionAttributeNames": names,
    }
    client = config.client("dynamodb")
    while True:
        page = client.scan(**arguments)
        for item in page["Items"]:
            row = {name: next(iter(value.values())) for name, value in item.items()}
            if table.row_prefix and not str(row.get(table.key, "")).startswith(table.row_prefix):
                continue
            if user := row.get(table.user):
                yield str(row.get(table.tenant) or config.sse.default_tenant), str(user)
        if "LastEvaluatedKey" not in page:
            return
        arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]
