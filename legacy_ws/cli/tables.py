"""`legacy-ws dynamodb-create` and `dynamodb-scan` (CL5). until phase 3"""

from __future__ import annotations

from typing import Annotated

import typer

from legacy_ws.aws import AwsSession
from legacy_ws.cli.options import Endpoint, Json, Profile, Region, open_session
from legacy_ws.cli.output import print_json, print_table, progress, reports_errors, say
from legacy_ws.deploy.steps import wait_until
from legacy_ws.deploy.tables import describe
from legacy_ws.dynamo import Table
from legacy_ws.errors import UsageError
from legacy_ws.schema import Item

__all__ = ["key_names", "register", "scan"]

TableName = Annotated[str, typer.Argument(metavar="TABLE", help="Name of the table.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("dynamodb-create")(dynamodb_create)
    app.command("dynamodb-scan")(dynamodb_scan)


@reports_errors
def dynamodb_create(
    table: TableName,
    pk: Annotated[str, typer.Argument(metavar="PK", help="Partition key (text).")],
    sort_key: Annotated[str | None, typer.Option(help="Sort key; NAME or NAME:N for a number.")] = None,
    ttl: Annotated[str | None, typer.Option(help="TTL attribute.")] = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Create a table, paid per request.

    Example: legacy-ws dynamodb-create connections connectionId --ttl ttl
    """
    client = open_session(region, profile, endpoint_url).client("dynamodb")
    if describe(client, table) is not None:
        raise UsageError(f"table {table} exists", f"`legacy-ws dynamodb-scan {table}` shows what is in it")
    keys = [(pk, "S", "HASH")]
    if sort_key:
        name, _, kind = sort_key.partition(":")
        if kind not in ("", "S", "N", "B"):
            raise UsageError(
                f"{kind!r} is no type of a key", f"--sort-key {name} (text), {name}:N (number) or {name}:B (bytes)"
            )
        keys.append((name, kind or "S", "RANGE"))
    client.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name, kind, _ in keys],
        KeySchema=[{"AttributeName": name, "KeyType": role} for name, _, role in keys],
    )
    wait_until(lambda: (describe(client, table) or {}).get("TableStatus") == "ACTIVE", f"table {table}", timeout_s=180)
    if ttl:
        client.update_time_to_live(TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": ttl})
    say(f"created table {table}")


@reports_errors
def dynamodb_scan(
    table: TableName,
    json_output: Json = False,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Print every item of a table, all pages.

    Example: legacy-ws dynamodb-scan rooms-ChatMessages --json
    """
    session = open_session(region, profile, endpoint_url)
    keys = key_names(session, table)
    rows = scan(session, table)
    if json_output:
        print_json(rows)
        return
    columns = [*keys, *sorted({name for row in rows for name in row} - set(keys))]
    print_table(columns, ([row.get(name) for name in columns] for row in rows))
    say(f"{len(rows)} items in {table}")


def key_names(session: AwsSession, table: str) -> list[str]:
    """The table's key attributes. Raises: UsageError: no such table."""
    found = describe(session.client("dynamodb"), table)
    if found is None:
        raise UsageError(
            f"there is no table {table!r} in {session.region}", "`legacy-ws status` shows the tables of each stack"
        )
    return [key["AttributeName"] for key in found["KeySchema"]]


def scan(session: AwsSession, table: str) -> list[Item]:
    """Every item, all pages."""
    rows: list[Item] = []
    with progress(f"reading {table}") as update:
        for page in Table(session.client("dynamodb"), table).pages():
            rows += page
            update(f"reading {table}: {len(rows)} items")
    return rows
